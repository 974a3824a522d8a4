# SPDX-License-Identifier: Apache-2.0
"""The form of a token and its signature (RFC 7515, RFC 8725)."""

import base64
import json
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from rig import tokens

from cases.api import Shipped, Variants
from cases.case import Case, Refusal, cannot_decide
from cases.world import World


def variants(world: World) -> dict[str, dict[str, Any] | None]:
    return {
        "any-of-four": {
            "issuer": {
                "keys": {
                    "jwks": {
                        "keys": [
                            {name: value for name, value in world.keys[key].jwk.items() if name != "alg"}
                            for key in ("RS256", "PS256", "PS384", "PS512")
                        ]
                    }
                }
            }
        },
        # RFC 9864 §2.2: a key and a list that say the name that came later.
        "ed25519": {
            "issuer": {
                "keys": {"jwks": {"keys": [{**world.keys["EdDSA"].jwk, "alg": "Ed25519"}]}},
                "algorithms": ["Ed25519"],
            }
        },
    }


def signatures(world: World) -> Iterator[Case]:
    one, es256 = world.client_1, world.keys["ES256"]
    api = Shipped(world)
    case, passes, refused, sign, raw, bound = api.case, api.passes, api.refused, api.sign, api.raw, api.bound

    for name, key in world.keys.items():
        # The shipped policy `api` allows four algorithms, `migration` all.
        policy = "api" if name in ("ES256", "RS256", "PS256", "EdDSA") else "migration"
        yield passes(f"a token signed with {name} passes", sign(key=key), policy=policy)
        yield refused(
            f"a token signed with {name} whose signature was changed is refused",
            flipped(sign(key=key)),
            "signature_invalid",
            policy=policy,
        )
        yield refused(
            f"a token signed with {name} whose claims were changed is refused",
            reclaimed(sign(key=key), sub="somebody else"),
            "signature_invalid",
            policy=policy,
        )
        # What nobody here asks for, in a type that it does not have elsewhere.
        yield passes(f"a token signed with {name} passes with an unknown claim", sign(key=key, acr=1), policy=policy)
        yield passes(
            f"a token signed with {name} passes with an unknown header parameter",
            sign({"x5t": 1}, key=key),
            policy=policy,
        )

    # The token's form: RFC 7515, RFC 8725.
    header, payload, signature = bound.split(".")
    for sentence, token, reason in [
        ("a token of one part is malformed", "abc", "token_malformed"),
        ("a token of two parts is malformed", f"{header}.{payload}", "token_malformed"),
        ("a token of four parts is malformed", f"{bound}.{signature}", "token_malformed"),
        ("a token of five parts is malformed", f"{bound}.{signature}.{signature}", "token_malformed"),
        (
            "an encrypted token is malformed without introspection",
            tokens.encrypted({"alg": "RSA-OAEP-256", "enc": "A256GCM"}),
            "token_malformed",
        ),
        (
            "an encrypted token of an unknown type is malformed without introspection",
            tokens.encrypted({"alg": "ECDH-ES", "enc": "A256GCM", "typ": "JWE", "jwk": {}}),
            "token_malformed",
        ),
        ("a token with an empty signature is refused", f"{header}.{payload}.", "signature_invalid"),
        (
            "a token whose signature is padded base64url is refused as malformed",
            f"{header}.{payload}.{signature}=",
            "token_malformed",
        ),
        (
            "a token whose signature is uncanonical base64url is refused as malformed",
            f"{header}.{payload}.{uncanonical(signature)}",
            "token_malformed",
        ),
        (
            "a token whose signature is standard base64 is refused as malformed",
            standard_base64(sign(key=world.keys["RS256"])),
            "token_malformed",
        ),
        ("a header that is no object is malformed", raw(header="[]"), "token_malformed"),
        (
            "a header with a name twice is malformed",
            raw(header='{"alg":"ES256","kid":"ES256-1","alg":"ES256"}'),
            "token_malformed",
        ),
        ("a payload with a name twice is malformed", raw(payload='{"iss":"a","iss":"b"}'), "token_malformed"),
        (
            "a confirmation with a name twice is malformed",
            raw(payload=json.dumps(world.claims(one)).replace('{"x5t#S256"', '{"x5t\\u0023S256": "", "x5t#S256"')),
            "token_malformed",
        ),
        ("a payload that is not JSON is malformed", raw(payload="hello"), "token_malformed"),
        ("a payload that is not UTF-8 is malformed", raw(payload=b'{"iss":"\xff"}'), "token_malformed"),
        (
            "a payload that nests deeply is malformed",
            raw(payload='{"a":' + "[" * 5000 + "]" * 5000 + "}"),
            "token_malformed",
        ),
        ("a token of more than 16 KiB is refused", sign(padding="x" * 16384), "token_too_long"),
        (
            "the algorithm none is refused",
            tokens.sign(es256, world.claims(one), algorithm="none"),
            "algorithm_not_allowed",
        ),
        ("the algorithm None is refused", sign({"alg": "None"}), "algorithm_not_allowed"),
        (
            "HS256 with the issuer's public key as the secret is refused",
            hmac_with_public_key(world),
            "algorithm_not_allowed",
        ),
        ("the unknown algorithm XY256 is refused", sign({"alg": "XY256"}), "algorithm_not_allowed"),
        ("the algorithm ES256 with a space before it is refused", sign({"alg": " ES256"}), "algorithm_not_allowed"),
        ("the algorithm es256 in small letters is refused", sign({"alg": "es256"}), "algorithm_not_allowed"),
        (
            "the algorithm ES256K is refused",
            sign({"alg": "ES256K"}),
            "algorithm_not_allowed",
        ),
        (
            "the algorithm ES384 is refused where the issuer's algorithms do not list it",
            sign(key=world.keys["ES384"]),
            "algorithm_not_allowed",
        ),
        ("a header without an algorithm is malformed", raw(header='{"kid":"ES256-1"}'), "token_malformed"),
        ("an algorithm that is no string is malformed", sign({"alg": 256}), "token_malformed"),
        ("crit with exp is refused", sign({"crit": ["exp"]}), "token_header_unsupported"),
        (
            "crit with b64 false is refused",
            sign({"crit": ["b64"], "b64": False}),
            "token_header_unsupported",
        ),
        (
            "a token that a stranger signed is refused with the certificate in x5c",
            tokens.sign(world.stranger, world.claims(one), header={"x5c": [base64.b64encode(one.der).decode()]}),
            "signature_invalid",
        ),
        (
            "a token that a stranger signed is refused with the key in jwk",
            tokens.sign(world.stranger, world.claims(one), header={"jwk": world.stranger.jwk}),
            "token_header_unsupported",
        ),
        (
            "a token with jku is refused",
            sign({"jku": "https://thief.example/jwks"}),
            "token_header_unsupported",
        ),
        (
            "a token with x5u is refused",
            sign({"x5u": "https://thief.example/cert"}),
            "token_header_unsupported",
        ),
        ("typ application/dpop+jwt is refused", sign({"typ": "application/dpop+jwt"}), "token_type_unsupported"),
        ("typ application/application/jwt is refused", sign({"typ": "application/application/jwt"}), "token_type_unsupported"),
        ("typ dpop is refused", sign({"typ": "dpop"}), "token_type_unsupported"),
        ("typ logout+jwt is refused", sign({"typ": "logout+jwt"}), "token_type_unsupported"),
        ("typ that is a number is refused", sign({"typ": 1}), "token_type_unsupported"),
        ("kid that is a number is refused as malformed", sign({"kid": 1}), "token_malformed"),
        ("kid of no key is refused", sign({"kid": "ES256-2"}), "key_unknown"),
        ("ES256 with the kid of an RSA key is refused", sign({"kid": "RS256-1"}), "key_unknown"),
        (
            "PS256 with a key for RS256 is refused",
            sign(key=world.keys["RS256"], algorithm="PS256"),
            "key_unknown",
        ),
        ("kid that is a file path is refused as unknown", sign({"kid": "../../dev/null"}), "key_unknown"),
        (
            "a signature by a stranger's key with the kid of the issuer's is refused",
            tokens.sign(world.stranger, world.claims(one)),
            "signature_invalid",
        ),
        (
            "an ECDSA signature of zeros is refused",
            f"{header}.{payload}.{tokens.encode_part(bytes(64))}",
            "signature_invalid",
        ),
        (
            "an ECDSA signature of 63 bytes with ES256 is refused",
            f"{header}.{payload}.{tokens.encode_part(bytes(63))}",
            "signature_invalid",
        ),
        (
            "an ECDSA signature whose r and s are the order of the curve is refused",
            f"{header}.{payload}.{tokens.encode_part(bytes.fromhex(P256_ORDER * 2))}",
            "signature_invalid",
        ),
        ("an ECDSA signature in DER is refused", in_der(bound), "signature_invalid"),
    ]:
        yield refused(sentence, token, reason)
    for sentence, header_of_token, key in [
        ("ES384 with a key of P-256 is refused", {"alg": "ES384"}, es256),
        ("ES256 with a key of P-384 is refused", {"alg": "ES256"}, world.keys["ES384"]),
        ("ES512 with a key of P-384 is refused", {"alg": "ES512"}, world.keys["ES384"]),
        ("ES384 with a key of P-521 is refused", {"alg": "ES384"}, world.keys["ES512"]),
        ("RS512 with a key for RS384 is refused", {"alg": "RS512"}, world.keys["RS384"]),
    ]:
        yield refused(sentence, sign(header_of_token, key=key), "key_unknown", policy="migration")
    for name, length in [("ES384", 95), ("ES384", 64), ("ES384", 132), ("ES512", 131), ("ES512", 130), ("ES512", 96)]:
        token = sign(key=world.keys[name]).rpartition(".")[0]
        yield refused(
            f"a signature of {length} bytes with {name} is refused",
            f"{token}.{tokens.encode_part(bytes([1] * length))}",
            "signature_invalid",
            policy="migration",
        )
    # RFC 7515 §4.1.9: "application/" may stand before what has no other slash.
    for kind in ("JWT", "application/jwt", "APPLICATION/JWT", "at+jwt", "AT+JWT", "application/at+jwt"):
        yield passes(f"typ {kind} passes without token_type", sign({"typ": kind}))
    yield passes("a token without kid passes on the issuer's one key of its type", raw(header='{"alg":"ES256"}'))

    # WebCrypto writes the key with one name, and most servers the token with the other.
    eddsa, variants = world.keys["EdDSA"], Variants(world)
    yield passes("alg Ed25519 passes where the key and the list say EdDSA", sign({"alg": "Ed25519"}, key=eddsa))
    for name in ("EdDSA", "Ed25519"):
        token = tokens.sign(eddsa, world.claims(one), header={"alg": name})
        yield variants.carrying("ed25519", f"alg {name} passes where the key and the list say Ed25519", token)
    yield refused(
        "alg Ed25519 with a signature that was changed is refused",
        flipped(sign({"alg": "Ed25519"}, key=eddsa)),
        "signature_invalid",
    )
    for name in ("Ed448", "ed25519", "ESP256"):
        yield refused(f"the algorithm {name} is refused", sign({"alg": name}, key=eddsa), "algorithm_not_allowed")

    for name in ("ES256", "ES384", "ES512", "RS256", "RS384", "RS512"):
        yield case(
            f"{name} is refused on a host without verify_signature",
            policy="migration",
            headers=[("authorization", f"Bearer {sign(key=world.keys[name])}")],
            without_host_cryptography=True,
            refusal=cannot_decide("signature_engine_unavailable"),
        )
    for name in ("PS256", "PS384", "PS512", "EdDSA"):
        yield passes(
            f"{name} passes on a host without verify_signature",
            sign(key=world.keys[name]),
            policy="migration",
            without_host_cryptography=True,
        )


def floods(world: World) -> Iterator[Case]:
    one = world.client_1
    api = Variants(world)
    carrying = api.carrying

    # Whoever makes up tokens without a key id has each tried with every key, for a while. In a second of their own: the
    # module serves all cases with one worker.
    def unnamed(key: str, claims: dict[str, Any]) -> str:
        return tokens.assemble(
            tokens.encode_part({"alg": "PS256"}), tokens.encode_part(claims), world.keys[key], "PS256"
        )

    made_up = [flipped(unnamed("PS256", world.claims(one, jti=f"made up {number}"))) for number in range(5)]
    second, fourth = (unnamed(key, world.claims(one, jti=key)) for key in ("PS256", "PS512"))
    yield carrying("any-of-four", "a token without kid passes on the fourth of four keys that fit", fourth)
    for sentence, token in [
        ("a good token of another key", second),
        ("another made-up token", flipped(unnamed("PS256", world.claims(one)))),
    ]:
        yield carrying(
            "any-of-four",
            f"{sentence} without kid is refused with 503 after a flood of made-up ones",
            token,
            later=1,
            before=made_up,
            refusal=Refusal("signature_checks_exhausted", 503, "temporarily_unavailable", challenge=False),
        )
    yield carrying(
        "any-of-four",
        "a token without kid of the key that was right last passes after a flood of made-up tokens",
        unnamed("PS512", world.claims(one, jti="another")),
        later=1,
        before=[fourth, *made_up],
    )
    yield carrying(
        "any-of-four",
        "a token with kid passes after a flood of made-up tokens without kid",
        tokens.sign(world.keys["PS256"], world.claims(one, jti="named")),
        later=1,
        before=made_up,
    )


def flipped(token: str) -> str:
    """The token with one bit of its signature changed."""
    *signed, signature = token.split(".")
    changed = bytearray(base64.urlsafe_b64decode(signature + "=="))
    changed[len(changed) // 2] ^= 1
    return ".".join([*signed, tokens.encode_part(bytes(changed))])


def reclaimed(token: str, **claims: Any) -> str:
    """The token with other claims and its old signature."""
    header, _, signature = token.split(".")
    return ".".join([header, tokens.encode_part({**tokens.decode(token)[1], **claims}), signature])


P256_ORDER = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
"""SEC 2 §2.4.2."""


def in_der(token: str) -> str:
    """The token with its ECDSA signature as X.509 writes it."""
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    return f"{signed}.{tokens.encode_part(encode_dss_signature(r, s))}"


def uncanonical(part: str) -> str:
    """The same bytes to a lenient decoder: a bit is set behind the last byte."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(part) % 4, "every bit of the last character counts"
    return part[:-1] + alphabet[alphabet.index(part[-1]) | 1]


def standard_base64(token: str) -> str:
    """The token with `+` or `/` in its signature, in place of `-` and `_`. A signature of 256 bytes has some."""
    header, payload, signature = token.split(".")
    return f"{header}.{payload}.{signature.replace('-', '+').replace('_', '/')}"


def hmac_with_public_key(world: World) -> str:
    """RFC 8725 §2.1: to a verifier that believes the header, the RSA key is the secret, and it is public."""
    header = tokens.encode_part({"alg": "HS256", "kid": "RS256-1"})
    secret = json.dumps(world.keys["RS256"].jwk).encode()
    return tokens.assemble(header, tokens.encode_part(world.claims(world.client_1)), secret, "HS256")
