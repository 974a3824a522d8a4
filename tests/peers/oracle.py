# SPDX-License-Identifier: Apache-2.0
"""A second opinion on requests to an API: what a strict reader of the RFCs makes of the same bytes.

It shares nothing with certbound. The JSON is Python's, the signatures are OpenSSL's (`cryptography`) and once more
PyJWT's, and the rules are written down here from the texts of RFC 6750, 7515, 7517, 7518, 7519, 7800, 8037, 8705, 8725
9068 and 9470. Every refusal cites the section that it follows from. Of templates of issuers and of the scheme mtls_pop the text
is docs/configuration.md.

Where a text leaves a choice, the oracle takes the lenient side, and certbound's stricter side is a row of
`STRICTNESSES`: the only refusals that may differ."""

import base64
import binascii
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

DEFAULT_ALGORITHMS = (*(family + size for family in ("RS", "PS", "ES") for size in ("256", "384", "512")), "EdDSA")
"""docs/configuration.md: what an issuer may sign with unless the configuration says less."""

DEFAULT_LEEWAY = 10
"""docs/configuration.md: seconds."""

YEAR_9999 = 253402300799


KIND_CLAIMS = ("typ", "token_type", "token_use", "tokenName", "purpose")
"""In which servers write what a token is: Keycloak, some, Cognito and Hydra, ForgeRock, Curity."""

OTHER_KINDS = re.compile(
    "(?ai)(id|refresh|logout)(_token)?"
    # Keycloak's TokenUtil, ClientRegistrationTokenUtils, and the TOKEN_TYPE of each kind of action token.
    "|offline|serialized-id|(initial|registration)accesstoken|execute-actions|(verify|update)-email|reset-credentials"
    "|idp-verify-account-via-email|orgivt|impersonate"
)
"""docs/security.md: what these servers call a token that is no access token."""


@dataclass(frozen=True)
class Strictness:
    """A refusal that no RFC demands, which is made on purpose."""

    why: str
    reasons: Sequence[str]
    """The reasons that certbound may give for it."""


STRICTNESSES: Mapping[str, Strictness] = {
    "canonical_base64url": Strictness(
        "bits behind the last byte make a second spelling of one token; RFC 4648 §3.5 lets a decoder refuse them",
        ("token_malformed", "confirmation_malformed"),
    ),
    "duplicate_member": Strictness(
        "RFC 7519 §4 leaves refusing or the last one; a proxy and an API must not read two different tokens",
        ("token_malformed",),
    ),
    "lone_surrogate": Strictness(
        "RFC 8259 §8.2: what receivers make of it is unpredictable; RFC 7493 §2.1 forbids it", ("token_malformed",)
    ),
    "nested_too_deeply": Strictness("RFC 8259 §9 allows a limit on depth; it is 16", ("token_malformed",)),
    "number_too_large": Strictness("RFC 8259 §6 allows a limit on range; it is a double's", ("token_malformed",)),
    "token_too_long": Strictness("everything is bounded; 16 KiB", ("token_too_long",)),
    "key_in_header": Strictness(
        "jwk, jku and x5u (RFC 7515 §4.1) offer a key of the token's own choice; it could be ignored as well",
        ("token_header_unsupported",),
    ),
    "token_type": Strictness("RFC 8725 §3.11: a token of another typ is for another use", ("token_type_unsupported",)),
    "another_token": Strictness(
        "RFC 8725 §3.12 wants the rules for one kind of token to refuse the others, and leaves open by what: the hashes and "
        "the nonce of an ID token, the events of a logout token, and a server's own word for what a token is",
        ("token_type_unsupported",),
    ),
    "issued_in_the_future": Strictness(
        "RFC 7519 §4.1.6 leaves it open; no token can have come before it was issued", ("token_not_yet_valid",)
    ),
    "authenticated_in_the_future": Strictness(
        "RFC 9470 §3 bounds the time that has passed since auth_time; nobody can have been authenticated later than now",
        ("user_authentication_insufficient",),
    ),
    "kid_is_binding": Strictness(
        "RFC 7515 §4.1.4 calls kid a hint; here the key that it names has to fit, where any key of the set has a name",
        ("key_unknown", "signature_invalid"),
    ),
    "time_out_of_bounds": Strictness(
        "RFC 7519 §2 sets no bounds; here a time is between 1970 and 9999", ("claim_malformed",)
    ),
    "other_confirmation": Strictness(
        "RFC 7800 §3.1 ignores members of cnf that are not understood; a token that is bound to something else, or to "
        "something that is not understood, must not pass as unbound",
        ("confirmation_unsupported", "confirmation_malformed"),
    ),
    "second_confirmation": Strictness(
        "a token that is bound to a key as well (RFC 7800 §3.2, RFC 9449 §6) demands a proof that is not checked here",
        ("confirmation_unsupported",),
    ),
    "top_level_not_expected": Strictness(
        "x5t#S256 beside cnf is no claim of RFC 8705, so it could be ignored; but whoever wrote it meant a binding",
        ("confirmation_at_top_level",),
    ),
}


class Refused(Exception):
    """The request must not pass; the text cites why."""


class OraclesDisagree(Exception):
    """PyJWT and the oracle judge a signature differently: a test that cannot be believed."""


_PYJWT = jwt.PyJWS()


@dataclass(frozen=True)
class Verdict:
    accepted: bool
    why: str
    """The rule that refuses, cited; where it accepts, nothing."""
    strictnesses: Sequence[str]
    """What certbound may refuse it for all the same: names of `STRICTNESSES`."""


class Oracle:
    """Judges by a plugin configuration, at one time (seconds since 1970)."""

    def __init__(self, configuration: Mapping[str, Any], now: int) -> None:
        self._policies = {
            name: policy["resource_server"]
            for name, policy in configuration["policies"].items()
            if "resource_server" in policy
        }
        self._now = now

    def judge(self, policy: str, authorization: Sequence[bytes], digest: bytes | None) -> Verdict:
        """`digest` is what the TLS layer says of the client's certificate."""
        judgement = _Judgement(self._policies[policy], self._now)
        try:
            judgement.pass_or_raise(authorization, digest)
        except Refused as refused:
            return Verdict(False, str(refused), ())
        return Verdict(True, "", tuple(dict.fromkeys(judgement.strictnesses)))


class _Judgement:
    def __init__(self, policy: Mapping[str, Any], now: int) -> None:
        self._policy = policy
        self._now = now
        self._leeway = policy.get("leeway_seconds", DEFAULT_LEEWAY)
        self.strictnesses: list[str] = []

    def pass_or_raise(self, authorization: Sequence[bytes], digest: bytes | None) -> None:
        scheme, token = _credentials(authorization, self._policy.get("schemes", ["Bearer"]))
        if len(token) > 16384:
            self.strictnesses.append("token_too_long")
        issuer, claims = self._verified(token)
        self._judge_audience(issuer, claims)
        self._judge_times(claims)
        presented = _presented(digest)
        confirmed = self._confirmed(claims, issuer.get("confirmation", "cnf"))
        if confirmed is None:
            if self._policy.get("certificate_binding", "required") != "if_present" or scheme == "mtls_pop":
                raise Refused("RFC 8705 §3: the token is not bound, and the policy or the scheme wants it bound")
        elif presented is None:
            raise Refused("RFC 8705 §3: bound, and no certificate")
        elif confirmed != presented:
            raise Refused("RFC 8705 §3: bound to another certificate")
        self._judge_authentication(claims)

    # RFC 7515

    def _verified(self, token: str) -> tuple[Mapping[str, Any], dict[str, Any]]:
        parts = token.split(".")
        if len(parts) != 3:
            raise Refused("RFC 7515 §7.1: three parts")
        header_bytes, payload_bytes, signature = [self._bytes(part, "RFC 7515 §2") for part in parts]
        header = self._object(header_bytes, "RFC 7515 §5.2 step 3")
        members = self._object(payload_bytes, "RFC 7519 §7.2 step 10")
        # Who writes null has nothing to say.
        payload = {name: value for name, value in members.items() if value is not None}
        if "crit" in header:
            raise Refused("RFC 7515 §4.1.11: no extension is understood")
        for name in ("jwk", "jku", "x5u"):
            if name in header:
                self.strictnesses.append("key_in_header")
        if "typ" in header:
            kind = header["typ"]
            if not isinstance(kind, str):
                raise Refused("RFC 7515 §4.1.9: typ is a string")
            if not re.fullmatch(r"(?i)(application/)?(at\+)?jwt", kind):
                self.strictnesses.append("token_type")
        algorithm, key_id = _folded(header.get("alg")), header.get("kid")
        if not isinstance(algorithm, str):
            raise Refused("RFC 7515 §4.1.1: alg is a string and must be there")
        if "kid" in header and not isinstance(key_id, str):
            raise Refused("RFC 7515 §4.1.4: kid is a string")
        self._judge_types(payload)
        issuer = next((one for one in self._policy["issuers"] if _identifier(one, payload) == payload["iss"]), None)
        if issuer is None:
            raise Refused("RFC 8725 §3.8: the issuer is not trusted")
        if algorithm not in issuer.get("algorithms", DEFAULT_ALGORITHMS):
            raise Refused("RFC 8725 §3.1: the algorithm is not allowed")
        signed = token.rpartition(".")[0].encode()
        fitting = [key for key in issuer["keys"]["jwks"]["keys"] if _fits(key, algorithm)]
        named = [key for key in fitting if "kid" in header and key.get("kid") == key_id]
        others = [key for key in fitting if key not in named]
        signer = next((key for key in [*named, *others] if _verifies(key, algorithm, signed, signature)), None)
        self._ask_pyjwt(token, header, signature, signer or next(iter(fitting), None), algorithm, signer is not None)
        if signer is None:
            raise Refused("RFC 7515 §5.2 step 8: no key of the issuer made the signature")
        self._judge_kind(header, payload)
        if "kid" in header and signer not in named and any("kid" in key for key in issuer["keys"]["jwks"]["keys"]):
            self.strictnesses.append("kid_is_binding")
        return issuer, payload

    def _ask_pyjwt(
        self,
        token: str,
        header: Mapping[str, Any],
        signature: bytes,
        key: Mapping[str, Any] | None,
        algorithm: str,
        verified: bool,
    ) -> None:
        """Raises OraclesDisagree where PyJWT judges the signature differently."""
        # PyJWT reads more of a header than the signature needs (b64 without crit, say), and refuses more spellings.
        refuses_more = {"canonical_base64url", "duplicate_member", "lone_surrogate", "key_in_header"}
        if key is None or "b64" in header or refuses_more & set(self.strictnesses):
            return
        # It knows EdDSA by that name alone.
        if header["alg"] != algorithm:
            return
        public_key = _public_key(json.dumps(key))
        if algorithm[:2] == "PS" and not _has_length_of_modulus(signature, public_key):
            return
        try:
            _PYJWT.decode(token, public_key, algorithms=[algorithm])
            agrees = verified
        except jwt.InvalidTokenError:
            agrees = not verified
        if not agrees:
            raise OraclesDisagree(f"PyJWT judges the signature of {token} with {dict(key)} differently")

    def _bytes(self, text: str, section: str) -> bytes:
        if not re.fullmatch(r"[A-Za-z0-9_-]*", text) or len(text) % 4 == 1:
            raise Refused(f"{section}: base64url without padding")
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != text:
            self.strictnesses.append("canonical_base64url")
        return decoded

    # RFC 8259

    def _object(self, encoded: bytes, section: str) -> dict[str, Any]:
        def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            if len({name for name, _ in pairs}) != len(pairs):
                self.strictnesses.append("duplicate_member")
            return dict(pairs)

        def no_number(text: str) -> None:
            raise ValueError(f"{text} is no JSON")

        def integer(text: str) -> int | float:
            # Python refuses to read very long ones.
            return int(text) if len(text) < 400 else float(text)

        try:
            value = json.loads(encoded.decode(), object_pairs_hook=members, parse_constant=no_number, parse_int=integer)
        except (ValueError, RecursionError) as error:
            raise Refused(f"{section}: not JSON") from error
        if not isinstance(value, dict):
            raise Refused(f"{section}: not an object")
        for inner, depth in _walk(value, 1):
            if depth > 16 and isinstance(inner, (dict, list)):
                self.strictnesses.append("nested_too_deeply")
            if isinstance(inner, str) and any("\ud800" <= character <= "\udfff" for character in inner):
                self.strictnesses.append("lone_surrogate")
            if isinstance(inner, (int, float)) and not abs(inner) < 1.7976931348623158e308:
                self.strictnesses.append("number_too_large")
        return value

    # OpenID Connect Core 1.0 §2, §3.1.3.6 and §3.3.2.11, FAPI 1.0 Part 2 §5.2.2.1, RFC 8417 §2.2

    def _judge_kind(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
        words = [claims[name] for name in KIND_CLAIMS if isinstance(claims.get(name), str)]
        is_access_token = (
            re.fullmatch(r"(?i)(application/)?at\+jwt", header.get("typ", "")) is not None
            or bool({"scope", "scp"} & set(claims))
            or any(re.fullmatch(r"(?ai)bearer|dpop|mtls_pop|access(_token)?", word) for word in words)
        )
        if (
            {"at_hash", "c_hash", "s_hash", "events"} & set(claims)
            or any(OTHER_KINDS.fullmatch(word) for word in words)
            or ("nonce" in claims and not is_access_token)
        ):
            self.strictnesses.append("another_token")

    # RFC 7519, RFC 9068

    def _judge_types(self, payload: Mapping[str, Any]) -> None:
        for name in ("iss", "aud", "exp"):
            if name not in payload:
                raise Refused(f"RFC 9068 §2.2: {name} is required")
        for name, section in (("iss", "§4.1.1"), ("sub", "§4.1.2"), ("jti", "§4.1.7")):
            if name in payload and not isinstance(payload[name], str):
                raise Refused(f"RFC 7519 {section}: {name} is a string")
        audiences = payload["aud"] if isinstance(payload["aud"], list) else [payload["aud"]]
        if not all(isinstance(audience, str) for audience in audiences):
            raise Refused("RFC 7519 §4.1.3: aud is a string or a list of strings")
        for name, section in (("exp", "§4.1.4"), ("nbf", "§4.1.5"), ("iat", "§4.1.6")):
            if name in payload:
                seconds = payload[name]
                # To Python, true is a number.
                if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
                    raise Refused(f"RFC 7519 {section}: {name} is a number")
                if not 0 <= seconds <= YEAR_9999:
                    self.strictnesses.append("time_out_of_bounds")

    def _judge_audience(self, issuer: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if not set(audiences) & set(issuer["audiences"]):
            raise Refused("RFC 7519 §4.1.3: for another audience")

    def _judge_times(self, claims: Mapping[str, Any]) -> None:
        if not self._now < claims["exp"] + self._leeway:
            raise Refused("RFC 7519 §4.1.4: expired")
        if "nbf" in claims and not self._now >= claims["nbf"] - self._leeway:
            raise Refused("RFC 7519 §4.1.5: not yet valid")
        if "iat" in claims and not self._now >= claims["iat"] - self._leeway:
            self.strictnesses.append("issued_in_the_future")

    # RFC 9470

    def _judge_authentication(self, claims: Mapping[str, Any]) -> None:
        if acceptable := self._policy.get("required_acr"):
            # RFC 9068 §2.2.1: as an ID token has it, a case-sensitive string (OpenID Connect Core 1.0 §2).
            if claims.get("acr") not in acceptable:
                raise Refused("RFC 9470 §3: the authentication context is not acceptable")
        if (max_age := self._policy.get("max_auth_age_seconds")) is not None:
            seconds = claims.get("auth_time")
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
                raise Refused("RFC 9470 §3: when the user was authenticated is not known")
            if self._now - seconds > max_age + self._leeway:
                raise Refused("RFC 9470 §3: the user was authenticated too long ago")
            if seconds > YEAR_9999:
                self.strictnesses.append("time_out_of_bounds")
            if seconds - self._now > self._leeway:
                self.strictnesses.append("authenticated_in_the_future")

    # RFC 7800, RFC 8705

    def _confirmed(self, claims: Mapping[str, Any], place: str) -> bytes | None:
        confirmed = None
        if "cnf" in claims:
            cnf = claims["cnf"]
            if not isinstance(cnf, dict):
                raise Refused("RFC 7800 §3.1: cnf is an object")
            cnf = {name: value for name, value in cnf.items() if value is not None}
            if "x5t#S256" in cnf:
                confirmed = self._thumbprint(cnf["x5t#S256"])
                if {"jwk", "jwe", "kid", "jku", "jkt"} & set(cnf):
                    self.strictnesses.append("second_confirmation")
            else:
                self.strictnesses.append("other_confirmation")
        # The servers that write it there write an empty text for none.
        top_level = claims.get("x5t#S256", "")
        if top_level == "":
            return confirmed
        if place == "top_level":
            value = self._thumbprint(top_level)
            if confirmed not in (None, value):
                raise Refused("RFC 8705 §3: one certificate, and the token names two")
            return value
        if confirmed is None:
            self.strictnesses.append("top_level_not_expected")
        return confirmed

    def _thumbprint(self, value: object) -> bytes:
        if not isinstance(value, str):
            raise Refused("RFC 8705 §3.1: x5t#S256 is a string")
        decoded = self._bytes(value, "RFC 8705 §3.1")
        if len(decoded) != 32:
            raise Refused("RFC 8705 §3.1: x5t#S256 is a SHA-256")
        if decoded == hashlib.sha256(b"").digest():
            raise Refused("RFC 8705 §3.1: x5t#S256 is of a certificate, and this is of no bytes")
        return decoded


def _identifier(issuer: Mapping[str, Any], claims: Mapping[str, Any]) -> str | None:
    """The issuer of a token with these claims, where it is this one; with what the token says for the claims in braces."""

    def value(match: re.Match[str]) -> str:
        own = claims.get(match[1])
        listed = issuer.get("issuer_claims", {}).get(match[1], [own])
        return own if isinstance(own, str) and re.fullmatch(r"[A-Za-z0-9._-]+", own) and own in listed else "{}"

    completed = re.sub(r"\{([^{}]+)\}", value, issuer["issuer"])
    return None if "{" in completed else completed


def _credentials(authorization: Sequence[bytes], schemes: Sequence[str]) -> tuple[str, str]:
    """The scheme and the token."""
    if not authorization:
        raise Refused("RFC 6750 §3: no token")
    if len(authorization) > 1:
        raise Refused("RFC 9110 §5.3: one Authorization field")
    for scheme in schemes:
        if match := re.fullmatch(rb"(?i:%s) +([A-Za-z0-9._~+/-]+=*)" % scheme.encode(), authorization[0]):
            return scheme, match[1].decode()
    raise Refused("RFC 6750 §2.1: a scheme that is accepted, and one b64token")


def _presented(digest: bytes | None) -> bytes | None:
    if not digest:
        return None
    try:
        decoded = binascii.unhexlify(digest)
    except ValueError as error:
        raise Refused("the TLS layer says something that is no digest") from error
    if len(decoded) != 32:
        raise Refused("the TLS layer says something that is no SHA-256")
    return decoded


def _walk(value: object, depth: int) -> Iterator[tuple[object, int]]:
    yield value, depth
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, depth
            yield from _walk(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, depth + 1)


# RFC 7517, RFC 7518, RFC 8037

_HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


def _folded(algorithm: Any) -> Any:
    """RFC 9864 §2.2: two names of one algorithm."""
    return "EdDSA" if algorithm == "Ed25519" else algorithm


def _fits(key: Mapping[str, Any], algorithm: str) -> bool:
    """RFC 8725 §3.1, RFC 7517 §4.2 to §4.4: what the key is for is said by the key."""
    if _folded(key.get("alg", algorithm)) != algorithm or key.get("use", "sig") != "sig":
        return False
    if "verify" not in key.get("key_ops", ["verify"]):
        return False
    match algorithm[:2], key["kty"]:
        case (("RS" | "PS"), "RSA"):
            return True
        case "ES", "EC":
            return key["crv"] == _CURVES.get(algorithm)
        case "Ed", "OKP":
            return key["crv"] == "Ed25519"
    return False


@functools.cache
def _public_key(jwk: str) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
    key = json.loads(jwk)

    def number(name: str) -> int:
        return int.from_bytes(base64.urlsafe_b64decode(key[name] + "=="), "big")

    match key["kty"]:
        case "RSA":
            return rsa.RSAPublicNumbers(number("e"), number("n")).public_key()
        case "EC":
            curve = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}[key["crv"]]()
            return ec.EllipticCurvePublicNumbers(number("x"), number("y"), curve).public_key()
        case _:
            return ed25519.Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=="))


def _has_length_of_modulus(signature: bytes, key: rsa.RSAPublicKey) -> bool:
    """RFC 8017 §8.1.2 and §8.2.2, step 1. OpenSSL, and PyJWT with it, takes a PSS signature without its leading zeros."""
    return len(signature) == (key.key_size + 7) // 8


def _verifies(jwk: Mapping[str, Any], algorithm: str, signed: bytes, signature: bytes) -> bool:
    key = _public_key(json.dumps(jwk))
    try:
        match key:
            case rsa.RSAPublicKey():
                if not _has_length_of_modulus(signature, key):
                    return False
                digest = _HASHES[algorithm[2:]]()
                # RFC 7518 §3.5: the salt is as long as the hash.
                salted = padding.PSS(padding.MGF1(digest), salt_length=digest.digest_size)
                key.verify(signature, signed, padding.PKCS1v15() if algorithm[:2] == "RS" else salted, digest)
            case ec.EllipticCurvePublicKey():
                # RFC 7518 §3.4: two integers of full length, side by side.
                size = (key.curve.key_size + 7) // 8
                if len(signature) != 2 * size:
                    return False
                r, s = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
                key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(_HASHES[algorithm[2:]]()))
            case ed25519.Ed25519PublicKey():
                key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True
