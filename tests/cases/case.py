# SPDX-License-Identifier: Apache-2.0
"""A case: a sentence, a request, and what must become of it."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rig.certificates import Certificate

from cases.world import AUDIENCE

Header = tuple[str, str | bytes]


@dataclass(frozen=True)
class Refusal:
    """What a refused client gets, and what the operator reads."""

    reason: str
    status: int
    error: str | None
    challenge: bool
    scope: str | None = None
    """What the challenge says that the token needs."""
    acr_values: str | None = None
    max_age: int | None = None
    """What the challenge says that the user's authentication needs."""
    schemes: Sequence[str] = ("Bearer",)
    """Those that the policy accepts, in the order of their challenges."""
    algs: str | None = None
    """What the challenge for DPoP says of proofs."""
    grpc_status: int | None = None
    """What a gRPC client gets; on the wire its HTTP status is 200."""


@dataclass(frozen=True)
class Case:
    sentence: str
    configuration: str
    """A file of envoy/, without its ending; or another name of `cases.CONFIGURATIONS`."""
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
    """What the authorization server answers about the token; in a real Envoy tests/envoy/test_introspection.py asks."""
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

    @property
    def challenges(self) -> list[tuple[str, str | None]]:
        """The challenges to a refused client: how each begins and, about a description, how it ends; or all of it and None."""
        refusal = self.refusal
        if refusal is None or not refusal.challenge:
            return []
        if refusal.error == "invalid_client":
            return [(f'Basic realm="{self.realm}"', None)]
        # The error is told in the challenge of the scheme that the client used, or else of the first that any client knows.
        said = next((value for name, value in self.headers if name == "authorization"), "")
        said = said.partition(b" " if isinstance(said, bytes) else " ")[0]
        used = [scheme for scheme in refusal.schemes if str(said).lower() == scheme.lower()]
        usual = [scheme for scheme in ("Bearer", *refusal.schemes) if scheme in refusal.schemes]
        (told, *_) = [*used, *usual]
        found: list[tuple[str, str | None]] = []
        for scheme in refusal.schemes:
            start, end = f'{scheme} realm="{self.realm}"', ""
            if scheme == told and refusal.error:
                end += f', scope="{refusal.scope}"' if refusal.scope else ""
                end += f', acr_values="{refusal.acr_values}"' if refusal.acr_values else ""
                end += f', max_age="{refusal.max_age}"' if refusal.max_age else ""
            end += f', algs="{refusal.algs}"' if refusal.algs and scheme == "DPoP" else ""
            if scheme == told and refusal.error:
                found.append((f'{start}, error="{refusal.error}", error_description="', f'"{end}'))
            else:
                found.append((start + end, None))
        return found

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


def too_early() -> Refusal:
    return Refusal("early_data", 425, None, challenge=False)


def cannot_decide(reason: str) -> Refusal:
    return Refusal(reason, 500, "server_error", challenge=False)
