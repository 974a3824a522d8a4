"""The one list of cases. It is run three times: against the core and against the built module in a fake host
(tests/core/cases.rs and tests/module/shipped.rs read it as JSON, which `python -m cases FILE` writes), and against the shipped
files of envoy/ in a real Envoy, over HTTP/1.1 and HTTP/2 (tests/envoy/test_cases.py).

A case is a sentence, a request, and what must become of it. Tokens and certificates are made anew in every run, by
software that shares nothing with certbound."""

import base64
import json
import struct
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from google.protobuf.struct_pb2 import Struct

from rig import shipped, tokens
from rig.certificates import Authority, Certificate, self_signed
from rig.tokens import SigningKey

ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
OTHER_ISSUER = "https://other-as.example.com"
OTHER_AUDIENCE = "https://other-api.example.com"

LIFETIME = 7200
"""Of a good token, in seconds: more than the slowest run of all tests takes, which all have one time."""

FORGED = "forged-by-the-client"
"""What a client writes where it has no business; no upstream may ever see it."""

SECRET = "0p3n-s3same"
"""The one environment variable of the module in the cases, CERTBOUND_SECRET."""

Header = tuple[str, str | bytes]


def _presented(configuration: dict[str, Any]) -> None:
    configuration["policies"]["clients"] = {
        "authorization_server": {
            "forward_certificate": [{"dialect": "gluu"}],
            "client_certificate": "presented",
            "x_forwarded_client_cert": "rebuild",
        }
    }


def _validated_by_listener(configuration: dict[str, Any]) -> None:
    configuration["policies"]["clients"]["authorization_server"]["client_certificate"] = "validated_by_listener"


def _two_issuers(configuration: dict[str, Any]) -> None:
    """The first may use ES256 alone; the second has the first one's RS256 key, for PS256 alone, without a key id."""
    server = configuration["policies"]["api"]["resource_server"]
    (first,) = server["issuers"]
    (rsa,) = [key for key in first["keys"]["jwks"]["keys"] if key["kid"] == "RS256-1"]
    unnamed = {**{name: value for name, value in rsa.items() if name != "kid"}, "alg": "PS256"}
    server["issuers"] = [
        {**first, "algorithms": ["ES256"]},
        {"issuer": OTHER_ISSUER, "audiences": [OTHER_AUDIENCE], "keys": {"jwks": {"keys": [unnamed]}}},
    ]
    server["realm"] = "other realm"
    server["leeway_seconds"] = 60


def _fetched_keys(configuration: dict[str, Any]) -> None:
    for issuer in configuration["policies"]["api"]["resource_server"]["issuers"]:
        issuer["keys"] = {"jwks_uri": f"{ISSUER}/jwks", "cluster": "no such cluster"}


def _introspection(configuration: dict[str, Any]) -> None:
    """`api` has opaque tokens introspected, `migration` all, and `gluu` has signed answers."""
    policies = configuration["policies"]
    introspection = {
        "endpoint": f"{ISSUER}/introspect",
        "cluster": "no such cluster",
        "endpoint_auth_method": "none",
        "client_id": "api",
    }
    for name, more in {
        "api": {},
        "migration": {"tokens": "all", "audience": "if_present", "token_types": ["Own-Word"]},
        "gluu": {"tokens": "all", "answer": "jwt"},
    }.items():
        (issuer,) = policies[name]["resource_server"]["issuers"]
        issuer["introspection"] = {**introspection, **more}
        if name == "migration":
            del issuer["keys"]


def _verified_by_jwt_authn(configuration: dict[str, Any]) -> None:
    (issuer,) = configuration["policies"]["api"]["resource_server"]["issuers"]
    issuer["keys"] = {"verified_by": "jwt_authn", "payload_in_metadata": "access_token"}


def _access_tokens_verified_by_jwt_authn(configuration: dict[str, Any]) -> None:
    _verified_by_jwt_authn(configuration)
    (issuer,) = configuration["policies"]["api"]["resource_server"]["issuers"]
    issuer["token_type"] = "at+jwt"


def _every_form(configuration: dict[str, Any]) -> None:
    configuration["policies"]["clients"]["authorization_server"]["forward_certificate"] = [
        {"dialect": "auth0", "secret": {"environment": "CERTBOUND_SECRET"}},
        *({"dialect": name} for name in ("janssen", "authlete", "keycloak_nginx", "keycloak_traefik")),
        *({"dialect": name} for name in ("keycloak_envoy", "keycloak_rfc9440", "azure")),
        {"dialect": "connect2id", "header": "Sec-Client-X509-Cert-7PzC1"},
        {"header": "x-apache", "encoding": "pem_apache", "chain": "numbered", "prefix": "X_APACHE_"},
        {"header": "x-haproxy", "encoding": "der_base64", "chain": "concatenated_der", "chain_header": "x-h-chain"},
        {"header": "x-digest", "encoding": "sha256_hex"},
        {"header": "x-thumbprint", "encoding": "x5t_s256"},
    ]
    configuration["additional_headers"] = ["X-Client-Name", "X-Corp-Cert-*", "$CORP"]


def _facts(configuration: dict[str, Any]) -> None:
    clients = configuration["policies"]["clients"]["authorization_server"]
    clients["forward_certificate"] = [{"dialect": "gluu"}]
    clients["client_certificate"] = "presented"
    clients["endpoints"] = ["/token", "/token/par"]
    names = ("subject", "issuer", "serial_number", "not_before", "not_after", "san_dns", "san_uri", "san_ip")
    clients["facts"] = {name: f"x-fact-{name}" for name in (*names, "san_email", "x5t_s256", "sha256", "verified")}


def _keycloak(configuration: dict[str, Any]) -> None:
    """A hundred bytes too few for a chain."""
    configuration["policies"]["clients"]["authorization_server"]["forward_certificate"] = [
        {"dialect": "keycloak_apache", "max_bytes": 1500}
    ]
    configuration["on_forged"] = "refuse"


def _too_small(configuration: dict[str, Any]) -> None:
    clients = configuration["policies"]["clients"]["authorization_server"]
    clients["forward_certificate"] = [{"dialect": "keycloak_haproxy", "max_bytes": 256}]


def _unlisted_clients_forwarded(configuration: dict[str, Any]) -> None:
    server = configuration["policies"]["clients"]["authorization_server"]
    server["client_certificate"] = "validated_by_listener"
    server["client_authentication"]["unlisted_clients"] = "forward"
    listed = ("a+b", "50%25", "Twin", "tWIN")
    server["client_authentication"]["clients"] += [{"client_id": own, "token_endpoint_auth_method": "none"} for own in listed]


def _client_keys(configuration: dict[str, Any]) -> None:
    """Nobody answers there."""
    authentication = configuration["policies"]["clients"]["authorization_server"]["client_authentication"]
    authentication["client_keys"] = {"https://client.example.org": "nowhere"}
    authentication["clients"].append(
        {
            "client_id": "publishing",
            "token_endpoint_auth_method": "self_signed_tls_client_auth",
            "jwks_uri": "https://client.example.org/jwks",
        }
    )


CHANGED: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "self-signed-clients": ("authorization-server", _presented),
    "validated-by-listener": ("authorization-server", _validated_by_listener),
    "every-form": ("authorization-server", _every_form),
    "facts": ("authorization-server", _facts),
    "keycloak": ("authorization-server", _keycloak),
    "too-small": ("authorization-server", _too_small),
    "behind-terminators": ("authorization-server", lambda configuration: None),
    "unlisted-clients-forwarded": ("client-authentication", _unlisted_clients_forwarded),
    "client-keys": ("client-authentication", _client_keys),
    "two-issuers": ("resource-server", _two_issuers),
    "fetched-keys": ("resource-server", _fetched_keys),
    "introspection": ("resource-server", _introspection),
    "verified-by-jwt-authn": ("resource-server", _verified_by_jwt_authn),
    "access-tokens-verified-by-jwt-authn": ("resource-server", _access_tokens_verified_by_jwt_authn),
}
"""Configurations by name: a file of envoy/, and what is changed of its plugin configuration."""


def envoy_configuration(name: str, world: "World", **ports: int) -> dict[str, Any]:
    """The Envoy configuration of that name."""
    file, change = CHANGED.get(name, (name, lambda configuration: None))
    document = yaml.safe_load(text_of(file, world, **ports))
    configuration = shipped.plugin(document)["configuration"]["value"]
    if name == "every-form":
        variables = {"key_values": {"CERTBOUND_SECRET": SECRET}}
        shipped.plugin(document)["vm_config"]["environment_variables"] = variables
    # The clients of the cases send the root as well, as OpenSSL completes what it has; tests/peers/test_terminators.py has chains.
    shipped.manager(document).pop("set_current_client_cert_details", None)
    change(configuration)
    if name == "behind-terminators":
        variables = {"key_values": {"CERTBOUND_SECRET": SECRET}}
        shipped.plugin(document)["vm_config"]["environment_variables"] = variables
        configuration.clear()
        configuration.update(world.behind_terminators())
    if file == "client-authentication":
        clients = configuration["policies"]["clients"]["authorization_server"]["client_authentication"]["clients"]
        (registered,) = [client for client in clients if "jwks" in client]
        registered["jwks"]["keys"][0]["x5c"] = [base64.b64encode(world.impostor.der).decode()]
    return document


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
        self.names = self.authority.issue(
            "names",
            subject=[("C", "NL"), ("CN", 'Zo\u00eb, "client"')],
            dns=["a.example.com", "b.example.com"],
            uri=["https://a.example.com/x,y%20z"],
            ip=["192.0.2.1", "2001:db8::1"],
            email=["client@example.com"],
        )
        self.impostor = self_signed(directory, "impostor", copy_subject_of=self.client_1)
        self.revoked = [self.authority.issue(f"revoked-{number}") for number in (1, 2)]
        self.keys = {name: SigningKey.make(name, f"{name}-1") for name in ("ES256", "RS256", "PS256", "EdDSA")}
        for name in ("RS384", "RS512"):
            # Making an RSA key takes long; that of RS256 does, as a key with another id and algorithm.
            self.keys[name] = SigningKey(name, f"{name}-1", self.keys["RS256"].private_key)
        # With moduli that do not end with a byte, whose encoded messages begin in other bits (RFC 8017 §9.1.1).
        for name, bits in (("PS384", 2049), ("PS512", 2055)):
            self.keys[name] = SigningKey.make(name, f"{name}-1", rsa_bits=bits)
        for name in ("ES384", "ES512"):
            self.keys[name] = SigningKey.make(name, f"{name}-1")
        self.stranger = SigningKey.make("ES256", "ES256-1")
        """A key with the key id of one of the issuer's, and not the issuer's."""
        self.now = int(time.time())
        self._dated: dict[str, Certificate] = {}

    def dated(self, not_before: int, not_after: int) -> Certificate:
        """A client certificate that is valid between these two seconds, counted from the run's own now."""
        name = f"dated-{not_before}-{not_after}"
        if name not in self._dated:
            first, last = (datetime.fromtimestamp(self.now + each, UTC) for each in (not_before, not_after))
            self._dated[name] = self.authority.issue(name, not_before=first, not_after=last)
        return self._dated[name]

    def substitutions(self) -> dict[str, Any]:
        """What the shipped files need to be run here, ports apart."""
        return {
            "jwks": tokens.jwks(*self.keys.values()),
            "server": self.server,
            "client_ca": self.authority.pem_path,
        }

    def variants(self) -> dict[str, dict[str, Any] | None]:
        """The policies of the configuration "variants": each is the policy `api` of envoy/resource-server.yaml with
        these keys changed, those under "issuer" in its issuer. Its routes are under /NAME/; None is a route alone."""
        return {
            "observe": {"certificate_binding": "observe"},
            "no-leeway": {"leeway_seconds": 0},
            "long-leeway": {"leeway_seconds": 60},
            "at-jwt": {"issuer": {"token_type": "at+jwt"}},
            "short-lived": {"issuer": {"max_lifetime_seconds": LIFETIME}},
            "scopes": {"required_scopes": ["accounts", "payments:write"]},
            "scopes-observe": {"required_scopes": ["accounts"], "certificate_binding": "observe"},
            "dpop": {"dpop": "verified_upstream"},
            "dpop-migration": {"dpop": "verified_upstream", "certificate_binding": "if_present"},
            "dpop-observe": {"dpop": "verified_upstream", "certificate_binding": "observe"},
            "own-parameter": {"access_token_query": "ignore"},
            "browsers": {"cors_preflight": "forward"},
            "upstream": {
                "forward_token": "remove",
                "forward_claims": [
                    {"claim": "sub", "header": "x-subject"},
                    {"claim": "client_id", "header": "x-client-id"},
                    {"claim": "roles", "header": "x-roles", "encoding": "json"},
                ],
                "forward_thumbprint": "x-client-thumbprint",
            },
            "server-name": {"server_name": "must_match"},
            "revocation": {"revoked_certificates": [self.revoked[0].thumbprint, self.revoked[1].digest.upper()]},
            "validity": {"certificate_validity": "checked"},
            "any-of-four": {
                "issuer": {
                    "keys": {
                        "jwks": {
                            "keys": [
                                {name: value for name, value in self.keys[key].jwk.items() if name != "alg"}
                                for key in ("RS256", "PS256", "PS384", "PS512")
                            ]
                        }
                    }
                }
            },
            "nowhere": None,
        }

    def behind_terminators(self) -> dict[str, Any]:
        """The plugin configuration "behind-terminators": a policy for each proof, under /NAME."""
        issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "keys": {"jwks": tokens.jwks(*self.keys.values())}}

        def api(header: str, encoding: str, proof: dict[str, Any], **rest: Any) -> dict[str, Any]:
            source = {"header": header, "encoding": encoding, "proof": proof}
            return {"resource_server": {"issuers": [issuer], "client_certificate_source": source, **rest}}

        secret = {"secret_header": "X-Edge-Secret", "secret": {"environment": "CERTBOUND_SECRET"}}
        verified = {"header": "X-Edge-Verify", "value": "SUCCESS"}
        by_secret = {"header": "X-Edge-Cert", "encoding": "pem_apache", "proof": secret}
        handed_over = {
            "forward_certificate": [{"dialect": "rfc9440"}, {"dialect": "gluu"}],
            "facts": {"verified": "x-fact-verified"},
        }
        policies = {
            "certificate": api("X-Edge-Cert", "pem_url", {"terminator_certificates": [self.client_2.digest]}),
            "name": api(
                "X-Client-Cert",
                "der_base64",
                {"terminator_san": {"dns": "A.example.com"}},
                certificate_validity="checked",
                forward_thumbprint="x-thumbprint",
            ),
            "stated": api(
                "X-Edge-Cert",
                "der_base64",
                {"terminator_san": {"uri": "https://a.example.com/x,y%20z", "chain": "validated_by_listener"}},
            ),
            "secret": api("X-Edge-X5t", "x5t_s256", secret),
            "rfc9440": {
                "authorization_server": {
                    **handed_over,
                    "client_certificate_source": {
                        "header": "Client-Cert",
                        "chain_header": "Client-Cert-Chain",
                        "encoding": "sf_binary",
                        "proof": secret,
                        "verified": verified,
                    },
                }
            },
            "apache": {
                "authorization_server": {
                    **handed_over,
                    "client_certificate": "validated_by_listener",
                    "client_certificate_source": by_secret,
                }
            },
            "presented": {
                "authorization_server": {
                    **handed_over,
                    "client_certificate": "presented",
                    "client_certificate_source": {**by_secret, "verified": verified},
                }
            },
            "elsewhere": {"clean_only": {}},
        }
        routes = [{"path_prefix": f"/{name}", "policy": name} for name in policies]
        return {"policies": policies, "routes": routes}

    def claims(self, bound_to: Certificate | None = None, **other: Any) -> dict[str, Any]:
        """The claims of a good access token, bound to a certificate or not; `other` adds, replaces, and where it is
        None removes."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": "client-1",
            "aud": AUDIENCE,
            "iat": self.now,
            "nbf": self.now,
            "exp": self.now + LIFETIME,
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
    scope: str | None = None
    """What the challenge says that the token needs."""
    grpc_status: int | None = None
    """What a gRPC client gets; on the wire its HTTP status is 200."""


@dataclass(frozen=True)
class Case:
    sentence: str
    configuration: str
    """A file of envoy/, without its ending; or "variants", see World.variants; or one of CHANGED."""
    policy: str | None
    """The policy that the route of `path` names in that file; None where it names none."""
    path: str
    certificate: Certificate | None
    headers: Sequence[Header]
    forward: Mapping[str, str] | None = None
    """Headers that the upstream must see, each exactly once; None where the request must be refused."""
    refusal: Refusal | None = None
    note: str | None = None
    """The reason for which the request would have been refused, did the policy not merely observe."""
    authority: str = "localhost"
    """The host of the request, and what stands behind it. The server name of the TLS handshake is localhost."""
    method: str = "GET"
    body: bytes = b""
    validated: bool = True
    """Whether Envoy would say that the certificate's chain is valid."""
    facts: Mapping[str | tuple[str, ...], bytes | None] = field(default_factory=dict)
    """Properties of a host that does not behave like the Envoy of today; no real Envoy can play it."""
    later: int = 0
    """Seconds between the making of the token and the request; no real Envoy can play it."""
    as_it_came: bool = False
    """The path as the client sent it, which the shipped file has Envoy normalize; tests/envoy/test_routes.py has that off."""
    introspection: str | None = None
    """What the authorization server answers about the token; in a real Envoy it is tests/envoy/test_introspection.py that asks."""
    before: Sequence[str] = ()
    """The tokens of requests that came before, in the same second; no real Envoy can play it."""
    without_host_cryptography: bool = False
    """A host that has no `verify_signature`; no real Envoy can play it."""

    @property
    def plays_in_envoy(self) -> bool:
        return not (
            self.facts
            or self.later
            or self.before
            or self.as_it_came
            or self.without_host_cryptography
            or self.introspection is not None
        )

    @property
    def realm(self) -> str:
        if self.configuration == "client-authentication":
            return "clients"
        return "other realm" if self.configuration == "two-issuers" else AUDIENCE

    def properties(self) -> dict[tuple[str, ...], bytes]:
        """What the host says of the connection and the route."""
        properties: dict[tuple[str, ...], bytes | None] = {("connection", "requested_server_name"): b"localhost"}
        if self.policy:
            properties["xds", "route_metadata", "filter_metadata", "certbound"] = encoded_map({"policy": self.policy})
        if self.certificate:
            properties["connection", "sha256_peer_certificate_digest"] = self.certificate.digest.encode()
            properties["connection", "peer_certificate"] = self.certificate.pem.encode()
            properties["connection", "peer_certificate_valid"] = bytes([self.validated])
        for name, value in self.facts.items():
            properties[tuple(name.split(".")) if isinstance(name, str) else name] = value
        return {name: value for name, value in properties.items() if value is not None}


def encoded_map(entries: Mapping[str, Any]) -> bytes:
    """A map as Envoy hands it to a module: count, lengths, then every text with a NUL behind it."""
    return _encoded_pairs([(key.encode(), _encoded(value)) for key, value in entries.items()])


def _encoded(value: Any) -> bytes:
    match value:
        case str():
            return value.encode()
        case bool():
            return bytes([value])
        case int() | float():
            return struct.pack("<d", value)
        case list():
            return _encoded_pairs([(_encoded(item), b"") for item in value])
    return encoded_map(value)


def _encoded_pairs(pairs: list[tuple[bytes, bytes]]) -> bytes:
    sizes = b"".join(len(text).to_bytes(4, "little") for pair in pairs for text in pair)
    return len(pairs).to_bytes(4, "little") + sizes + b"".join(text + b"\0" for pair in pairs for text in pair)


def cases(world: World) -> list[Case]:
    found = [
        *resource_server(world),
        *variants(world),
        *toward_the_upstream(world),
        *two_issuers(world),
        *fetched_keys(world),
        *introspection(world),
        *verified_by_jwt_authn(world),
        *authorization_server(world),
        *forms(world),
        *client_authentication(world),
        *behind_terminators(world),
        *routes(world),
        *routes_of_the_configuration(world),
    ]
    sentences = [case.sentence for case in found]
    assert len(set(sentences)) == len(sentences), "two cases have one sentence"
    return found


CONFIGURATIONS = ("resource-server", "variants", "authorization-server", "client-authentication", "policies-by-path", *CHANGED)


def text_of(name: str, world: World, **ports: int) -> str:
    """An Envoy configuration of the cases: a file of envoy/, or the variants of one."""
    if name == "variants":
        return shipped.with_variants(text_of("resource-server", world, **ports), world.variants())
    return shipped.read(name, **world.substitutions(), **ports)


def invalid_token(reason: str) -> Refusal:
    return Refusal(reason, 401, "invalid_token", challenge=True)


def invalid_request(reason: str) -> Refusal:
    return Refusal(reason, 400, "invalid_request", challenge=True)


def no_token(reason: str) -> Refusal:
    return Refusal(reason, 401, None, challenge=True)


def insufficient_scope(scope: str) -> Refusal:
    return Refusal("scope_insufficient", 403, "insufficient_scope", challenge=True, scope=scope)


def no_route() -> Refusal:
    return Refusal("route_unknown", 404, None, challenge=False)


def ambiguous() -> Refusal:
    return Refusal("target_ambiguous", 400, "invalid_request", challenge=False)


def misdirected() -> Refusal:
    return Refusal("server_name_mismatch", 421, None, challenge=False)


def cannot_decide(reason: str) -> Refusal:
    return Refusal(reason, 500, "server_error", challenge=False)


def resource_server(world: World) -> Iterator[Case]:
    one, two, impostor = world.client_1, world.client_2, world.impostor
    es256 = world.keys["ES256"]
    at = {"api": ("api", "/"), "migration": ("migration", "/migration/"), "gluu": ("gluu", "/gluu/")}

    def case(
        sentence: str, *, policy: str = "api", on: Certificate | None = one, headers: Sequence[Header] = (), **rest: Any
    ) -> Case:
        configuration = rest.pop("configuration", "resource-server")
        name, path = at.get(policy, (policy, f"/{policy}/"))
        rest.setdefault("path", path)
        # The route of / names no policy: it has the default one.
        return Case(sentence, configuration, None if name == "api" else name, certificate=on, headers=headers, **rest)

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
        yield passes(f"a claim without a meaning here does not matter to {name}", sign(key=key, acr=1), policy=policy)
        yield passes(
            f"a header parameter without a meaning here does not matter to {name}",
            sign({"x5t": 1}, key=key),
            policy=policy,
        )

    # The confirmation, strictly.
    for name, cnf, reason in confirmations(world):
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
        "a Basic value and a Bearer value are refused",
        headers=[("authorization", "Basic Y2xpZW50OnNlY3JldA=="), ("authorization", f"Bearer {bound}")],
        refusal=invalid_request("authorization_repeated"),
    )
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
    for sentence, query in [
        ("a token in the query is refused", f"access_token={bound}"),
        ("an empty token in the query is refused", "access_token="),
        ("a token parameter without a value is refused", "access_token"),
        ("a token behind other parameters is refused", f"a=b&c&access_token={bound}"),
        ("a token behind a semicolon is refused", f"a=b;access_token={bound}"),
        ("a token behind a second question mark is refused", f"a?access_token={bound}"),
        ("a token behind two question marks is refused", f"?access_token={bound}"),
        ("a percent-encoded token parameter is refused", f"access%5ftoken={bound}"),
        ("a token parameter percent-encoded in capitals is refused", f"access%5Ftoken={bound}"),
        (
            "a token parameter that is percent-encoded throughout is refused",
            f"%61%63%63%65%73%73%5f%74%6F%6b%65%6e={bound}",
        ),
        ("a token parameter in capitals is refused", f"ACCESS_TOKEN={bound}"),
        ("a token parameter with a plus is refused, which PHP reads as an underscore", f"access+token={bound}"),
        ("a token parameter with a dot is refused, which PHP reads as an underscore", f"access.token={bound}"),
        ("a token parameter behind a space is refused, which PHP drops", f"%20access_token={bound}"),
        ("a token parameter behind a plus is refused, which PHP drops", f"+access_token={bound}"),
        ("a token parameter before a space is refused, which others drop", f"access_token%20={bound}"),
        ("a token parameter before a line end is refused", f"access_token%0d%0a={bound}"),
        ("a token parameter behind a no-break space is refused", f"%c2%a0access_token={bound}"),
        ("a token parameter behind a byte order mark is refused", f"%EF%BB%BFaccess_token={bound}"),
        ("a token parameter before a NUL is refused, where a name of C ends", f"access_token%00x={bound}"),
        ("a token parameter behind a NUL is refused, which Java trims", f"%00access_token={bound}"),
        ("a token parameter that is a list is refused, as PHP and Rails write it", f"access_token[]={bound}"),
        ("a token parameter that is a map is refused", f"access_token[0][x]={bound}"),
        ("a token parameter that is a list is refused with its brackets encoded", f"access%5Ftoken%5B%5D={bound}"),
        ("a token parameter with a bracket is refused, which PHP reads as an underscore", f"access[token={bound}"),
        ("a token parameter with a bracket before a NUL is refused", f"access[token%00x={bound}"),
        ("a token parameter in brackets is refused, which qs and Rack drop", f"[access_token]={bound}"),
        ("a token parameter in brackets is refused that are encoded and two", f"%5b%5baccess_token%5d%5d={bound}"),
        ("a token parameter behind a dot is refused, which qs drops", f".access_token={bound}"),
        ("a token parameter in the escapes of .NET is refused", f"access%u005Ftoken={bound}"),
        ("a token parameter with a long s is refused, whose capital is S", f"acce%C5%BF%C5%BF_token={bound}"),
        ("a token parameter with a sharp s is refused, whose capitals are SS", f"acce%C3%9F_token={bound}"),
        ("a token parameter with the sign of the kelvin is refused", f"access_to%e2%84%aaen={bound}"),
    ]:
        yield case(sentence, path=f"/?{query}", refusal=invalid_request("token_in_query"))
    yield case(
        "a token in the query beside one in the header is refused",
        path="/?access_token=x",
        headers=[("authorization", f"Bearer {bound}")],
        refusal=invalid_request("token_in_query"),
    )
    for sentence, path in [
        (
            "a parameter whose name goes on behind access_token passes",
            "/?access_token_type=x&my_access_token=y&_access_token=z",
        ),
        ("a parameter that has another with access_token in it passes", "/?a[access_token]=x&access%5btoken%5d=y&a.access_token=z"),
        ("a parameter whose value is access_token passes", "/?type=access_token&%zz=%4&="),
        ("a path with access_token in it passes", "/access_token"),
    ]:
        yield passes(sentence, bound, path=path)

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
        ("an algorithm with a space before it is refused", sign({"alg": " ES256"}), "algorithm_not_allowed"),
        ("an algorithm in small letters is refused", sign({"alg": "es256"}), "algorithm_not_allowed"),
        (
            "an algorithm of a curve that JOSE servers seldom have is refused",
            sign({"alg": "ES256K"}),
            "algorithm_not_allowed",
        ),
        ("an algorithm that the issuer may not use is refused", sign(key=world.keys["ES384"]), "algorithm_not_allowed"),
        ("a header without an algorithm is malformed", raw(header='{"kid":"ES256-1"}'), "token_malformed"),
        ("an algorithm that is no string is malformed", sign({"alg": 256}), "token_malformed"),
        ("a critical header parameter is refused", sign({"crit": ["exp"]}), "token_header_unsupported"),
        (
            "a payload that says not to be encoded is refused",
            sign({"crit": ["b64"], "b64": False}),
            "token_header_unsupported",
        ),
        (
            "a certificate in the token is no key",
            tokens.sign(world.stranger, world.claims(one), header={"x5c": [base64.b64encode(one.der).decode()]}),
            "signature_invalid",
        ),
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
        ("a logout token is of another type", sign({"typ": "logout+jwt"}), "token_type_unsupported"),
        ("a type that is no string is refused", sign({"typ": 1}), "token_type_unsupported"),
        ("a key id that is no string is malformed", sign({"kid": 1}), "token_malformed"),
        ("an unknown key id is refused", sign({"kid": "ES256-2"}), "key_unknown"),
        ("a key id of a key of another type is refused", sign({"kid": "RS256-1"}), "key_unknown"),
        (
            "a key is used with its own algorithm alone",
            sign(key=world.keys["RS256"], algorithm="PS256"),
            "key_unknown",
        ),
        ("a key id that is a path is an unknown key", sign({"kid": "../../dev/null"}), "key_unknown"),
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
        (
            "an ECDSA signature of the order of the curve is refused",
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
    for kind in ("JWT", "at+jwt", "AT+JWT", "application/at+jwt"):
        yield passes(f"the type {kind} passes", sign({"typ": kind}))
    yield passes("a token without a key id passes on a key of its type", raw(header='{"alg":"ES256"}'))

    # Another token than an access token, signed with the same keys (RFC 8725 §3.12).
    for name, marks in other_tokens():
        yield refused(f"{name} is no access token", sign(**marks), "token_type_unsupported")
        yield refused(
            f"{name} is no access token during a migration without a certificate either",
            sign(bound_to=None, **marks),
            "token_type_unsupported",
            policy="migration",
            on=None,
        )
    for name, marks in access_tokens():
        yield passes(f"a nonce does not matter beside {name}", sign(nonce="n", **marks))
    for kind in ("at+jwt", "application/at+jwt"):
        yield passes(f"a nonce does not matter in a token of the type {kind}", sign({"typ": kind}, nonce="n"))
        yield refused(
            f"an ID token is no access token for its type {kind}", sign({"typ": kind}, typ="ID"), "token_type_unsupported"
        )
    for name, claims in [
        ("a word for its kind that nobody knows", {"typ": "JWT", "token_use": "service", "purpose": "payment"}),
        # RFC 7662 has this member in an answer; in a token no standard does, and some servers have words of their own.
        ("a token_type of its own", {"token_type": "access"}),
        ("a word for its kind that is no text", {"typ": 1, "tokenName": ["id_token"], "token_use": {"id": True}}),
    ]:
        yield passes(f"a token with {name} passes", sign(**claims))
    for name in ("nonce", "at_hash", "events", "typ"):
        yield passes(
            f"a token whose {name} is null passes", raw(payload=json.dumps({**world.claims(one), name: None}))
        )

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
        ("an expiry that is a string is malformed", sign(exp=str(world.now + LIFETIME)), "claim_malformed"),
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
            raw(payload=json.dumps(world.claims(one)).replace(f'"exp": {world.now + LIFETIME}', '"exp": 1e400')),
            "token_malformed",
        ),
        ("a not-before that is a string is malformed", sign(nbf=str(world.now)), "claim_malformed"),
        ("an issue time that is a string is malformed", sign(iat="now"), "claim_malformed"),
        ("a subject that is a number is malformed", sign(sub=1), "claim_malformed"),
        ("a token id that is a number is malformed", sign(jti=1), "claim_malformed"),
    ]:
        yield refused(sentence, token, reason)
    yield passes("one of several audiences passes", sign(aud=["https://other.example.com", AUDIENCE]))
    yield passes("an expiry with a fraction passes", sign(exp=world.now + LIFETIME + 0.5))
    yield passes(
        "an expiry with a fraction passes with PS256 too", sign(key=world.keys["PS256"], exp=world.now + LIFETIME + 0.5)
    )
    for name in ("ES256", "PS256"):
        chain = sign({"x5c": ["M" * 3000] * 3, "salt": "AAAA"}, key=world.keys[name])
        yield passes(f"a long header does not matter to {name}", chain)
    yield refused(
        "an issuer with a line end in it does not end a line of the log",
        sign(iss="https://as\r\nrefused: reason=none policy=\u65e5\u202e"),
        "issuer_not_trusted",
    )
    yield refused(
        "a key id with a line end in it does not end a line of the log", sign({"kid": "1\r\n\x1b[2J"}), "key_unknown"
    )

    yield refused("a token that was issued tomorrow is refused", sign(iat=world.now + 86400), "token_not_yet_valid")

    # The clock, second by second.
    for policy, leeway in [("no-leeway", 0), ("api", 10), ("long-leeway", 60)]:
        where = {"policy": policy, "configuration": "resource-server" if policy == "api" else "variants"}
        for claim, reason, sign_of_leeway in [
            ("exp", "token_expired", 1),
            ("nbf", "token_not_yet_valid", -1),
            ("iat", "token_not_yet_valid", -1),
        ]:
            token = sign(**{"exp": world.now + 10000, claim: world.now + 200})
            for beyond in (-1, 0, 1):
                later = 200 + sign_of_leeway * leeway + beyond
                name = f"a token is judged {beyond} seconds from where the leeway of {leeway} for its {claim} ends"
                # `exp` is the first second that is too late, `nbf` and `iat` are the first that is not too early.
                if (beyond < 0) == (claim == "exp"):
                    yield passes(name, token, later=later, **where)
                else:
                    yield refused(name, token, reason, later=later, **where)

    # Hosts that are not as expected.
    yield passes(
        "a digest in upper case is the same digest",
        bound,
        facts={"connection.sha256_peer_certificate_digest": one.digest.upper().encode()},
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
    for name in ("ES256", "ES384", "ES512", "RS256", "RS384", "RS512"):
        yield case(
            f"{name} is refused by a host without cryptography",
            policy="migration",
            headers=[("authorization", f"Bearer {sign(key=world.keys[name])}")],
            without_host_cryptography=True,
            refusal=cannot_decide("signature_engine_unavailable"),
        )
    for name in ("PS256", "PS384", "PS512", "EdDSA"):
        yield passes(
            f"{name} needs no cryptography of the host",
            sign(key=world.keys[name]),
            policy="migration",
            without_host_cryptography=True,
        )

    # No forged certificate header reaches the API.
    yield case(
        "an API gets no forged certificate header",
        headers=[("authorization", f"Bearer {bound}"), *forged_headers()],
        forward={"authorization": f"Bearer {bound}"},
    )


def other_tokens() -> list[tuple[str, dict[str, Any]]]:
    """What a token has that is no access token."""
    keycloak = ["ID", "Refresh", "Offline", "Logout", "Serialized-ID", "InitialAccessToken", "RegistrationAccessToken"]
    # The links that Keycloak sends by mail, and makes for administrators, are tokens too.
    keycloak += ["execute-actions", "verify-email", "update-email", "reset-credentials", "idp-verify-account-via-email"]
    keycloak += ["ORGIVT", "impersonate"]
    return [
        *((f"a token that Keycloak calls {name}", {"typ": name, "scope": "openid"}) for name in keycloak),
        ("a token that is an Id in any case", {"typ": "iD"}),
        ("an ID token of Cognito's", {"token_use": "id", "scope": "openid"}),
        ("a refresh token of Hydra's", {"token_use": "refresh_token", "scope": "openid"}),
        ("a refresh token by its token_use", {"token_use": "refresh"}),
        ("an ID token of ForgeRock's", {"tokenName": "id_token", "scope": "openid"}),
        ("a refresh token of ForgeRock's", {"tokenName": "refresh_token", "scope": "openid"}),
        ("an ID token of Curity's", {"purpose": "id", "scope": "openid"}),
        ("a refresh token by its token_type", {"token_type": "Refresh", "scope": "openid"}),
        ("an ID token with the hash of an access token", {"at_hash": "77QmUPtjPfzWtF2AnpK9RQ", "scope": "openid"}),
        ("an ID token with the hash of a code", {"c_hash": "LDktKdoQak3Pk0cnXxCltA", "scope": "openid"}),
        ("an ID token with the hash of a state", {"s_hash": "76sa5dd", "scope": "openid"}),
        (
            "a logout token",
            {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}, "sid": "1", "scope": "openid"},
        ),
        ("a security event token without a text in it", {"events": 1}),
        ("an ID token with a nonce", {"nonce": "n-0S6_WzA2Mj"}),
        ("a token with a nonce that is a number", {"nonce": 1}),
        ("a token with a nonce and a word that nobody knows", {"nonce": "n", "typ": "JWT", "token_use": "service"}),
    ]


def access_tokens() -> list[tuple[str, dict[str, Any]]]:
    """What an access token has and no ID token does: some servers write a nonce into both."""
    return [
        ("a scope", {"scope": "accounts"}),
        ("a list of scopes", {"scp": ["accounts"]}),
        ("Keycloak's Bearer", {"typ": "Bearer"}),
        ("Keycloak's DPoP in another case", {"typ": "dpop"}),
        ("Cognito's access", {"token_use": "access"}),
        ("Hydra's access_token", {"token_use": "access_token"}),
        ("ForgeRock's access_token", {"tokenName": "access_token"}),
        ("Curity's access_token", {"purpose": "access_token"}),
        ("a token_type", {"token_type": "Bearer"}),
    ]


def confirmations(world: World) -> list[tuple[str, Any, str]]:
    """Values of `cnf`, as JSON has them, that no token on the first client's certificate passes with, and why."""
    one = world.client_1
    malformed = {
        "null": None,
        "true": True,
        "a number": 1,
        "a string": one.thumbprint,
        "a list": [{"x5t#S256": one.thumbprint}],
        "an empty object": {},
        "a number for a thumbprint": {"x5t#S256": 1},
        "true for a thumbprint": {"x5t#S256": True},
        "a list for a thumbprint": {"x5t#S256": [one.thumbprint]},
        "an object for a thumbprint": {"x5t#S256": {"value": one.thumbprint}},
        "null for a thumbprint": {"x5t#S256": None},
        "an empty thumbprint": {"x5t#S256": ""},
        "a padded thumbprint": {"x5t#S256": one.thumbprint + "="},
        "a thumbprint with a space before it": {"x5t#S256": " " + one.thumbprint},
        "a thumbprint with a newline behind it": {"x5t#S256": one.thumbprint + "\n"},
        "a thumbprint that is too short": {"x5t#S256": one.thumbprint[:-1]},
        "a thumbprint that is too long": {"x5t#S256": one.thumbprint + "A"},
        "a thumbprint in standard base64": {"x5t#S256": "+/" + one.thumbprint[2:]},
        "a thumbprint in hexadecimal digits": {"x5t#S256": one.digest},
        "the thumbprint of RFC 8705's figures 2 and 3, which is not canonical": {
            "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"
        },
    }
    unsupported = {
        "another spelling of the member": {"x5t#s256": one.thumbprint},
        "a SHA-1 thumbprint": {"x5t": "bwcK0esc3ACC3DB2Y5_lESsXE8o"},
        "a DPoP key": {"jkt": one.thumbprint},
        "a DPoP key beside the thumbprint": {"jkt": one.thumbprint, "x5t#S256": one.thumbprint},
        "a key beside the thumbprint": {"jwk": world.keys["ES256"].jwk, "x5t#S256": one.thumbprint},
        "a key id beside the thumbprint": {"kid": "1", "x5t#S256": one.thumbprint},
        "a method that nobody knows": {"unheard of": one.thumbprint},
    }
    mismatch = {
        "a thumbprint of another case of letters": {"x5t#S256": other_case(one.thumbprint)},
        "a thumbprint of another certificate": {"x5t#S256": world.client_2.thumbprint},
    }
    return [
        *((name, cnf, "confirmation_malformed") for name, cnf in malformed.items()),
        *((name, cnf, "confirmation_unsupported") for name, cnf in unsupported.items()),
        *((name, cnf, "certificate_mismatch") for name, cnf in mismatch.items()),
    ]


def variants(world: World) -> Iterator[Case]:
    """What the keys of a resource server policy do that the shipped file does not set."""
    one, two = world.client_1, world.client_2

    def case(policy: str, sentence: str, *, on: Certificate | None = one, **rest: Any) -> Case:
        rest.setdefault("path", f"/{policy}/")
        return Case(sentence, "variants", policy, certificate=on, **{"headers": [], **rest})

    def carrying(policy: str, sentence: str, token: str, *, scheme: str = "Bearer", **rest: Any) -> Case:
        value = f"{scheme} {token}"
        rest["headers"] = [("authorization", value), *rest.get("headers", [])]
        if "refusal" not in rest:
            rest["forward"] = {"authorization": value}
        return case(policy, sentence, **rest)

    def sign(header: Mapping[str, Any] = {}, bound_to: Certificate | None = one, **claims: Any) -> str:
        return tokens.sign(world.keys["ES256"], world.claims(bound_to, **claims), header=header)

    def confirmed(cnf: Any) -> str:
        payload = tokens.encode_part({**world.claims(), "cnf": cnf})
        return tokens.assemble(tokens.encode_part({"alg": "ES256"}), payload, world.keys["ES256"], "ES256")

    bound = sign()

    # Observing: nothing is refused for its binding.
    for name, cnf, reason in confirmations(world):
        yield carrying(
            "observe", f"a confirmation that is {name} is noted where it is only observed", confirmed(cnf), note=reason
        )
    yield carrying("observe", "an observed token on its certificate is not noted", bound)
    for sentence, token, on, reason in [
        ("an observed token on another certificate is noted", bound, two, "certificate_mismatch"),
        ("an observed token without a certificate is noted", bound, None, "certificate_not_presented"),
        ("an observed token that is bound to nothing is noted", sign(bound_to=None), one, "confirmation_missing"),
        (
            "an observed thumbprint at the top level is noted",
            sign(bound_to=None, **{"x5t#S256": one.thumbprint}),
            one,
            "confirmation_at_top_level",
        ),
    ]:
        yield carrying("observe", sentence, token, on=on, note=reason)
    yield carrying(
        "observe",
        "an observed request loses its forged headers",
        bound,
        on=two,
        headers=forged_headers(),
        note="certificate_mismatch",
    )
    for sentence, token, reason in [
        ("an expired token is refused by a policy that observes", sign(exp=world.now - 3600), "token_expired"),
        ("a changed token is refused by a policy that observes", flipped(bound), "signature_invalid"),
        ("another audience is refused by a policy that observes", sign(aud="other"), "audience_mismatch"),
        ("an ID token is refused by a policy that observes", sign(bound_to=None, typ="ID"), "token_type_unsupported"),
    ]:
        yield carrying("observe", sentence, token, refusal=invalid_token(reason))
    yield case("observe", "no token is refused by a policy that observes", refusal=no_token("token_missing"))
    yield carrying(
        "observe",
        "the DPoP scheme is refused by a policy that observes",
        bound,
        scheme="DPoP",
        refusal=no_token("scheme_unsupported"),
    )
    yield carrying(
        "scopes-observe",
        "a lack of scope is refused by a policy that observes",
        bound,
        on=two,
        refusal=insufficient_scope("accounts"),
    )

    # Whoever makes up tokens without a key id has each tried with every key, for a while. In a second of their own: the
    # module serves all cases with one worker.
    def unnamed(key: str, claims: dict[str, Any]) -> str:
        return tokens.assemble(tokens.encode_part({"alg": "PS256"}), tokens.encode_part(claims), world.keys[key], "PS256")

    made_up = [flipped(unnamed("PS256", world.claims(one, jti=f"made up {number}"))) for number in range(5)]
    second, fourth = (unnamed(key, world.claims(one, jti=key)) for key in ("PS256", "PS512"))
    yield carrying("any-of-four", "a token without a key id passes with any key that fits it", fourth)
    for sentence, token in [
        ("a good token that fits another key than the first", second),
        ("a made-up one", flipped(unnamed("PS256", world.claims(one)))),
    ]:
        yield carrying(
            "any-of-four",
            f"after a flood of made-up tokens without a key id {sentence} is refused for the time being",
            token,
            later=1,
            before=made_up,
            refusal=Refusal("signature_checks_exhausted", 503, "temporarily_unavailable", challenge=False),
        )
    yield carrying(
        "any-of-four",
        "after a flood of made-up tokens without a key id one by the key that was right last passes",
        unnamed("PS512", world.claims(one, jti="another")),
        later=1,
        before=[fourth, *made_up],
    )
    yield carrying(
        "any-of-four",
        "after a flood of made-up tokens without a key id one that names its key passes",
        tokens.sign(world.keys["PS256"], world.claims(one, jti="named")),
        later=1,
        before=made_up,
    )

    # DPoP, verified by the API behind: RFC 9449.
    jkt = {"jkt": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}
    both = {**jkt, "x5t#S256": one.thumbprint}
    dpop: dict[str, Any] = {"scheme": "DPoP"}
    for policy in ("dpop", "dpop-migration", "dpop-observe"):
        yield carrying(policy, f"a token with a DPoP key passes the policy {policy}", confirmed(jkt), **dpop)
        yield carrying(
            policy, f"a token with a DPoP key needs no certificate by {policy}", confirmed(jkt), on=None, **dpop
        )
        yield carrying(
            policy, f"a token with both passes the policy {policy} on its certificate", confirmed(both), **dpop
        )
        yield carrying(policy, f"a bound token passes the policy {policy} as a bearer token", bound)
    for sentence, cnf, reason, options in [
        ("with both on another certificate", both, "certificate_mismatch", {"on": two, **dpop}),
        ("with both and no certificate", both, "certificate_not_presented", {"on": None, **dpop}),
        ("with a DPoP key under the scheme Bearer", jkt, "dpop_scheme_missing", {}),
        ("with both under the scheme Bearer", both, "dpop_scheme_missing", {}),
        ("with a DPoP key of the wrong type", {"jkt": 1}, "confirmation_malformed", dpop),
        ("with a DPoP key and another one", {**jkt, "jwk": {}}, "confirmation_unsupported", dpop),
        ("with a method that nobody knows", {"unheard of": "x"}, "confirmation_unsupported", dpop),
    ]:
        for policy in ("dpop", "dpop-migration"):
            yield carrying(
                policy,
                f"a token {sentence} is refused by {policy}",
                confirmed(cnf),
                refusal=invalid_token(reason),
                **options,
            )
        yield carrying(
            "dpop-observe", f"a token {sentence} is noted by dpop-observe", confirmed(cnf), note=reason, **options
        )
    yield carrying("dpop", "the scheme DPoP is compared without case", confirmed(jkt), scheme="dpop")
    yield carrying(
        "dpop",
        "a token that is bound to nothing is refused under the scheme DPoP too",
        sign(bound_to=None),
        refusal=invalid_token("confirmation_missing"),
        **dpop,
    )

    # The type, the lifetime and the scope: RFC 9068.
    for kind in ("at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"):
        yield carrying("at-jwt", f"the type {kind} is an access token's", sign({"typ": kind}))
    for kind in ("JWT", "id+jwt", "logout+jwt", "application/jwt+at", "application/at", "xat+jwt"):
        yield carrying(
            "at-jwt",
            f"the type {kind} is not an access token's",
            sign({"typ": kind}),
            refusal=invalid_token("token_type_unsupported"),
        )
    yield carrying("at-jwt", "no type is not an access token's", bound, refusal=invalid_token("token_type_unsupported"))
    yield carrying("short-lived", "a token of the longest lifetime passes", sign(exp=world.now + LIFETIME))
    for sentence, claims, reason in [
        ("a token that lives a second longer is refused", {"exp": world.now + LIFETIME + 1}, "token_lifetime_too_long"),
        (
            "a token that lives a fraction of a second longer is refused",
            {"exp": world.now + LIFETIME + 0.5},
            "token_lifetime_too_long",
        ),
        ("a token that was issued long ago is refused", {"iat": world.now - 86400}, "token_lifetime_too_long"),
        ("a token without its issue time is refused where lifetimes are bounded", {"iat": None}, "claim_missing"),
    ]:
        yield carrying("short-lived", sentence, sign(**claims), refusal=invalid_token(reason))
    for scope in ("accounts payments:write", "payments:write other accounts"):
        yield carrying("scopes", f"the scope {scope!r} passes", sign(scope=scope))
    wanted = insufficient_scope("accounts payments:write")
    for scope in (
        None,
        "",
        "accounts",
        "payments:write",
        "accounts payments",
        "Accounts payments:write",
        "accounts,payments:write",
    ):
        yield carrying("scopes", f"the scope {scope!r} is insufficient", sign(scope=scope), refusal=wanted)
    yield carrying(
        "scopes",
        "a scope that is a list is malformed",
        sign(scope=["accounts"]),
        refusal=invalid_token("claim_malformed"),
    )
    yield carrying("scopes", "scp is not scope", sign(scp=["accounts", "payments:write"]), refusal=wanted)
    yield carrying(
        "scopes",
        "the binding is judged before the scope",
        bound,
        on=two,
        refusal=invalid_token("certificate_mismatch"),
    )

    # The query, where the API has a parameter of its own.
    yield carrying("own-parameter", "a parameter of the API's own passes", bound, path="/own-parameter/?access_token=x")
    yield case(
        "own-parameter",
        "a token in the query is not read where the API has such a parameter",
        path=f"/own-parameter/?access_token={bound}",
        refusal=no_token("token_missing"),
    )

    # CORS: a preflight has no token.
    asking = [("origin", "https://app.example.com"), ("access-control-request-method", "GET")]
    yield case("browsers", "a preflight passes where the policy says so", method="OPTIONS", headers=asking, forward={})
    yield case(
        "browsers",
        "a preflight loses its forged headers",
        method="OPTIONS",
        headers=[*asking, *forged_headers()],
        forward={},
    )
    for policy, sentence, method, headers in [
        ("browsers", "OPTIONS without an origin is no preflight", "OPTIONS", asking[1:]),
        ("browsers", "OPTIONS without a method that is asked for is no preflight", "OPTIONS", asking[:1]),
        ("browsers", "GET is no preflight", "GET", asking),
        ("scopes", "a preflight needs a token unless the policy says otherwise", "OPTIONS", asking),
    ]:
        yield case(policy, sentence, method=method, headers=headers, refusal=no_token("token_missing"))

    # gRPC: the HTTP status is always 200.
    grpc: dict[str, Any] = {"method": "POST", "headers": [("content-type", "application/grpc")]}
    for policy, sentence, token, refusal, number in [
        ("scopes", "no token", None, no_token("token_missing"), 16),
        ("scopes", "a stolen token", sign(bound_to=two), invalid_token("certificate_mismatch"), 16),
        ("scopes", "too little scope", bound, wanted, 7),
        ("scopes", "two tokens", f"{bound}, Bearer {bound}", invalid_request("authorization_repeated"), 3),
        ("nowhere", "a route without a policy", bound, cannot_decide("unknown_policy"), 13),
    ]:
        refusal = replace(refusal, grpc_status=number)
        sentence = f"a gRPC call with {sentence} gets the status {number}"
        yield (
            carrying(policy, sentence, token, refusal=refusal, **grpc)
            if token
            else case(policy, sentence, refusal=refusal, **grpc)
        )
    yield case(
        "scopes",
        "a gRPC call names its format",
        method="POST",
        headers=[("content-type", "application/grpc+proto")],
        refusal=replace(no_token("token_missing"), grpc_status=16),
    )
    for kind in ("application/grpc-web", "application/grpc; charset=x", "application/grpcs", "application/json"):
        yield case(
            "scopes",
            f"{kind} is no gRPC",
            method="POST",
            headers=[("content-type", kind)],
            refusal=no_token("token_missing"),
        )
    yield carrying("observe", "a gRPC call with a bound token passes", bound, **grpc)

    # The server name of the TLS handshake, which is localhost.
    for authority in ("localhost", "LocalHost", "localhost:8443", "localhost."):
        yield carrying("server-name", f"{authority} is the server name", bound, authority=authority)
    for authority in ("api.example.com", "localhost.example.com", "localhost..", "127.0.0.1", "[::1]:8443"):
        yield carrying(
            "server-name", f"{authority} is not the server name", bound, authority=authority, refusal=misdirected()
        )
        yield carrying("observe", f"{authority} passes where any server name does", bound, authority=authority)
    for name, value in (("no server name", None), ("an empty server name", b"")):
        yield carrying(
            "server-name",
            f"{name} is no host's",
            bound,
            facts={"connection.requested_server_name": value},
            refusal=misdirected(),
        )
    yield carrying(
        "server-name",
        "a gRPC call for another server name is told to try another connection",
        bound,
        authority="api.example.com",
        refusal=replace(misdirected(), grpc_status=14),
        **grpc,
    )
    yield carrying(
        "server-name",
        "the server name is judged beside the token",
        flipped(bound),
        refusal=invalid_token("signature_invalid"),
    )

    # Certificates that are revoked or out of date, whatever the token says.
    for number, form in ((0, "as x5t#S256"), (1, "in hexadecimal digits")):
        yield carrying(
            "revocation",
            f"a certificate that is listed {form} is refused with a token that is bound to it",
            sign(bound_to=world.revoked[number]),
            on=world.revoked[number],
            refusal=invalid_token("certificate_revoked"),
        )
    yield case(
        "revocation",
        "a revoked certificate is refused without a token",
        on=world.revoked[0],
        refusal=invalid_token("certificate_revoked"),
    )
    yield carrying("revocation", "a certificate that is not listed passes", bound)
    yield carrying("validity", "a certificate that is valid passes", bound)
    yield carrying(
        "validity",
        "no certificate is none that is out of date",
        bound,
        on=None,
        refusal=invalid_token("certificate_not_presented"),
    )
    for sentence, not_before, not_after, reason in [
        ("a certificate passes in its first second", 0, 3600, None),
        ("a certificate passes in its last second", -3600, 0, None),
        ("a certificate is refused a second before it is valid", 1, 3600, "certificate_not_yet_valid"),
        ("a certificate is refused a second after it was valid", -3600, -1, "certificate_expired"),
    ]:
        dated = world.dated(not_before, not_after)
        # Envoy's own TLS would end the handshake: this stands for a listener that accepts every certificate.
        options: dict[str, Any] = {"on": dated, "facts": {"connection.peer_certificate": dated.pem.encode()}}
        if reason:
            options["refusal"] = invalid_token(reason)
        yield carrying("validity", sentence, sign(bound_to=dated), **options)
        if reason:
            del options["refusal"]
            yield carrying("observe", f"not so where it is not checked: {sentence}", sign(bound_to=dated), **options)
    for sentence, pem, reason in [
        ("the validity of a certificate that the host does not hand over is unknown", None, "certificate_unavailable"),
        ("the validity of another certificate does not count", two.pem.encode(), "certificate_digest_mismatch"),
        ("the validity of what is no certificate is unknown", b"\xff", "certificate_malformed"),
    ]:
        yield carrying(
            "validity", sentence, bound, facts={"connection.peer_certificate": pem}, refusal=cannot_decide(reason)
        )


def toward_the_upstream(world: World) -> Iterator[Case]:
    one, two, es256 = world.client_1, world.client_2, world.keys["ES256"]
    # HTTP/1.1 and HTTP/2 alike, and as CGI-like servers fold them.
    own = ("x-subject", "x_subject", "x.subject", "x!subject", "x-client-id", "x-roles", "x-client-thumbprint", "x~client*thumbprint")
    forged = [(name, FORGED) for name in own]

    def case(sentence: str, *, policy: str = "upstream", path: str = "/upstream/", **claims: Any) -> Case:
        token = tokens.sign(es256, world.claims(one, **claims))
        return Case(sentence, "variants", policy, path, one, [("authorization", f"Bearer {token}"), *forged], forward={})

    set_here = {"x-subject": "client-1", "x-client-thumbprint": one.thumbprint}
    yield replace(case("claims and the thumbprint reach the API, and a client's own do not"), forward=set_here)
    yield replace(
        case(
            "a claim that is no text reaches the API as JSON in ASCII",
            client_id="a client",
            roles=["caf\u00e9", {"a\r\n": 1.5}],
        ),
        forward={**set_here, "x-client-id": "a client", "x-roles": '["caf\\u00e9",{"a\\r\\n":1.5}]'},
    )
    yield replace(case("an own header of another policy does not pass an open route", policy="open", path="/health"))
    for name, claims in {
        "beyond ASCII": {"sub": "caf\u00e9"},
        "with a line end": {"sub": "a\r\nx-admin: 1"},
        "with a space at its end": {"sub": "a "},
        "of no characters": {"sub": ""},
        "that is a number": {"client_id": 1},
        "that is a list": {"client_id": ["a"]},
        "that is too long": {"client_id": "a" * 4097},
        "that is too long as JSON": {"roles": ["a" * 4096]},
    }.items():
        yield replace(
            case(f"a claim {name} that should reach the API is refused", **claims),
            forward=None,
            refusal=invalid_token("claim_malformed"),
        )


def two_issuers(world: World) -> Iterator[Case]:
    one = world.client_1
    keys = world.keys
    first = {"iss": ISSUER, "aud": AUDIENCE}
    second = {"iss": OTHER_ISSUER, "aud": OTHER_AUDIENCE}

    def case(sentence: str, token: str, **rest: Any) -> Case:
        headers = [("authorization", f"Bearer {token}")]
        if "refusal" not in rest:
            rest["forward"] = {"authorization": f"Bearer {token}"}
        return Case(sentence, "two-issuers", None, "/", one, headers, **rest)

    def sign(key: SigningKey, names: dict[str, str], algorithm: str | None = None, **header: Any) -> str:
        claims = world.claims(one, **names)
        parts = {"alg": algorithm or key.algorithm, "kid": key.kid, **header}
        parts = {name: value for name, value in parts.items() if value is not None}
        part = tokens.encode_part
        return tokens.assemble(part(parts), part(claims), key, algorithm or key.algorithm)

    rsa = keys["RS256"]
    yield case("the first issuer's token passes", sign(keys["ES256"], first))
    yield case("the second issuer's token passes", sign(rsa, second, "PS256", kid=None))
    yield case(
        "an algorithm that the first issuer may not use is refused",
        sign(keys["EdDSA"], first),
        refusal=invalid_token("algorithm_not_allowed"),
    )
    yield case(
        "a key is not used with another algorithm than it says",
        sign(rsa, second, "RS256", kid=None),
        refusal=invalid_token("key_unknown"),
    )
    yield case(
        "a key without a key id does not serve a token with one",
        sign(rsa, second, "PS256"),
        refusal=invalid_token("key_unknown"),
    )
    yield case(
        "a key of one issuer does not serve the other",
        sign(keys["ES256"], second),
        refusal=invalid_token("key_unknown"),
    )
    yield case(
        "an audience of one issuer does not serve the other",
        sign(keys["ES256"], {**first, "aud": OTHER_AUDIENCE}),
        refusal=invalid_token("audience_mismatch"),
    )
    yield case("the leeway is what the configuration says", sign(keys["ES256"], first), later=LIFETIME + 59)
    yield case(
        "the leeway is no more than the configuration says",
        sign(keys["ES256"], first),
        later=LIFETIME + 60,
        refusal=invalid_token("token_expired"),
    )


def verified_by_jwt_authn(world: World) -> Iterator[Case]:
    """Envoy's jwt_authn verified the token; tests/envoy/test_jwt_authn.py has the real one."""
    one = world.client_1
    payload = ("metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "access_token")

    def case(
        sentence: str,
        claims: Any,
        token: str | None = None,
        on: Certificate | None = one,
        configuration: str = "verified-by-jwt-authn",
        **rest: Any,
    ) -> Case:
        headers = [("authorization", f"Bearer {token}")] if token else []
        if "refusal" not in rest:
            rest["forward"] = dict(headers)
        facts = {payload: encoded_map(claims) if isinstance(claims, dict) else claims}
        return Case(sentence, configuration, None, "/", on, headers, facts=facts, **rest)

    claims = world.claims(one, scope="accounts", roles=["a", {"b": True}])
    # jwt_authn has judged the signature; nobody judges it again.
    token = tokens.sign(world.stranger, claims)
    yield case("a token that jwt_authn verified passes", claims, token)
    yield case("a token that jwt_authn verified and removed passes", claims)
    typed = {"configuration": "access-tokens-verified-by-jwt-authn"}
    unseen = invalid_token("token_type_unsupported")
    yield case(
        "a token that jwt_authn verified passes with the type that it must have",
        claims,
        tokens.sign(world.stranger, claims, header={"typ": "at+jwt"}),
        **typed,
    )
    yield case("a token that jwt_authn verified and removed has no type to be seen", claims, refusal=unseen, **typed)
    anonymous = {name: value for name, value in claims.items() if name != "jti"}
    without_jti = tokens.sign(world.stranger, anonymous)
    yield case("a token without jti that jwt_authn verified passes", anonymous, without_jti)
    for sentence, verified, own in [
        ("a token of which jwt_authn verified another is refused", world.claims(one, jti="2"), claims),
        ("a token with a claim more than the verified one is refused", claims, {**claims, "admin": True}),
        ("a token with a wider scope than the verified one is refused", claims, {**claims, "scope": "accounts all"}),
        ("a token with another list than the verified one is refused", claims, {**claims, "roles": ["a"]}),
        ("a token is refused where jwt_authn left nothing", None, claims),
        ("a token is refused where what jwt_authn left cannot be read", b"\xff", claims),
    ]:
        yield case(sentence, verified, tokens.sign(world.stranger, own), refusal=invalid_token("token_not_verified"))
    # The one that passed above: what was learnt of it then says nothing of what was verified now.
    for sentence, verified in [
        ("a token seen before is refused where jwt_authn verified another", world.claims(one, jti="2")),
        ("a token seen before is refused where jwt_authn left nothing", None),
    ]:
        yield case(sentence, verified, token, refusal=invalid_token("token_not_verified"))
    yield case(
        "a token without jti seen before is refused where jwt_authn verified another",
        {**anonymous, "scope": "accounts all"},
        without_jti,
        refusal=invalid_token("token_not_verified"),
    )
    yield case("no token is refused where jwt_authn left nothing", None, refusal=no_token("token_missing"))
    yield case(
        "what jwt_authn left and cannot be read is refused", b"\xff", refusal=invalid_token("token_not_verified")
    )
    stolen = invalid_token("certificate_mismatch")
    yield case("a verified token on another certificate is refused", claims, token, world.client_2, refusal=stolen)
    yield case("a removed token on another certificate is refused", claims, None, world.client_2, refusal=stolen)
    for sentence, changed, reason in [
        ("a removed token that is bound to nothing is refused", {"cnf": None}, "confirmation_missing"),
        ("a removed token that is expired is refused", {"exp": world.now - 600}, "token_expired"),
        ("a removed token for another audience is refused", {"aud": ["other"]}, "audience_mismatch"),
        ("a removed token of another issuer is refused", {"iss": "https://other"}, "issuer_not_trusted"),
        ("a removed token with a DPoP key is refused", {"cnf": {"jkt": "x"}}, "confirmation_unsupported"),
    ]:
        yield case(sentence, world.claims(one, **changed), refusal=invalid_token(reason))
    yield case("a removed token for several audiences passes", world.claims(one, aud=["other", AUDIENCE]))
    for name, marks in other_tokens():
        refusal = invalid_token("token_type_unsupported")
        yield case(f"{name} that jwt_authn verified is no access token", world.claims(one, **marks), refusal=refusal)
    marked = world.claims(one, at_hash="77QmUPtjPfzWtF2AnpK9RQ")
    yield case(
        "an ID token that jwt_authn verified and left there is no access token",
        marked,
        tokens.sign(world.stranger, marked),
        refusal=invalid_token("token_type_unsupported"),
    )
    for name, marks in access_tokens():
        yield case(f"a nonce in a removed token does not matter beside {name}", world.claims(one, nonce="n", **marks))


def fetched_keys(world: World) -> Iterator[Case]:
    token = tokens.sign(world.keys["ES256"], world.claims(world.client_1))
    yield Case(
        "while no keys could be fetched every token is refused for the time being",
        "fetched-keys",
        None,
        "/",
        world.client_1,
        [("authorization", f"Bearer {token}")],
        refusal=Refusal("keys_unavailable", 503, "temporarily_unavailable", challenge=False),
    )


def introspection(world: World) -> Iterator[Case]:
    one, two, es256 = world.client_1, world.client_2, world.keys["ES256"]
    opaque = "2YotnFZFEjr1zCsicMWpAA"  # The token of RFC 6749 §5.1.
    unavailable = Refusal("introspection_unavailable", 503, "temporarily_unavailable", challenge=False)
    paths = {"api": "/", "migration": "/migration/", "gluu": "/gluu/"}

    def case(sentence: str, answer: Any, *, token: str = opaque, policy: str = "api", on: Certificate = one, **rest: Any) -> Case:
        text = answer if answer is None or isinstance(answer, str) else json.dumps(answer)
        name = None if policy == "api" else policy
        headers = [("authorization", f"Bearer {token}")]
        if "refusal" not in rest:
            rest["forward"] = {"authorization": f"Bearer {token}"}
        return Case(sentence, "introspection", name, paths[policy], on, headers, introspection=text, **rest)

    def refused(sentence: str, answer: Any, reason: str, **rest: Any) -> Case:
        return case(sentence, answer, refusal=invalid_token(reason), **rest)

    def active(bound_to: Certificate | None = one, **other: Any) -> dict[str, Any]:
        return {"active": True, **world.claims(bound_to, **other)}

    def signed(answer: Any, header: Mapping[str, Any] = {}, key: SigningKey = es256, **other: Any) -> str:
        """RFC 9701 §5."""
        claims = {"iss": ISSUER, "aud": "api", "iat": world.now, "token_introspection": answer, **other}
        claims = {name: value for name, value in claims.items() if value is not None}
        return tokens.sign(key, claims, header={"typ": "token-introspection+jwt", **header})

    yield case("while nobody can be asked a token that needs it is refused for the time being", None, refusal=unavailable)
    yield case("an active token on the certificate that it is bound to passes", active())
    yield refused("an active token on another certificate is refused", active(), "certificate_mismatch", on=two)
    yield refused("an active token that is bound to nothing is refused", active(None), "confirmation_missing")
    yield refused("a token that is not active is refused", {"active": False}, "token_inactive")
    yield refused(
        "a token that is not active is refused whatever else is said of it", {**active(), "active": False}, "token_inactive"
    )
    for name, answer in [
        ("true as a text", {**active(), "active": "true"}),
        ("1", {**active(), "active": 1}),
        ("null", {**active(), "active": None}),
        ("missing", world.claims(one)),
        ("a list", {**active(), "active": [True]}),
        ("there twice", '{"active": false, ' + json.dumps(active())[1:]),
    ]:
        yield case(f"an answer whose active is {name} is none", answer, refusal=unavailable)
    for name, text in [
        ("empty", ""),
        ("HTML", "<html>Please sign in</html>"),
        ("a list", "[" + json.dumps(active()) + "]"),
        ("true", "true"),
        ("cut off", json.dumps(active())[:-1]),
        ("followed by another", json.dumps(active()) + json.dumps(active())),
        ("too long", json.dumps(active()) + " " * 65536),
        ("a signed one where none is asked for", signed(active())),
    ]:
        yield case(f"an answer that is {name} is none", text, refusal=unavailable)
    yield refused("an active token for another API is refused", active(aud=OTHER_AUDIENCE), "audience_mismatch")
    yield refused("an active token that says not for whom it is is refused", active(aud=None), "claim_missing")
    yield refused("an active token of another issuer is refused", active(iss=OTHER_ISSUER), "issuer_not_trusted")
    yield case("an active token need say neither its issuer nor when it ends", active(iss=None, exp=None))
    yield refused("an active token that has expired is refused", active(exp=world.now - 60), "token_expired")
    yield refused("an active token that is not valid yet is refused", active(nbf=world.now + 86400), "token_not_yet_valid")
    yield refused("an active token with a time that is none is refused", active(exp="soon"), "claim_malformed")
    yield refused(
        "an active token with its confirmation at the top level is refused where that is not said",
        active(None, **{"x5t#S256": one.thumbprint}),
        "confirmation_at_top_level",
    )
    for name, cnf, reason in confirmations(world):
        yield refused(f"an active token whose confirmation is {name} is refused", {**active(None), "cnf": cnf}, reason)
    yield case(
        "a JWT is verified and not introspected where there are keys",
        None,
        token=tokens.sign(es256, world.claims(one)),
    )
    yield refused(
        "a token that is meant for a JWT and is none is not introspected",
        active(),
        "token_malformed",
        token=tokens.encode_part({"alg": "ES256"}) + ".xx.yy",
    )
    # RFC 4648 §4 and §5 spell this differently. What is behind the proxy might read any of these, and other claims than
    # those that the authorization server vouches for.
    header = json.dumps({"alg": "ES256", "kid": es256.kid, "x": "\u00fb\u00ff\u00fe??>>"}, ensure_ascii=False)
    for spelling, part in {
        "in another alphabet": base64.b64encode(header.encode()).decode().rstrip("="),
        "with a byte order mark": tokens.encode_part("\ufeff" + header),
        "with a name twice": tokens.encode_part('{"alg": "none", ' + header[1:]),
        "with bits behind its last byte": tokens.encode_part("{} ")[:-1] + "B",
        "with a letter too many": tokens.encode_part("{}") + "A",
    }.items():
        yield refused(
            f"a token whose header is one of a JWT {spelling} is not introspected",
            active(),
            "token_malformed",
            token=f"{part}.{tokens.encode_part(world.claims(one))}.AAAA",
        )
    yield case("a token that begins like one of a JWT by chance is introspected", active(), token="e_-Aex.yy.zz")
    yield refused("a token too long to be sent on is refused", active(), "token_too_long", token="x" * 8193)

    yield case("with tokens: all a JWT is introspected", active(), token=tokens.sign(es256, {}), policy="migration")
    yield case(
        "with audience: if_present an answer with a token_type need have none",
        active(aud=None, token_type="Bearer"),
        policy="migration",
    )
    yield refused(
        "an answer with neither a token_type nor an audience says too little", active(aud=None), "claim_missing", policy="migration"
    )
    yield refused(
        "an answer whose token_type is null needs an audience",
        {**active(aud=None), "token_type": None},
        "claim_missing",
        policy="migration",
    )
    yield refused(
        "with audience: if_present another audience is refused all the same",
        active(aud=OTHER_AUDIENCE),
        "audience_mismatch",
        policy="migration",
    )

    # RFC 7662 §2.2: the type of the token, as RFC 6749 §5.1 has it.
    for kind in ("Bearer", "bearer", "BEARER", "DPoP", "access_token"):
        yield case(f"an active token of the type {kind} passes", active(token_type=kind))
    for kind in ("Refresh", "ID", "N_A", "mac", "access", "", " Bearer", "Own-Word", 1, ["Bearer"]):
        yield refused(f"an active token of the type {kind} is refused", active(token_type=kind), "token_type_unsupported")
    for kind in ("Own-Word", "own-WORD", "bearer"):
        yield case(f"an active token of the type {kind} passes where the policy names one", active(token_type=kind), policy="migration")
    yield refused(
        "an active token of another type than the policy names is refused",
        active(token_type="Own"),
        "token_type_unsupported",
        policy="migration",
    )
    yield refused(
        "an active refresh token that is bound to nothing is refused during a migration",
        active(None, token_type="Refresh", typ="Refresh"),
        "token_type_unsupported",
        policy="migration",
    )
    for name, marks in other_tokens():
        yield refused(f"{name} that is active is no access token", active(**marks), "token_type_unsupported")
    for name, marks in access_tokens():
        yield case(f"a nonce in an answer does not matter beside {name}", active(nonce="n", **marks))

    top = {**active(None), "x5t#S256": one.thumbprint}
    yield case("an active token with its confirmation at the top level passes where that is said", signed(top), policy="gluu")
    yield refused("a signed answer may say that a token is not active", signed({"active": False}), "token_inactive", policy="gluu")
    for name, more in [("token_type", {"token_type": "Refresh"}), ("typ", {"typ": "Refresh"}), ("hash", {"at_hash": "x"})]:
        yield refused(
            f"a signed answer may say by its {name} that the token is another",
            signed({**top, **more}),
            "token_type_unsupported",
            policy="gluu",
        )
    for name, text in [
        ("unsigned where it must be signed", json.dumps(active())),
        ("of another type", signed(active(), {"typ": "JWT"})),
        ("of no type", tokens.sign(es256, {"iss": ISSUER, "aud": "api", "iat": world.now, "token_introspection": active()})),
        ("signed by a stranger", signed(active(), key=world.stranger)),
        ("signed with an unknown key", signed(active(), {"kid": "unheard of"})),
        ("from another issuer", signed(active(), iss=OTHER_ISSUER)),
        ("for another client", signed(active(), aud="another")),
        ("for nobody", signed(active(), aud=None)),
        ("without its time", signed(active(), iat=None)),
        ("without its content", signed(None)),
    ]:
        yield case(f"an answer that is {name} is refused as none", text, policy="gluu", refusal=unavailable)


def authorization_server(world: World) -> Iterator[Case]:
    one, impostor = world.client_1, world.impostor
    gluu = {"x-clientcert": one.apache_form}
    both = {**gluu, "client-cert": one.rfc9440_form}
    unavailable = {"connection.peer_certificate_valid": None}

    def case(
        sentence: str, *, on: Certificate | None = one, configuration: str = "authorization-server", **rest: Any
    ) -> Case:
        rest.setdefault("headers", [])
        rest.setdefault("path", "/token")
        return Case(sentence, configuration, "clients", certificate=on, method="POST", **rest)

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
    unvalidated = {"on": impostor, "validated": False, "configuration": "self-signed-clients"}
    yield case(
        "a self-signed certificate is handed over where the policy says so", forward=self_signed_form, **unvalidated
    )
    yield case(
        "what is rebuilt replaces what a client made up",
        headers=forged_headers(),
        forward=self_signed_form,
        **unvalidated,
    )
    yield case(
        "without a certificate nothing is rebuilt",
        on=None,
        configuration="self-signed-clients",
        headers=forged_headers(),
        forward={},
    )
    by_listener = {"configuration": "validated-by-listener", "forward": both}
    yield case("a certificate is handed over where the listener has validated it", **by_listener)
    yield case(
        "the listener's validation counts in a resumed session too",
        validated=False,
        facts={"connection.peer_certificate_valid": b"\0"},
        **by_listener,
    )
    yield case(
        "the listener's validation counts on a host that says nothing of it",
        facts={"connection.peer_certificate_valid": None},
        **by_listener,
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
    # On a certificate that has not been handed over before: what was written for one is kept.
    yield case(
        "a host that does not hand over the certificate is refused",
        on=world.client_2,
        facts={"connection.peer_certificate": None},
        refusal=cannot_decide("certificate_unavailable"),
    )
    by_header = {"facts": {"connection.peer_certificate": None}, "on": world.revoked[0]}
    forwarded = [("x-forwarded-client-cert", f"{xfcc(one)},By=a;{xfcc(world.revoked[0])};URI=b")]
    yield case(
        "where the host does not hand it over, Envoy's own header has the certificate",
        headers=forwarded,
        forward={"x-clientcert": world.revoked[0].apache_form, "client-cert": world.revoked[0].rfc9440_form},
        **by_header,
    )
    yield case(
        "another certificate in that header is none",
        headers=[("x-forwarded-client-cert", xfcc(one))],
        refusal=cannot_decide("certificate_unavailable"),
        **by_header | {"on": world.client_2},
    )
    yield case(
        "a certificate that is none is refused",
        on=world.client_2,
        facts={"connection.peer_certificate": b"\xff"},
        refusal=cannot_decide("certificate_malformed"),
    )
    yield case(
        "two certificates are refused",
        on=world.client_2,
        facts={"connection.peer_certificate": world.client_2.pem.encode() * 2},
        refusal=cannot_decide("certificate_malformed"),
    )
    yield case(
        "another certificate than the connection's is refused",
        on=world.client_2,
        facts={"connection.peer_certificate": one.pem.encode()},
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


def forms(world: World) -> Iterator[Case]:
    one, two = world.client_1, world.client_2

    def case(sentence: str, *, configuration: str = "every-form", on: Certificate | None = one, **rest: Any) -> Case:
        rest.setdefault("headers", [])
        return Case(sentence, configuration, "clients", "/token", certificate=on, method="POST", **rest)

    def base64_der(*certificates: Certificate) -> str:
        return base64.b64encode(b"".join(each.der for each in certificates)).decode()

    always = {"cname-api-key": SECRET}
    absent = always | {"client-certificate-ca-verified": "NONE", "ssl-client-verify": "NONE"}
    leaf = {
        **always,
        "client-certificate-ca-verified": "SUCCESS",
        "ssl-client-verify": "SUCCESS",
        "x-clientcert": one.apache_form,
        "client-certificate": one.url_encoded,
        "x-ssl-cert": one.apache_form,
        "ssl-client-cert": one.url_encoded,
        "x-forwarded-tls-client-cert": one.url_encoded,
        "x-forwarded-client-cert": f'{xfcc(one)};Chain="{one.url_encoded}"',
        "client-cert": one.rfc9440_form,
        "x-arr-clientcert": base64_der(one),
        "sec-client-x509-cert-7pzc1": one.url_encoded,
        "x-apache": one.apache_form,
        "x-haproxy": base64_der(one),
        "x-digest": one.digest,
        "x-thumbprint": one.thumbprint,
    }
    own = [
        (name, FORGED)
        for name in (
            *leaf,
            "sec_client.x509-cert-7pzc1",
            "x_apache",
            "x-apache-0",
            "x_apache_7",
            "x_h_chain",
            "x.digest",
            "x|digest",
            "x-client_name",
            "x^client_name",
            "x-corp-cert-",
            "x_corp.cert~leaf",
            "!corp",
        )
    ]
    yield case("every form hands over the certificate without a chain where there is none", forward=leaf)
    yield case(
        "what a client made up of an operator's own names is replaced", headers=[*forged_headers(), *own], forward=leaf
    )
    yield case("and removed without a certificate", headers=[*forged_headers(), *own], on=None, forward=absent)
    yield case(
        "a certificate whose chain is not valid is told like none", on=world.impostor, validated=False, forward=absent
    )
    yield Case(
        "and removed on the routes of other policies", "every-form", None, "/auth", one, [*own, *forged_headers()], {}
    )

    # What no client can say to an Envoy that hands over no chain: a host's fact keeps these from the real one.
    on_this_host = {"facts": {"connection.peer_certificate_valid": b"\1"}}
    chain = [("x-forwarded-client-cert", f'By=a;{xfcc(one)};Chain="{one.url_encoded}{two.url_encoded}"')]
    yield case(
        "every form has the chain that Envoy hands over",
        headers=chain,
        forward=leaf
        | {
            "x-ssl-cert-chain-1": two.apache_form,
            "x-forwarded-tls-client-cert": f"{one.url_encoded},{two.url_encoded}",
            "x-forwarded-client-cert": f'{xfcc(one)};Chain="{one.url_encoded}{two.url_encoded}"',
            "client-cert-chain": two.rfc9440_form,
            "x_apache_0": two.apache_form,
            "x-h-chain": base64_der(two),
        },
        **on_this_host,
    )
    yield case(
        "the chain of another certificate is nobody's",
        headers=[("x-forwarded-client-cert", f'{xfcc(two)};Chain="{two.url_encoded}{one.url_encoded}"')],
        forward=leaf,
        **on_this_host,
    )
    facts = {"configuration": "facts"}
    san = world.names
    parsed = x509.load_der_x509_certificate(san.der)
    serial_number = f"{parsed.serial_number:X}"
    told = {
        "x-clientcert": san.apache_form,
        "x-fact-subject": "CN=Zo\\C3\\AB\\, \\\"client\\\",C=NL",
        "x-fact-issuer": "CN=Example CA",
        "x-fact-serial_number": serial_number.zfill(len(serial_number) + len(serial_number) % 2),
        "x-fact-not_before": f"{parsed.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "x-fact-not_after": f"{parsed.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "x-fact-san_dns": "a.example.com,b.example.com",
        "x-fact-san_uri": "https://a.example.com/x%2Cy%2520z",
        "x-fact-san_ip": "192.0.2.1,2001:db8::1",
        "x-fact-san_email": "client@example.com",
        "x-fact-x5t_s256": san.thumbprint,
        "x-fact-sha256": san.digest,
        "x-fact-verified": "SUCCESS",
    }
    yield case("what a certificate says is in the headers that are named for it", on=san, forward=told, **facts)
    failed = {"x-fact-verified": "FAILED:the chain of the certificate was not validated"}
    subject = {"x-fact-subject": "CN=client-1,O=Example Bank,C=NL"}
    yield case(
        "a certificate that is merely presented is told so",
        on=world.impostor,
        validated=False,
        forward={"x-clientcert": world.impostor.apache_form, **failed, **subject},
        **facts,
    )
    yield case("no certificate is told as none", on=None, forward={"x-fact-verified": "NONE"}, **facts)
    for path in ("/token", "/token/par", "/token?a=b", "/%74oken"):
        gets_it = case(f"the endpoint {path} gets the certificate", forward={"x-clientcert": one.apache_form}, **facts)
        # Envoy's own routes compare a path as it is.
        yield replace(gets_it, path=path, as_it_came="%" in path)
    nothing = [(name, FORGED) for name in told]
    for path in ("/token/", "/token/revoke", "/token/par/x", "/token/PAR", "/token/%3Bx", "/token/x;y"):
        elsewhere = case(f"{path} is no endpoint and gets nothing", headers=nothing, forward={}, **facts)
        yield replace(elsewhere, path=path)

    keycloak = {"configuration": "keycloak", "forward": {"ssl_client_cert": one.apache_form}}
    yield case("a chain for which there is no room is left out", headers=chain, **keycloak, **on_this_host)
    yield case(
        "a certificate for which there is no room is refused",
        configuration="too-small",
        refusal=Refusal("certificate_too_large", 431, "invalid_request", challenge=False),
    )
    yield case("what Envoy may have written is no forgery", headers=chain[:1], **keycloak)
    for name in ("X-SSL-cipher", "x_ssl_subject", "WL-Proxy-SSL", "ssl!session~id", "$WSCS"):
        # No certificate, and no word that one was verified.
        fact = [(name.lower(), FORGED)]
        yield case(f"a forged {name} is removed where certificates are refused", headers=fact, **keycloak)
    for name in ("x-clientcert", "SSL_CLIENT_CERT", "cert.chain_0", "cert_chain_3", "$WSCC", "x^client|verify"):
        refusal = Refusal("header_forged", 400, "invalid_request", challenge=False)
        forged = [(name.lower(), FORGED)]
        yield case(f"a forged {name} is refused where the operator says so", headers=forged, configuration="keycloak", refusal=refusal)
        yield Case(
            f"a forged {name} is refused on an open route too", "keycloak", None, "/auth", None, forged, refusal=refusal
        )


FORM = ("content-type", "application/x-www-form-urlencoded")


def basic(user: str, password: str = "x") -> Header:
    return "authorization", f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def assertion(client_id: str, **changed: Any) -> str:
    """A client assertion whose signature is the authorization server's to verify."""
    claims = {"iss": client_id, "sub": client_id, "aud": ISSUER} | changed
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in ({"alg": "ES256"}, claims)]
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return "&" + urllib.parse.urlencode({"client_assertion_type": kind, "client_assertion": ".".join([*parts, "AAAA"])})


def client_authentication(world: World) -> Iterator[Case]:
    one, other, self_signed = world.client_1, world.client_2, world.impostor
    pki, registered, bound = "s6BhdRkqt3", "fZ2wYg7Lk0", "d8Vq3mTnRa"

    def invalid_client(reason: str, *, challenge: bool = False) -> Refusal:
        return Refusal(reason, 401 if challenge else 400, "invalid_client", challenge=challenge)

    def wrong(reason: str) -> Refusal:
        return Refusal(reason, 400, "invalid_request", challenge=False)

    def case(sentence: str, body: str, *, on: Certificate | None = one, headers: Sequence[Header] = (FORM,), **rest: Any) -> Case:
        rest = {"path": "/token", "method": "POST", "validated": on is not self_signed, **rest}
        configuration = rest.pop("configuration", "client-authentication")
        path = rest.pop("path")
        return Case(sentence, configuration, "clients", path, on, list(headers), body=body.encode(), **rest)

    grant = "grant_type=client_credentials"
    handed_over = {"forward": {"client-cert": one.rfc9440_form}}
    yield case("a client is the one that its certificate names", f"{grant}&client_id={pki}", **handed_over)
    yield case("the client may stand first and be encoded", f"client%5fid=%73{pki[1:]}&{grant}", **handed_over)
    for endpoint in ("/request", "/token/introspection", "/token/revocation", "/device/auth", "/backchannel"):
        yield case(f"clients authenticate at {endpoint} too", f"client_id={pki}", path=endpoint, **handed_over)
    yield case(
        "a registered certificate is a client's whoever issued it, and handed over",
        f"{grant}&client_id={registered}", on=self_signed, forward={"client-cert": self_signed.rfc9440_form},
    )  # fmt: skip
    yield case("a charset says nothing new", f"client_id={pki}", headers=[("content-type", "Application/x-www-form-urlencoded; charset=UTF-8")], **handed_over)
    yield case("a client that authenticates with its key presents a certificate for its tokens", grant + assertion(bound), **handed_over)
    yield case("a client with a password presents one too", grant, headers=[FORM, basic(bound)], **handed_over)
    yield case("no body is needed where HTTP Basic names the client", "", headers=[basic(bound)], **handed_over)

    missing = invalid_client("client_certificate_missing")
    yield case("a client without its certificate is not it", f"client_id={pki}", on=None, refusal=missing)
    yield case("a client without its registered certificate is not it", f"client_id={registered}", on=None, refusal=missing)
    mismatch = invalid_client("client_certificate_mismatch")
    yield case("another client's certificate is not the client's", f"client_id={pki}", on=other, refusal=mismatch)
    yield case("another client's identifier is not that of the certificate", f"client_id={registered}", refusal=mismatch)
    forged = invalid_client("client_certificate_not_validated")
    yield case("a copy of the client's subject on a self-signed certificate is not the client's", f"client_id={pki}", on=self_signed, refusal=forged)
    unknown = invalid_client("client_unknown")
    yield case("a client that is not listed is refused", "client_id=other", refusal=unknown)
    yield case("an identifier has its case", f"client_id={pki.lower()}", refusal=unknown)
    yield case("a client that is not listed is refused where an assertion names it", grant + assertion("whoever-this-may-be"), refusal=unknown)
    yield case("a client that is not listed is challenged where it used HTTP Basic", "", headers=[basic("other")], refusal=invalid_client("client_unknown", challenge=True))
    nobody = invalid_client("client_id_missing")
    yield case("a request that names no client is refused", grant, refusal=nobody)
    yield case("an empty identifier is none", "client_id=", refusal=nobody)
    yield case("another scheme names no client", "token=x", headers=[FORM, ("authorization", "Bearer x")], refusal=invalid_client("client_id_missing", challenge=True))
    unbound = wrong("binding_certificate_missing")
    yield case("without a certificate no token can be bound", grant + assertion(bound), on=None, refusal=unbound)
    yield case("a certificate that is not handed over binds no token", grant + assertion(bound), on=self_signed, refusal=unbound)
    several = wrong("client_authentication_repeated")
    yield case("a client of a certificate has no secret beside", f"client_id={pki}&client_secret=x", refusal=several)
    yield case("a client of a certificate has no password beside", f"client_id={pki}", headers=[FORM, basic(pki)], refusal=several)
    yield case("a client of a certificate has no assertion beside", "a=b" + assertion(pki), refusal=several)
    ambiguous = wrong("client_ambiguous")
    for what, body in {
        "stands twice": f"client_id={pki}&client_id={pki}",
        "stands twice, once encoded": f"client_id={pki}&client%5Fid=other",
        "is another one in the assertion": f"client_id={bound}" + assertion(pki),
        "is another one in iss": assertion(bound, iss="other"),
        "has a name of PHP's": f"client_id={bound}&client.id={pki}",
        "has another name of PHP's": f"client_id={bound}&client[id={pki}",
        "has a name of PHP's that a NUL ends": f"client_id={bound}&client[id%00x={pki}",
        "has a name behind a question mark": f"?client_id={pki}&client_id={bound}",
        "has a name behind a number sign": f"#client_id={pki}&client_id={bound}",
        "has a secret behind a question mark": f"client_id={bound}&?client_secret=x",
        "has a name in brackets": f"client_id={bound}&[client_id]={pki}",
        "has a name behind a dot": f"client_id={bound}&.client_id={pki}",
        "has a name behind a byte order mark": f"client_id={bound}&%EF%BB%BFclient_id={pki}",
        "has a name with a dotless i": f"client_id={bound}&cl%C4%B1ent_id={pki}",
        "is a list to some": f"client_id={bound}&client_id[]={pki}",
        "has a name in another case": f"Client_ID={pki}",
    }.items():
        yield case(f"the identifier {what}", body, refusal=ambiguous)
    yield case("the identifier is another one in HTTP Basic", f"client_id={pki}", headers=[FORM, basic(bound)], refusal=ambiguous)
    # Envoy joins the values of repeated headers with a comma before any filter sees them.
    for what, before in {"another scheme": "Bearer x, ", "another scheme and no space": "Bearer x,", "two": "Bearer x, Digest y,\t", "nothing": ", "}.items():
        joined = ("authorization", before + basic(bound)[1])
        yield case(f"HTTP Basic behind {what} may name a client", "client_id=other", headers=[FORM, joined], configuration="unlisted-clients-forwarded", refusal=ambiguous)
    capitals = ("authorization", "Bearer x, BASIC" + basic(bound)[1][5:])
    yield case("HTTP Basic in capitals behind another scheme may name a client", "client_id=other", headers=[FORM, capitals], configuration="unlisted-clients-forwarded", refusal=ambiguous)
    lists = ("authorization", 'Digest username="other", basically=x')
    yield case("another scheme with a list of parameters names no client", "client_id=other", headers=[FORM, lists], configuration="unlisted-clients-forwarded", **handed_over)
    yield case("what HTTP Basic says is decoded", "", headers=[basic(bound.replace("d", "%64"))], **handed_over)
    yield case("the identifier stands in the query", f"client_id={pki}", path=f"/token?client_id={pki}", refusal=ambiguous)
    yield case("the identifier stands behind two question marks", f"client_id={pki}", path=f"/token??client_id={pki}", refusal=ambiguous)
    malformed = wrong("token_request_malformed")
    for what, body in {
        "has half an escape": f"client_id={pki}&a=%2",
        "has a byte order mark": f"\ufeffclient_id={bound}&client_id={pki}",
        "has a semicolon": f"a=b;client_id={pki}",
        "has an identifier with a newline": "client_id=a%0a",
        "has an assertion that is none": "client_assertion=x&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
        "has an assertion without its type": f"client_id={bound}&client_assertion=a.e30.b",
        "is too large": f"client_id={pki}&a=" + "x" * 65536,
    }.items():  # fmt: skip
        # A name of the form is decoded always, a value only where it counts.
        yield case(f"a form that {what} is refused", body.replace("a=%2", "a%2=b"), refusal=malformed)
    forwarding = {"configuration": "unlisted-clients-forwarded"}
    yield case("a client that is not listed may be the server's to authenticate", "", headers=[basic("other")], **forwarding, **handed_over)
    yield case("so may one without a certificate", "client_id=other", on=None, **forwarding, forward={})
    yield case("a listed client is not the server's alone", f"client_id={pki}", on=other, **forwarding, refusal=mismatch)
    yield case("a public client is forwarded", "client_id=a%2bb", **forwarding, **handed_over)
    yield case("nobody is nobody's to authenticate", grant, **forwarding, refusal=nobody)
    # What the server behind may take for a listed client: the identifiers are those that it gets, decoded once.
    quoted = urllib.parse.quote
    for what, client_id in {
        "in small letters": pki.lower(),
        "in capitals": pki.upper(),
        "behind a space": f" {pki}",
        "before spaces": f"{pki}  ",
        "percent-encoded once more": f"%{ord(pki[0]):02x}{pki[1:]}",
        "percent-encoded twice more": f"%25{ord(pki[0]):02X}{pki[1:]}",
        "before a line end that is percent-encoded once more": f"{pki}%0d%0A",
        "before a NUL that is percent-encoded once more": f"{pki}%00x",
        "before a no-break space that is percent-encoded once more": f"{pki}%c2%a0",
        "with the sign of the kelvin, percent-encoded once more": pki.replace("k", "%E2%84%AA"),
        "in capitals, and percent-encoded once more": quoted(pki.upper()).replace("S", "%73"),
        "but for a plus that is a space": "a b",
        "but for a plus that is percent-encoded once more": "A%2bB",
        "that is percent-encoded, decoded once more": "50%",
        "that is percent-encoded, encoded once more": "50%2525",
        "two listed clients would be in another case": "twin",
    }.items():
        yield case(f"a form names a listed client {what}", f"client_id={quoted(client_id, safe='')}", **forwarding, refusal=ambiguous)
    for client_id in (pki.lower(), f"%{ord(pki[0]):02x}{pki[1:]}"):
        named = [basic(quoted(client_id, safe=""))]
        yield case(f"HTTP Basic names a listed client as {client_id}", "", headers=named, **forwarding, refusal=ambiguous)
        yield case(f"an assertion names a listed client as {client_id}", grant + assertion(client_id), **forwarding, refusal=ambiguous)
    for client_id in ("a+b", "50%25", "Twin", "tWIN"):
        yield case(f"a listed client is itself and no other: {client_id}", f"client_id={quoted(client_id)}", **forwarding, **handed_over)
    for client_id in (f"{pki}3", pki[:-1], "s6-BhdRkqt3", "a%b", "%", "60%25", "twins", "a-b"):
        yield case(f"an identifier that no server takes for a listed one is forwarded: {client_id}", f"client_id={quoted(client_id)}", **forwarding, **handed_over)
    yield case("HTTP Basic names a listed client only where it is not decoded", "", headers=[basic("a+b")], **forwarding, refusal=ambiguous)
    yield case(
        "a certificate of a resumed session is validated where the listener validates",
        f"client_id={pki}", facts={"connection.peer_certificate_valid": b"\0"}, **forwarding, **handed_over,
    )  # fmt: skip
    yield case("JSON is no form", json.dumps({"client_id": pki}), headers=[("content-type", "application/json")], refusal=malformed)
    yield case("a body without a type is no form", f"client_id={pki}", headers=[], refusal=malformed)
    yield case("a compressed body is not read", f"client_id={pki}", headers=[FORM, ("content-encoding", "gzip")], refusal=malformed)
    for what, scheme in {"a tab": "Basic\t", "nothing": "bAsIc=", "a comma": "Basic,"}.items():
        credentials = basic("other")[1][6:]
        yield case(f"what servers may take for HTTP Basic with {what} behind it is refused", "client_id=other", headers=[FORM, ("authorization", scheme + credentials)], **forwarding, refusal=malformed)
    publishing = {"configuration": "client-keys"}
    unavailable = Refusal("client_keys_unavailable", 503, "temporarily_unavailable", challenge=False)
    yield case("a client whose certificates cannot be had is not known for the time being", "client_id=publishing", on=self_signed, **publishing, refusal=unavailable)
    yield case("nor is it by its certificate of the listener's CA", "client_id=publishing", **publishing, refusal=unavailable)
    yield case("a client that publishes its certificates presents one", "client_id=publishing", on=None, **publishing, refusal=missing)
    yield case("a client that publishes its certificates has no secret beside", "client_id=publishing&client_secret=x", **publishing, refusal=several)
    yield case("HTTP Basic needs a colon", "", headers=[("authorization", "Basic eA==")], refusal=malformed)
    yield case("clients authenticate with POST alone", "", headers=[], method="GET", refusal=malformed)


def behind_terminators(world: World) -> Iterator[Case]:
    """The certificate in the header of another terminator, which is `edge`, or `named`, or knows the secret."""
    one, edge, named = world.client_1, world.client_2, world.names
    token = ("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims(one)))
    of_edge = ("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims(edge)))
    none = invalid_token("certificate_not_presented")
    malformed = cannot_decide("certificate_malformed")

    def case(sentence: str, path: str, on: Certificate | None, headers: Sequence[Header], **rest: Any) -> Case:
        return Case(sentence, "behind-terminators", None, path, on, headers, **rest)

    escaped, der = ("x-edge-cert", one.url_encoded), base64.b64encode(one.der).decode()
    passes = {"forward": dict([token])}
    yield case("the certificate that a terminator names is the client's", "/certificate", edge, [escaped, token], **passes)
    yield case("another certificate on the connection is no terminator's", "/certificate", named, [escaped, token], refusal=none)
    yield case("without a certificate there is no terminator", "/certificate", None, [escaped, token], refusal=none)
    yield case("the client's own certificate does not make it the terminator", "/certificate", one, [escaped, token], refusal=none)
    yield case("nor does its own certificate count without the terminator", "/certificate", one, [token], refusal=none)
    yield case("the terminator's certificate is no client's", "/certificate", edge, [of_edge], refusal=none)
    yield case(
        "a token of the terminator is held to the client that the header names",
        "/certificate", edge, [escaped, of_edge], refusal=invalid_token("certificate_mismatch"),
    )  # fmt: skip
    yield case("an empty header names no certificate", "/certificate", edge, [("x-edge-cert", ""), token], refusal=none)
    yield case("a terminator's header that is repeated is refused", "/certificate", edge, [escaped, escaped, token], refusal=malformed)
    for what, value in {
        "has no certificate": FORGED,
        "has two certificates": one.url_encoded + one.url_encoded,
        "has another encoding": der,
        "is too long": "A" * 33000,
    }.items():
        yield case(f"a terminator's header that {what} is refused", "/certificate", edge, [("x-edge-cert", value), token], refusal=malformed)
    yield case(
        "a forged twin of a terminator's header is removed and not read",
        "/certificate", edge, [("x_edge_cert", FORGED), ("x-edge.cert", FORGED), ("x`edge`cert", FORGED), escaped, token], **passes,
    )  # fmt: skip

    own = ("x-client-cert", der)
    thumbprint = {**passes["forward"], "x-thumbprint": one.thumbprint}
    yield case("a terminator proves itself by a name in a validated certificate", "/name", named, [own, token], forward=thumbprint)
    yield case("another name proves nothing", "/name", edge, [own, token], refusal=none)
    yield case(
        "a name in a certificate that is not validated proves nothing",
        "/name", named, [own, token], facts={"connection.peer_certificate_valid": b"\0"}, refusal=none,
    )  # fmt: skip
    yield case(
        "a name proves nothing on a host that does not say which are validated",
        "/name", named, [own, token], facts={"connection.peer_certificate_valid": None},
        refusal=cannot_decide("chain_validation_unavailable"),
    )  # fmt: skip
    yield case(
        "a name proves nothing on a host that does not hand over certificates",
        "/name", named, [own, token], facts={"connection.peer_certificate": None},
        refusal=cannot_decide("certificate_unavailable"),
    )  # fmt: skip
    yield case(
        "a name in another certificate than the connection's proves nothing",
        "/name", edge, [own, token], facts={"connection.peer_certificate": named.pem.encode()},
        refusal=cannot_decide("certificate_digest_mismatch"),
    )  # fmt: skip
    expired = world.dated(-7200, -3600)
    old = ("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims(expired)))
    yield case(
        "the dates of the certificate that a terminator names are looked at",
        "/name", named, [("x-client-cert", base64.b64encode(expired.der).decode()), old],
        refusal=invalid_token("certificate_expired"),
    )  # fmt: skip
    stated = ("x-edge-cert", der)
    yield case("a name counts where the listener validates", "/stated", named, [stated, token], **passes)
    yield case(
        "the listener's word for a terminator counts on any host",
        "/stated", named, [stated, token], facts={"connection.peer_certificate_valid": None}, **passes,
    )  # fmt: skip

    secret = ("x-edge-secret", SECRET)
    known = ("x-edge-x5t", one.thumbprint)
    yield case("a terminator proves itself by a secret, and a thumbprint is enough", "/secret", None, [secret, known, token], **passes)
    for what, headers in {
        "no secret": [],
        "another secret": [("x-edge-secret", FORGED)],
        "half of the secret": [("x-edge-secret", SECRET[:-1])],
        "an empty secret": [("x-edge-secret", "")],
        "the secret and another one": [secret, ("x-edge-secret", FORGED)],
        "the secret under another name": [("x_edge_secret", SECRET)],
    }.items():
        yield case(f"{what} proves nothing", "/secret", None, [*headers, known, token], refusal=none)
    yield case("a thumbprint in other digits is refused", "/secret", None, [secret, ("x-edge-x5t", one.digest), token], refusal=malformed)

    gluu, cert = {"x-clientcert": one.apache_form}, ("client-cert", one.rfc9440_form)
    chain = ", ".join([edge.rfc9440_form, named.rfc9440_form])
    both = {**gluu, "client-cert": one.rfc9440_form, "client-cert-chain": chain}
    verified, said = ("x-edge-verify", "SUCCESS"), {"x-fact-verified": "SUCCESS"}
    from_edge = [secret, cert, ("client-cert-chain", chain)]
    yield case("a validated certificate and its chain are handed on", "/rfc9440", None, [*from_edge, verified], forward={**both, **said})
    yield case("a connection's own certificate is not what is handed on", "/rfc9440", edge, [*from_edge, verified], forward={**both, **said})
    nothing = {"forward": {"x-fact-verified": "NONE"}}
    yield case("what the terminator did not validate is not handed on", "/rfc9440", None, [*from_edge, ("x-edge-verify", "FAILED:x")], **nothing)
    yield case("without the terminator's word nothing is handed on", "/rfc9440", None, from_edge, **nothing)
    yield case("two words of the terminator are none", "/rfc9440", None, [*from_edge, verified, ("x-edge-verify", "NONE")], **nothing)
    yield case("without the secret nothing is handed on", "/rfc9440", None, [*from_edge[1:], verified], **nothing)
    yield case("without the secret the connection's own certificate is not handed on", "/rfc9440", one, [*from_edge[1:], verified], **nothing)
    yield case("a chain that is none is refused", "/rfc9440", None, [secret, cert, ("client-cert-chain", FORGED), verified], refusal=malformed)
    yield case(
        "what clients make up beside the terminator is removed",
        "/apache", None, [*((name, value) for name, value in forged_headers() if "edge" not in name), secret, ("x-edge-cert", one.apache_form)],
        forward={**gluu, "client-cert": one.rfc9440_form, **said},
    )  # fmt: skip
    yield case("Apache's word for no certificate is none", "/apache", None, [secret, ("x-edge-cert", "(null)")], **nothing)
    presented = {**gluu, "client-cert": one.rfc9440_form}
    for value, word in {"SUCCESS": "SUCCESS", "NONE": "FAILED:the chain of the certificate was not validated"}.items():
        yield case(
            f"a presented certificate is handed on with the terminator's word {value}",
            "/presented", None, [secret, ("x-edge-cert", one.apache_form), ("x-edge-verify", value)],
            forward={**presented, "x-fact-verified": word},
        )  # fmt: skip
    yield case(
        "a terminator's headers are removed under every policy",
        "/elsewhere", edge, [(name, FORGED) for name in ("x-edge-cert", "x-edge-x5t", "x-edge-secret", "x'edge+secret", "X_Edge.Verify".lower())],
        forward={},
    )  # fmt: skip


def routes(world: World) -> Iterator[Case]:
    one = world.client_1
    metadata = "xds.route_metadata.filter_metadata.certbound"

    def case(sentence: str, facts: Mapping[str, bytes], reason: str) -> Case:
        return Case(sentence, "resource-server", None, "/", one, [], facts=facts, refusal=cannot_decide(reason))

    unbound = [("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims()))]
    for path in ("/migration/../accounts", "/migration/%2e%2e/accounts", "/migration//../../accounts", "//accounts"):
        yield Case(
            f"the path {path} does not take one route's policy to another's resource",
            "resource-server",
            None,
            path,
            None,
            unbound,
            refusal=invalid_token("confirmation_missing"),
        )
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


    # Envoy has redirected the request internally, and says so in a header that it takes from no client at its edge.
    token = ("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims(one)))
    redirected = ("x-envoy-original-url", "https://localhost/before")

    def told(policy: str | None) -> dict[tuple[str, ...], bytes]:
        line = json.dumps({"verdict": "forwarded", "reason": "token_bound", "policy": policy})
        return {("filter_state", "wasm.certbound"): line.encode()}

    yield Case(
        "an internal redirect under the same policy is judged as every request",
        "resource-server",
        None,
        "/",
        one,
        [token, redirected],
        facts=told("api"),
        forward={"authorization": token[1]},
    )
    yield Case(
        "an internal redirect that leads to another policy is refused",
        "resource-server",
        "open",
        "/health",
        one,
        [token, redirected],
        facts=told("api"),
        refusal=cannot_decide("policy_changed"),
    )
    yield Case(
        "an internal redirect from an open route to the API is refused",
        "resource-server",
        None,
        "/",
        one,
        [token, redirected],
        facts=told("open"),
        refusal=cannot_decide("policy_changed"),
    )
    yield Case(
        "a request that no policy judged before an internal redirect is judged as every request",
        "resource-server",
        None,
        "/",
        one,
        [token, redirected],
        facts=told(None),
        forward={"authorization": token[1]},
    )
    yield Case(
        "what was told of a request that is no internal redirect does not matter",
        "resource-server",
        None,
        "/",
        one,
        [token],
        facts=told("open"),
        forward={"authorization": token[1]},
    )
    yield Case(
        "the filter's own header is not forged where an internal redirect brings it again",
        "keycloak",
        "clients",
        "/token",
        one,
        [("SSL_CLIENT_CERT", "written before the redirect"), redirected],
        method="POST",
        facts=told("clients"),
        forward={"ssl_client_cert": one.apache_form},
    )

    for level in ("virtual_host", "listener"):
        further = f"xds.{level}_metadata.filter_metadata.certbound"
        name = level.replace("_", " ")

        def open_by(sentence: str, facts: Mapping[str, bytes]) -> Case:
            return Case(sentence, "resource-server", None, "/", one, forged_headers(), facts=facts, forward={})

        opens = {further: encoded_map({"policy": "open"})}
        yield open_by(f"a {name}'s metadata names the policy of its routes", opens)
        yield open_by(
            f"a route's metadata is nearer than its {name}'s",
            {further: encoded_map({"policy": "api"}), metadata: encoded_map({"policy": "open"})},
        )
        yield open_by(
            f"a route's metadata without an entry leaves it to its {name}'s", {**opens, metadata: encoded_map({})}
        )
        yield case(
            f"a route's malformed metadata does not leave it to its {name}'s",
            {**opens, metadata: encoded_map({"polcy": "api"})},
            "route_metadata_malformed",
        )
        yield case(f"a {name}'s metadata that is no map is refused", {further: b"open"}, "route_metadata_malformed")
        yield case(
            f"a {name}'s metadata with a name that no policy has is refused",
            {further: encoded_map({"policy": "opne"})},
            "unknown_policy",
        )


def routes_of_the_configuration(world: World) -> Iterator[Case]:
    """envoy/policies-by-path.yaml."""
    one = world.client_1

    def bearer(**claims: Any) -> list[Header]:
        return [("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims(one, **claims)))]

    def case(
        sentence: str, path: str, headers: Sequence[Header], authority: str = "api.example.com", **rest: Any
    ) -> Case:
        return Case(sentence, "policies-by-path", None, path, one, headers, authority=authority, **rest)

    scoped, plain, lacking = bearer(scope="payments"), bearer(), insufficient_scope("payments")
    for path in ("/payments", "/payments/1", "/%70ayments", "/payments?/../health"):
        yield case(f"the route of {path} needs a scope that the token lacks", path, plain, refusal=lacking)
        yield case(f"the route of {path} needs a scope that the token has", path, scoped, forward=dict(scoped))
    for authority in (
        *("api.example.com:8443", "API.Example.com", "api.example.com."),
        *("eu.api.example.com", "a.b.api.example.com"),
    ):
        yield case(f"the host {authority} has its route", "/payments", plain, authority, refusal=lacking)
    for path in ("/", "/payments-2", "/Payments", "/caf%C3%A9%20au%20lait", "/health/", "/health2"):
        yield case(f"the route of {path} is the one for the others", path, plain, forward=dict(plain))
        yield case(f"the route of {path} needs a token", path, [], refusal=no_token("token_missing"))
    yield case("a route for all hosts is for any", "/health", forged_headers(), "other.example.org", forward={})
    for authority in ("other.example.org", "example.com", "badapi.example.com", "api.example.com.example.org"):
        yield case(f"no route is for the host {authority}", "/", plain, authority, refusal=no_route())
    yield case(
        "a gRPC call that no route is for gets the status of gRPC",
        "/accounts.Accounts/List",
        [("content-type", "application/grpc"), ("te", "trailers")],
        "other.example.org",
        refusal=replace(no_route(), grpc_status=12),
    )
    for path in ("/health;x", "/health%3Bx", "/%25", "/a%0ab", "/%ff"):
        yield case(f"the path {path} has more than one reading", path, plain, refusal=ambiguous())
    for authority in ("api.example.com..", "api..example.com"):
        yield case(f"the host {authority} has more than one reading", "/", plain, authority, refusal=ambiguous())
    for path in (
        *("//payments", "/health/../payments", "/./payments", "/health/.", "/%2e%2e/payments", "/payments%2f1"),
        *("/%5cpayments", "/payments%00", "/health#/payments", "/health\\payments", "/health/..;/payments"),
    ):
        yield case(f"the path {path} has more than one reading", path, plain, as_it_came=True, refusal=ambiguous())
    for level in ("route", "virtual_host", "listener"):
        for name in ("open", "api", "nobody"):
            yield case(
                f"a {level} whose metadata names the policy {name} beside routes is refused",
                "/health",
                plain,
                facts={f"xds.{level}_metadata.filter_metadata.certbound": encoded_map({"policy": name})},
                refusal=cannot_decide("route_metadata_malformed"),
            )


def forged_headers() -> list[Header]:
    """Names of the field, and the spellings that servers behind CGI-like interfaces take for one of them."""
    names = (
        "Client-Cert Client-Cert-Chain X-Forwarded-Client-Cert X-ClientCert X-Forwarded-Tls-Client-Cert "
        "X-Forwarded-Tls-Client-Cert-Info X-Ssl-Cert X-Ssl-Cert-Chain-0 client-certificate "
        "client-certificate-ca-verified cname-api-key ssl-client-cert ssl-client-verify X-SSL-Client-Cert "
        "X-SSL-Client-SAN-DNS X-Amzn-Mtls-Clientcert-Leaf X-ARR-ClientCert Cf-Client-Cert-Der-Base64 "
        "X-Client-Cert x-wso2-mtls-cert WL-Proxy-Client-Cert WL-Proxy-SSL $WSCC $WSSI MS-ASPNETCORE-CLIENTCERT "
        "X-SSL-certificate X-SSL-Subject X-SSL-cipher CloudFront-Viewer-Cert-Pem X-Client-DN X-Client-Verify "
        "l5d-client-id ssl_cipher ssl_session_id Proxy-auth-cert Proxy-user-dn"
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
        # RFC 9110 §5.6.2: what else a name may have in it that is no letter or digit.
        *(f"x{character}clientcert" for character in "!#$%&'*+^`|~"),
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
            (":authority", case.authority),
            (":scheme", "https"),
        ]
        return {
            "sentence": case.sentence,
            "configuration": case.configuration,
            "headers": [[name, text(value)] for name, value in [*pseudo, *case.headers]],
            "body": text(case.body),
            "properties": [[list(path), text(value)] for path, value in case.properties().items()],
            "now": world.now + case.later,
            "before": [text(f"Bearer {token}") for token in case.before],
            "without_host_cryptography": case.without_host_cryptography,
            "introspection": case.introspection,
            "forward": case.forward,
            "note": case.note,
            "refusal": case.refusal and {**vars(case.refusal), "realm": case.realm},
        }

    def configuration(name: str) -> dict[str, str]:
        value = shipped.plugin(envoy_configuration(name, world))["configuration"]["value"]
        struct = Struct()
        struct.update(value)
        return {"json": json.dumps(value, indent=2), "struct": text(struct.SerializeToString())}

    return {
        "forged": FORGED,
        "configurations": {name: configuration(name) for name in CONFIGURATIONS},
        "cases": [one(case) for case in cases(world)],
    }
