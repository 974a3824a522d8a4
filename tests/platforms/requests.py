# SPDX-License-Identifier: Apache-2.0
"""The requests that every gateway is asked, and what istio.yaml and envoy-gateway.yaml say of them."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from cases import FORGED, World, forged_headers
from rig import tokens
from rig.certificates import Certificate, self_signed
from rig.client import Client, ConnectionRefusedByPeer
from rig.upstream import Request, Upstream

HOST = "api.example.com"
Who = Literal["one", "two", "nobody", "foreign"]
Token = Literal["right", "stolen", "unbound", "payments", "stranger", "none"]


@dataclass(frozen=True)
class Row:
    """A request, and its status."""

    sentence: str
    status: int
    who: Who = "one"
    """Whose certificate the client presents: "foreign" is of a CA that nobody knows."""
    token: Token = "right"
    """"right" is bound to the certificate of "one", and "payments" too, with that scope."""
    path: str = "/accounts"
    host: str = HOST
    protocol: Literal["http/1.1", "h2"] = "http/1.1"
    method: str = "GET"
    body: bytes = b""
    forged: bool = False
    """Whether it has every header with which a certificate is handed over, made up."""


ROWS = [
    Row("the right certificate", 200),
    Row("the right certificate over HTTP/2", 200, protocol="h2"),
    Row("another client's certificate", 401, who="two"),
    Row("another client's certificate over HTTP/2", 401, who="two", protocol="h2"),
    Row("no certificate", 401, who="nobody"),
    Row("a stolen token", 401, token="stolen"),
    Row("an unbound token", 401, token="unbound"),
    Row("a token that a stranger signed", 401, token="stranger"),
    Row("no token", 401, token="none"),
    Row("a path that needs a scope, without it", 403, path="/payments/1"),
    Row("a path that needs a scope, with it", 200, token="payments", path="/payments/1"),
    Row("a path that only begins like it", 200, path="/payments-2"),
    Row("a host below the API's", 200, host="eu.api.example.com"),
    Row("another host", 404, host="www.example.com"),
    Row("the open path, with nothing", 200, who="nobody", token="none", path="/health"),
    Row("a path below the open one, with nothing", 401, who="nobody", token="none", path="/health/x"),
    Row("a body", 200, method="POST", body=b"x" * 100_000),
    Row("a token in the query", 400, token="none", path="/accounts?access_token=x"),
    Row("forged headers, and the right certificate", 200, forged=True),
    Row("forged headers, and the right certificate, over HTTP/2", 200, forged=True, protocol="h2"),
    Row("forged headers, and no certificate", 401, forged=True, who="nobody"),
    Row("forged headers on the open path", 200, forged=True, who="nobody", token="none", path="/health"),
    Row("a dot segment before the path that needs a scope", 403, path="/a/../payments/1"),
    Row("a percent-encoded letter in it", 403, path="/%70ayments/1"),
    Row("an encoded slash before it", 400, path="/%2fpayments/1"),
    Row("a dot segment between backslashes before it", 403, path="/a\\..\\payments/1"),
]
TWO_SLASHES = {
    "istio": Row("two slashes before the path that needs a scope", 400, path="//payments/1"),
    "envoy-gateway": Row("two slashes before the path that needs a scope", 403, path="//payments/1"),
}
"""Istio has Envoy leave them, and certbound refuses such a path. Envoy Gateway has Envoy merge them."""


@functools.cache
def server(world: World) -> Certificate:
    """The gateway's own certificate."""
    return world.authority.issue("gateway", dns=[HOST], server=True)


class Gateway:
    """A platform's gateway at `port`, and what stands behind it."""

    def __init__(self, world: World, port: int, upstream: Upstream, *, underscores: bool = True) -> None:
        """`underscores` says whether the platform takes names with underscores at all."""
        self.world, self.port, self.upstream = world, port, upstream
        key = world.keys["ES256"]
        claims = world.claims(world.client_1)
        self.tokens = {
            "right": tokens.sign(key, claims),
            "payments": tokens.sign(key, claims | {"scope": "accounts payments"}),
            "stolen": tokens.sign(key, world.claims(world.client_2)),
            "unbound": tokens.sign(key, world.claims()),
            "stranger": tokens.sign(world.stranger, claims),
        }
        self._certificates: dict[str, Certificate | None] = {"one": world.client_1, "two": world.client_2, "nobody": None}
        self._forged = [(name, value) for name, value in forged_headers() if underscores or "_" not in name]

    def client(self, who: Who = "one", host: str = HOST, protocol: Literal["http/1.1", "h2"] = "http/1.1") -> Client:
        return Client(
            self.port,
            ca_path=self.world.authority.pem_path,
            authority=host,
            # A gateway may choose by it which certificate it has, and whether it has any.
            server_name=HOST,
            certificate=self._certificates[who],
            protocol=protocol,
        )

    def headers(self, token: Token) -> list[tuple[str, str]]:
        return [] if token == "none" else [("authorization", f"Bearer {self.tokens[token]}")]

    def status(self, token: Token = "right", path: str = "/accounts", who: Who = "one") -> int:
        """What one request gets; 0 where there is no answer."""
        try:
            with self.client(who) as client:
                return client.request("GET", path, headers=self.headers(token)).status
        except (OSError, ConnectionRefusedByPeer, ValueError):
            return 0

    def foreign(self, certificate: Certificate) -> None:
        """Has "foreign" be this certificate."""
        self._certificates["foreign"] = certificate

    def check(self, row: Row) -> None:
        """Asks, and compares; what reached the upstream has no forged header and the whole body."""
        before = len(self.upstream.requests)
        headers = [*self.headers(row.token), *(self._forged if row.forged else [])]
        with self.client(row.who, row.host, row.protocol) as client:
            response = client.request(row.method, row.path, headers=headers, body=row.body)
        assert response.status == row.status, response.body
        assert self._reached(before) == ([row.body] if row.status == 200 else [])

    def _reached(self, before: int) -> list[bytes]:
        reached: Sequence[Request] = self.upstream.requests[before:]
        assert FORGED not in str([request.headers for request in reached])
        return [request.body for request in reached]


def refuses_a_foreign_certificate(gateway: Gateway, certificate: Certificate) -> None:
    """A certificate of a CA that the gateway does not know ends the handshake."""
    gateway.foreign(certificate)
    with pytest.raises(ConnectionRefusedByPeer) as refusal, gateway.client("foreign") as client:
        client.request("GET", "/accounts", headers=gateway.headers("right"))
    assert "UNKNOWN_CA" in refusal.value.reason


def foreign(world: World, directory: Path) -> Certificate:
    """A certificate of nobody's CA, with the names of `client_1`."""
    return self_signed(directory, "foreign", copy_subject_of=world.client_1)
