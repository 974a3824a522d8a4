# SPDX-License-Identifier: Apache-2.0
"""`certbound inspect` says of each key of a key set what it verifies, or why it verifies nothing."""

import json
import re
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cases import World
from rig import tokens
from rig.certificates import jwk
from rig.desk import certbound
from rig.tokens import SigningKey

KEYS = [SigningKey.make(name, f"{name}-1") for name in ("ES256", "ES384", "RS256", "EdDSA")]


def inspected(content: Any) -> dict[str, Any]:
    answer = certbound("inspect", "--format", "json", "-", stdin=json.dumps(content).encode())
    assert (answer.returncode, answer.stderr) == (0, b""), answer
    assert re.fullmatch(rb"[\n -~]*", answer.stdout)
    return json.loads(answer.stdout)


def text(content: Any, *arguments: str) -> list[str]:
    answer = certbound("inspect", "-", *arguments, stdin=json.dumps(content).encode())
    assert (answer.returncode, answer.stderr) == (0, b""), answer
    return answer.stdout.decode().splitlines()


def test_of_a_clients_set_each_key_is_told_with_its_certificate_or_why_it_has_none(world: World) -> None:
    own = world.client_1
    good = jwk(own)
    lines = text({"keys": [good, {**good, "x5c": ["AAAA"]}, {**good, "x5c": jwk(world.client_2)["x5c"]}, {**good, "x5c": None}]})
    for line, told in zip(
        lines,
        [
            f"its certificate is {own.thumbprint}",
            "it is left out: x5c holds certificates in base64",
            "it is left out: the first certificate of x5c is for another key than the JWK (RFC 7517, 4.7)",
        ],
    ):
        assert line.endswith(f": verifies ES256; of a client, {told}"), line
    assert lines[3].endswith(": verifies ES256")
    assert inspected(good)["keys"][0]["certificate"] == own.thumbprint


def as_authlib_writes(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """Without the zeros before a coordinate."""
    point = key.public_key().public_numbers()
    x, y = (tokens.encode_part(number.to_bytes((number.bit_length() + 7) // 8, "big")) for number in (point.x, point.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def test_each_key_of_a_set_is_told_with_what_it_verifies() -> None:
    any_rsa = {name: value for name, value in KEYS[2].jwk.items() if name not in ("alg", "kid")}
    found = inspected({"keys": [key.jwk for key in KEYS] + [any_rsa]})
    assert set(found) == {"keys"}
    expected = [["ES256"], ["ES384"], ["RS256"], ["EdDSA"], ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]]
    assert [key["verifies"] for key in found["keys"]] == expected
    assert found["keys"][0] == {
        "kid": "ES256-1",
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "use": "sig",
        "bits": None,
        "verifies": ["ES256"],
        "left_out": None,
        "fault": False,
    }
    assert (found["keys"][4]["kid"], found["keys"][4]["bits"]) == (None, 2048)
    assert text({"keys": [KEYS[0].jwk, any_rsa]}) == [
        'keys[0]: kid "ES256-1", kty "EC", crv "P-256", alg "ES256", use "sig": verifies ES256',
        'keys[1]: no kid, kty "RSA", use "sig", 2048 bits: verifies RS256, RS384, RS512, PS256, PS384, PS512',
        "2 keys for tokens, 0 left out",
    ]
    # One key is a set of one.
    assert inspected(KEYS[1].jwk)["keys"] == inspected({"keys": [KEYS[1].jwk]})["keys"]


def test_of_a_key_that_is_left_out_it_says_why() -> None:
    made = (ec.generate_private_key(ec.SECP256R1()) for _ in iter(int, 1))
    short = next(key for key in made if key.public_key().public_numbers().y < 1 << 248)
    three = rsa.generate_private_key(public_exponent=3, key_size=2048)
    encryption = {**KEYS[2].jwk, "use": "enc"}
    keys = [
        KEYS[0].jwk,
        as_authlib_writes(short),
        SigningKey("RS256", "three", three).jwk,
        encryption,
        {**KEYS[0].jwk, "kid": 7},
    ]
    found = inspected({"keys": keys})
    assert [(key["left_out"], key["fault"]) for key in found["keys"]] == [
        (None, False),
        ("its y has 31 bytes in place of 32 (leading zeros belong to it)", True),
        ("its exponent is 3, and not 65537", True),
        ("it is for encryption (use)", False),
        ("kid: expected a string, found a number", True),
    ]
    assert text({"keys": keys})[1:] == [
        'keys[1]: no kid, kty "EC", crv "P-256": left out: its y has 31 bytes in place of 32 (leading zeros belong to it)',
        'keys[2]: kid "three", kty "RSA", alg "RS256", use "sig": left out: its exponent is 3, and not 65537',
        'keys[3]: kid "RS256-1", kty "RSA", alg "RS256", use "enc": for something else: it is for encryption (use)',
        'keys[4]: kid 7, kty "EC", crv "P-256", alg "ES256", use "sig": left out: kid: expected a string, found a number',
        "1 key for tokens, 4 left out, 3 of them for a fault",
    ]
    alone = {"keys": [KEYS[0].jwk | {"key_ops": []}]}
    assert inspected(alone)["note"] == text(alone)[-1].removeprefix("note: ")
    assert "keeps the set before" in inspected(alone)["note"]
    assert "all are withdrawn" in inspected({"keys": [encryption]})["note"]


def test_nothing_of_a_key_is_repeated_least_of_all_of_a_private_one() -> None:
    for jwk in (key.private_jwk for key in KEYS):
        material = [value for name, value in jwk.items() if name not in ("kty", "kid", "alg", "use", "crv", "e")]
        for content in (jwk, {"keys": [jwk]}, {"keys": [{**jwk, "kid": "\x1b[2J\u202e"}]}):
            for form in ("text", "json"):
                answer = certbound("inspect", "-", "--format", form, stdin=json.dumps(content).encode())
                shown = (answer.stdout + answer.stderr).decode()
                assert answer.returncode == 0 and "it is a private key, and published" in shown
                assert material and not any(value in shown for value in material)
                assert "\x1b" not in shown and "\u202e" not in shown
    assert "it is a symmetric key, and published" in text({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})[0]


def test_what_is_no_key_set_and_what_is_asked_of_one_in_vain_is_an_error() -> None:
    not_read = "a JSON Web Key Set that is not read: "
    for content, arguments, said in [
        (
            b'{"keys": [{"kty": "EC", "kty": "EC"}]}',
            [],
            not_read + "a name is there twice in an object, or it is nested too deeply",
        ),
        (b'{"keys": {}}', [], not_read + "the key set has no list of keys"),
        (json.dumps({"keys": [{}] * 101}).encode(), [], not_read + "the key set has more than 100 keys"),
        (
            json.dumps(tokens.jwks(KEYS[0])).encode(),
            ["--dialect", "gluu"],
            "a JSON Web Key Set, and a dialect hands a certificate over",
        ),
    ]:
        answer = certbound("inspect", *arguments, "-", stdin=content)
        assert (answer.returncode, answer.stdout) == (2, b"")
        assert answer.stderr.decode() == f"certbound: standard input is {said}\n"
