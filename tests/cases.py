"""The one list of cases. It is run three times: against the core and against the built module in a fake host
(tests/core.rs and tests/module.rs read it as JSON, which `python tests/cases.py FILE` writes), and against the shipped
files of envoy/ in a real Envoy, over HTTP/1.1 and HTTP/2 (tests/test_cases.py).

A case is a sentence, a request, and what must become of it. Tokens and certificates are made anew in every run, by
software that shares nothing with certbound."""

import base64
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.struct_pb2 import Struct

from rig import shipped, tokens
from rig.certificates import Authority, Certificate, self_signed
from rig.tokens import SigningKey

ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
REALM = f'Bearer realm="{AUDIENCE}"'

FORGED = "forged-by-the-client"
"""What a client writes where it has no business; no upstream may ever see it."""

Header = tuple[str, str | bytes]


class World:
    """The certificates and keys of one run."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.server = self.authority.issue("server", subject=[("CN", "localhost")], server=True)
        self.client_1 = self.authority.issue(
            "client-1", subject=[("C", "NL"), ("O", "Example Bank"), ("CN", "client-1")]
        )
        self.client_2 = self.authority.issue(
            "client-2", subject=[("C", "NL"), ("O", "Example Bank"), ("CN", "client-2")]
        )
        self.impostor = self_signed(directory, "impostor", copy_subject_of=self.client_1)
        self.keys = {name: SigningKey.make(name, f"{name}-1") for name in ("ES256", "RS256", "PS256", "EdDSA")}
        self.stranger = SigningKey.make("ES256", "ES256-1")
        """A key with the key id of one of the issuer's, and not the issuer's."""
        self.now = int(time.time())

    def substitutions(self) -> dict[str, Any]:
        """What the shipped files need to be run here, ports apart."""
        return {
            "jwks": tokens.jwks(*self.keys.values()),
            "server": self.server,
            "client_ca": self.authority.pem_path,
        }

    def claims(self, bound_to: Certificate | None = None, **other: Any) -> dict[str, Any]:
        """The claims of a good access token, bound to a certificate or not; `other` adds, replaces, and where it is
        None removes."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": "client-1",
            "aud": AUDIENCE,
            "iat": self.now,
            "nbf": self.now,
            "exp": self.now + 600,
            "jti": "1",
        }
        if bound_to:
            claims["cnf"] = {"x5t#S256": bound_to.thumbprint}
        claims.update(other)
        return {name: value for name, value in claims.items() if value is not None}


@dataclass(frozen=True)
class Refusal:
    """What a refused client gets, and what the operator reads."""

    reason: str
    status: int
    error: str | None
    challenge: bool


@dataclass(frozen=True)
class Case:
    sentence: str
    configuration: str
    """A file of envoy/, without its ending."""
    policy: str | None
    """The policy that the route of `path` names in that file; None where it names none."""
    path: str
    certificate: Certificate | None
    headers: Sequence[Header]
    forward: Mapping[str, str] | None = None
    """Headers that the upstream must see, each exactly once; None where the request must be refused."""
    refusal: Refusal | None = None
    method: str = "GET"
    validated: bool = True
    """Whether Envoy would say that the certificate's chain is valid."""
    facts: Mapping[str, bytes | None] = field(default_factory=dict)
    """Properties of a host that does not behave like the Envoy of today; no real Envoy can play it."""
    later: int = 0
    """Seconds between the making of the token and the request; no real Envoy can play it."""
    without_host_cryptography: bool = False
    """A host that has no `verify_signature`; no real Envoy can play it."""

    @property
    def plays_in_envoy(self) -> bool:
        return not (self.facts or self.later or self.without_host_cryptography)

    def properties(self) -> dict[tuple[str, ...], bytes]:
        """What the host says of the connection and the route."""
        properties: dict[tuple[str, ...], bytes | None] = {}
        if self.policy:
            properties["xds", "route_metadata", "filter_metadata", "certbound"] = encoded_map({"policy": self.policy})
        if self.certificate:
            properties["connection", "sha256_peer_certificate_digest"] = self.certificate.digest.encode()
            properties["connection", "peer_certificate"] = self.certificate.pem.encode()
            properties["connection", "peer_certificate_valid"] = bytes([self.validated])
        properties.update({tuple(name.split(".")): value for name, value in self.facts.items()})
        return {name: value for name, value in properties.items() if value is not None}


def encoded_map(entries: Mapping[str, str]) -> bytes:
    """A map as Envoy hands it to a module: count, lengths, then every text with a NUL behind it."""
    pairs = [(key.encode(), value.encode()) for key, value in entries.items()]
    sizes = b"".join(len(text).to_bytes(4, "little") for pair in pairs for text in pair)
    return len(pairs).to_bytes(4, "little") + sizes + b"".join(text + b"\0" for pair in pairs for text in pair)


def cases(world: World) -> list[Case]:
    found = [*resource_server(world), *authorization_server(world), *routes(world)]
    sentences = [case.sentence for case in found]
    assert len(set(sentences)) == len(sentences), "two cases have one sentence"
    return found


def invalid_token(reason: str) -> Refusal:
    return Refusal(reason, 401, "invalid_token", challenge=True)


def invalid_request(reason: str) -> Refusal:
    return Refusal(reason, 400, "invalid_request", challenge=True)


def no_token(reason: str) -> Refusal:
    return Refusal(reason, 401, None, challenge=True)


def cannot_decide(reason: str) -> Refusal:
    return Refusal(reason, 500, "server_error", challenge=False)


def resource_server(world: World) -> Iterator[Case]:
    one, two, impostor = world.client_1, world.client_2, world.impostor
    es256 = world.keys["ES256"]
    at = {"api": ("api", "/"), "migration": ("migration", "/migration/"), "gluu": ("gluu", "/gluu/")}

    def case(
        sentence: str, *, policy: str = "api", on: Certificate | None = one, headers: Sequence[Header] = (), **rest: Any
    ) -> Case:
        name, path = at[policy]
        # The route of / names no policy: it has the default one.
        rest.setdefault("path", path)
        return Case(
            sentence, "resource-server", None if name == "api" else name, certificate=on, headers=headers, **rest
        )

    def passes(sentence: str, token: str, *, scheme: str = "Bearer ", **rest: Any) -> Case:
        value = scheme + token
        return case(sentence, headers=[("authorization", value)], forward={"authorization": value}, **rest)

    def refused(sentence: str, token: str, reason: str, **rest: Any) -> Case:
        return case(sentence, headers=[("authorization", f"Bearer {token}")], refusal=invalid_token(reason), **rest)

    def sign(
        header: Mapping[str, Any] = {},
        key: SigningKey = es256,
        algorithm: str | None = None,
        bound_to: Certificate | None = one,
        **claims: Any,
    ) -> str:
        return tokens.sign(key, world.claims(bound_to, **claims), header=header, algorithm=algorithm)

    def raw(header: str | bytes | None = None, payload: str | bytes | None = None) -> str:
        """A token with a right signature over whatever stands in it."""
        header_part = tokens.encode_part({"alg": "ES256", "kid": es256.kid} if header is None else header)
        payload_part = tokens.encode_part(world.claims(one) if payload is None else payload)
        return tokens.assemble(header_part, payload_part, es256, "ES256")

    bound = sign()

    # The heart of it: RFC 8705 §3.
    yield passes("a token on the certificate that it is bound to passes", bound)
    yield refused(
        "a stolen token on another certificate of the same CA is refused", bound, "certificate_mismatch", on=two
    )
    yield refused(
        "a stolen token on a self-signed certificate with the right subject is refused",
        bound,
        "certificate_mismatch",
        on=impostor,
        validated=False,
        facts={"connection.peer_certificate_valid": b"\0"},
    )
    yield refused("a stolen token without a certificate is refused", bound, "certificate_not_presented", on=None)
    yield refused("a token that is bound to nothing is refused", sign(bound_to=None), "confirmation_missing")
    yield refused(
        "a token that is bound to nothing is refused without a certificate too",
        sign(bound_to=None),
        "confirmation_missing",
        on=None,
    )
    for name, key in world.keys.items():
        yield passes(f"a token signed with {name} passes", sign(key=key))
        yield refused(
            f"a token signed with {name} whose signature was changed is refused",
            flipped(sign(key=key)),
            "signature_invalid",
        )
        yield refused(
            f"a token signed with {name} whose claims were changed is refused",
            reclaimed(sign(key=key), sub="somebody else"),
            "signature_invalid",
        )
        # What nobody here asks for, in a type that it does not have elsewhere.
        yield passes(f"a claim without a meaning here does not matter to {name}", sign(key=key, nonce=1))
        yield passes(f"a header parameter without a meaning here does not matter to {name}", sign({"x5t": 1}, key=key))

    # The confirmation, strictly.
    confirmations: dict[str, tuple[Any, str]] = {
        "null": (None, "confirmation_malformed"),
        "a string": (one.thumbprint, "confirmation_malformed"),
        "a list": ([{"x5t#S256": one.thumbprint}], "confirmation_malformed"),
        "an empty object": ({}, "confirmation_malformed"),
        "a number for a thumbprint": ({"x5t#S256": 1}, "confirmation_malformed"),
        "a list for a thumbprint": ({"x5t#S256": [one.thumbprint]}, "confirmation_malformed"),
        "null for a thumbprint": ({"x5t#S256": None}, "confirmation_malformed"),
        "an empty thumbprint": ({"x5t#S256": ""}, "confirmation_malformed"),
        "a padded thumbprint": ({"x5t#S256": one.thumbprint + "="}, "confirmation_malformed"),
        "a thumbprint in hexadecimal digits": ({"x5t#S256": one.digest}, "confirmation_malformed"),
        "the thumbprint of RFC 8705's figures 2 and 3, which is not canonical": (
            {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
            "confirmation_malformed",
        ),
        "a thumbprint of another case of letters": ({"x5t#S256": other_case(one.thumbprint)}, "certificate_mismatch"),
        "another spelling of the member": ({"x5t#s256": one.thumbprint}, "confirmation_unsupported"),
        "a SHA-1 thumbprint": ({"x5t": "bwcK0esc3ACC3DB2Y5_lESsXE8o"}, "confirmation_unsupported"),
        "a DPoP key": ({"jkt": one.thumbprint}, "confirmation_unsupported"),
        "a DPoP key beside the thumbprint": (
            {"jkt": one.thumbprint, "x5t#S256": one.thumbprint},
            "confirmation_unsupported",
        ),
        "a method that nobody knows": ({"unheard of": one.thumbprint}, "confirmation_unsupported"),
    }
    for name, (cnf, reason) in confirmations.items():
        payload = json.dumps({**world.claims(), "cnf": cnf})
        yield refused(f"a confirmation that is {name} is refused", raw(payload=payload), reason)
        yield refused(
            f"a confirmation that is {name} is refused during a migration too",
            raw(payload=payload),
            reason,
            policy="migration",
        )
    yield passes(
        "a member of the confirmation that is no method of proof does not matter",
        sign(cnf={"x5t#S256": one.thumbprint, "proxy-principals#spiffe": ["spiffe://a/b"]}),
    )

    # Other bindings.
    yield passes("during a migration a token that is bound to nothing passes", sign(bound_to=None), policy="migration")
    yield passes(
        "during a migration a token that is bound to nothing passes without a certificate",
        sign(bound_to=None),
        policy="migration",
        on=None,
    )
    yield passes("during a migration a bound token passes on its certificate", bound, policy="migration")
    yield refused(
        "during a migration a bound token on another certificate is refused",
        bound,
        "certificate_mismatch",
        policy="migration",
        on=two,
    )
    yield refused(
        "during a migration a bound token without a certificate is refused",
        bound,
        "certificate_not_presented",
        policy="migration",
        on=None,
    )

    # Gluu and Janssen: x5t#S256 as a claim of its own.
    yield passes(
        "a thumbprint at the top level counts where the issuer is known to write it there",
        sign(bound_to=None, **{"x5t#S256": one.thumbprint}),
        policy="gluu",
    )
    yield refused(
        "a thumbprint at the top level on another certificate is refused",
        sign(bound_to=None, **{"x5t#S256": one.thumbprint}),
        "certificate_mismatch",
        policy="gluu",
        on=two,
    )
    yield passes(
        "a thumbprint in both places passes where they are equal", sign(**{"x5t#S256": one.thumbprint}), policy="gluu"
    )
    yield refused(
        "two different thumbprints are refused",
        sign(**{"x5t#S256": two.thumbprint}),
        "confirmation_conflict",
        policy="gluu",
    )
    yield refused(
        "a thumbprint at the top level of the wrong type is refused",
        sign(bound_to=None, **{"x5t#S256": 1}),
        "confirmation_malformed",
        policy="gluu",
    )
    yield refused(
        "a thumbprint at the top level that is null is none",
        raw(payload=json.dumps({**world.claims(), "x5t#S256": None})),
        "confirmation_missing",
        policy="gluu",
    )
    yield passes("a thumbprint in cnf counts for such an issuer too", bound, policy="gluu")
    yield refused(
        "a thumbprint at the top level is refused where it is not expected",
        sign(bound_to=None, **{"x5t#S256": one.thumbprint}),
        "confirmation_at_top_level",
    )
    yield refused(
        "a thumbprint at the top level is refused where it is not expected during a migration too",
        sign(bound_to=None, **{"x5t#S256": one.thumbprint}),
        "confirmation_at_top_level",
        policy="migration",
    )

    # Carriage: RFC 6750 §2.1.
    yield passes("the scheme is compared without case", bound, scheme="bEaReR ")
    yield passes("more than one space may stand behind the scheme", bound, scheme="Bearer   ")
    yield case("a request without a token is challenged without an error code", refusal=no_token("token_missing"))
    for sentence, value, refusal in [
        (
            "another scheme is challenged without an error code",
            "Basic Y2xpZW50OnNlY3JldA==",
            no_token("scheme_unsupported"),
        ),
        ("the DPoP scheme is challenged without an error code", f"DPoP {bound}", no_token("scheme_unsupported")),
        ("a scheme without a token is malformed", "Bearer", invalid_request("authorization_malformed")),
        ("a tab behind the scheme is another scheme", f"Bearer\t{bound}", no_token("scheme_unsupported")),
        (
            "two tokens in one value are refused",
            f"Bearer {bound}, Bearer {bound}",
            invalid_request("authorization_repeated"),
        ),
        ("a token with a space in it is malformed", f"Bearer {bound} x", invalid_request("authorization_malformed")),
        ("a token with a quote in it is malformed", f'Bearer "{bound}"', invalid_request("authorization_malformed")),
        (
            "a byte that is not UTF-8 in Authorization is malformed",
            b"Bearer \xff\xfe",
            invalid_request("authorization_malformed"),
        ),
    ]:
        yield case(sentence, headers=[("authorization", value)], refusal=refusal)
    yield case(
        "two Authorization headers are refused",
        headers=[("authorization", f"Bearer {bound}")] * 2,
        refusal=invalid_request("authorization_repeated"),
    )
    yield case(
        "a byte that is not UTF-8 in another header does not matter",
        headers=[("authorization", f"Bearer {bound}"), ("x-note", b"\xff\x80")],
        forward={"authorization": f"Bearer {bound}"},
    )
    yield case("a token in the query is not read", path=f"/?access_token={bound}", refusal=no_token("token_missing"))

    # The token's form: RFC 7515, RFC 8725.
    header, payload, signature = bound.split(".")
    for sentence, token, reason in [
        ("a token of one part is malformed", "abc", "token_malformed"),
        ("a token of two parts is malformed", f"{header}.{payload}", "token_malformed"),
        ("a token of four parts is malformed", f"{bound}.{signature}", "token_malformed"),
        ("an encrypted token of five parts is malformed", f"{bound}.{signature}.{signature}", "token_malformed"),
        ("a token with an empty signature is refused", f"{header}.{payload}.", "signature_invalid"),
        ("a token with a padded part is malformed", f"{header}.{payload}.{signature}=", "token_malformed"),
        (
            "a signature with bits behind its end is malformed",
            f"{header}.{payload}.{uncanonical(signature)}",
            "token_malformed",
        ),
        (
            "a signature in standard base64 is malformed",
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
        ("an HMAC with the public key for its secret is refused", hmac_with_public_key(world), "algorithm_not_allowed"),
        ("an algorithm that nobody knows is refused", sign({"alg": "XY256"}), "algorithm_not_allowed"),
        ("a header without an algorithm is malformed", raw(header='{"kid":"ES256-1"}'), "token_malformed"),
        ("an algorithm that is no string is malformed", sign({"alg": 256}), "token_malformed"),
        ("a critical header parameter is refused", sign({"crit": ["exp"]}), "token_header_unsupported"),
        (
            "a key in the token itself is refused",
            tokens.sign(world.stranger, world.claims(one), header={"jwk": world.stranger.jwk}),
            "token_header_unsupported",
        ),
        (
            "a URL of a key set in the token is refused",
            sign({"jku": "https://thief.example/jwks"}),
            "token_header_unsupported",
        ),
        (
            "a URL of a certificate in the token is refused",
            sign({"x5u": "https://thief.example/cert"}),
            "token_header_unsupported",
        ),
        ("a token of another type is refused", sign({"typ": "dpop"}), "token_type_unsupported"),
        ("a type that is no string is refused", sign({"typ": 1}), "token_type_unsupported"),
        ("a key id that is no string is malformed", sign({"kid": 1}), "token_malformed"),
        ("an unknown key id is refused", sign({"kid": "ES256-2"}), "key_unknown"),
        ("a key id of a key of another type is refused", sign({"kid": "RS256-1"}), "key_unknown"),
        (
            "a signature by somebody else's key is refused",
            tokens.sign(world.stranger, world.claims(one)),
            "signature_invalid",
        ),
        (
            "an ECDSA signature of zeros is refused",
            f"{header}.{payload}.{tokens.encode_part(bytes(64))}",
            "signature_invalid",
        ),
        (
            "an ECDSA signature of another length is refused",
            f"{header}.{payload}.{tokens.encode_part(bytes(63))}",
            "signature_invalid",
        ),
    ]:
        yield refused(sentence, token, reason)
    for kind in ("JWT", "at+jwt", "AT+JWT", "application/at+jwt"):
        yield passes(f"the type {kind} passes", sign({"typ": kind}))
    yield passes("a token without a key id passes on a key of its type", raw(header='{"alg":"ES256"}'))

    # Claims: RFC 7519 §4.1.
    for sentence, token, reason in [
        ("another issuer is refused", sign(iss="https://other.example.com"), "issuer_not_trusted"),
        ("an issuer that differs by a slash is refused", sign(iss=ISSUER + "/"), "issuer_not_trusted"),
        ("an issuer that is a list is malformed", sign(iss=[ISSUER]), "claim_malformed"),
        ("a token without an issuer is refused", sign(iss=None), "claim_missing"),
        ("another audience is refused", sign(aud="https://other.example.com"), "audience_mismatch"),
        ("a list of other audiences is refused", sign(aud=["https://other.example.com"]), "audience_mismatch"),
        ("an empty list of audiences is refused", sign(aud=[]), "audience_mismatch"),
        ("an audience that is a number is malformed", sign(aud=1), "claim_malformed"),
        ("an audience in a list that is a number is malformed", sign(aud=[1, AUDIENCE]), "claim_malformed"),
        ("a token without an audience is refused", sign(aud=None), "claim_missing"),
        ("a token without an expiry is refused", sign(exp=None), "claim_missing"),
        ("an expired token is refused", sign(exp=world.now - 3600), "token_expired"),
        ("a token of tomorrow is refused", sign(nbf=world.now + 86400), "token_not_yet_valid"),
        ("an expiry that is a string is malformed", sign(exp=str(world.now + 600)), "claim_malformed"),
        ("an expiry that is true is malformed", sign(exp=True), "claim_malformed"),
        (
            "an expiry that is null is malformed",
            raw(payload=json.dumps({**world.claims(one), "exp": None})),
            "claim_malformed",
        ),
        ("a negative expiry is malformed", sign(exp=-1), "claim_malformed"),
        ("an expiry after the year 9999 is malformed", sign(exp=253402300800), "claim_malformed"),
        (
            "an expiry that no number can hold is malformed",
            raw(payload=json.dumps(world.claims(one)).replace(f'"exp": {world.now + 600}', '"exp": 1e400')),
            "token_malformed",
        ),
        ("a not-before that is a string is malformed", sign(nbf=str(world.now)), "claim_malformed"),
        ("an issue time that is a string is malformed", sign(iat="now"), "claim_malformed"),
        ("a subject that is a number is malformed", sign(sub=1), "claim_malformed"),
        ("a token id that is a number is malformed", sign(jti=1), "claim_malformed"),
    ]:
        yield refused(sentence, token, reason)
    yield passes("one of several audiences passes", sign(aud=["https://other.example.com", AUDIENCE]))
    yield passes("an expiry with a fraction passes", sign(exp=world.now + 600.5))
    yield passes(
        "an expiry with a fraction passes with PS256 too", sign(key=world.keys["PS256"], exp=world.now + 600.5)
    )
    # The leeway is 10 seconds.
    brief = sign(exp=world.now + 100)
    yield passes("a token passes in the last second of the leeway", brief, later=109)
    yield refused("a token is refused when the leeway is over", brief, "token_expired", later=110)
    early = sign(nbf=world.now + 100)
    yield passes("a token passes as soon as the leeway before its time begins", early, later=90)
    yield refused("a token is refused a second before that", early, "token_not_yet_valid", later=89)

    # Hosts that are not as expected.
    yield refused(
        "a digest in upper case is the same digest",
        bound,
        "certificate_mismatch",
        on=two,
        facts={"connection.sha256_peer_certificate_digest": two.digest.upper().encode()},
    )
    yield case(
        "a digest that is none refuses every token",
        headers=[("authorization", f"Bearer {bound}")],
        facts={"connection.sha256_peer_certificate_digest": b"\xff" * 64},
        refusal=cannot_decide("peer_digest_malformed"),
    )
    yield refused(
        "an empty digest is no certificate",
        bound,
        "certificate_not_presented",
        facts={"connection.sha256_peer_certificate_digest": b""},
    )
    for name in ("ES256", "RS256"):
        yield case(
            f"{name} is refused by a host without cryptography",
            headers=[("authorization", f"Bearer {sign(key=world.keys[name])}")],
            without_host_cryptography=True,
            refusal=cannot_decide("signature_engine_unavailable"),
        )
    for name in ("PS256", "EdDSA"):
        yield passes(
            f"{name} needs no cryptography of the host", sign(key=world.keys[name]), without_host_cryptography=True
        )

    # No forged certificate header reaches the API.
    yield case(
        "an API gets no forged certificate header",
        headers=[("authorization", f"Bearer {bound}"), *forged_headers()],
        forward={"authorization": f"Bearer {bound}"},
    )


def authorization_server(world: World) -> Iterator[Case]:
    one, impostor = world.client_1, world.impostor
    gluu = {"x-clientcert": one.apache_form}
    both = {**gluu, "client-cert": one.rfc9440_form}
    unavailable = {"connection.peer_certificate_valid": None}

    def case(
        sentence: str, *, on: Certificate | None = one, policy: str = "clients", path: str = "/token", **rest: Any
    ) -> Case:
        rest.setdefault("headers", [])
        return Case(sentence, "authorization-server", policy, path, certificate=on, method="POST", **rest)

    yield case("a validated certificate is handed over in every dialect", forward=both)
    yield case("a validated certificate replaces what a client made up", headers=forged_headers(), forward=both)
    yield case("without a certificate nothing is handed over", on=None, forward={})
    yield case(
        "without a certificate nothing that a client made up is handed over",
        on=None,
        headers=forged_headers(),
        forward={},
    )
    yield case(
        "a copy of a subject on a self-signed certificate is not handed over", on=impostor, validated=False, forward={}
    )
    yield case(
        "a copy of a subject does not let forged headers through",
        on=impostor,
        validated=False,
        headers=forged_headers(),
        forward={},
    )
    self_signed_form = {"x-clientcert": impostor.apache_form, "x-forwarded-client-cert": xfcc(impostor)}
    yield case(
        "a self-signed certificate is handed over where the policy says so",
        on=impostor,
        validated=False,
        policy="self-signed",
        path="/self-signed/token",
        forward=self_signed_form,
    )
    yield case(
        "what is rebuilt replaces what a client made up",
        on=impostor,
        validated=False,
        policy="self-signed",
        path="/self-signed/token",
        headers=forged_headers(),
        forward=self_signed_form,
    )
    yield case(
        "without a certificate nothing is rebuilt",
        on=None,
        policy="self-signed",
        path="/self-signed/token",
        headers=forged_headers(),
        forward={},
    )
    yield case("a nested path of the token endpoint is governed like it", path="/token/introspection", forward=both)

    percent_encoded = one.url_encoded.encode()
    yield case(
        "a certificate that the host percent-encodes is the same certificate",
        facts={"connection.peer_certificate": percent_encoded},
        forward=both,
    )
    yield case(
        "a host that does not say whether the chain is valid is refused",
        facts=unavailable,
        refusal=cannot_decide("chain_validation_unavailable"),
    )
    yield case(
        "a word for validity that is none is refused",
        facts={"connection.peer_certificate_valid": b"yes"},
        refusal=cannot_decide("chain_validation_unavailable"),
    )
    yield case(
        "a host that does not hand over the certificate is refused",
        facts={"connection.peer_certificate": None},
        refusal=cannot_decide("certificate_unavailable"),
    )
    yield case(
        "a certificate that is none is refused",
        facts={"connection.peer_certificate": b"\xff"},
        refusal=cannot_decide("certificate_malformed"),
    )
    yield case(
        "two certificates are refused",
        facts={"connection.peer_certificate": one.pem.encode() * 2},
        refusal=cannot_decide("certificate_malformed"),
    )
    yield case(
        "another certificate than the connection's is refused",
        facts={"connection.peer_certificate": world.client_2.pem.encode()},
        refusal=cannot_decide("certificate_digest_mismatch"),
    )
    yield case(
        "a digest that is none is refused",
        facts={"connection.sha256_peer_certificate_digest": b"abc"},
        refusal=cannot_decide("peer_digest_malformed"),
    )

    yield Case(
        "a browser's endpoint gets no certificate",
        "authorization-server",
        None,
        "/auth",
        one,
        forged_headers(),
        forward={},
    )


def routes(world: World) -> Iterator[Case]:
    one = world.client_1
    metadata = "xds.route_metadata.filter_metadata.certbound"

    def case(sentence: str, facts: Mapping[str, bytes], reason: str) -> Case:
        return Case(sentence, "resource-server", None, "/", one, [], facts=facts, refusal=cannot_decide(reason))

    yield Case("an open route needs no token", "resource-server", "open", "/health", None, forged_headers(), forward={})
    yield case(
        "a route with a name that no policy has is refused",
        {metadata: encoded_map({"policy": "off"})},
        "unknown_policy",
    )
    yield case(
        "a policy's name is compared with its case", {metadata: encoded_map({"policy": "Open"})}, "unknown_policy"
    )
    yield case("a route with an empty name is refused", {metadata: encoded_map({"policy": ""})}, "unknown_policy")
    yield case(
        "a misspelt key in the route's metadata is refused",
        {metadata: encoded_map({"polcy": "open"})},
        "route_metadata_malformed",
    )
    yield case(
        "a second key in the route's metadata is refused",
        {metadata: encoded_map({"mode": "off", "policy": "open"})},
        "route_metadata_malformed",
    )
    yield case("route metadata that is no map is refused", {metadata: b"open"}, "route_metadata_malformed")


def forged_headers() -> list[Header]:
    """Every name of the field, in the spellings that servers behind CGI-like interfaces take for it."""
    names = (
        "Client-Cert Client-Cert-Chain X-Forwarded-Client-Cert X-ClientCert X-Forwarded-Tls-Client-Cert "
        "X-Forwarded-Tls-Client-Cert-Info X-Ssl-Cert X-Ssl-Cert-Chain-0 client-certificate "
        "client-certificate-ca-verified cname-api-key ssl-client-cert ssl-client-verify X-SSL-Client-Cert "
        "X-SSL-Client-SAN-DNS X-Amzn-Mtls-Clientcert-Leaf X-ARR-ClientCert Cf-Client-Cert-Der-Base64 "
        "X-Client-Cert x-wso2-mtls-cert"
    ).split()
    twins = [
        "X_ClientCert",
        "x.clientcert",
        "X_Client_Cert",
        "CLIENT_CERT",
        "client.cert",
        "x-forwarded_client-cert",
        "SSL_CLIENT_CERT",
        "X_SSL_CLIENT_VERIFY",
    ]
    # HTTP/2 has lower-case names alone, and Envoy makes them so.
    found = [(name.lower(), FORGED) for name in [*names, *twins]]
    return [*found, ("client-cert", FORGED), ("x-clientcert", FORGED)]


def xfcc(certificate: Certificate) -> str:
    return f'Hash={certificate.digest};Cert="{certificate.url_encoded}"'


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


def uncanonical(part: str) -> str:
    """The same bytes to a lenient decoder: a bit is set behind the last byte."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(part) % 4, "every bit of the last character counts"
    return part[:-1] + alphabet[alphabet.index(part[-1]) | 1]


def standard_base64(token: str) -> str:
    """The token with `+` or `/` in its signature, in place of `-` and `_`. A signature of 256 bytes has some."""
    header, payload, signature = token.split(".")
    return f"{header}.{payload}.{signature.replace('-', '+').replace('_', '/')}"


def other_case(thumbprint: str) -> str:
    """The thumbprint with its first letter in the other case: another thumbprint. The last character stays, since
    there it might not be canonical."""
    index = next(index for index, character in enumerate(thumbprint[:-1]) if character.isalpha())
    return thumbprint[:index] + thumbprint[index].swapcase() + thumbprint[index + 1 :]


def hmac_with_public_key(world: World) -> str:
    """RFC 8725 §2.1: to a verifier that believes the header, the RSA key is the secret, and it is public."""
    header = tokens.encode_part({"alg": "HS256", "kid": "RS256-1"})
    secret = json.dumps(world.keys["RS256"].jwk).encode()
    return tokens.assemble(header, tokens.encode_part(world.claims(world.client_1)), secret, "HS256")


def as_json(world: World) -> dict[str, Any]:
    """Everything that the Rust tests need, with bytes in base64."""

    def text(value: str | bytes) -> str:
        return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()

    def one(case: Case) -> dict[str, Any]:
        pseudo = [
            (":method", case.method),
            (":path", case.path),
            (":authority", "api.example.com"),
            (":scheme", "https"),
        ]
        return {
            "sentence": case.sentence,
            "configuration": case.configuration,
            "headers": [[name, text(value)] for name, value in [*pseudo, *case.headers]],
            "properties": [[list(path), text(value)] for path, value in case.properties().items()],
            "now": world.now + case.later,
            "without_host_cryptography": case.without_host_cryptography,
            "forward": case.forward,
            "refusal": case.refusal and {**vars(case.refusal), "realm": AUDIENCE},
        }

    def configuration(name: str) -> dict[str, str]:
        value = shipped.plugin_configuration(shipped.read(name, **world.substitutions()))
        struct = Struct()
        struct.update(value)
        return {"json": json.dumps(value, indent=2), "struct": text(struct.SerializeToString())}

    return {
        "forged": FORGED,
        "configurations": {name: configuration(name) for name in ("resource-server", "authorization-server")},
        "cases": [one(case) for case in cases(world)],
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        Path(sys.argv[1]).write_text(json.dumps(as_json(World(Path(directory))), indent=1))
