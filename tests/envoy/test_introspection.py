# SPDX-License-Identifier: Apache-2.0
"""Tokens that are introspected, with a real Envoy: what the authorization server is asked and how often, and what becomes
of requests while it is slow, broken or away."""

import base64
import contextlib
import http.client
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import jwt
import pytest
import yaml

from cases import AUDIENCE, ISSUER, World
from rig import authorization_server, shipped, tokens
from rig.authorization_server import AuthorizationServer
from rig.certificates import Certificate
from rig.client import Client, Response
from rig.envoy import Envoy, refuses
from rig.local_server import HttpHandler, LocalServer
from rig.ports import free_port
from rig.process import wait_until
from rig.proxy import sleep_until_told
from rig.tokens import SigningKey
from rig.upstream import Upstream

Answer = tuple[int, Mapping[str, str], bytes]


class IntrospectionServer(LocalServer):
    """Answers every POST with what `answer` makes of its form, and keeps what it was asked."""

    def __init__(self, answer: Callable[[dict[str, str]], Answer]) -> None:
        super().__init__(_Introspection)
        self.answer = answer
        self.asked: list[tuple[Mapping[str, str], dict[str, str]]] = []
        """Headers, with their names in lower case, and form."""

    def count(self, token: str) -> int:
        return sum(form["token"] == token for _, form in list(self.asked))


class _Introspection(HttpHandler):
    def do_POST(self) -> None:
        owner: IntrospectionServer = self.server.owner
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        form = {name: value for name, (value,) in parse_qs(body, strict_parsing=True).items()}
        owner.asked.append(({name.lower(): value for name, value in self.headers.items()}, form))
        status, headers, content = owner.answer(form)
        if status == 0:
            # The connection is reset, and not closed.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.close()
        else:
            self.answer(status, headers, content)


def says(**members: Any) -> Callable[[dict[str, str]], Answer]:
    return lambda form: (200, {"content-type": "application/json"}, json.dumps(members).encode())


@dataclass
class Api:
    """An API behind envoy/opaque-tokens.yaml."""

    world: World
    envoy: Envoy
    listener: int
    upstream: Upstream = field(repr=False)

    def client(self, certificate: Certificate | None = None, protocol: str = "http/1.1") -> Client:
        certificate = certificate or self.world.client_1
        return Client(
            self.listener, ca_path=self.world.authority.pem_path, certificate=certificate, protocol=protocol
        )

    def ask(self, token: str, certificate: Certificate | None = None, **rest: Any) -> Response:
        with self.client(certificate) as client:
            return client.request("GET", "/", headers=[("authorization", f"Bearer {token}")], **rest)

    def active(self, **members: Any) -> dict[str, Any]:
        return {"active": True, **self.world.claims(self.world.client_1, **members)}

    def metrics(self) -> str:
        sleep_until_told()
        return self.envoy.admin("/stats/prometheus")


@contextlib.contextmanager
def running(
    world: World,
    directory: Path,
    port: int,
    *,
    concurrency: int = 1,
    environment: Mapping[str, str] = {},
    keys: dict[str, Any] | None = None,
    tls: bool = False,
    issuer: str | None = None,
    change: Callable[[dict[str, Any]], None] = lambda document: None,
    **introspection: Any,
) -> Iterator[Api]:
    """The shipped file with an authorization server at this port, default: without TLS."""
    listener = free_port()
    with Upstream() as upstream:
        document = yaml.safe_load(configuration(world, directory, listener, upstream.port, port, tls=tls))
        plugin = shipped.plugin(document)
        (own,) = plugin["configuration"]["value"]["resource_server"]["issuers"]
        own["introspection"].update(introspection)
        if issuer:
            own["issuer"] = issuer
        if keys:
            own["keys"] = keys
        if environment:
            plugin["vm_config"]["environment_variables"] = {"host_env_keys": list(environment)}
        change(document)
        with Envoy(
            yaml.safe_dump(document), directory, name="api", concurrency=concurrency, environment=environment
        ) as envoy:
            yield Api(world, envoy, listener, upstream)


def configuration(world: World, directory: Path, listener: int, upstream: int, port: int, *, tls: bool) -> str:
    proxy = world.authority.issue(f"api-proxy-{listener}", subject=[("CN", "api-proxy")])
    text = shipped.read(
        "opaque-tokens",
        server=world.server,
        client_ca=world.authority.pem_path,
        files={"api-proxy.pem": proxy.certificate_path, "api-proxy.key": proxy.key_path},
        listener=listener,
        upstream=upstream,
        admin=free_port(),
    )
    document = yaml.safe_load(text)
    (cluster,) = [own for own in document["static_resources"]["clusters"] if own["name"] == "authorization-server"]
    cluster["type"] = "STATIC"
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    endpoint["address"] = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    if tls:
        context = cluster["transport_socket"]["typed_config"]
        context["sni"] = "localhost"
        validation = context["common_tls_context"]["validation_context"]
        validation["trusted_ca"] = {"filename": str(world.authority.pem_path)}
        validation["match_typed_subject_alt_names"] = [{"san_type": "DNS", "matcher": {"exact": "localhost"}}]
    else:
        del cluster["transport_socket"]
    return yaml.safe_dump(document)


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_bound_token_passes_and_a_stolen_one_does_not(world: World, tmp_path: Path, protocol: str) -> None:
    with IntrospectionServer(says(active=False)) as server, running(world, tmp_path, server.port) as api:
        server.answer = lambda form: says(**(api.active() if form["token"] == "good" else {"active": False}))(form)
        with api.client(protocol=protocol) as client:
            for expected in (200, 200):
                assert client.request("GET", "/", headers=[("authorization", "Bearer good")]).status == expected
            inactive = client.request("GET", "/", headers=[("authorization", "Bearer bad")])
            posted = client.request("POST", "/", headers=[("authorization", "Bearer good-not")], body=b"x" * 100_000)
        assert (inactive.status, inactive.json()["error"]) == (401, "invalid_token")
        assert posted.status == 401
        stolen = api.ask("good", world.client_2)
        assert (stolen.status, stolen.json()["error"]) == (401, "invalid_token")
        assert len(api.upstream.requests) == 2
        assert (server.count("good"), server.count("bad")) == (1, 1)
        headers, form = server.asked[0]
        assert form == {"token": "good", "token_type_hint": "access_token", "client_id": "api-proxy"}
        assert headers["content-type"] == "application/x-www-form-urlencoded"
        assert "authorization" not in headers
        metrics = api.metrics()
        assert 'certbound_introspections_total{outcome="succeeded"} 3\n' in metrics
        assert 'reason="token_bound",token_cache="hit"} 1\n' in metrics
        assert 'reason="token_inactive",token_cache="miss"} 2\n' in metrics


FAULTS: dict[str, Callable[[dict[str, str]], Answer]] = {
    "reset": lambda form: (0, {}, b""),
    "500": lambda form: (500, {}, b'{"active": true}'),
    "503": lambda form: (503, {}, b""),
    "401": lambda form: (401, {}, b'{"error": "invalid_client"}'),
    "a redirect": lambda form: (302, {"location": "http://127.0.0.1/"}, b""),
    "a redirect that keeps the method": lambda form: (307, {"location": "http://127.0.0.1/"}, b'{"active": true}'),
    "HTML": lambda form: (200, {"content-type": "text/html"}, b"<html>Please sign in</html>"),
    "empty": lambda form: (200, {}, b""),
    "10 MB": lambda form: (200, {}, b'{"active": true, "x": "' + b"x" * 10_000_000 + b'"}'),
    "66 KB": lambda form: (200, {}, b'{"active": true, "x": "' + b"x" * 66_000 + b'"}'),
    "cut off": lambda form: (200, {"content-length": "100000"}, b'{"active": true'),
    "truth as a text": lambda form: (200, {}, b'{"active": "true"}'),
    "both": lambda form: (200, {}, b'{"active": false, "active": true}'),
    "not UTF-8": lambda form: (200, {"x-name": "caf\u00e9"}, b'{"active": true, "sub": "\xff"}'),
}


def test_whatever_is_wrong_with_the_authorization_server_nothing_passes_and_nothing_hangs(
    world: World, tmp_path: Path
) -> None:
    with (
        IntrospectionServer(says(active=False)) as server,
        running(world, tmp_path, server.port, timeout_seconds=1) as api,
    ):
        for number, (name, fault) in enumerate(FAULTS.items()):
            server.answer = fault
            began = time.monotonic()
            refused = api.ask(f"token-{number}")
            assert (refused.status, refused.header("retry-after")) == (503, "5"), name
            assert refused.json()["error"] == "temporarily_unavailable", name
            assert time.monotonic() - began < 3, name
            # Nothing is kept of it: the next answer counts.
            server.answer = says(**api.active())
            assert api.ask(f"token-{number}").status == 200, name
        assert len(api.upstream.requests) == len(FAULTS)
        log = api.envoy.log()
        assert "refused: reason=introspection_unavailable policy=resource_server " in log
        assert "the response has the status 500" in log
        assert "token-" not in log


def test_a_slow_authorization_server_is_waited_for_once_and_not_for_ever(world: World, tmp_path: Path) -> None:
    delay = [0.5]

    def slow(form: dict[str, str]) -> Answer:
        time.sleep(delay[0])
        return answer(form)

    with (
        IntrospectionServer(slow) as server,
        running(world, tmp_path, server.port, timeout_seconds=1) as api,
        ThreadPoolExecutor(20) as pool,
    ):
        answer = says(**api.active())
        assert [response.status for response in pool.map(api.ask, ["same"] * 20)] == [200] * 20
        assert server.count("same") == 1
        delay[0] = 3
        began = time.monotonic()
        assert {response.status for response in pool.map(api.ask, [f"slow-{number}" for number in range(20)])} == {503}
        assert time.monotonic() - began < 3
        assert 'certbound_introspections_total{outcome="failed"} 20\n' in api.metrics()


def test_an_authorization_server_that_is_away_or_not_configured_refuses_at_once(world: World, tmp_path: Path) -> None:
    with running(world, tmp_path, free_port()) as api:
        began = time.monotonic()
        assert api.ask("token").status == 503
        assert time.monotonic() - began < 2
    with running(world, tmp_path, free_port(), cluster="none such") as api:
        assert api.ask("token").status == 503
        assert "the proxy has no cluster" in api.envoy.log()


def test_the_api_need_not_see_the_token(world: World, tmp_path: Path) -> None:
    def removed(document: dict[str, Any]) -> None:
        server = shipped.plugin(document)["configuration"]["value"]["resource_server"]
        server["forward_token"] = "remove"
        server["forward_claims"] = [{"claim": "client_id", "header": "x-client-id"}]

    with IntrospectionServer(says()) as server, running(world, tmp_path, server.port, change=removed) as api:
        server.answer = says(**api.active(client_id="client-1"))
        for _ in range(2):
            assert api.ask("opaque").status == 200
            seen = api.upstream.requests[-1]
            assert (seen.all("authorization"), seen.all("x-client-id")) == ([], ["client-1"])
        with api.client() as client:
            headers = [("authorization", "Bearer opaque"), ("x_client_id", "forged"), ("x-client-id", "forged")]
            assert client.request("GET", "/", headers=headers).status == 200
        assert "forged" not in str(api.upstream.requests[-1].headers)


def test_the_metadata_of_the_api_needs_no_token_and_no_certificate(world: World, tmp_path: Path) -> None:
    """RFC 9728, and the way to it: a client without a token gets a challenge that names it."""

    def described(document: dict[str, Any]) -> None:
        server = shipped.plugin(document)["configuration"]["value"]["resource_server"]
        server["protected_resource_metadata"] = {"resource": "https://localhost/v1"}
        server["schemes"], server["dpop"] = ["mtls_pop", "Bearer"], "verified_upstream"

    path = "/.well-known/oauth-protected-resource/v1"
    with running(world, tmp_path, free_port(), change=described) as api:
        with Client(api.listener, ca_path=world.authority.pem_path) as client:
            told = f'realm="{AUDIENCE}", resource_metadata="https://localhost{path}"'
            challenges = client.request("GET", "/v1").all("www-authenticate")
            assert challenges == [f"{scheme} {told}" for scheme in ("DPoP", "Bearer", "mtls_pop")]
            for method in ("GET", "HEAD"):
                response = client.request(method, path, headers=[("client-cert", "forged")])
                assert (response.status, response.header("content-type")) == (200, "application/json")
            assert client.request("GET", path).json() == {
                "resource": "https://localhost/v1",
                "authorization_servers": [ISSUER],
                "bearer_methods_supported": ["header"],
                "tls_client_certificate_bound_access_tokens": True,
            }
            assert client.request("POST", path).status == 401
        assert api.upstream.requests == []
        assert 'verdict="served",reason="protected_resource_metadata"} 3\n' in api.metrics()


def test_random_tokens_do_not_flood_the_authorization_server(world: World, tmp_path: Path) -> None:
    """What is beyond the calls that may be under way is refused at once."""
    under_way, most, lock = [0], [0], threading.Lock()

    def count(form: dict[str, str]) -> Answer:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(1)
        with lock:
            under_way[0] -= 1
        return says(active=False)(form)

    def unlimited(document: dict[str, Any]) -> None:
        for cluster in document["static_resources"]["clusters"]:
            cluster["circuit_breakers"] = {"thresholds": [{"max_connections": 1000, "max_pending_requests": 1000}]}

    with (
        IntrospectionServer(count) as server,
        running(world, tmp_path, server.port, change=unlimited) as api,
        ThreadPoolExecutor(200) as pool,
    ):
        statuses = [response.status for response in pool.map(api.ask, [f"random-{number}" for number in range(200)])]
        assert set(statuses) <= {401, 503}
        assert 0 < most[0] <= 128
        # On a busy machine a call may time out that the server has seen: 503, and one more was asked.
        asked = len(server.asked)
        assert 0 < statuses.count(401) <= asked
        assert api.ask("x" * 9000).status == 401
        assert len(server.asked) == asked


def test_a_client_secret_comes_from_the_environment_and_is_shown_nowhere(world: World, tmp_path: Path) -> None:
    secret, client = "s3cret: %=&+b", "the api"  # RFC 6749, appendix A.2: visible ASCII and spaces
    credentials = {
        "endpoint_auth_method": "client_secret_basic",
        "client_id": client,
        "client_secret": {"environment": "CERTBOUND_SECRET"},
    }
    with (
        IntrospectionServer(says(active=False)) as server,
        running(world, tmp_path, server.port, environment={"CERTBOUND_SECRET": secret}, **credentials) as api,
    ):
        assert api.ask("token").status == 401
        (headers, form) = server.asked[0]
        assert set(form) == {"token", "token_type_hint"}
        scheme, _, encoded = headers["authorization"].partition(" ")
        assert scheme == "Basic"
        parts = base64.b64decode(encoded).decode().split(":")
        assert [unquote_plus(part) for part in parts] == [client, secret]
        dump = api.envoy.admin("/config_dump") + api.envoy.log()
        assert "s3cret" not in dump and encoded not in dump


@pytest.mark.parametrize("environment", [{}, {"CERTBOUND_SECRET": ""}], ids=["missing", "empty"])
def test_without_its_secret_the_filter_does_not_start(
    world: World, tmp_path: Path, environment: dict[str, str]
) -> None:
    text = configuration(world, tmp_path, free_port(), free_port(), free_port(), tls=False)
    document = yaml.safe_load(text)
    plugin = shipped.plugin(document)
    plugin["configuration"]["value"]["resource_server"]["issuers"][0]["introspection"].update(
        endpoint_auth_method="client_secret_basic", client_secret={"environment": "CERTBOUND_SECRET"}
    )
    plugin["vm_config"]["environment_variables"] = {"key_values": environment}
    log = refuses(yaml.safe_dump(document), tmp_path, name="api")
    assert "the configuration is refused: resource_server: the environment variable CERTBOUND_SECRET is not set" in log


WITH_A_KEY = {
    "endpoint_auth_method": "private_key_jwt",
    "client_id": "the \"api\"",
    "client_key": {"environment": "CERTBOUND_KEY"},
}


@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_each_call_has_an_assertion_of_its_own_and_the_key_is_shown_nowhere(
    world: World, tmp_path: Path, form: str
) -> None:
    """As RFC 7523 §2.2 has it, read by PyJWT."""
    key = SigningKey.make("ES256", "its kid")
    text = {"pem": key.pem, "jwk": json.dumps(key.private_jwk)}[form]
    named = {"client_key_id": "configured"} if form == "pem" else {}
    with (
        IntrospectionServer(says(active=False)) as server,
        running(
            world, tmp_path, server.port, environment={"CERTBOUND_KEY": text}, concurrency=2, **WITH_A_KEY, **named
        ) as api,
    ):
        began = int(time.time())
        for number in range(20):
            assert api.ask(f"token-{number}").status == 401
        assert len(server.asked) == 20
        seen = set()
        for headers, asked in server.asked:
            assert "authorization" not in headers
            assert set(asked) == {"token", "token_type_hint", "client_assertion_type", "client_assertion"}
            assert asked["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            assertion = asked["client_assertion"]
            expected = {"alg": "ES256", "typ": "JWT", "kid": "configured" if form == "pem" else "its kid"}
            assert jwt.get_unverified_header(assertion) == expected
            claims = jwt.decode(
                assertion, key.private_key.public_key(), algorithms=["ES256"], audience=ISSUER, issuer=WITH_A_KEY["client_id"]
            )
            assert set(claims) == {"iss", "sub", "aud", "jti", "iat", "exp"}
            assert (claims["sub"], claims["aud"]) == (WITH_A_KEY["client_id"], ISSUER)
            assert began <= claims["iat"] <= time.time() and claims["exp"] == claims["iat"] + 60
            assert len(claims["jti"]) == 22
            seen.add(claims["jti"])
        assert len(seen) == 20
        dump = api.envoy.admin("/config_dump") + api.envoy.log()
        inside = [line for line in key.pem.splitlines() if not line.startswith("-")] + [key.private_jwk["d"]]
        assert not any(part in dump for part in [*inside, *(asked["client_assertion"] for _, asked in server.asked)])


@pytest.mark.parametrize(
    ("key", "told"),
    {
        "missing": (None, "is not set, or empty"),
        "a secret": ("0p3n-s3same-of-the-proxy", "is no private key on P-256, as PEM of PKCS #8 or as a JWK"),
        "rsa": (SigningKey.make("RS256", "1").pem, "is no private key on P-256, as PEM of PKCS #8 or as a JWK"),
        "p-384": (SigningKey.make("ES384", "1").pem, "is no private key on P-256, as PEM of PKCS #8 or as a JWK"),
        "rsa-jwk": (json.dumps(SigningKey.make("PS256", "1").private_jwk), "is no private key on P-256, as PEM of PKCS #8 or as a JWK"),
        "public": (json.dumps(SigningKey.make("ES256", "1").jwk), "is no private key on P-256, as PEM of PKCS #8 or as a JWK"),
        "another": (
            json.dumps({**SigningKey.make("ES256", "1").private_jwk, **SigningKey.make("ES256", "2").jwk}),
            "is a JWK whose `d` is not the private key of `x` and `y`",
        ),
    }.values(),
    ids=["missing", "a secret", "rsa", "p-384", "rsa-jwk", "public", "another"],
)
def test_with_a_bad_key_the_filter_does_not_start(world: World, tmp_path: Path, key: str | None, told: str) -> None:
    text = configuration(world, tmp_path, free_port(), free_port(), free_port(), tls=False)
    document = yaml.safe_load(text)
    plugin = shipped.plugin(document)
    issuer = plugin["configuration"]["value"]["resource_server"]["issuers"][0]
    issuer["introspection"].update(WITH_A_KEY)
    environment = {} if key is None else {"CERTBOUND_KEY": key}
    plugin["vm_config"]["environment_variables"] = {"host_env_keys": list(environment)}
    log = refuses(yaml.safe_dump(document), tmp_path, name="api", environment=environment)
    assert f"the configuration is refused: resource_server: the environment variable CERTBOUND_KEY {told}" in log
    parts = [part for part in (key or "").replace('"', "\n").split("\n") if len(part) > 20 and not part.startswith("-")]
    assert not any(part in log for part in parts)


OF_THE_CLUSTER = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=api-proxy"}


@contextlib.contextmanager
def real_authorization_server(
    world: World, directory: Path, proxy: Mapping[str, Any] = OF_THE_CLUSTER
) -> Iterator[tuple[int, Callable[[], str], AuthorizationServer]]:
    """oidc-provider behind envoy/authorization-server.yaml: the port of that Envoy, and what gets a token. It knows the proxy so."""
    if why := authorization_server.missing():
        pytest.skip(why)
    listener = free_port()
    bound = {
        "token_endpoint_auth_method": "tls_client_auth",
        "tls_client_certificate_bound_access_tokens": True,
    }
    clients = [
        {**bound, "client_id": "client-1", "tls_client_auth_subject_dn": world.client_1.subject},
        {"client_id": "api-proxy", **proxy},
    ]
    with (
        AuthorizationServer(
            directory,
            issuer=f"https://localhost:{listener}",
            audience=AUDIENCE,
            keys=[SigningKey.make("ES256", "1")],
            clients=clients,
            access_token_format="opaque",
        ) as server,
    ):
        text = shipped.read(
            "authorization-server",
            server=world.server,
            client_ca=world.authority.pem_path,
            listener=listener,
            upstream=server.port,
            admin=free_port(),
        )
        with Envoy(text, directory, name="authorization-server"):

            def token() -> str:
                with Client(listener, ca_path=world.authority.pem_path, certificate=world.client_1) as client:
                    response = client.request(
                        "POST",
                        "/token",
                        headers=[("content-type", "application/x-www-form-urlencoded")],
                        body=b"grant_type=client_credentials&client_id=client-1",
                    )
                return response.json()["access_token"]

            yield listener, token, server


@pytest.mark.parametrize("answer", ["json", "jwt"])
def test_a_real_authorization_server_knows_the_proxy_by_its_certificate(
    world: World, tmp_path: Path, answer: str
) -> None:
    """oidc-provider, with opaque tokens: it authenticates the proxy by tls_client_auth, with the cluster's certificate."""
    with real_authorization_server(world, tmp_path) as (port, token, server):
        issuer = f"https://localhost:{port}"
        options: dict[str, Any] = {"tls": True, "issuer": issuer, "endpoint": f"{issuer}/token/introspection"}
        if answer == "jwt":
            options |= {"answer": "jwt", "keys": {"jwks_uri": f"{issuer}/jwks", "cluster": "authorization-server"}}
        with running(world, tmp_path, port, **options) as api:
            opaque = token()
            assert "." not in opaque
            wait_until(lambda: api.ask(opaque).status == 200, 5, "the keys")
            stolen = api.ask(opaque, world.client_2)
            assert (stolen.status, stolen.json()["error"]) == (401, "invalid_token")
            assert "bound to another certificate" in stolen.json()["error_description"]
            made_up = api.ask("made-up")
            assert (made_up.status, made_up.json()["error_description"]) == (401, "the access token is not active")
        asked = [json.loads(line) for line in server.log().splitlines() if '"/token/introspection"' in line]
        assert asked and all(line["status"] == 200 and line["certificate"] for line in asked)
        assert {line["certificate"] for line in asked}.isdisjoint({world.client_1.thumbprint, world.client_2.thumbprint})


def test_a_real_authorization_server_knows_the_proxy_by_its_assertions(world: World, tmp_path: Path) -> None:
    """oidc-provider, which takes no assertion twice, by `jti`."""
    key = SigningKey.make("ES256", "proxy")
    proxy = {
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks": {"keys": [key.jwk]},
    }
    with real_authorization_server(world, tmp_path, proxy) as (port, token, server):
        issuer = f"https://localhost:{port}"
        options: dict[str, Any] = {"tls": True, "issuer": issuer, "endpoint": f"{issuer}/token/introspection"}
        options |= {**WITH_A_KEY, "client_id": "api-proxy", "cache_seconds": 0}
        opaque = token()
        with running(world, tmp_path, port, environment={"CERTBOUND_KEY": key.pem}, **options) as api:
            for _ in range(3):
                assert api.ask(opaque).status == 200
            assert api.ask(opaque, world.client_2).status == 401
            assert api.ask("made-up").json()["error_description"] == "the access token is not active"
        asked = [json.loads(line) for line in server.log().splitlines() if '"/token/introspection"' in line]
        assert [line["status"] for line in asked] == [200] * 5
        stranger = SigningKey.make("ES256", "proxy")
        with running(world, tmp_path, port, environment={"CERTBOUND_KEY": stranger.pem}, **options) as api:
            assert api.ask(opaque).status == 503


def slowly(seconds: float, answer: Callable[[dict[str, str]], Answer]) -> Callable[[dict[str, str]], Answer]:
    def slow(form: dict[str, str]) -> Answer:
        time.sleep(seconds)
        return answer(form)

    return slow


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_body_that_streams_while_its_request_waits_arrives_whole_or_not_at_all(
    world: World, tmp_path: Path, protocol: str
) -> None:
    """Larger than Envoy buffers (1 MiB): the client is held back meanwhile, and not refused. It ends with trailers, as a
    gRPC call may, and a forged one among them is removed."""
    body = bytes(range(256)) * 12_000
    with IntrospectionServer(says()) as server, running(world, tmp_path, server.port) as api:

        def upload(token: str, protocol: str = protocol) -> Response:
            trailers = [("x-checksum", "1"), ("client-cert", "forged")]
            with api.client(protocol=protocol) as client:
                headers = [("authorization", f"Bearer {token}")]
                return client.request("POST", "/", headers=headers, body=body, trailers=trailers)

        server.answer = slowly(0.5, says(**api.active()))
        assert upload("good").status == 200
        (seen,) = api.upstream.requests
        assert seen.body == body
        assert "forged" not in str(seen.trailers)
        server.answer = slowly(0.5, says(active=False))
        with api.client() as client:
            # What a client sends before it reads is not taken after a refusal: the beginning is enough.
            client.send(b"POST / HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer bad\r\n")
            client.send(b"transfer-encoding: chunked\r\n\r\n10000\r\n" + b"x" * 65536 + b"\r\n")
            assert client.receive("POST").status == 401
        assert api.upstream.begun == 1


def test_a_body_that_comes_before_and_after_the_answer_arrives_whole(world: World, tmp_path: Path) -> None:
    """Where headers may wait, which is what another policy of the same filter may need."""

    def change(document: dict[str, Any]) -> None:
        shipped.plugin(document)["allow_on_headers_stop_iteration"] = True

    with IntrospectionServer(says()) as server, running(world, tmp_path, server.port, change=change) as api:
        server.answer = slowly(0.5, says(**api.active()))
        with api.client() as client:
            client.send(b"POST / HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer good\r\ncontent-length: 9\r\n\r\none")
            time.sleep(1)
            client.send(b"two")
            time.sleep(0.2)
            client.send(b"end")
            assert client.receive("POST").status == 200
        assert api.upstream.requests[-1].body == b"onetwoend"


class Echo(LocalServer):
    """A server that switches protocols and then sends back what comes."""

    def __init__(self) -> None:
        super().__init__(_Echoing)
        self.connections = 0


class _Echoing(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.server.owner.connections += 1
        with contextlib.suppress(OSError):
            head, proxy = b"", self.request
            while b"\r\n\r\n" not in head:
                head += proxy.recv(4096)
            proxy.sendall(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            while data := proxy.recv(4096):
                proxy.sendall(data)


def test_a_web_socket_waits_for_its_response_and_outlives_its_token(world: World, tmp_path: Path) -> None:
    with Echo() as echo, IntrospectionServer(says()) as server:

        def upgrading(document: dict[str, Any]) -> None:
            static = document["static_resources"]
            shipped.manager(document)["upgrade_configs"] = [{"upgrade_type": "websocket"}]
            (api,) = [cluster for cluster in static["clusters"] if cluster["name"] == "api"]
            endpoint = api["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
            endpoint["address"]["socket_address"]["port_value"] = echo.port
            shipped.plugin(document)["configuration"]["value"]["resource_server"]["leeway_seconds"] = 0

        with running(world, tmp_path, server.port, change=upgrading) as api:

            def upgrade(client: Client) -> bytes:
                client.send(
                    b"GET / HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer opaque\r\n"
                    b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
                )
                return client._stream.readline()

            expires = int(time.time()) + 3
            server.answer = slowly(0.5, says(**api.active(exp=expires)))
            with api.client() as client:
                assert b" 101 " in upgrade(client)
                while client._stream.readline().strip():
                    pass
                time.sleep(max(0.0, expires + 0.5 - time.time()))
                # What was admitted goes on, as the manual says; what comes now is refused.
                client.send(b"still here")
                assert client._stream.read(10) == b"still here"
                with api.client() as late:
                    assert b" 401 " in upgrade(late)
                wait_until(lambda: 'certbound_outlived_tokens_total{policy="resource_server"} 1\n' in api.metrics(), 5, "the count")
            assert echo.connections == 1
            assert server.count("opaque") == 1
            assert "refused: reason=token_expired" in api.envoy.log()


def test_a_client_that_goes_away_while_its_request_waits_takes_nobody_with_it(world: World, tmp_path: Path) -> None:
    with IntrospectionServer(says()) as server, running(world, tmp_path, server.port) as api:
        server.answer = slowly(1, says(**api.active()))
        with ThreadPoolExecutor(1) as pool:
            with api.client() as client:
                client.send(b"GET / HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer opaque\r\n\r\n")
                time.sleep(0.3)
                patient = pool.submit(api.ask, "opaque")
                time.sleep(0.2)
            assert patient.result().status == 200
        assert server.count("opaque") == 1
        assert len(api.upstream.requests) == 1
