# SPDX-License-Identifier: Apache-2.0
"""Requests to an API by the ten thousand, each with the oracle's verdict (tests/peers/oracle.py): good tokens, and tokens
mutated in every field and at every level, with the right certificate, another one or none, under every policy.

`python tests/peers/differential.py FILE [SEED]` writes one JSON object a line: first the configuration, then the requests.
tests/peers/differential.rs runs them through certbound. The seed is printed, and gives the same requests again but for the
RSA keys and the salts of PSS, which are made anew."""

import base64
import hashlib
import json
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from oracle import STRICTNESSES, Oracle
from rig import shipped, tokens
from rig.certificates import Authority
from rig.tokens import SigningKey

NOW = 1_800_000_000
"""The time of every request: nothing here depends on the day it runs."""

ISSUER, OTHER_ISSUER = "https://as.example.com", "https://other-as.example.com"
AUDIENCE = "https://api.example.com"

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493

Pair = tuple[str, str]
"""A member of a JSON object as it is written: its name in quotes, and its value."""


def text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


@dataclass
class Draft:
    """A token before it is signed, in the spelling that it will have."""

    header: list[Pair]
    claims: list[Pair]
    key: SigningKey
    algorithm: str
    """How it is signed, whatever the header says."""
    spell_header: Callable[[str], str | bytes] = lambda written: written
    """From the usual JSON text to what stands in the token."""
    spell_claims: Callable[[str], str | bytes] = lambda written: written
    encode_header: Callable[[str], str] = lambda part: part
    """From the usual base64url to what stands in the token."""
    encode_claims: Callable[[str], str] = lambda part: part

    def part(self, which: str) -> str:
        pairs, spell, encode = (
            (self.header, self.spell_header, self.encode_header)
            if which == "header"
            else (self.claims, self.spell_claims, self.encode_claims)
        )
        return encode(tokens.encode_part(spell("{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}")))

    def token(self) -> str:
        return signed(self.part("header"), self.part("claims"), self.key, self.algorithm)

    def signing_input_and_signature(self) -> tuple[str, bytes]:
        signing_input, _, signature = self.token().rpartition(".")
        return signing_input, base64.urlsafe_b64decode(signature + "==")

    def put(self, where: list[Pair], name: str, value: str | None) -> None:
        """Replaces a member in its place, or adds it at the end; without a value it is gone."""
        quoted = text(name)
        for position, (own, _) in enumerate(where):
            if own == quoted:
                where[position : position + 1] = [] if value is None else [(quoted, value)]
                return
        if value is not None:
            where.append((quoted, value))


def signed(header_part: str, claims_part: str, key: SigningKey, algorithm: str) -> str:
    """As `tokens.assemble`; ES256 without chance, so that a seed gives the same token again."""
    if algorithm != "ES256":
        return tokens.assemble(header_part, claims_part, key, algorithm)
    signing_input = f"{header_part}.{claims_part}"
    made = key.private_key.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(made)
    return f"{signing_input}.{tokens.encode_part(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@dataclass(frozen=True)
class Request:
    kind: str
    policy: str
    authorization: Sequence[bytes]
    digest: bytes | None


class World:
    """The keys, the certificates and the choices of one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)

        def p256(kid: str) -> SigningKey:
            return SigningKey("ES256", kid, ec.derive_private_key(rng.randrange(1, P256_ORDER), ec.SECP256R1()))

        def ed25519_key(kid: str) -> SigningKey:
            return SigningKey("EdDSA", kid, ed25519.Ed25519PrivateKey.from_private_bytes(rng.randbytes(32)))

        def rsa_key(algorithm: str, kid: str) -> SigningKey:
            return SigningKey(algorithm, kid, rsa.generate_private_key(public_exponent=65537, key_size=2048))

        p384 = SigningKey("ES384", "p384", ec.derive_private_key(rng.getrandbits(380) + 1, ec.SECP384R1()))
        self.rsa_any = rsa_key("RS256", "rsa-any")
        self.four_ed = [ed25519_key(f"ed-{number}") for number in range(1, 5)]
        self.nameless = p256("nameless")
        self.shared = [p256("shared"), ed25519_key("shared"), rsa_key("PS256", "shared")]
        self.for_encryption, self.signs_only = p256("enc"), p256("signs")
        self.fifth_ed = ed25519_key("ed-last")
        self.keys = [p256("ec-1"), p256("ec-2"), rsa_key("RS256", "rs"), rsa_key("PS256", "ps"), self.rsa_any]
        self.keys += [*self.four_ed, *self.shared, self.fifth_ed]
        """What the issuer signs with, each in its way."""
        self.others = [p256("ec-1"), ed25519_key("ed-1")]
        """The other issuer's, with key ids of the first one's."""
        self.strangers = [p256("ec-1"), ed25519_key("ed-1"), rsa_key("RS256", "rs"), rsa_key("PS256", "ps")]
        self.unusable = [self.for_encryption, self.signs_only, p384]
        self.jwks = {"keys": [self.published(key) for key in [*self.keys, self.nameless, *self.unusable]]}
        self.certificates = [hashlib.sha256(rng.randbytes(500)) for _ in range(4)]

    def published(self, key: SigningKey) -> dict[str, Any]:
        """The key as the issuer's key set has it."""
        jwk: dict[str, Any] = dict(key.jwk)
        if key in (self.rsa_any, self.four_ed[1]) or key.kid == "ec-2":
            del jwk["alg"]
        if key is self.nameless:
            del jwk["kid"]
        if key is self.for_encryption:
            jwk["use"] = "enc"
        if key is self.signs_only:
            del jwk["use"]
            jwk["key_ops"] = ["sign"]
        return jwk

    def configuration(self) -> dict[str, Any]:
        """The shipped one, a policy with two issuers beside it, and one with an issuer whose keys have no names."""
        with tempfile.TemporaryDirectory() as directory:
            authority = Authority(Path(directory))
            server = authority.issue("server", server=True)
            written = shipped.read("resource-server", server=server, client_ca=authority.pem_path, jwks=self.jwks)
        configuration = shipped.plugin_configuration(written)
        first = configuration["policies"]["api"]["resource_server"]["issuers"][0]
        second = {**first, "issuer": OTHER_ISSUER, "keys": {"jwks": tokens.jwks(*self.others)}, "algorithms": ["ES256"]}
        configuration["policies"]["two_issuers"] = {"resource_server": {"issuers": [first, second]}}
        unnamed = [{name: value for name, value in key.items() if name != "kid"} for key in self.jwks["keys"]]
        configuration["policies"]["no_key_ids"] = {
            "resource_server": {"issuers": [{**first, "keys": {"jwks": {"keys": unnamed}}}]}
        }
        listed = {"region": ["eu", "us"], "tid": ["a", "b.c"]}
        tenants = [
            {**first, "issuer": "https://login.example.com/{tid}/v2.0"},
            {**first, "issuer": "https://{region}.example.com/{tid}", "issuer_claims": listed},
            {**second, "issuer": "https://as.example.com/{tid}"},
        ]
        schemes = {"schemes": ["Bearer", "mtls_pop"], "certificate_binding": "if_present"}
        step_up = {"required_acr": ["gold", "silver"], "max_auth_age_seconds": 600}
        configuration["policies"]["tenants"] = {"resource_server": {"issuers": tenants}}
        configuration["policies"]["schemes"] = {"resource_server": {"issuers": [first], **schemes}}
        configuration["policies"]["step_up"] = {"resource_server": {"issuers": [first], **step_up}}
        return configuration

    def thumbprint(self, certificate: int = 0) -> str:
        return tokens.encode_part(self.certificates[certificate].digest())

    def digest(self, certificate: int = 0) -> bytes:
        return self.certificates[certificate].hexdigest().encode()

    def key(self) -> SigningKey:
        """One of the issuer's; RSA signs and is verified slowly, so it is rarer."""
        quick = [key for key in self.keys if not isinstance(key.private_key, rsa.RSAPrivateKey)]
        return self.rng.choice(quick if self.rng.random() < 0.85 else self.keys)

    def draft(self, key: SigningKey | None = None, algorithm: str | None = None) -> Draft:
        """A good token that is bound to certificate 0."""
        key = key or self.key()
        algorithm = algorithm or key.algorithm
        header = [('"alg"', text(algorithm)), ('"kid"', text(key.kid))]
        if self.rng.random() < 0.3:
            header.append(('"typ"', self.rng.choice(['"JWT"', '"at+jwt"', '"application/at+jwt"', '"AT+JWT"'])))
        self.rng.shuffle(header)
        claims = {
            "iss": ISSUER,
            "sub": "client-1",
            "aud": AUDIENCE,
            "iat": NOW - self.rng.randrange(300),
            "nbf": NOW - self.rng.randrange(300),
            "exp": NOW + self.rng.randrange(1, 900),
            "jti": f"{self.rng.getrandbits(64):x}",
            "cnf": {"x5t#S256": self.thumbprint()},
        }
        pairs = [(text(name), text(value)) for name, value in claims.items()]
        self.rng.shuffle(pairs)
        return Draft(header, pairs, key, algorithm)

    def policy(self) -> str:
        return self.rng.choice(["api", "api", "migration", "migration", "gluu", "gluu", "two_issuers", "no_key_ids"])

    def presented(self) -> bytes | None:
        """The certificate of the connection: mostly the right one."""
        chance = self.rng.random()
        if chance < 0.75:
            return self.digest()
        if chance < 0.80:
            return self.digest().upper()
        if chance < 0.90:
            return self.digest(self.rng.randrange(1, 4))
        return self.rng.choice([None, b""])

    def request(self, kind: str, token: str | Draft, **other: Any) -> Request:
        token = token.token() if isinstance(token, Draft) else token
        values = {"policy": self.policy(), "digest": self.presented()} | other
        return Request(kind, authorization=[b"Bearer " + token.encode("utf-8", "surrogateescape")], **values)


Kind = Callable[[World], Iterator[Request]]
KINDS: list[tuple[int, Kind]] = []


def kind(count: int) -> Callable[[Kind], Kind]:
    """A kind of mutation, with how many requests of it there are: as many passes as that takes."""

    def register(function: Kind) -> Kind:
        KINDS.append((count, function))
        return function

    return register


@kind(1350)
def good_token(world: World) -> Iterator[Request]:
    for key in world.keys:
        yield world.request("", world.draft(key))
    yield world.request("", world.draft(world.rsa_any, "PS256"))
    draft = world.draft(world.key())
    draft.put(draft.header, "kid", None)
    yield world.request("", draft)
    unbound = world.draft()
    unbound.put(unbound.claims, "cnf", None)
    yield world.request("", unbound, policy="migration")
    gluu = world.draft()
    gluu.put(gluu.claims, "cnf", None)
    gluu.put(gluu.claims, "x5t#S256", text(world.thumbprint()))
    yield world.request("", gluu, policy="gluu")
    yield world.request("", world.draft(), digest=world.digest())


# The text of a token, as a thief or a bad line would change it: nobody signs it again.


def substituted(characters: str, position: int, new: str) -> str:
    return characters[:position] + new + characters[position + 1 :]


BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@kind(1450)
def changed_text(world: World) -> Iterator[Request]:
    rng = world.rng
    token = world.draft().token()
    position = rng.randrange(len(token))
    alphabet = BASE64URL + '....==+/~%, "\\;:' + "\x7f\xe9"
    yield world.request("", substituted(token, position, rng.choice(BASE64URL)))
    yield world.request("", substituted(token, position, rng.choice(alphabet)))
    yield world.request("", token[:position] + token[position + 1 :])
    yield world.request("", token[:position] + rng.choice(alphabet) + token[position:])
    yield world.request("", token[:position])
    yield world.request("", token[position:])
    end = rng.randrange(position, len(token))
    yield world.request("", token[:position] + token[end:])
    yield world.request("", token[:end] + token[position:])
    yield world.request("", substituted(token, position, token[position].swapcase()))
    yield world.request("", token + rng.choice(["=", "==", ".", "A", "AA", "A=", "~", ".A", "..", "?", "#", "\t"]))


@kind(800)
def changed_bytes(world: World) -> Iterator[Request]:
    parts = world.draft().token().split(".")
    for which in range(3):
        content = bytearray(base64.urlsafe_b64decode(parts[which] + "=="))
        content[world.rng.randrange(len(content))] ^= 1 << world.rng.randrange(8)
        changed = [*parts]
        changed[which] = tokens.encode_part(bytes(content))
        yield world.request("", ".".join(changed))


@kind(600)
def parts_of_different_tokens(world: World) -> Iterator[Request]:
    one, two, three = (world.draft() for _ in range(3))
    two.put(two.claims, "cnf", text({"x5t#S256": world.thumbprint(1)}))
    three.put(three.claims, "cnf", None)
    pools = [draft.token().split(".") for draft in (one, two, three)]
    for _ in range(6):
        yield world.request("", ".".join(world.rng.choice(pools)[position] for position in range(3)))
    every = [part for pool in pools for part in pool]
    for length in (1, 2, 3, 4, 5, 6):
        yield world.request("", ".".join(world.rng.choice([*every, ""]) for _ in range(length)))


@kind(1050)
def base64url_spelling(world: World) -> Iterator[Request]:
    def last_bits(part: str) -> str:
        free = {2: 16, 3: 4}.get(len(part) % 4)
        if not free:
            return part
        return part[:-1] + BASE64URL[BASE64URL.index(part[-1]) ^ world.rng.randrange(1, free)]

    spellings: list[Callable[[str], str]] = [
        last_bits,
        lambda part: part + "=" * (-len(part) % 4),
        lambda part: part + "=",
        lambda part: part.replace("-", "+").replace("_", "/"),
        lambda part: part + "A",
        lambda part: part + ".",
        lambda part: part[:-1],
        lambda part: "",
        lambda part: part + "~",
        lambda part: part.replace("A", "%41", 1),
    ]
    spell = world.rng.choice(spellings)
    header, claims = world.draft(), world.draft()
    header.encode_header, claims.encode_claims = spell, spell
    # A name that makes the alphabet matter.
    for draft in (header, claims):
        draft.put(draft.claims, "name", '"???>>>~~~\xff\xfe"')
    header.put(header.header, "note", '"???>>>~~~\xff\xfe"')
    yield world.request("", header)
    yield world.request("", claims)
    signing_input, _, signature = world.draft().token().rpartition(".")
    yield world.request("", f"{signing_input}.{spell(signature)}")


# JSON that says the same, or nearly, or nothing.


def escaped(world: World) -> Callable[[str], str]:
    def spell(written: str) -> str:
        out, in_string, position = [], False, 0
        while position < len(written):
            character = written[position]
            if character == "\\" and in_string:
                out.append(written[position : position + 2])
                position += 2
                continue
            if character == '"':
                in_string = not in_string
            elif in_string and world.rng.random() < 0.2:
                digits = f"{ord(character):04x}"
                character = "\\u" + (digits.upper() if world.rng.random() < 0.5 else digits)
            out.append(character)
            position += 1
        return "".join(out)

    return spell


def spaced(world: World) -> Callable[[str], str]:
    def spell(written: str) -> str:
        value = json.loads(written)
        indent = world.rng.choice([None, 1, 4, "\t", "\r\n"])
        return (
            world.rng.choice(["", " ", "\n", "\t\r\n "])
            + json.dumps(value, indent=indent)
            + world.rng.choice(["", "\n"])
        )

    return spell


@kind(1150)
def equivalent_json(world: World) -> Iterator[Request]:
    for spelling in (escaped(world), spaced(world), lambda written: escaped(world)(spaced(world)(written))):
        draft = world.draft()
        draft.spell_header = spelling if world.rng.random() < 0.6 else draft.spell_header
        draft.spell_claims = spelling if world.rng.random() < 0.8 else draft.spell_claims
        yield world.request("", draft)
    draft = world.draft()
    for name in world.rng.sample(
        [
            "",
            " ",
            "scope",
            "client_id",
            "EXP",
            "Cnf",
            "cnf ",
            "x5t#s256",
            "nonce",
            "auth_time",
            "cnf\u0000",
            "é",
            "x5t",
        ],
        3,
    ):
        value = world.rng.choice(VALUES)
        draft.put(draft.claims, name, value)
    yield world.request("", draft)


BROKEN_JSON: list[Callable[[str], str | bytes]] = [
    lambda written: "\ufeff" + written,
    lambda written: written.encode("utf-16"),
    lambda written: written.encode("utf-16-le"),
    lambda written: written.encode("utf-32-be"),
    lambda written: written + written,
    lambda written: written + "x",
    lambda written: written + "\0",
    lambda written: written + "\u00a0",
    lambda written: "\v" + written,
    lambda written: f"[{written}]",
    lambda written: text(written),
    lambda written: "",
    lambda written: "null",
    lambda written: "true",
    lambda written: "0",
    lambda written: "[]",
    lambda written: "{}",
    lambda written: written[:-1],
    lambda written: written[1:],
    lambda written: written[:-1] + ",}",
    lambda written: "{," + written[1:],
    lambda written: written.replace('"', "'"),
    lambda written: written.replace(":", "=", 1),
    lambda written: written.replace(",", ";", 1),
    lambda written: written.replace(",", ",,", 1),
    lambda written: "/* */" + written,
    lambda written: written + "// end",
    lambda written: written.replace("{", "{\n# note\n", 1),
    lambda written: written[:-1] + ',"n":NaN}',
    lambda written: written[:-1] + ',"n":-Infinity}',
    lambda written: written[:-1] + ',"n":01}',
    lambda written: written[:-1] + ',"n":1.}',
    lambda written: written[:-1] + ',"n":.5}',
    lambda written: written[:-1] + ',"n":+1}',
    lambda written: written[:-1] + ',"n":1e}',
    lambda written: written[:-1] + ',"n":0x10}',
    lambda written: written[:-1] + ',"n":True}',
    lambda written: written[:-1] + ',"n":undefined}',
    lambda written: written[:-1] + ",n:1}",
    lambda written: written[:-1] + ",1:1}",
    lambda written: written[:-1] + ',"n":"\\x41"}',
    lambda written: written[:-1] + ',"n":"\\u004"}',
    lambda written: written[:-1] + ',"n":"\n"}',
    lambda written: written[:-1] + ',"n":"\x00"}',
    lambda written: written[:-1] + ',"n":"\\ud800"}',
    lambda written: written[:-1] + ',"n":"\\udc00\\ud800"}',
    lambda written: written[:-1] + ',"\\udfff":1}',
    lambda written: written[:-1].encode() + b',"n":"\xff"}',
    lambda written: written[:-1].encode() + b',"n":"\xc0\x80"}',
    lambda written: written[:-1].encode() + b',"n":"\xed\xa0\x80"}',
    lambda written: written[:-1].encode() + b',"n":"\xf4\x90\x80\x80"}',
    lambda written: written[:-1].encode() + b',"\xff":1}',
    lambda written: written[:-1] + ',"n":1e400}',
    lambda written: written[:-1] + ',"n":-1e400}',
    lambda written: written[:-1] + ',"n":' + "9" * 330 + "}",
    lambda written: written[:-1] + ',"n":' + "9" * 300 + "}",
    lambda written: written[:-1] + ',"n":1e-400}',
    lambda written: written[:-1] + ',"n":-0}',
    lambda written: written[:-1] + ',"n":18446744073709551616}',
    lambda written: written[:-1] + ',"n":-9223372036854775809}',
    lambda written: written[:-1] + ',"n":"\U0001f512\\ud83d\\udd12"}',
    *(
        (lambda written, depth=depth: written[:-1] + ',"n":' + "[" * depth + "]" * depth + "}")
        for depth in (1, 14, 15, 16, 17, 100, 3000)
    ),
    *(
        (lambda written, depth=depth: written[:-1] + ',"n":' + '{"n":' * depth + "1" + "}" * depth + "}")
        for depth in (14, 15, 16, 17, 127, 128)
    ),
]


@kind(850)
def broken_json(world: World) -> Iterator[Request]:
    for spelling in BROKEN_JSON:
        draft = world.draft()
        draft.spell_claims = spelling
        yield world.request("", draft)
        if world.rng.random() < 0.6:
            draft = world.draft()
            draft.spell_header = spelling
            yield world.request("", draft)


@kind(600)
def member_twice(world: World) -> Iterator[Request]:
    for where in ("header", "claims"):
        draft = world.draft()
        pairs = getattr(draft, where)
        name, value = world.rng.choice(pairs)
        again = world.rng.choice([value, world.rng.choice(VALUES), text(world.thumbprint(1))])
        name = world.rng.choice([name, f'"\\u{ord(name[1]):04x}{name[2:]}'])
        pairs.insert(world.rng.randrange(len(pairs) + 1), (name, again))
        yield world.request("", draft)
    for inner in ('"x5t#S256"', '"x5t\\u0023S256"'):
        draft = world.draft()
        both = [f'"x5t#S256":{text(world.thumbprint())}', f"{inner}:{text(world.thumbprint(world.rng.randrange(2)))}"]
        world.rng.shuffle(both)
        draft.put(draft.claims, "cnf", "{" + ",".join(both) + "}")
        yield world.request("", draft)
    draft = world.draft()
    draft.put(draft.claims, "act", '{"sub":{"a":[{"b":1,"b":1}]}}')
    yield world.request("", draft)


# The header's parameters and the claims.

VALUES = [
    "null", "true", "false", "0", "1", "-1", "0.5", "1e3", '""', '" "', '"a"', '"JWT"', "[]", "{}", "[null]", '[""]',
    '["a","b"]', '{"a":1}', '[["a"]]', "1e308", '"\\u0000"', '"https://as.example.com"', str(NOW), f'"{NOW}"', '"1e3"',
]  # fmt: skip

HEADER_VALUES: Mapping[str, Sequence[str]] = {
    "alg": [
        '"RS256"', '"PS256"', '"ES256"', '"EdDSA"', '"Ed25519"', '"none"', '"None"', '"NONE"', '"HS256"', '"HS512"',
        '"RS384"', '"PS512"', '"ES384"', '"ES512"', '"ES256K"', '"es256"', '"ES256 "', '" ES256"', '"ES256\\u0000"',
        '"EDDSA"', '"RS1"', '"RSA-OAEP"', '"dir"', '["ES256"]', '{"name":"ES256"}',
    ],
    "kid": [
        '"ec-1"', '"ec-2"', '"rs"', '"ps"', '"rsa-any"', '"ed-1"', '"ed-4"', '"ed-last"', '"shared"', '"nameless"',
        '"EC-1"', '"ec-1 "', '"\\u0065c-1"', '"../../dev/null"', '"\' or 1=1"', '"' + "k" * 4000 + '"',
    ],
    "typ": [
        '"jwt"', '"Jwt"', '"at+jwt"', '"application/at+jwt"', '"APPLICATION/AT+JWT"', '"dpop+jwt"', '"logout+jwt"',
        '"secevent+jwt"', '"JOSE"', '"JOSE+JSON"', '"at+jwt;charset=utf-8"', '"application/jwt"', '"JWT "', '"+jwt"',
        '"jwt+at"', '"\\u017fjwt"', '"at+JW\\u0054"',
    ],
    "cty": ['"JWT"', '"application/json"'],
    "crit": ['["exp"]', '["b64"]', '["alg"]', '[]', '"exp"', '["http://example.com/UNDEFINED"]'],
    "b64": ["true", "false"],
    "jwk": ['{"kty":"oct","k":"AAAA"}'],
    "jku": ['"https://thief.example/jwks"'],
    "x5u": ['"https://thief.example/cert"'],
    "x5c": ['["MIIB"]', '"MIIB"'],
    "x5t": ['"bwcK0esc3ACC3DB2Y5_lESsXE8o"'],
    "x5t#S256": ['"A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"'],
    "zip": ['"DEF"'],
    "enc": ['"A128GCM"'],
    "epk": ['{"kty":"EC"}'],
    "p2c": ["2147483647"],
    "iss": ['"https://as.example.com"'],
    "exp": ["0"],
    "cnf": ["{}"],
    "salt": ['"AAAA"'],
    "ALG": ['"none"'],
    "Kid": ['"ec-1"'],
    "unheard of": [],
}  # fmt: skip


@kind(1350)
def header_parameter(world: World) -> Iterator[Request]:
    for name, values in HEADER_VALUES.items():
        for value in [None, world.rng.choice(VALUES), world.rng.choice([*values, '"x"'])]:
            draft = world.draft()
            draft.put(draft.header, name, value)
            yield world.request("", draft)
    for name in ("alg", "kid", "typ"):
        for value in HEADER_VALUES[name]:
            draft = world.draft()
            draft.put(draft.header, name, value)
            yield world.request("", draft)


CLAIM_VALUES: Mapping[str, Sequence[str]] = {
    "iss": [
        f'"{ISSUER}/"', '"https://AS.example.com"', '"http://as.example.com"', f'"{ISSUER}:443"', f'"{ISSUER} "',
        f'"{OTHER_ISSUER}"', f'["{ISSUER}"]', f'{{"iss":"{ISSUER}"}}', '"https:\\/\\/as.example.com"',
        f'"{ISSUER}\\u0000"', '"https://as.example.co"', '"https://as.example.com.thief.example"',
    ],
    "sub": ['"somebody else"', '"' + "s" * 300 + '"', '"\\r\\nx: y"', '"é"'],
    "aud": [
        f'["{AUDIENCE}"]', f'["https://other.example.com","{AUDIENCE}"]', f'["{AUDIENCE}","{AUDIENCE}"]',
        '["https://other.example.com"]', '"https://other.example.com"', f'"{AUDIENCE}/"', f'"{AUDIENCE} other"',
        f'["{AUDIENCE}",1]', f'["{AUDIENCE}",null]', f'[["{AUDIENCE}"]]', f'{{"aud":"{AUDIENCE}"}}', '"*"', '["*"]',
        '"https://API.example.com"', f'["{AUDIENCE}",["x"]]', f'["{AUDIENCE}",{{}}]', '"https://api.example.co"',
    ],
    "exp": [
        str(NOW - 3600), str(NOW + 1e9), str(NOW + 600.5), "9e99", "1e400", "253402300799", "253402300800", "1.9e9",
        "9007199254740993", "18446744073709551615", "18446744073709551616", "-1.9e9", f"[{NOW + 600}]", "9" * 400,
        '"never"', f'{{"$date":{NOW + 600}}}', "4294967296", "2147483648", "253402300799.5", "1E+10", "190000000e1",
    ],
    "nbf": [str(NOW + 3600), "-0", "-0.5", "9e99", "-1e400", "1e400", "253402300799", "1.7e9", f"[{NOW}]", "0e5"],
    "iat": [str(NOW + 86400), "-1", "9e99", "253402300800", "1.7e9", '"now"', "0.0"],
    "jti": ['"1"', '"' + "j" * 300 + '"'],
    "scope": ['"read write"', '["read"]', '"' + "s " * 500 + '"'],
    "client_id": ['"client-1"', "1"],
    "nonce": ['"n"', "1"],
    "at_hash": ['"77QmUPtjPfzWtF2AnpK9RQ"'],
    "c_hash": ['"LDktKdoQak3Pk0cnXxCltA"'],
    "s_hash": ["0"],
    "events": ['{"http://schemas.openid.net/event/backchannel-logout":{}}', '""'],
    "typ": [
        '"ID"', '"Refresh"', '"Bearer"', '"oFFline"', '"Serialized-ID"', '"RegistrationAccessToken"', '"logout"',
        '"verify-email"', '"at+jwt"', '["ID"]', '"ID "', '"\\u0049D"', '"\u0131d"', '"Id_To\u212aen"', '"ORGIVT"',
    ],
    "token_use": ['"access"', '"id"', '"ID"', '"refresh_token"', '"access_token"', '{"id":1}', '"idtoken"'],
    "tokenName": ['"access_token"', '"id_token"', '"refresh_token"'],
    "tokenname": ['"id_token"'],
    "purpose": ['"access_token"', '"id"', '"payment"'],
    "scp": ['["read"]', '"read"'],
    "azp": ['"client-1"'],
    "kid": ['"ec-1"'],
    "act": ['{"sub":"x"}'],
    "token_type": ['"Bearer"', '"DPoP"', '"Refresh"', '"access"', '"mine"', '"id_token"', "1"],
    "padding": ['"' + "p" * 11000 + '"', '"' + "p" * 12500 + '"'],
    "auth_time": ['"x"'],
    "": ["1"],
}  # fmt: skip


@kind(2000)
def claim(world: World) -> Iterator[Request]:
    for name, values in CLAIM_VALUES.items():
        for value in [None, world.rng.choice(VALUES), *values]:
            draft = world.draft()
            draft.put(draft.claims, name, value)
            yield world.request("", draft, digest=world.digest() if world.rng.random() < 0.5 else world.presented())


@kind(800)
def time_boundary(world: World) -> Iterator[Request]:
    for name, direction in (("exp", -1), ("nbf", 1), ("iat", 1), ("exp", 1), ("nbf", -1)):
        for away in (0, 1, 9, 9.5, 9.75, 10, 10.25, 10.5, 11, 59, 60, 61):
            seconds = NOW + direction * away
            spelling = world.rng.choice(
                [
                    f"{seconds}",
                    f"{seconds}",
                    f"{float(seconds)}",
                    f"{seconds:e}".replace("e+09", "e9"),
                    f"{seconds}.0e0",
                ]
                if isinstance(seconds, int)
                else [f"{seconds}", f"{seconds * 10:.1f}e-1", f"{seconds:.3f}"]
            )
            if "e9" in spelling:
                spelling = f"{seconds / 1e9:.9f}E+9"
            draft = world.draft()
            draft.put(draft.claims, name, spelling)
            yield world.request("", draft, digest=world.digest())


# The confirmation.


def thumbprints(world: World) -> list[str]:
    right, hexadecimal = world.thumbprint(), world.digest().decode()
    last = BASE64URL[BASE64URL.index(right[-1]) ^ world.rng.randrange(1, 4)]
    position = world.rng.randrange(42)
    raw = world.certificates[0].digest()
    return [
        *map(text, [
            right, right, right, world.thumbprint(1), world.thumbprint(2), right[:-1] + last, right + "=", right + "A",
            right + " ", " " + right, right[1:], right[:-1], right + "\n", "\t" + right, right[:20] + "\n" + right[20:],
            substituted(right, position, right[position].swapcase()), right.swapcase(), right.upper(), "", hexadecimal,
            substituted(right, position, world.rng.choice(BASE64URL)), base64.b64encode(raw).decode(), right + right,
            base64.b64encode(raw).decode().rstrip("="), tokens.encode_part(hexadecimal), tokens.encode_part(raw[:20]),
            tokens.encode_part(raw + b"\0"), tokens.encode_part(bytes(32)), "A" * 43, ":".join([hexadecimal]),
            right.replace("-", "%2D"), f"sha-256:{right}", right + "\u0000", right[:-1] + "\u0000", "\ufeff" + right,
            tokens.encode_part(hashlib.sha256(raw).digest()), right[::-1],
        ]),
        *VALUES, f"[{text(right)}]", f'{{"x5t#S256":{text(right)}}}', escaped(world)(text(right)),
    ]  # fmt: skip


@kind(1750)
def confirmation(world: World) -> Iterator[Request]:
    right = text(world.thumbprint())
    for value in thumbprints(world):
        draft = world.draft()
        draft.put(draft.claims, "cnf", f'{{"x5t#S256":{value}}}')
        yield world.request("", draft)
    for cnf in [
        *VALUES, right, f"[{right}]", f'[{{"x5t#S256":{right}}}]', f'{{"x5t#s256":{right}}}', f'{{"X5T#S256":{right}}}',
        f'{{"x5t":{right}}}', f'{{"x5t#S256 ":{right}}}', f'{{" x5t#S256":{right}}}', f'{{"x5t#S512":{right}}}',
        f'{{"x5t\\u0023S256":{right}}}', f'{{"cnf":{{"x5t#S256":{right}}}}}', f'{{"jkt":{right}}}', '{"jwk":{}}',
        f'{{"x5t#S256":{right},"jkt":{right}}}', f'{{"x5t#S256":{right},"jkt":null}}',
        f'{{"jwk":{{}},"x5t#S256":{right}}}',
        f'{{"x5t#S256":{right},"kid":"1"}}', f'{{"x5t#S256":{right},"jku":"https://a"}}',
        f'{{"x5t#S256":{right},"jwe":"a"}}',
        f'{{"x5t#S256":{right},"unheard of":1}}', f'{{"x5t#S256":{right},"x5t":"a"}}', f'{{"unheard of":{right}}}',
        f'{{"x5t#S256":{right},"":null}}', f'{{"x5t#S256":{right},"JKT":"a"}}', f'{{"x5t#S256":null,"x5t":{right}}}',
        f'{{"x5t#S256":{right},"x5t#s256":{text(world.thumbprint(1))}}}', text(text({"x5t#S256": world.thumbprint()})),
    ]:  # fmt: skip
        draft = world.draft()
        draft.put(draft.claims, "cnf", cnf)
        yield world.request("", draft)
    for name in ("Cnf", "CNF", "cnf ", "confirmation", "cnf\u0000"):
        draft = world.draft()
        draft.put(draft.claims, "cnf", None)
        draft.put(draft.claims, name, f'{{"x5t#S256":{right}}}')
        yield world.request("", draft)


@kind(1450)
def top_level_confirmation(world: World) -> Iterator[Request]:
    for cnf, top_level, presented in ((0, 0, 0), (0, 1, 0), (0, 1, 1), (1, 0, 0), (1, 1, 0)):
        draft = world.draft()
        draft.put(draft.claims, "cnf", text({"x5t#S256": world.thumbprint(cnf)}))
        draft.put(draft.claims, "x5t#S256", text(world.thumbprint(top_level)))
        yield world.request("", draft, policy="gluu", digest=world.digest(presented))
    cnfs = [
        None,
        None,
        None,
        f'{{"x5t#S256":{text(world.thumbprint())}}}',
        f'{{"x5t#S256":{text(world.thumbprint(1))}}}',
    ]
    for value in thumbprints(world):
        for policy in ("gluu", world.policy()):
            draft = world.draft()
            draft.put(draft.claims, "cnf", world.rng.choice([*cnfs, "{}", '{"jkt":"a"}', "null"]))
            draft.put(draft.claims, "x5t#S256", value)
            yield world.request("", draft, policy=policy)


@kind(550)
def presented_certificate(world: World) -> Iterator[Request]:
    right = world.digest()
    mixed = bytes(character ^ 32 if character >= 97 and world.rng.random() < 0.5 else character for character in right)
    for digest in [
        right, right.upper(), mixed, world.digest(1), None, b"", right[:-1], right + b"0", right[:40], b"0" * 64,
        right + b"\0", b" " + right, right + b"\n", b":".join([right[:32], right[32:]]), world.thumbprint().encode(),
        b"0x" + right[2:], right[:-1] + b"g", b"\xff" * 64, bytes.fromhex(right.decode()), right[:2] * 32,
        b"-", b"null",
        substituted(right.decode(), world.rng.randrange(64), "0").encode(), right + right,
    ]:  # fmt: skip
        draft = world.draft()
        if world.rng.random() < 0.3:
            draft.put(draft.claims, "cnf", None)
        yield world.request("", draft, digest=digest)


# Keys and signatures.


@kind(1000)
def algorithm_swap(world: World) -> Iterator[Request]:
    able = {rsa.RSAPrivateKey: ["RS256", "PS256", "RS384", "RS512", "PS384", "PS512"]}
    names = [
        "RS256",
        "PS256",
        "ES256",
        "EdDSA",
        "RS384",
        "RS512",
        "PS384",
        "PS512",
        "ES384",
        "Ed25519",
        "none",
        "HS256",
    ]
    for key in [*world.keys, world.nameless, *world.strangers, *world.unusable]:
        ways = next((ways for family, ways in able.items() if isinstance(key.private_key, family)), [key.algorithm])
        for way in ways:
            yield world.request("", world.draft(key, way), digest=world.digest())
            if len(ways) > 1 and world.rng.random() < 0.5:
                continue
            for name in {way, *world.rng.sample(names, 3)}:
                draft = world.draft(key, way)
                draft.put(draft.header, "alg", text(name))
                draft.put(
                    draft.header,
                    "kid",
                    world.rng.choice([text(key.kid), text(key.kid), None, *HEADER_VALUES["kid"][:9]]),
                )
                yield world.request("", draft)


@kind(400)
def key_id_swap(world: World) -> Iterator[Request]:
    for key in [*world.keys, world.nameless, *world.unusable, *world.strangers]:
        for kid in [None, text(world.rng.choice(world.keys).kid), text(key.kid)]:
            draft = world.draft(key)
            draft.put(draft.header, "kid", kid)
            yield world.request("", draft)


@kind(250)
def key_confusion(world: World) -> Iterator[Request]:
    """RFC 8725 §2.1: the public key as the secret of an HMAC, and no signature at all."""
    for key in world.rng.sample(world.keys, 4):
        public = key.private_key.public_key()
        spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        jwk = world.published(key)
        secrets_ = [
            b"",
            spki,
            pem,
            pem.rstrip(),
            text(jwk).encode(),
            json.dumps(jwk).encode(),
            text(world.jwks).encode(),
        ]
        secrets_ += [tokens.encode_part(spki).encode(), base64.urlsafe_b64decode(jwk.get("x", jwk.get("n")) + "==")]
        for secret in secrets_:
            draft = world.draft(key)
            signer = world.rng.choice(["HS256", "HS256", "HS512"])
            name = world.rng.choice([signer, signer, key.algorithm, "none"])
            draft.put(draft.header, "alg", text(name))
            yield world.request("", tokens.assemble(draft.part("header"), draft.part("claims"), secret, signer))
        draft = world.draft(key)
        draft.put(draft.header, "alg", world.rng.choice(['"none"', '"None"', '"nOnE"', '""', "null"]))
        yield world.request("", f"{draft.part('header')}.{draft.part('claims')}.")
        draft = world.draft(world.rng.choice(world.strangers))
        draft.put(draft.header, "jwk", text(draft.key.jwk))
        yield world.request("", draft)


def with_signatures(world: World, signing_input: str, signatures: Sequence[bytes]) -> Iterator[Request]:
    for made in signatures:
        yield world.request("", f"{signing_input}.{tokens.encode_part(made)}", digest=world.digest())


@kind(1200)
def signature(world: World) -> Iterator[Request]:
    def whole(number: int) -> bytes:
        return (number % 2**256).to_bytes(32, "big")

    for key in [*world.rng.sample(world.keys[:2], 1), world.four_ed[0], world.rng.choice(world.keys[2:5])]:
        draft = world.draft(key)
        signing_input, made = draft.signing_input_and_signature()
        changed = [
            made[:-1], made[1:], made + b"\0", b"\0" + made, made + made, b"", b"\0", bytes(len(made)),
            b"\xff" * len(made),
            made[::-1], made[: len(made) // 2], made[len(made) // 2 :] + made[: len(made) // 2], b"\0" * 64,
            b"\0" * 63 + b"\1",
            made[: world.rng.randrange(len(made))], made + world.rng.randbytes(world.rng.randrange(1, 300)),
            world.rng.randbytes(len(made)), made.hex().encode(), made,
        ]  # fmt: skip
        if key.algorithm == "ES256":
            r, s = int.from_bytes(made[:32], "big"), int.from_bytes(made[32:], "big")
            changed += [
                made[:32] + whole(P256_ORDER - s), whole(P256_ORDER - r) + made[32:], whole(r + P256_ORDER) + made[32:],
                made[:32] + whole(s + P256_ORDER), made[:32] + bytes(32), bytes(32) + made[32:], whole(P256_ORDER) * 2,
                made[:32] + whole(P256_ORDER), whole(1) * 2, encode_dss_signature(r, s),
                b"\0" + made[:32] + b"\0" + made[32:],
                made[:32] + whole(P256_ORDER - s) + b"\0", made[32:] + made[:32],
            ]  # fmt: skip
        elif key.algorithm == "EdDSA":
            s = int.from_bytes(made[32:], "little")
            changed += [
                made[:32] + (s + ED25519_ORDER).to_bytes(32, "little"),
                made[:32] + (s + 2 * ED25519_ORDER).to_bytes(32, "little"),
                made[:32] + (ED25519_ORDER - s).to_bytes(32, "little"),
                b"\1" + bytes(63), made[:31] + bytes([made[31] ^ 0x80]) + made[32:], (2**255 - 18).to_bytes(32,
                "little") + made[32:],
                made[:32] + bytes(32), b"\xee" + b"\xff" * 30 + b"\x7f" + bytes(32), made[32:] + made[:32],
            ]  # fmt: skip
        else:
            modulus = key.private_key.public_key().public_numbers().n
            number = int.from_bytes(made, "big")
            changed += [bytes(256), b"\0" * 255 + b"\1", (modulus - number).to_bytes(256, "big")]
            changed += [(modulus - 1).to_bytes(256, "big"), modulus.to_bytes(256, "big")]
            changed += [(number + modulus).to_bytes(257, "big")]
            for salt in (0, 1, 20, 31, 32, 33, 64, padding.PSS.MAX_LENGTH):
                scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
                changed.append(key.private_key.sign(signing_input.encode(), scheme, hashes.SHA256()))
            scheme = padding.PSS(padding.MGF1(hashes.SHA1()), 32)
            changed.append(key.private_key.sign(signing_input.encode(), scheme, hashes.SHA256()))
            changed.append(key.private_key.sign(signing_input.encode(), padding.PKCS1v15(), hashes.SHA512()))
            changed.append(key.private_key.sign(signing_input.encode() + b"\0", padding.PKCS1v15(), hashes.SHA256()))
        yield from with_signatures(world, signing_input, changed)


@kind(4)
def signature_that_begins_with_zero(world: World) -> Iterator[Request]:
    """One of RSA's in 256; the zero belongs to it (RFC 8017 §8.1.2 and §8.2.2, step 1)."""
    for key in world.keys[2:4]:
        draft, signing_input, made = world.draft(key), "", b"\1"
        while made[0]:
            draft.put(draft.claims, "jti", text(secrets.token_hex(8)))
            signing_input, made = draft.signing_input_and_signature()
        yield from with_signatures(world, signing_input, [made, made[1:]])


@kind(350)
def other_issuer(world: World) -> Iterator[Request]:
    """A key serves the tokens of its own issuer alone (RFC 8725 §3.8)."""
    for issuer in (ISSUER, OTHER_ISSUER, OTHER_ISSUER + "/"):
        for key in [*world.others, world.rng.choice(world.keys), world.four_ed[0], world.keys[0]]:
            for policy in ("two_issuers", "two_issuers", world.policy()):
                draft = world.draft(key)
                draft.put(draft.claims, "iss", text(issuer))
                if world.rng.random() < 0.3:
                    draft.put(draft.header, "kid", None)
                yield world.request("", draft, policy=policy)


@kind(900)
def tenant(world: World) -> Iterator[Request]:
    """An issuer that the token's own claims complete."""
    rng = world.rng
    templates = ["login.example.com/{}/v2.0", "eu.example.com/{}", "us.example.com/{}", "as.example.com/{}"]
    templates = [f"https://{template}" for template in templates]
    names = [
        "a", "b.c", "a.b-c_D9", "A", "", "a/b", "a b", "a%2fb", "{tid}", "..", "a:b", "a@b", "\u00e9", "a\x00", "\uff41",
        "v2.0",
    ]  # fmt: skip
    for template in templates:
        for name in names:
            draft = world.draft(world.others[0] if template == templates[-1] and rng.random() < 0.7 else None)
            own = rng.choice([name, name, name, name, rng.choice(names)])
            right = template.format(name)
            issuer = rng.choice([*[right] * 6, template, right + "/", template.format(f"{name}/{name}")])
            draft.put(draft.claims, "iss", text(issuer))
            draft.put(draft.claims, "tid", rng.choice([text(own)] * 8 + [f"[{text(own)}]", None, rng.choice(VALUES)]))
            draft.put(draft.claims, "region", rng.choice(['"eu"', '"us"', '"eu"', '"us"', '"ap"', '["eu"]', None]))
            yield world.request("", draft, policy="tenants", digest=world.digest())


@kind(700)
def step_up(world: World) -> Iterator[Request]:
    rng = world.rng
    classes = [
        '"gold"', '"silver"', '"gold"', '"Gold"', '"gold silver"', '""', '["gold"]', "1", None, '"bronze"', '"\\u0067old"',
    ]  # fmt: skip
    ages = [0, 599, 600, 610, 610.5, 611, 3600, NOW, -9, -10, -11, -999 * NOW]
    others = [None, "-1", "1e400", "253402300799", "253402300800", f'"{NOW}"', f"[{NOW}]", "true", "null"]
    for value in [*(str(NOW - age) for age in ages), *others]:
        draft = world.draft()
        draft.put(draft.claims, "acr", rng.choice(classes[:3]) if rng.random() < 0.7 else rng.choice(classes))
        draft.put(draft.claims, "auth_time", value)
        digest = world.digest() if rng.random() < 0.8 else world.presented()
        yield world.request("", draft, policy="step_up", digest=digest)
    for value in classes:
        draft = world.draft()
        draft.put(draft.claims, "acr", value)
        draft.put(draft.claims, "auth_time", str(NOW))
        yield world.request("", draft, policy="step_up", digest=world.digest())


# Carriage.


@kind(500)
def scheme(world: World) -> Iterator[Request]:
    """Who sends a token under mtls_pop says that it is bound."""
    bound, unbound, other = world.draft(), world.draft(), world.draft()
    unbound.put(unbound.claims, "cnf", None)
    cnfs = ['{"jkt":"a"}', "{}", "null", text({"x5t#S256": world.thumbprint(1)})]
    other.put(other.claims, "cnf", world.rng.choice(cnfs))
    names = ["Bearer", "mtls_pop", "MTLS_POP", "mtls-pop", "mtls_pop,", "mtlspop", "mtls_pop2", "DPoP", "mtls_pop\t", ""]
    for name in names:
        for draft in (bound, unbound, other):
            value = name.encode() + world.rng.choice([b" ", b" ", b" ", b"   ", b""]) + draft.token().encode()
            for policy in ("schemes", "schemes", world.policy()):
                yield replace(world.request("", "", policy=policy), authorization=[value])


@kind(650)
def authorization_field(world: World) -> Iterator[Request]:
    token = world.draft().token().encode()
    other = world.draft().token().encode()
    for values in [
        [], [b""], [b"Bearer"], [b"Bearer "], [b"Bearer=" + token], [b"bearer " + token], [b"BEARER  " + token],
        [b"BeArEr    " + token], [b"Bearer\t" + token], [b"Bearer \t" + token], [b"Bearer\xa0" + token], [token],
        [b"DPoP " + token], [b"Basic " + token], [b"Bearer " + token, b"Bearer " + token], [b"MAC " + token],
        [b"Bearer " + token, b"Basic YTpi"], [b"Basic YTpi", b"Bearer " + token], [b"Bearer " + token, b""],
        [b"Bearer " + token + b", Bearer " + other], [b"Bearer " + token + b"," + other], [b"Bearer " + token + b","],
        [b"Bearer ," + token], [b"Bearer " + token + b" " + other], [b'Bearer "' + token + b'"'],
        [b"Bearer Bearer " + token],
        [b"Bearer token=" + token], [b"Bearer " + token + b";x=y"], [b"Bearer: " + token], [b"Bearers " + token],
        [b"Beare " + token], [b"JWT " + token], [b"Bearer " + token + b"="], [b"Bearer " + token + b"\xc3\xa9"],
        [b"Bearer " + token + b"\xff"], ["Bearer ".encode("utf-16-le") + token], [b"B\xc3\xa9arer " + token],
        [b"Bearer " + b"A" * 20000], [b"Bearer " + b"A." * 8000], [b"Bearer " + b"." * 5], [b"Bearer ="],
        [b"Bearer .."],
        [b"Bearer " + token[:20] + b"\t" + token[20:]], [b"Bearer %20" + token], [b"\xef\xbb\xbfBearer " + token],
        ["\uff22earer ".encode() + token], ["Bea\u212aer ".encode() + token], [b"Bearer " + token],
    ]:  # fmt: skip
        yield replace(world.request("", "", digest=world.digest()), authorization=values)


# Several at once.


@kind(250)
def nonce_beside_another_claim(world: World) -> Iterator[Request]:
    """Some servers write the nonce of an ID token into access tokens too."""
    for name in ("typ", "token_use", "tokenName", "purpose", "token_type", "scope", "scp", "aud", "client_id"):
        for value in CLAIM_VALUES[name]:
            draft = world.draft()
            draft.put(draft.claims, "nonce", '"n"')
            draft.put(draft.claims, name, value)
            yield world.request("", draft, digest=world.digest())


@kind(1450)
def several_mutations(world: World) -> Iterator[Request]:
    rng = world.rng
    draft = world.draft(rng.choice([*world.keys[:2], *world.four_ed, *world.others, world.nameless]))
    for _ in range(rng.randrange(1, 4)):
        where, names = rng.choice(
            [(draft.header, HEADER_VALUES), (draft.claims, CLAIM_VALUES), (draft.claims, CLAIM_VALUES)]
        )
        name = rng.choice(list(names))
        draft.put(where, name, rng.choice([None, *names[name], *VALUES]))
    if rng.random() < 0.5:
        draft.put(draft.claims, "cnf", rng.choice([None, f'{{"x5t#S256":{rng.choice(thumbprints(world))}}}', *VALUES]))
    if rng.random() < 0.3:
        draft.put(draft.claims, "x5t#S256", rng.choice(thumbprints(world)))
    if rng.random() < 0.3:
        draft.spell_claims = rng.choice(BROKEN_JSON)
    elif rng.random() < 0.5:
        draft.spell_claims = escaped(world)
    token = draft.token()
    if rng.random() < 0.15:
        token = substituted(token, rng.randrange(len(token)), rng.choice(BASE64URL))
    yield world.request("", token)


def requests(world: World) -> Iterator[Request]:
    for count, make in KINDS:
        made = 0
        while made < count:
            for request in make(world):
                yield replace(request, kind=make.__name__)
                made += 1


def main(path: Path, seed: int) -> None:
    started = time.monotonic()
    world = World(seed)
    configuration = world.configuration()
    oracle = Oracle(configuration, NOW)
    verdicts: Counter[str] = Counter()
    with path.open("w") as file:
        known = {name: {"why": row.why, "reasons": row.reasons} for name, row in STRICTNESSES.items()}
        first = {"seed": str(seed), "now": NOW, "configuration": text(configuration), "strictnesses": known}
        file.write(json.dumps(first) + "\n")
        for request in requests(world):
            verdict = oracle.judge(request.policy, request.authorization, request.digest)
            verdicts["accepted" if verdict.accepted else "refused"] += 1
            written = {
                "kind": request.kind,
                "policy": request.policy,
                # Bytes as the characters of the same number.
                "authorization": [value.decode("latin-1") for value in request.authorization],
                "digest": None if request.digest is None else request.digest.decode("latin-1"),
                "accepted": verdict.accepted,
                "why": verdict.why,
                "strictnesses": verdict.strictnesses,
            }
            file.write(json.dumps(written, separators=(",", ":")) + "\n")
    seconds = time.monotonic() - started
    print(f"{sum(verdicts.values())} requests, seed {seed}, oracle: {dict(verdicts)}, {seconds:.1f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else secrets.randbits(64))
