# SPDX-License-Identifier: Apache-2.0
"""Keys that are fetched, with a real Envoy: how often, from whom, and what serves while they cannot be had."""

import contextlib
import http.client
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import AUDIENCE, ISSUER, World
from rig import authorization_server, shipped, tokens
from rig.authorization_server import AuthorizationServer
from rig.envoy import Envoy
from rig.fetched_keys import JWKS_URI, Api, cluster_of, running
from rig.key_server import KeyServer, document
from rig.ports import free_port
from rig.process import wait_until
from rig.proxy import sleep_until_told
from rig.tokens import SigningKey
from rig.upstream import Upstream


@pytest.mark.parametrize(
    ("concurrency", "cache_control"), [(1, "max-age=10"), (4, "no-cache, must-revalidate, no-transform, no-store")]
)
def test_keys_are_fetched_once_before_the_first_request_and_not_again_within_a_minute(
    world: World, tmp_path: Path, concurrency: int, cache_control: str
) -> None:
    """What Keycloak and Spring write into every response does not have each proxy ask them for ever. When the next fetch comes
    is tests/core/worker.rs's."""
    key = world.keys["ES256"]
    body = json.dumps(tokens.jwks(key)).encode()
    with (
        KeyServer({"/jwks": lambda: (200, {"cache-control": cache_control}, body)}) as server,
        running(world, tmp_path, server.port, JWKS_URI, concurrency=concurrency) as api,
    ):
        wait_until(lambda: server.count() == 1, 5, "the first fetch")
        first = server.asked[0][0]
        while time.monotonic() < first + 9:
            assert api.ask(api.token(key, jti=str(time.monotonic()))).status == 200
            time.sleep(0.05)
        assert server.count() == 1


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_thousand_unknown_key_ids_cause_three_fetches_and_one_in_a_cool_down(
    world: World, tmp_path: Path, concurrency: int
) -> None:
    key = world.keys["ES256"]
    with (
        KeyServer({"/jwks": document(tokens.jwks(key))}) as server,
        running(world, tmp_path, server.port, {**JWKS_URI, "cool_down_seconds": 3}, concurrency=concurrency) as api,
    ):
        wait_until(lambda: server.count() == 1, 5, "the first fetch")

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
        assert 2 <= server.count() <= 4 + int(lasted / 3)


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
        running(world, tmp_path, server.port, JWKS_URI) as api,
    ):
        wait_until(lambda: api.ask(unnamed(api, old, "1")).status == 200, 5, "the first keys")
        server.answers["/jwks"] = document(tokens.jwks(new))
        assert api.ask(unnamed(api, new, "2")).status == 200
        # Three fetches come at once, and no more within the cool-down.
        assert [api.ask(unnamed(api, old, jti)).status for jti in ("1", "3", "4", "5")] == [401] * 4
        assert "reason=signature_invalid" in api.envoy.log()
        assert server.count() == 4


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}, b"oops"),
        (200, {}, b""),
        (200, {"content-type": "text/html"}, b"<html>maintenance</html>"),
        (200, {}, b'{"keys": [{"kty": "oct", "k": "AAAA"}]}'),
        (200, {}, b'{"keys": [' + b" " * 300_000 + b"]}"),
        (200, {}, b'{"keys": [' + b" " * 3_000_000 + b"]}"),
        (302, {"location": "http://127.0.0.1/"}, b""),
    ],
    ids=["500", "empty", "HTML", "no usable keys", "300 KB", "3 MB", "a redirect"],
)
def test_no_bad_response_replaces_good_keys(
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
        # Nobody knows whether the server has this key by now.
        assert api.ask(unknown(api, key, "unheard of")).status == 503
        assert server.count() == 2
        assert "keys not fetched" in api.envoy.log()
        assert api.ask(api.token(key, jti="2")).status == 200


@pytest.mark.parametrize("keys", [[], [{"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}]], ids=["none", "for encryption"])
def test_keys_that_the_authorization_server_withdraws_verify_nothing_any_more(
    world: World, tmp_path: Path, keys: list[dict[str, str]]
) -> None:
    key = world.keys["ES256"]
    with (
        KeyServer({"/jwks": document(tokens.jwks(key))}) as server,
        running(world, tmp_path, server.port, JWKS_URI) as api,
    ):
        token = api.token(key)
        wait_until(lambda: api.ask(token).status == 200, 5, "the first keys")
        server.answers["/jwks"] = document({"keys": keys})
        assert api.ask(unknown(api, key, "unheard of")).status == 401
        # It was verified before; that does not help it.
        assert api.ask(token).status == 401
        server.answers["/jwks"] = document(tokens.jwks(key))
        assert api.ask(api.token(key, jti="2")).status == 200


def test_known_keys_serve_on_while_the_authorization_server_is_away(world: World, tmp_path: Path) -> None:
    key = world.keys["ES256"]
    with KeyServer({"/jwks": document(tokens.jwks(key))}) as server:
        port = server.port
        stack = contextlib.ExitStack()
        api = stack.enter_context(running(world, tmp_path, port, JWKS_URI))
        wait_until(lambda: api.ask(api.token(key)).status == 200, 5, "the first keys")
    with stack:
        assert api.ask(unknown(api, key, "unheard of")).status == 503
        assert "keys not fetched" in api.envoy.log()
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
        assert "the response has the status 503" in api.envoy.log()
        server.answers["/jwks"] = document(tokens.jwks(key))
        wait_until(lambda: api.ask(api.token(key)).status == 200, 10, "keys after the pause")


def test_the_log_says_where_a_redirect_leads_and_that_nobody_answered(world: World, tmp_path: Path) -> None:
    """Envoy's own 503 looks like a response; its body says what went wrong before the server was asked."""
    key = world.keys["ES256"]
    away = {"location": "https://login.example.com/?next=jwks"}
    with (
        KeyServer({"/jwks": lambda: (302, away, b"")}) as server,
        running(world, tmp_path, server.port, JWKS_URI) as api,
    ):
        assert api.ask(api.token(key)).status == 503
        assert 'the status 302 and leads to "https://login.example.com/?next=jwks"' in api.envoy.log()
    closed = free_port()
    with running(world, tmp_path, closed, JWKS_URI) as api:
        assert api.ask(api.token(key)).status == 503
        assert 'the proxy got no response: "upstream connect error or disconnect/reset before headers' in api.envoy.log()


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


def test_what_is_left_out_of_a_fetched_set_is_one_line_however_many_workers_fetch_it(world: World, tmp_path: Path) -> None:
    good = world.keys["ES256"]
    padded = {**world.stranger.jwk, "kid": "padded", "x": world.stranger.jwk["x"] + "="}
    private = SigningKey.make("EdDSA", "private").private_jwk
    with (
        KeyServer({"/jwks": document({"keys": [good.jwk, padded, private]})}) as server,
        running(world, tmp_path, server.port, {**JWKS_URI, "cool_down_seconds": 1}, concurrency=4) as api,
    ):
        # One reason gets ten lines in a minute, and this is the one that counts.
        api.ask(unknown(api, good, "padded"))
        # More than the three fetches that may come at once: every worker has asked.
        for number in range(40):
            assert api.ask(api.token(good, jti=str(number))).status == 200
            api.ask(unknown(api, good, f"unheard of {number}"))
        assert server.count() >= 4
        (line,) = [line for line in api.envoy.log().splitlines() if "keys left out: " in line]
        assert " warn" in line and private["d"] not in api.envoy.log()
        assert line.endswith(
            ': 2 of 3: keys[2], kid "private": it is a private key, and published: whoever reads it can make tokens; '
            'keys[1], kid "padded": its x is padded base64url (RFC 7515 has no padding)'
        ), line
        detail = 'detail="ES256, kid padded, keys[1] is left out: its x is padded base64url (RFC 7515 has no padding)"'
        assert detail in api.envoy.log()


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

    # Whatever fails, the load ends before its pool is waited for.
    with stack, ThreadPoolExecutor(4) as pool, contextlib.ExitStack() as last:
        last.callback(stopped.set)
        workers = [pool.submit(load) for _ in range(3)]
        away = time.monotonic() + 10
        while time.monotonic() < away:
            # Somebody makes the filter look for keys all the while.
            assert api.ask(unknown(api, world.keys["ES256"], "unheard of")).status == 503
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
        ({"issuer": "https://thief.example.com"}, 'names the issuer "https://thief.example.com" and not'),
        ({"issuer": f"{ISSUER}/"}, f'names the issuer "{ISSUER}/" and not "{ISSUER}"'),
        ({"jwks_uri": "https://thief.example.com/jwks"}, 'jwks_uri is "https://thief.example.com/jwks": it must be https'),
        ({"jwks_uri": "http://as.example.com/jwks"}, 'jwks_uri is "http://as.example.com/jwks": it must be https'),
        ({"jwks_uri": None}, "jwks_uri is none: it must be https"),
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


@pytest.mark.parametrize("requests_wait", [False, True])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_configuration_that_changes_while_the_first_keys_are_fetched_loses_no_request(
    world: World, tmp_path: Path, concurrency: int, requests_wait: bool
) -> None:
    """The response to a call is lost with the configuration that made it. Whoever is left makes the call again at once, and
    not when the lost one would have timed out, which is after a minute here. Requests that wait keep their configuration,
    and with it a call that a worker of theirs has made: then everybody waits for that one."""
    key = world.keys["ES256"]
    released = threading.Event()

    def first_slowly() -> tuple[int, dict[str, str], bytes]:
        if server.count() == 1:
            released.wait(30)
        return document(tokens.jwks(key))()

    watched = tmp_path / "watched" / "certbound.ecds.yaml"
    watched.parent.mkdir()
    extension = yaml.safe_load(shipped.filled("certbound.ecds", **world.substitutions()))
    policies = extension["resources"][0]["typed_config"]["config"]["configuration"]["value"]["policies"]
    (issuer,) = policies["api"]["resource_server"]["issuers"]
    issuer["keys"] = {**JWKS_URI, "timeout_seconds": 30}

    def write(leeway: int) -> None:
        policies["api"]["resource_server"]["leeway_seconds"] = leeway
        new = watched.with_suffix(".new")
        new.write_text(yaml.safe_dump(extension))
        new.rename(watched)

    write(10)
    ports = {"listener": free_port(), "admin": free_port()}
    with KeyServer({"/jwks": first_slowly}) as server, Upstream() as upstream:
        configuration = yaml.safe_load(
            shipped.read(
                "policies-by-ecds",
                **world.substitutions(),
                files={"certbound.ecds.yaml": watched},
                upstream=upstream.port,
                **ports,
            )
        )
        configuration["static_resources"]["clusters"].append(cluster_of("as", server.port))
        with (
            Envoy(yaml.safe_dump(configuration), tmp_path, name="ecds", concurrency=concurrency) as envoy,
            ThreadPoolExecutor(8) as pool,
            contextlib.ExitStack() as last,
        ):
            last.callback(released.set)
            api = Api(world, envoy, ports["listener"])
            wait_until(lambda: server.count() == 1, 10, "the first fetch")
            old_tokens = [api.token(key, jti=f"old-{number}") for number in range(4 if requests_wait else 0)]
            old = [pool.submit(api.ask, token) for token in old_tokens]
            time.sleep(0.5)
            assert not any(each.done() for each in old)
            updates = "extension_config_discovery.http_filter.certbound.config_reload"
            before = envoy.admin(f"/stats?filter={updates}")
            write(11)
            wait_until(lambda: envoy.admin(f"/stats?filter={updates}") != before, 10, "the new configuration")
            new = [pool.submit(api.ask, api.token(key, jti=f"new-{number}")) for number in range(4)]
            if requests_wait:
                time.sleep(0.5)
                released.set()
            assert [each.result(20).status for each in [*new, *old]] == [200] * len([*new, *old])
            assert server.count() <= 2 if requests_wait else server.count() == 2
