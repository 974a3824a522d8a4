# SPDX-License-Identifier: Apache-2.0
"""Clients that authenticate before the authorization server: the ways in which a body comes, in a real Envoy."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import AUDIENCE, World, envoy_configuration
from rig import shipped
from rig.authorization_server import INSTALLED, AuthorizationServer, missing
from rig.certificates import Certificate, jwk
from rig.client import ConnectionRefusedByPeer
from rig.envoy import Envoy
from rig.ports import free_port
from rig.process import wait_until
from rig.proxy import WRITES_ITS_ACCESS_LOG_AT_ONCE, Proxy, told
from rig.token_request import FORM, WAYS, in_chunks, is_refused
from rig.upstream import Upstream

PKI, REGISTERED = "s6BhdRkqt3", "fZ2wYg7Lk0"
BODY = f"grant_type=client_credentials&client_id={PKI}".encode()
STRANGERS = BODY.replace(PKI.encode(), REGISTERED.encode())


@pytest.fixture(scope="module", params=WAYS)
def proxy(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running(request.param, world, tmp_path_factory.mktemp("client-authentication")) as proxy:
        yield proxy


@contextmanager
def running(way: str, world: World, directory: Path) -> Iterator[Proxy]:
    """Envoy with client-authentication.yaml; where headers leave there is no `allow_on_headers_stop_iteration`."""
    with Upstream() as upstream:
        listener, ports = free_port(), {"upstream": upstream.port, "admin": free_port()}
        document = envoy_configuration("client-authentication", world, listener=listener, **ports)
        plugin = shipped.plugin(document)
        if way != "headers_wait":
            del plugin["allow_on_headers_stop_iteration"]
        if way == "headers_leave":
            authentication = plugin["configuration"]["value"]["policies"]["clients"]["authorization_server"][
                "client_authentication"
            ]
            # What is handed over may depend on no body.
            authentication["clients"] = [each for each in authentication["clients"] if "jwks" not in each]
            authentication["request_body"] = way
        if way == "falsely-declared":
            shipped.manager(document)["stream_idle_timeout"] = "1s"
        with Envoy(yaml.safe_dump(document), directory, name=way, extra_arguments=WRITES_ITS_ACCESS_LOG_AT_ONCE) as envoy:
            yield Proxy(envoy, listener, upstream, world)


@pytest.mark.parametrize("trailers", [b"", b"X-Clientcert: forged\r\nOther: kept\r\n"])
def test_a_form_is_judged_wherever_its_chunks_end(proxy: Proxy, trailers: bytes) -> None:
    with proxy.client(proxy.world.client_1) as client:
        for split in range(1, len(BODY)):
            assert in_chunks(client, BODY[:split], BODY[split:], trailers=trailers).status == 200, split
            seen = proxy.upstream.requests[-1]
            assert seen.body == BODY
            assert seen.all("client-cert") == [proxy.world.client_1.rfc9440_form]
    arrived = len(proxy.upstream.requests)
    for split in range(1, len(STRANGERS)):
        with proxy.client(proxy.world.client_1) as client:
            response = in_chunks(client, STRANGERS[:split], STRANGERS[split:], trailers=trailers)
            assert is_refused(response, "invalid_client"), split
    assert len(proxy.upstream.requests) == arrived, "the server saw the end of a refused request"


@pytest.mark.parametrize("trailers", [None, [("x-clientcert", "forged"), ("other", "kept")]])
def test_a_form_is_judged_wherever_its_frames_end(proxy: Proxy, trailers: list[tuple[str, str]] | None) -> None:
    for size in range(1, len(BODY) + 1):
        with proxy.client(proxy.world.client_1, "h2") as client:
            client.largest_piece = size
            assert client.request("POST", "/token", [FORM], BODY, trailers).status == 200, size
            assert proxy.upstream.requests[-1].body == BODY
            arrived = len(proxy.upstream.requests)
            assert is_refused(client.request("POST", "/token", [FORM], STRANGERS, trailers), "invalid_client"), size
            assert len(proxy.upstream.requests) == arrived


def test_nothing_of_a_form_goes_on_before_its_end(proxy: Proxy) -> None:
    """The client waits before the last byte, and then never sends it."""
    with proxy.client(proxy.world.client_1) as client:
        head = f"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n{FORM[0]}: {FORM[1]}\r\n\r\n"
        arrived = len(proxy.upstream.requests)
        client.send(head.encode() + BODY[:-1])
        time.sleep(0.3)
        assert len(proxy.upstream.requests) == arrived
        client.send(BODY[-1:])
        assert client.receive("POST").status == 200
        assert proxy.upstream.requests[-1].body == BODY


@pytest.mark.parametrize("way", WAYS)
def test_of_a_refused_request_the_server_sees_the_beginning_at_most_and_nothing_where_headers_wait(
    world: World, tmp_path: Path, way: str
) -> None:
    begun = 1 if way == "headers_leave" else 0
    with running(way, world, tmp_path) as proxy, proxy.client(world.client_1) as client:
        head = f"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(STRANGERS)}\r\n{FORM[0]}: {FORM[1]}\r\n\r\n"
        client.send(head.encode() + STRANGERS[:-1])
        if begun:
            wait_until(lambda: proxy.upstream.begun == begun, 5, "the beginning of the request")
        else:
            time.sleep(0.5)
        client.send(STRANGERS[-1:])
        assert is_refused(client.receive("POST"), "invalid_client")
        assert (proxy.upstream.begun, proxy.upstream.requests) == (begun, [])


def test_a_client_that_asks_whether_to_continue_is_told_so(proxy: Proxy) -> None:
    with proxy.client(proxy.world.client_1) as client:
        head = f"POST /token HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {len(BODY)}\r\n"
        client.send(f"{head}{FORM[0]}: {FORM[1]}\r\n\r\n".encode())
        # Only with the word of the proxy does the client go on, which its reader passes over.
        assert client.readable(5)
        client.send(BODY)
        response = client.receive("POST")
        assert response.status == 200
        assert proxy.upstream.requests[-1].body == BODY


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
@pytest.mark.parametrize("size", [65_537, 200_000, 3_000_000])
def test_a_body_that_is_too_large_is_refused_and_no_memory_is_kept_for_it(proxy: Proxy, protocol: str, size: int) -> None:
    arrived = len(proxy.upstream.requests)
    with proxy.client(proxy.world.client_1, protocol) as client:
        try:
            response = client.request("POST", "/token", [FORM], BODY + b"&a=" + b"x" * size)
        except ConnectionRefusedByPeer:
            # It answered, and closed before all of this was sent.
            assert protocol == "http/1.1"
        else:
            # Where more comes at once than Envoy keeps, its own response may be the first.
            assert (size > 1_000_000 and response.status == 413) or is_refused(response, "invalid_request")
    assert len(proxy.upstream.requests) == arrived


def test_a_declaration_that_headers_can_wait_and_that_is_wrong_ends_in_a_refusal(world: World, tmp_path: Path) -> None:
    with running("falsely-declared", world, tmp_path) as proxy, proxy.client(world.client_1) as client:
        assert client.request("POST", "/token", [FORM], BODY).status == 504
        assert proxy.upstream.begun == 0


def test_ten_thousand_clients_are_loaded_and_told_apart(world: World, tmp_path: Path) -> None:
    """How long that takes is printed (`pytest -s`), and is no matter of a test: the machine decides."""
    registered = {"token_endpoint_auth_method": "tls_client_auth"}

    def of(number: int) -> dict[str, Any]:
        name = f"CN=client-{number}, O=Example Bank, C=NL"
        return {"client_id": f"client-{number}", **registered, "tls_client_auth_subject_dn": name}

    for count in (10, 10_000):
        with Upstream() as upstream:
            listener = free_port()
            ports = {"listener": listener, "upstream": upstream.port, "admin": free_port()}
            document = envoy_configuration("client-authentication", world, **ports)
            server = shipped.plugin(document)["configuration"]["value"]["policies"]["clients"]["authorization_server"]
            server["client_authentication"]["clients"] = [of(number) for number in range(count)]
            began = time.monotonic()
            with Envoy(json.dumps(document), tmp_path, name=str(count)) as envoy:
                loaded = time.monotonic() - began
                with Proxy(envoy, listener, upstream, world).client(world.client_1) as client:
                    began = time.monotonic()
                    for _ in range(100):
                        assert client.request("POST", "/token", [FORM], b"client_id=client-1").status == 200
                    print(f"{count} clients: Envoy started in {loaded:.2f} s, 100 requests took {time.monotonic() - began:.3f} s")
                    last = f"client_id=client-{count - 1}".encode()
                    assert client.request("POST", "/token", [FORM], last).status == 400


def test_a_pinned_key_in_the_chain_that_has_not_signed_the_certificate_is_refused(world: World, tmp_path: Path) -> None:
    """The chain is what the client sends, whatever its certificate is."""
    rival, own = world.rival, world.chained
    both = tmp_path / "both.pem"
    both.write_text(rival.certificate_path.read_text() + world.intermediate.pem_path.read_text())
    with Upstream() as upstream:
        listener = free_port()
        document = envoy_configuration("pinned-issuers", world, listener=listener, upstream=upstream.port, admin=free_port())
        shipped.manager(document)["set_current_client_cert_details"] = {"chain": True}
        with Envoy(yaml.safe_dump(document), tmp_path, name="pinned", extra_arguments=WRITES_ITS_ACCESS_LOG_AT_ONCE) as envoy:
            proxy = Proxy(envoy, listener, upstream, world)
            for certificate, passes in [(own, True), (rival, False), (replace(rival, certificate_path=both), False)]:
                with proxy.client(certificate, "h2") as client:
                    # A signature that is known already comes to the same.
                    for _ in range(2):
                        response = client.request("POST", "/token", [FORM], b"client_id=by-key")
                        assert (response.status == 200) if passes else is_refused(response, "invalid_client")
            # Of both, one authority's key is pinned, and has signed nothing.
            key = f"not signed by the key {world.intermediate.key_sha256}"
            wait_until(lambda: key in envoy.log(), 5, "the refusal in the log")


@pytest.mark.skipif(bool(missing()), reason=missing() or "")
@pytest.mark.parametrize("method", ["tls_client_auth", "self_signed_tls_client_auth"])
def test_a_real_client_authenticates_before_a_real_authorization_server(world: World, tmp_path: Path, method: str) -> None:
    """oauth4webapi, and oidc-provider, which judges the same certificate once more. The responses to a client without a
    certificate, with another client's, and with another client's identifier are those that the conformance suite of the
    OpenID Foundation accepts."""
    own = world.client_1 if method == "tls_client_auth" else world.impostor
    names = {PKI: {"tls_client_auth_subject_dn": world.client_1.subject}, REGISTERED: {"jwks": {"keys": [jwk(world.impostor)]}}}
    methods = {PKI: "tls_client_auth", REGISTERED: "self_signed_tls_client_auth"}
    clients = [
        {
            "client_id": client_id,
            "token_endpoint_auth_method": methods[client_id],
            "tls_client_certificate_bound_access_tokens": True,
            "grant_types": ["client_credentials", "authorization_code"],
            "response_types": ["code"],
            "redirect_uris": ["https://client.example.org/callback"],
            **metadata,
        }
        for client_id, metadata in names.items()
    ]
    listener = free_port()
    issuer = f"https://localhost:{listener}"
    keys = [world.keys["ES256"]]
    with AuthorizationServer(tmp_path, issuer=issuer, audience=AUDIENCE, keys=keys, clients=clients) as server:
        document = envoy_configuration("client-authentication", world, listener=listener, upstream=server.port, admin=free_port())
        with Envoy(yaml.safe_dump(document), tmp_path, name="real", extra_arguments=WRITES_ITS_ACCESS_LOG_AT_ONCE) as envoy:

            def ask(client_id: str, certificate: Certificate | None) -> dict[str, Any]:
                files = {"certificate": str(certificate.certificate_path), "key": str(certificate.key_path)} if certificate else {}
                configuration = {"issuer": issuer, "ca": str(world.authority.pem_path), "client_id": client_id, **files}
                (tmp_path / "client.json").write_text(json.dumps(configuration))
                command = ["node", str(INSTALLED / "client.mjs"), str(tmp_path / "client.json")]
                ran = subprocess.run(command, capture_output=True, check=False, timeout=30)
                assert ran.returncode == 0, ran.stderr.decode()
                return json.loads(ran.stdout)

            (client_id,) = [own_id for own_id, own_method in methods.items() if own_method == method]
            outcomes = ask(client_id, own)
            payload = outcomes["token"]["access_token"].split(".")[1]
            assert json.loads(base64.urlsafe_b64decode(payload + "=="))["cnf"] == {"x5t#S256": own.thumbprint}
            # Its own answers: its tokens are JWTs, which it does not keep.
            for endpoint in ("introspection", "revocation"):
                assert outcomes[endpoint] == {"status": 400, "error": "unsupported_token_type"}
            assert outcomes["pushed_authorization_request"]["request_uri"]

            def decided() -> list[str]:
                return [each["reason"] for each in told(envoy.log()) if each["policy"] == "clients"]

            wait_until(lambda: len(decided()) >= 4, 5, "four decisions in the access log")
            assert decided() == ["client_authenticated"] * 4

            def arrived() -> int:
                return server.log().count('"method":"POST"')

            # It writes its line when its response has left.
            wait_until(lambda: arrived() == 4, 5, "four requests in the server's log")
            other = world.client_2 if method == "tls_client_auth" else world.client_1
            (other_id,) = [own_id for own_id, own_method in methods.items() if own_method != method]
            for wrong_id, wrong in [(client_id, None), (client_id, other), (other_id, own)]:
                outcomes = ask(wrong_id, wrong)
                assert all(each == {"status": 400, "error": "invalid_client"} for each in outcomes.values()), outcomes
            assert arrived() == 4, "the server saw a refused request"
