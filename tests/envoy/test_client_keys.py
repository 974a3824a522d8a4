# SPDX-License-Identifier: Apache-2.0
"""Clients that publish their certificates (RFC 8705 section 2.2.2, jwks_uri): how often they are fetched, and what waits."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import World, envoy_configuration
from rig import shipped
from rig.certificates import Certificate, jwk
from rig.client import Response
from rig.envoy import Envoy
from rig.key_server import KeyServer, document
from rig.ports import free_port
from rig.process import wait_until
from rig.proxy import WRITES_ITS_ACCESS_LOG_AT_ONCE, Proxy, told
from rig.token_request import FORM, WAYS, in_chunks, is_refused
from rig.upstream import Upstream

PUBLISHING = "publishing"
BODY = f"grant_type=client_credentials&client_id={PUBLISHING}".encode()


@contextlib.contextmanager
def running(
    world: World,
    directory: Path,
    port: int,
    *,
    way: str = "headers_wait",
    concurrency: int = 1,
    more: list[dict[str, Any]] | None = None,
) -> Iterator[Proxy]:
    """Envoy with client-authentication.yaml, and a client that publishes its certificates at this port."""
    with Upstream() as upstream:
        listener = free_port()
        configuration = envoy_configuration("client-keys", world, listener=listener, upstream=upstream.port, admin=free_port())
        plugin = shipped.plugin(configuration)
        server = plugin["configuration"]["value"]["policies"]["clients"]["authorization_server"]
        authentication = server["client_authentication"]
        authentication["client_keys"] = {"https://client.example.org": "client"}
        authentication["clients"] += more or []
        if way == "headers_leave":
            del plugin["allow_on_headers_stop_iteration"]
            authentication["request_body"] = way
            server["client_certificate"] = "presented"
            authentication["clients"] = [client for client in authentication["clients"] if "jwks_uri" in client]
        endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
        assignment = {"cluster_name": "client", "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]}
        cluster = {"name": "client", "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment}
        configuration["static_resources"]["clusters"].append(cluster)
        arguments = {"extra_arguments": WRITES_ITS_ACCESS_LOG_AT_ONCE, "concurrency": concurrency}
        with Envoy(yaml.safe_dump(configuration), directory, name="client-keys", **arguments) as envoy:
            yield Proxy(envoy, listener, upstream, world)


def jwks(*certificates: Certificate) -> dict[str, Any]:
    return {"keys": [jwk(certificate) for certificate in certificates]}


def ask(proxy: Proxy, certificate: Certificate, client_id: str = PUBLISHING, protocol: str = "http/1.1") -> Response:
    with proxy.client(certificate, protocol) as client:
        return client.request("POST", "/token", [FORM], BODY.replace(PUBLISHING.encode(), client_id.encode()))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_client_presents_a_certificate_that_it_publishes(world: World, tmp_path: Path, way: str, protocol: str) -> None:
    with KeyServer({"/jwks": document(jwks(world.impostor))}) as server, running(world, tmp_path, server.port, way=way) as proxy:
        time.sleep(1.5)
        assert server.count() == 0, "nothing is fetched before anybody needs it"
        # The first request waits, and its body with it.
        for _ in range(3):
            assert ask(proxy, world.impostor, protocol=protocol).status == 200
            seen = proxy.upstream.requests[-1]
            assert (seen.body, seen.all("client-cert")) == (BODY, [world.impostor.rfc9440_form])
        assert server.count() == 1
        arrived = len(proxy.upstream.requests)
        assert is_refused(ask(proxy, world.client_1, protocol=protocol), "invalid_client")
        assert len(proxy.upstream.requests) == arrived
        assert server.count() == 2, "it may have a new certificate"
        wait_until(lambda: len(told(proxy.envoy.log())) >= 4, 5, "four decisions in the access log")
        decisions = [(each["reason"], each["client"]) for each in told(proxy.envoy.log())]
        assert decisions == [("client_authenticated", PUBLISHING)] * 3 + [("client_certificate_mismatch", None)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("trailers", [b"", b"X-Clientcert: forged\r\nOther: kept\r\n"])
def test_a_request_in_pieces_waits_for_keys_after_its_end(world: World, tmp_path: Path, way: str, trailers: bytes) -> None:
    released = threading.Event()
    answer = document(jwks(world.impostor))

    def slowly() -> tuple[int, dict[str, str], bytes]:
        released.wait(4)
        return answer()

    with KeyServer({"/jwks": slowly}) as server, running(world, tmp_path, server.port, way=way) as proxy:
        with ThreadPoolExecutor(1) as pool, proxy.client(world.impostor) as client:
            asked = pool.submit(in_chunks, client, BODY[:7], BODY[7:], trailers=trailers)
            wait_until(lambda: server.count() == 1, 5, "the fetch")
            time.sleep(0.3)
            assert proxy.upstream.requests == [], "nothing goes on while it waits"
            released.set()
            assert asked.result(10).status == 200
        (seen,) = proxy.upstream.requests
        assert seen.body == BODY
        assert "forged" not in str(vars(seen))


@pytest.mark.parametrize(
    ("what", "answer"),
    {
        "an error": lambda: (500, {}, b""),
        "nonsense": lambda: (200, {}, b"<html>"),
        "a broken certificate": document({"keys": [{"kty": "EC", "x5c": ["AAAA"]}]}),
        "a list": document([]),
    }.items(),
)
def test_a_client_whose_server_fails_is_not_known(
    world: World, tmp_path: Path, what: str, answer: Callable[[], tuple[int, dict[str, str], bytes]]
) -> None:
    with KeyServer({"/jwks": answer}) as server, running(world, tmp_path, server.port) as proxy:
        response = ask(proxy, world.impostor)
        assert (response.status, response.json()["error"]) == (503, "temporarily_unavailable"), what
        assert proxy.upstream.requests == []
        assert "reason=client_keys_unavailable" in proxy.envoy.log()
        assert "keys not fetched: client's jwks_uri https://client.example.org/jwks" in proxy.envoy.log()
        server.answers["/jwks"] = document(jwks(world.impostor))
        time.sleep(1.2)
        assert ask(proxy, world.impostor).status == 200


def test_a_client_whose_server_says_nothing_gets_its_response_in_time(world: World, tmp_path: Path) -> None:
    never = threading.Event()

    def silent() -> tuple[int, dict[str, str], bytes]:
        never.wait(20)
        return 500, {}, b""

    with KeyServer({"/jwks": silent}) as server, running(world, tmp_path, server.port) as proxy:
        began = time.monotonic()
        assert ask(proxy, world.impostor).status == 503
        assert 4 < time.monotonic() - began < 8
        never.set()
        assert proxy.upstream.requests == []


def test_a_certificate_that_is_for_another_key_than_its_jwk_is_nobodys(world: World, tmp_path: Path) -> None:
    mixed = {**jwk(world.client_2), "x5c": jwk(world.client_1)["x5c"]}
    keys = {"keys": [mixed, jwk(world.impostor)]}
    with KeyServer({"/jwks": document(keys)}) as server, running(world, tmp_path, server.port) as proxy:
        assert ask(proxy, world.impostor).status == 200
        assert is_refused(ask(proxy, world.client_1), "invalid_client")


def test_certificates_that_a_client_has_withdrawn_serve_no_longer_than_they_are_fresh(world: World, tmp_path: Path) -> None:
    with KeyServer({"/jwks": document(jwks(world.impostor), max_age=10)}) as server, running(world, tmp_path, server.port) as proxy:
        assert ask(proxy, world.impostor).status == 200
        server.answers["/jwks"] = document(jwks(world.client_2), max_age=10)
        assert ask(proxy, world.impostor).status == 200
        time.sleep(10.2)
        assert is_refused(ask(proxy, world.impostor), "invalid_client")
        assert ask(proxy, world.client_2).status == 200
        server.answers["/jwks"] = lambda: (500, {}, b"")
        time.sleep(10.2)
        assert ask(proxy, world.client_2).status == 503


def test_ten_thousand_clients_that_publish_keys_cause_no_fetch_until_they_come(world: World, tmp_path: Path) -> None:
    def of(number: int) -> dict[str, Any]:
        uri = f"https://client.example.org/jwks/{number}"
        return {"client_id": f"client-{number}", "token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks_uri": uri}

    answers = {f"/jwks/{number}": document(jwks(world.impostor)) for number in range(10_000)}
    more = [of(number) for number in range(10_000)]
    with KeyServer(answers) as server, running(world, tmp_path, server.port, concurrency=2, more=more) as proxy:
        time.sleep(2)
        assert server.asked == []

        def worker(first: int) -> list[int]:
            with proxy.client(world.impostor) as client:
                bodies = [f"client_id=client-{number}".encode() for number in range(first, first + 10)]
                return [client.request("POST", "/token", [FORM], body).status for body in bodies * 2]

        with ThreadPoolExecutor(8) as pool:
            statuses = [status for found in pool.map(worker, range(0, 400, 10)) for status in found]
        assert statuses == [200] * 800
        assert len(server.asked) == 400, "once in the process for each"
