# SPDX-License-Identifier: Apache-2.0
"""Issued access tokens are held to the certificate of their request, in a real Envoy."""

import base64
import gzip
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import AUDIENCE, World, envoy_configuration
from rig import shipped
from rig.authorization_server import INSTALLED, AuthorizationServer, missing
from rig.certificates import Certificate
from rig.client import ConnectionRefusedByPeer, Response
from rig.envoy import Envoy
from rig.ports import free_port
from rig.process import wait_until
from rig.proxy import WRITES_ITS_ACCESS_LOG_AT_ONCE, Proxy
from rig.scripted_server import Answer, Server
from rig.tokens import jwks
from rig.upstream import Upstream

BODY = b"grant_type=client_credentials"
FORM = [("content-type", "application/x-www-form-urlencoded"), ("accept-encoding", "gzip"), ("range", "bytes=0-9")]


def jwt(claims: object) -> str:
    parts = [json.dumps({"alg": "ES256"}), json.dumps(claims), "signature"]
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


def token(claims: object) -> bytes:
    return json.dumps({"access_token": jwt(claims), "token_type": "Bearer"}).encode()


def bound_to(certificate: Certificate) -> bytes:
    return token({"sub": "a", "cnf": {"x5t#S256": certificate.thumbprint}})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@contextmanager
def running(
    binding: str,
    headers: str,
    world: World,
    directory: Path,
    upstream: int,
    *,
    source: dict[str, Any] | None = None,
    timeout: str | None = None,
) -> Iterator[Proxy]:
    listener, admin = free_port(), free_port()
    document = envoy_configuration("authorization-server", world, listener=listener, upstream=upstream, admin=admin)
    plugin = shipped.plugin(document)
    if headers == "wait":
        plugin["allow_on_headers_stop_iteration"] = True
    policy = plugin["configuration"]["value"]["policies"]["clients"]["authorization_server"]
    policy["issued_tokens"] = {
        "certificate_binding": binding,
        "token_endpoints": ["/token"],
        "response_headers": headers,
    }
    manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
        if timeout and "route" in route:
            route["route"]["timeout"] = timeout
    if source:
        policy |= {"client_certificate_source": source, "client_certificate": "presented"}
    arguments = WRITES_ITS_ACCESS_LOG_AT_ONCE
    with (
        Upstream() as nowhere,
        Envoy(yaml.safe_dump(document), directory, name=f"{binding}-{headers}", extra_arguments=arguments) as envoy,
    ):
        yield Proxy(envoy, listener, nowhere, world)


@pytest.fixture(scope="module", params=["leave", "wait"])
def required(
    request: pytest.FixtureRequest, server: Server, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Proxy, str]]:
    with running("required", request.param, world, tmp_path_factory.mktemp("issuance"), server.port) as proxy:
        yield proxy, request.param


def ask(proxy: Proxy, certificate: Certificate | None, protocol: str) -> Response:
    with proxy.client(certificate, protocol) as client:
        return client.request("POST", "/token", FORM, BODY)


def count(proxy: Proxy, verdict: str, outcome: str) -> int:
    labels = f'policy="clients",verdict="{verdict}",outcome="{outcome}"'
    return proxy.counted(f"certbound_issued_tokens_total{{{labels}}}")


SHAPES = [{}, {"chunks": 5}, {"chunks": 3, "trailers": b"X-After: 1\r\n"}, {"headers": ["Content-Type: text/html"]}]


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
@pytest.mark.parametrize("shape", SHAPES, ids=["length", "chunked", "trailers", "html"])
def test_a_bound_token_reaches_its_client_and_no_other_one_does(
    required: tuple[Proxy, str], server: Server, protocol: str, shape: dict
) -> None:
    proxy, way = required
    world = proxy.world
    before = count(proxy, "forwarded", "bound")
    server.answer = Answer(body=bound_to(world.client_1), **shape)
    response = ask(proxy, world.client_1, protocol)
    assert (response.status, response.body) == (200, server.answer.body)
    assert not {"accept-encoding", "range"} & set(server.seen[-1])
    assert count(proxy, "forwarded", "bound") == before + 1
    for body, certificate, outcome in [
        # Of the last one more may come at once than Envoy keeps, and then it breaks it off itself.
        (bound_to(world.client_1), world.client_2, "certificate_mismatch"),
        (bound_to(world.client_1), None, "certificate_not_presented"),
        (token({"sub": "a"}), world.client_1, "confirmation_missing"),
        (token({"cnf": {"kid": "1"}}), world.client_1, "confirmation_unsupported"),
        (b"access_token=abc", world.client_1, "unreadable"),
        (bound_to(world.client_1)[:-1], world.client_1, "unreadable"),
        (token({"sub": "a"}) + b" " * 131_072, world.client_1, "unreadable"),
        (token({"sub": "a"}) + b" " * 10_000_000, world.client_1, "unreadable"),
    ]:
        server.answer = Answer(body=body, **shape)
        is_large = len(body) > 1_000_000

        def counted(outcome: str = outcome, is_large: bool = is_large) -> int:
            of_envoy = count(proxy, "withheld", "interrupted") if is_large else 0
            return count(proxy, "withheld", outcome) + of_envoy

        before = counted()
        assert_withheld(proxy, certificate, protocol, way, body)
        wait_until(lambda: counted() == before + 1, 5, outcome)
    assert "issued token not bound: withheld reason=confirmation_missing policy=clients presented=" in proxy.envoy.log()


def assert_withheld(proxy: Proxy, certificate: Certificate | None, protocol: str, way: str, body: bytes) -> None:
    """Nothing of the response's body came: 502, or where its headers have left the end of the stream."""
    try:
        response = ask(proxy, certificate, protocol)
    except Exception as broken_off:  # noqa: BLE001 - each protocol has its own
        assert way == "leave", broken_off
        assert body[:20] not in str(broken_off).encode()
        return
    assert body[:20] not in response.body
    if len(body) > 1_000_000 and (response.status, response.body) == (500, b"Internal Server Error"):
        return
    assert response.status == 502
    assert response.json()["error"] == "server_error"


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_response_that_ends_too_early_is_counted(required: tuple[Proxy, str], server: Server, protocol: str) -> None:
    proxy, way = required
    before = count(proxy, "withheld", "interrupted")
    body = bound_to(proxy.world.client_1)
    server.answer = Answer(body=body, missing=1)
    try:
        response = ask(proxy, proxy.world.client_1, protocol)
        assert response.status >= 500 and b"access_token" not in response.body
    except Exception as broken_off:  # noqa: BLE001 - each protocol has its own
        assert way == "leave", broken_off
    wait_until(lambda: count(proxy, "withheld", "interrupted") == before + 1, 5, "the count")


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_compressed_response_is_withheld(required: tuple[Proxy, str], server: Server, protocol: str) -> None:
    proxy, _ = required
    for coding in ("gzip", "br", "identity, gzip"):
        body = gzip.compress(bound_to(proxy.world.client_1))
        server.answer = Answer(headers=["Content-Type: application/json", f"Content-Encoding: {coding}"], body=body)
        response = ask(proxy, proxy.world.client_1, protocol)
        assert (response.status, response.json()["error"]) == (502, "server_error")


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_errors_redirects_and_opaque_tokens_pass(required: tuple[Proxy, str], server: Server, protocol: str) -> None:
    proxy, _ = required
    opaque = b'{"access_token":"abc","token_type":"Bearer"}'
    for answer in [
        Answer(status="400 Bad Request", body=b'{"error":"invalid_grant"}'),
        Answer(status="500 Internal Server Error", headers=["Content-Type: text/html"], body=b"<html></html>"),
        Answer(status="302 Found", headers=["Location: https://other.example/"]),
        Answer(status="204 No Content"),
        Answer(body=b""),
        Answer(body=b"{}"),
        Answer(body=opaque),
    ]:
        server.answer = answer
        response = ask(proxy, proxy.world.client_1, protocol)
        assert (str(response.status), response.body) == (answer.status.split(" ")[0], answer.body)
    assert count(proxy, "forwarded", "opaque") > 0


def test_under_observe_every_response_passes_and_is_counted(
    server: Server, world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running("observe", "leave", world, tmp_path_factory.mktemp("observe"), server.port) as proxy:
        for body, outcome in [
            (token({"sub": "a"}), "confirmation_missing"),
            (bound_to(world.client_2), "certificate_mismatch"),
            (b"<html></html>", "unreadable"),
            (token({"sub": "a"}) + b" " * 500_000, "unreadable"),
        ]:
            server.answer = Answer(body=body, chunks=3)
            response = ask(proxy, world.client_1, "http/1.1")
            assert (response.status, response.body == body) == (200, True)
        assert count(proxy, "observed", "confirmation_missing") == 1
        assert count(proxy, "observed", "certificate_mismatch") == 1
        assert count(proxy, "observed", "unreadable") == 2
        assert "issued token not bound: passed reason=certificate_mismatch policy=clients presented=" in proxy.envoy.log()


@pytest.mark.parametrize("way", ["leave", "wait"])
def test_a_server_that_is_away_slow_or_resets_gets_no_token_through_and_nobody_hangs(
    server: Server, world: World, tmp_path_factory: pytest.TempPathFactory, way: str
) -> None:
    """Each half of a token that comes stays here; what Envoy says of such a server goes on."""
    with running("required", way, world, tmp_path_factory.mktemp("faults"), server.port, timeout="1s") as proxy:
        stalls, body = Answer(body=bound_to(world.client_1), missing=1, stalls=5), bound_to(world.client_1)
        for protocol in ("http/1.1", "h2"):
            for answer in (stalls, Answer(body=body, missing=1), Answer(silent=True)):
                server.answer = answer
                with suppress(ConnectionRefusedByPeer, EOFError):
                    response = ask(proxy, world.client_1, protocol)
                    assert response.status >= 500 and b"access_token" not in response.body, answer
        assert count(proxy, "withheld", "interrupted") == 4
    unused = free_port()
    with running("required", way, world, tmp_path_factory.mktemp("away"), unused) as proxy:
        assert ask(proxy, world.client_1, "http/1.1").status == 503


def test_behind_a_terminator_tokens_are_held_to_the_certificate_of_its_client(
    server: Server, world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    terminator, client = world.client_2, world.client_1
    proof = {"terminator_certificates": [terminator.thumbprint]}
    source = {"header": "X-Edge-Cert", "encoding": "der_base64", "proof": proof}
    named = ("x-edge-cert", base64.b64encode(client.der).decode())
    directory = tmp_path_factory.mktemp("terminator")
    with running("required", "wait", world, directory, server.port, source=source) as proxy:
        for body, sender, status, outcome in [
            (bound_to(client), terminator, 200, "bound"),
            (bound_to(terminator), terminator, 502, "certificate_mismatch"),
            # The header is no proof of itself.
            (bound_to(client), client, 502, "certificate_not_presented"),
        ]:
            server.answer = Answer(body=body)
            with proxy.client(sender) as connection:
                response = connection.request("POST", "/token", [*FORM, named], BODY)
            assert (response.status, response.body == body) == (status, status == 200)
            assert count(proxy, "forwarded" if status == 200 else "withheld", outcome) == 1


@contextmanager
def api_of(issuer: str, world: World, directory: Path, upstream: Upstream) -> Iterator[str]:
    """The URL of an API that takes this issuer's tokens."""
    listener = free_port()
    document = envoy_configuration(
        "resource-server", world, listener=listener, upstream=upstream.port, admin=free_port()
    )
    configuration = shipped.plugin(document)["configuration"]["value"]
    policy = configuration["policies"][configuration["default_policy"]]["resource_server"]
    (trusted,) = policy["issuers"]
    trusted |= {"issuer": issuer, "audiences": [AUDIENCE], "keys": {"jwks": jwks(world.keys["ES256"])}}
    with Envoy(yaml.safe_dump(document), directory, name="api"):
        yield f"https://localhost:{listener}/accounts"


@pytest.mark.skipif(bool(missing()), reason=missing() or "")
@pytest.mark.parametrize("binds", [True, False])
def test_a_real_client_finds_a_real_server_by_its_aliases_and_gets_bound_tokens_alone(
    world: World, tmp_path: Path, binds: bool
) -> None:
    """oauth4webapi reads the metadata of oidc-provider, which knows of no alias and issues what a client's registration
    says, and calls an API with what it gets."""
    registration = {
        "client_id": "client-1",
        "token_endpoint_auth_method": "tls_client_auth",
        "tls_client_auth_subject_dn": world.client_1.subject,
        "tls_client_certificate_bound_access_tokens": binds,
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "response_types": [],
    }
    listener = free_port()
    issuer, alias = f"https://localhost:{listener}", f"https://127.0.0.1:{listener}"
    keys = [world.keys["ES256"]]
    with AuthorizationServer(tmp_path, issuer=issuer, audience=AUDIENCE, keys=keys, clients=[registration]) as server:
        ports = {"upstream": server.port, "admin": free_port()}
        document = envoy_configuration("authorization-server", world, listener=listener, **ports)
        plugin = shipped.plugin(document)
        plugin["allow_on_headers_stop_iteration"] = True
        policy = plugin["configuration"]["value"]["policies"]["clients"]["authorization_server"]
        policy["metadata"]["mtls_endpoint_aliases"] = [{"endpoint": "token_endpoint", "base_url": alias}]
        policy["issued_tokens"] |= {"certificate_binding": "required", "response_headers": "wait"}
        arguments = WRITES_ITS_ACCESS_LOG_AT_ONCE
        with (
            Upstream() as behind,
            Envoy(yaml.safe_dump(document), tmp_path, name="real", extra_arguments=arguments) as envoy,
            api_of(issuer, world, tmp_path, behind) as api,
        ):
            proxy = Proxy(envoy, listener, behind, world)
            with proxy.client(None) as client:
                metadata = client.request("GET", "/.well-known/openid-configuration").json()
            assert metadata["mtls_endpoint_aliases"] == {"token_endpoint": f"{alias}/token"}
            assert metadata["tls_client_certificate_bound_access_tokens"] is True
            assert {"tls_client_auth", "self_signed_tls_client_auth"} <= set(
                metadata["token_endpoint_auth_methods_supported"]
            )
            configuration = {
                "issuer": issuer,
                "ca": str(world.authority.pem_path),
                "certificate": str(world.client_1.certificate_path),
                "key": str(world.client_1.key_path),
                "client_id": "client-1",
                "aliases": True,
                "api": api,
                "thief": {
                    "certificate": str(world.client_2.certificate_path),
                    "key": str(world.client_2.key_path),
                },
            }
            (tmp_path / "client.json").write_text(json.dumps(configuration))
            command = ["node", str(INSTALLED / "client.mjs"), str(tmp_path / "client.json")]
            ran = subprocess.run(command, capture_output=True, check=False, timeout=30)
            if binds:
                outcome = json.loads(ran.stdout)
                payload = outcome["token"]["access_token"].split(".")[1]
                claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
                assert claims["cnf"] == {"x5t#S256": world.client_1.thumbprint}
                assert count(proxy, "forwarded", "bound") == 1
                assert outcome["api"] == 200
                assert outcome["stolen"] == {"status": 401, "error": "invalid_token"}
                assert [request.path for request in behind.requests] == ["/accounts"]
            else:
                assert b"access_token" not in ran.stdout
                assert count(proxy, "withheld", "confirmation_missing") == 1
