"""Keys that are fetched, with a real Envoy: how often, from whom, and what serves while they cannot be had."""

import contextlib
import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import AUDIENCE, ISSUER, World, envoy_configuration
from conftest import sleep_until_told
from rig import authorization_server, shipped, tokens
from rig.authorization_server import AuthorizationServer
from rig.client import Client, Response
from rig.envoy import Envoy
from rig.key_server import KeyServer, document
from rig.ports import free_port
from rig.process import wait_until
from rig.tokens import SigningKey
from rig.upstream import Upstream


class Api:
    """An API behind the shipped resource server file, whose keys come from a key server."""

    def __init__(self, world: World, envoy: Envoy, listener: int) -> None:
        self.world, self.envoy, self._listener = world, envoy, listener

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        with Client(self._listener, ca_path=self.world.authority.pem_path, certificate=self.world.client_1) as client:
            yield client

    def ask(self, token: str) -> Response:
        with self.client() as client:
            return client.request("GET", "/", headers=[("authorization", f"Bearer {token}")])

    def token(self, key: SigningKey, **claims: Any) -> str:
        return tokens.sign(key, self.world.claims(self.world.client_1, **claims))


@contextlib.contextmanager
def running(
    world: World,
    directory: Path,
    key_server_port: int,
    keys: dict[str, Any],
    *,
    concurrency: int = 1,
    change: Callable[[dict[str, Any]], None] = lambda configuration: None,
) -> Iterator[Api]:
    listener = free_port()
    with Upstream() as upstream:
        configuration = envoy_configuration(
            "fetched-keys", world, listener=listener, upstream=upstream.port, admin=free_port()
        )
        plugin = shipped.plugin(configuration)["configuration"]["value"]
        # Every policy has the same issuer here; one is enough.
        plugin["policies"] = {name: plugin["policies"][name] for name in ("api", "open")}
        plugin["policies"]["api"]["resource_server"]["issuers"][0]["keys"] = keys
        configuration["static_resources"]["clusters"].append(
            {
                "name": "as",
                "type": "STATIC",
                "connect_timeout": "1s",
                "load_assignment": {
                    "cluster_name": "as",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(key_server_port)}}]}],
                },
            }
        )
        change(configuration)
        with Envoy(yaml.safe_dump(configuration), directory, name="keys", concurrency=concurrency) as envoy:
            yield Api(world, envoy, listener)


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


JWKS_URI = {"jwks_uri": f"{ISSUER}/jwks", "cluster": "as"}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_keys_are_fetched_once_before_the_first_request_and_once_before_they_are_stale(
    world: World, tmp_path: Path, concurrency: int
) -> None:
    key = world.keys["ES256"]
    with (
        KeyServer({"/jwks": document(tokens.jwks(key), max_age=10)}) as server,
        running(world, tmp_path, server.port, JWKS_URI, concurrency=concurrency) as api,
    ):
        wait_until(lambda: server.count() == 1, 5, "the first fetch")
        first = server.asked[0][0]
        slowest = 0.0
        while time.monotonic() < first + 9.9:
            began = time.monotonic()
            assert api.ask(api.token(key, jti=str(began))).status == 200
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.05)
        assert server.count() == 2
        assert server.asked[1][0] - first < 10
        # A request that waited for keys would have waited for the timer that looks for them.
        assert slowest < 1


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_thousand_unknown_key_ids_cause_one_fetch_in_a_cool_down(
    world: World, tmp_path: Path, concurrency: int
) -> None:
    key = world.keys["ES256"]
    with (
        KeyServer({"/jwks": document(tokens.jwks(key))}) as server,
        running(world, tmp_path, server.port, {**JWKS_URI, "cool_down_seconds": 3}, concurrency=concurrency) as api,
    ):
        wait_until(lambda: server.count() == 1, 5, "the first fetch")
        time.sleep(max(0.0, server.asked[0][0] + 3.2 - time.monotonic()))

        def worker(number: int) -> list[int]:
            with api.client() as client:
                return [
                    client.request("GET", "/", headers=[("authorization", f"Bearer {token}")]).status
                    for token in [unknown(api, key, f"{number}-{count}") for count in range(50)]
                ]

        began = time.monotonic()
        with ThreadPoolExecutor(20) as pool:
            statuses = [status for found in pool.map(worker, range(20)) for status in found]
        lasted = time.monotonic() - began
        assert statuses == [401] * 1000
        assert 2 <= server.count() <= 2 + int(lasted / 3)


def unknown(api: Api, key: SigningKey, kid: str) -> str:
    return tokens.sign(key, api.world.claims(api.world.client_1), header={"kid": kid})


def test_a_new_key_is_taken_up_by_the_first_request_that_names_it(world: World, tmp_path: Path) -> None:
    old, new = world.keys["ES256"], SigningKey.make("EdDSA", "new")
    with (
        KeyServer({"/jwks": document(tokens.jwks(old))}) as server,
        running(world, tmp_path, server.port, {**JWKS_URI, "cool_down_seconds": 1}) as api,
    ):
        token = api.token(old)
        wait_until(lambda: api.ask(token).status == 200, 5, "the first keys")
        server.answers["/jwks"] = document(tokens.jwks(new))
        time.sleep(1.2)
        assert api.ask(api.token(new)).status == 200
        # The token of the key that is gone was verified before; that does not help it.
        refused = api.ask(token)
        assert refused.status == 401
        assert "reason=key_unknown" in api.envoy.log()


def test_a_new_key_is_taken_up_by_the_first_token_without_a_key_id_too(world: World, tmp_path: Path) -> None:
    """An issuer with one key need not name it (RFC 7515 §4.1.4), and changes it all the same."""
    old, new = (SigningKey.make("ES256", "unsaid") for _ in range(2))

    def unnamed(api: Api, key: SigningKey, jti: str) -> str:
        claims = tokens.encode_part(world.claims(world.client_1, jti=jti))
        return tokens.assemble(tokens.encode_part({"alg": "ES256"}), claims, key, "ES256")

    with (
        KeyServer({"/jwks": document(tokens.jwks(old))}) as server,
        running(world, tmp_path, server.port, {**JWKS_URI, "cool_down_seconds": 2}) as api,
    ):
        wait_until(lambda: api.ask(unnamed(api, old, "1")).status == 200, 5, "the first keys")
        server.answers["/jwks"] = document(tokens.jwks(new))
        time.sleep(2.2)
        assert api.ask(unnamed(api, new, "2")).status == 200
        # Within the cool-down nobody has them fetched again.
        began, count = time.monotonic(), server.count()
        assert [api.ask(unnamed(api, old, jti)).status for jti in ("1", "3", "4")] == [401] * 3
        assert "reason=signature_invalid" in api.envoy.log()
        assert server.count() == count or time.monotonic() > began + 1


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}, b"oops"),
        (200, {}, b""),
        (200, {"content-type": "text/html"}, b"<html>maintenance</html>"),
        (200, {}, b'{"keys": []}'),
        (200, {}, b'{"keys": [{"kty": "oct", "k": "AAAA"}]}'),
        (200, {}, b'{"keys": [' + b" " * 300_000 + b"]}"),
        (200, {}, b'{"keys": [' + b" " * 3_000_000 + b"]}"),
        (302, {"location": "http://127.0.0.1/"}, b""),
    ],
    ids=["500", "empty", "HTML", "no keys", "no usable keys", "300 KB", "3 MB", "a redirect"],
)
def test_no_bad_answer_replaces_good_keys(
    world: World, tmp_path: Path, answer: tuple[int, dict[str, str], bytes]
) -> None:
    key = world.keys["ES256"]
    with (
        KeyServer({"/jwks": document(tokens.jwks(key))}) as server,
        running(world, tmp_path, server.port, {**JWKS_URI, "cool_down_seconds": 1}) as api,
    ):
        wait_until(lambda: api.ask(api.token(key)).status == 200, 5, "the first keys")
        server.answers["/jwks"] = lambda: answer
        time.sleep(1.2)
        assert api.ask(unknown(api, key, "unheard of")).status == 401
        assert server.count() == 2
        assert "keys not fetched" in api.envoy.log()
        assert api.ask(api.token(key, jti="2")).status == 200


def test_known_keys_serve_on_while_the_authorization_server_is_away(world: World, tmp_path: Path) -> None:
    key = world.keys["ES256"]
    with KeyServer({"/jwks": document(tokens.jwks(key), max_age=10)}) as server:
        port = server.port
        stack = contextlib.ExitStack()
        api = stack.enter_context(running(world, tmp_path, port, JWKS_URI))
        wait_until(lambda: api.ask(api.token(key)).status == 200, 5, "the first keys")
    with stack:
        wait_until(lambda: "keys not fetched" in api.envoy.log(), 12, "a fetch that fails")
        assert api.ask(api.token(key, jti="2")).status == 200


def test_before_the_first_keys_requests_wait_and_then_are_refused_for_the_time_being(
    world: World, tmp_path: Path
) -> None:
    key = world.keys["ES256"]
    with (
        KeyServer({"/jwks": lambda: (503, {}, b"")}) as server,
        running(world, tmp_path, server.port, JWKS_URI) as api,
    ):
        refused = api.ask(api.token(key))
        assert refused.status == 503
        assert refused.header("retry-after") == "5"
        assert "the answer has the status 503" in api.envoy.log()
        server.answers["/jwks"] = document(tokens.jwks(key))
        wait_until(lambda: api.ask(api.token(key)).status == 200, 10, "keys after the pause")


def test_a_request_that_meets_a_slow_fetch_waits_for_it_and_not_for_ever(world: World, tmp_path: Path) -> None:
    key = world.keys["ES256"]
    delay = [0.7]

    def slow() -> tuple[int, dict[str, str], bytes]:
        time.sleep(delay[0])
        return document(tokens.jwks(key))()

    with (
        KeyServer({"/jwks": slow}) as server,
        running(world, tmp_path, server.port, {**JWKS_URI, "timeout_seconds": 1}) as api,
        ThreadPoolExecutor(20) as pool,
    ):
        body = pool.map(api.ask, [api.token(key, jti=str(number)) for number in range(20)])
        assert [response.status for response in body] == [200] * 20
        assert server.count() == 1
        # Envoy merges its histograms every five seconds.
        merged = 'certbound_key_fetch_milliseconds_count{outcome="succeeded"} 1\n'
        metrics = wait_until(
            lambda: merged in (found := api.envoy.admin("/stats/prometheus")) and found, 15, "the histogram"
        )
        assert 'certbound_key_fetches_total{outcome="succeeded"} 1\n' in metrics
        (took,) = re.findall(
            r'^certbound_key_fetch_milliseconds_sum\{outcome="succeeded"\} (\S+)$', metrics, re.MULTILINE
        )
        assert 600 <= float(took) < 5000
        # A request that waited is counted once, as every other.
        assert 'verdict="forwarded",reason="token_bound",algorithm="ES256",token_cache="miss"} 20\n' in api.envoy.admin(
            "/stats/prometheus"
        )
    delay[0] = 3
    with (
        KeyServer({"/jwks": slow}) as server,
        running(world, tmp_path / "slower", server.port, {**JWKS_URI, "timeout_seconds": 1}) as api,
    ):
        began = time.monotonic()
        assert api.ask(api.token(key)).status == 503
        assert time.monotonic() - began < 3
        sleep_until_told()
        assert 'verdict="refused",reason="keys_unavailable",token_cache="miss"} 1\n' in api.envoy.admin(
            "/stats/prometheus"
        )
        assert "refused: reason=keys_unavailable policy=api " in api.envoy.log()
        failed = 'certbound_key_fetches_total{outcome="failed"} '
        wait_until(lambda: failed in api.envoy.admin("/stats/prometheus"), 5, "the failure to be counted")
        assert " warn" in next(line for line in api.envoy.log().splitlines() if "keys not fetched: " in line)


def test_a_real_authorization_server_rotates_its_keys_under_load_and_goes_away(world: World, tmp_path: Path) -> None:
    """oidc-provider: while it is away for ten seconds, and back with a new key beside the old one, nobody is refused."""
    if why := authorization_server.missing():
        pytest.skip(why)
    old, new = SigningKey.make("ES256", "old"), SigningKey.make("ES256", "new")
    client = {
        "client_id": "client-1",
        "token_endpoint_auth_method": "tls_client_auth",
        "tls_client_auth_subject_dn": world.client_1.subject,
        "tls_client_certificate_bound_access_tokens": True,
    }
    port = free_port()

    def server(*keys: SigningKey) -> AuthorizationServer:
        return AuthorizationServer(tmp_path, issuer=ISSUER, audience=AUDIENCE, keys=keys, clients=[client], port=port)

    def token() -> str:
        """What the proxy in front of the authorization server would ask for."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        headers = {"content-type": "application/x-www-form-urlencoded", "x-clientcert": world.client_1.apache_form}
        connection.request("POST", "/token", "grant_type=client_credentials&client_id=client-1", headers)
        return json.loads(connection.getresponse().read())["access_token"]

    statuses: list[int] = []
    stopped = threading.Event()
    with server(old):
        first = token()
        assert tokens.decode(first)[0]["kid"] == "old"
        stack = contextlib.ExitStack()
        api = stack.enter_context(running(world, tmp_path, port, {**JWKS_URI, "cool_down_seconds": 1}))
        wait_until(lambda: api.ask(first).status == 200, 5, "the first keys")

    def load() -> None:
        while not stopped.is_set():
            statuses.append(api.ask(first).status)

    with stack, ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(load) for _ in range(3)]
        away = time.monotonic() + 10
        while time.monotonic() < away:
            # Somebody makes the filter look for keys all the while.
            assert api.ask(unknown(api, world.keys["ES256"], "unheard of")).status == 401
            time.sleep(0.5)
        with server(new, old):
            second = token()
            assert tokens.decode(second)[0]["kid"] == "new"
            wait_until(lambda: api.ask(second).status == 200, 10, "the new key")
            assert api.ask(first).status == 200
        stopped.set()
        for worker in workers:
            worker.result()
    assert len(statuses) > 100
    assert set(statuses) == {200}


def metadata(**members: Any) -> dict[str, Any]:
    return {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks", **members}


@pytest.mark.parametrize(
    ("document_kind", "path"),
    [
        ("openid_configuration", "/.well-known/openid-configuration"),
        ("oauth_authorization_server", "/.well-known/oauth-authorization-server"),
    ],
)
def test_keys_are_found_by_discovery(world: World, tmp_path: Path, document_kind: str, path: str) -> None:
    key = world.keys["ES256"]
    keys = {"discovery": {"cluster": "as", "document": document_kind}}
    with (
        KeyServer({path: document(metadata()), "/jwks": document(tokens.jwks(key))}) as server,
        running(world, tmp_path, server.port, keys) as api,
    ):
        wait_until(lambda: api.ask(api.token(key)).status == 200, 5, "keys by discovery")
        assert (server.count(path), server.count()) == (1, 1)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"issuer": "https://thief.example.com"}, "names another issuer"),
        ({"issuer": f"{ISSUER}/"}, "names another issuer"),
        ({"jwks_uri": "https://thief.example.com/jwks"}, "jwks_uri is not https at the issuer's origin"),
        ({"jwks_uri": "http://as.example.com/jwks"}, "jwks_uri is not https at the issuer's origin"),
        ({"jwks_uri": None}, "jwks_uri is not https at the issuer's origin"),
    ],
)
def test_a_metadata_document_that_is_not_the_issuers_is_not_believed(
    world: World, tmp_path: Path, members: dict[str, Any], why: str
) -> None:
    path = "/.well-known/openid-configuration"
    with (
        KeyServer({path: document(metadata(**members)), "/jwks": document(tokens.jwks(world.keys["ES256"]))}) as server,
        running(world, tmp_path, server.port, {"discovery": {"cluster": "as"}}) as api,
    ):
        assert api.ask(api.token(world.keys["ES256"])).status == 503
        assert why in api.envoy.log()
        assert server.count() == 0
