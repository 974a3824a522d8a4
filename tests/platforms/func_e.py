# SPDX-License-Identifier: Apache-2.0
"""Every bootstrap of envoy/ by `ENVOY_PATH=... func-e run -c FILE`, as the manual shows it, and what func-e does at the end."""

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cases import FORGED, World
from rig import shipped, tokens
from rig.certificates import Authority
from rig.client import Client
from rig.envoy import Command, Envoy, EnvoyFailed, find_envoy
from rig.ports import free_port
from rig.process import wait_until
from rig.proxy import WRITES_ITS_ACCESS_LOG_AT_ONCE, told
from rig.upstream import Upstream

from platforms import BUILT

FUNC_E = BUILT / "bin" / "func-e"

API = {
    "resource-server": ("localhost", "/", 200, 401),
    "resource-server-http3": ("localhost", "/", 200, 401),
    "opaque-tokens": ("localhost", "/", 503, 503),
    "policies-by-metadata": ("api.example.com", "/", 200, 401),
    "filters-by-route": ("api.example.com", "/", 200, 401),
    "policies-by-ecds": ("localhost", "/", 200, 200),
    "policies-by-path": ("api.example.com", "/", 200, 401),
}
"""By file: host, path, and the statuses of a right and of a stolen token. Nobody can be asked about an opaque token here, and
policies-by-ecds.yaml says `observe`."""

SERVERS = {
    "authorization-server": ("localhost", "/token"),
    "client-authentication": ("localhost", "/"),
    "gluu": ("as.example.com", "/jans-auth/restv1/token"),
    "auth0": ("auth.example.com", "/oauth/token"),
    "authlete": ("as.example.com", "/api/token"),
    "keycloak": ("sso.example.com", "/realms/example/protocol/openid-connect/token"),
}
"""By file: host and path of a request of a client with a certificate, which certbound must let through."""


class Running:
    """A file of envoy/ under func-e, and an upstream behind it. What func-e writes stays in `directory`."""

    def __init__(self, name: str, world: World, directory: Path, upstream: Upstream, mistake: tuple[str, str] = ("", "")) -> None:
        self.listener = free_port()
        self._world = world
        ports = {"listener": self.listener, "upstream": upstream.port, "admin": free_port()}
        hosts = sorted({host for host, *_ in [*API.values(), *SERVERS.values()]})
        self._servers = Authority(directory / "servers", "Example server CA")
        server = self._servers.issue("server", dns=hosts, server=True)
        text = shipped.read(name, **{**world.substitutions(), "server": server}, **ports).replace(*mistake)
        text = text.replace("/etc/ssl/certs/ca-certificates.crt", str(world.authority.pem_path))
        for file in ("api-proxy.pem", "api-proxy.key"):
            own = world.client_1.certificate_path if file.endswith("pem") else world.client_1.key_path
            text = text.replace(f"/etc/certbound/{file}", str(own))
        if "certbound.ecds.yaml" in text:
            (watched := directory / "watched").mkdir()
            (watched / "certbound.ecds.yaml").write_text(shipped.filled("certbound.ecds", **world.substitutions()))
            text = text.replace("/etc/certbound/certbound.ecds.yaml", str(watched / "certbound.ecds.yaml"))
        self.homes = {f"FUNC_E_{kind}_HOME": str(directory / kind.lower()) for kind in ("CONFIG", "DATA", "STATE")}
        envoy = find_envoy()
        environment = {
            "ENVOY_PATH": os.path.abspath(envoy.arguments[0]),
            "AUTH0_CNAME_API_KEY": "0p3n-s3same",
            "FUNC_E_RUNTIME_DIR": str(directory / "runtime"),
            **self.homes,
        }
        self.envoy = Envoy(
            text,
            directory,
            name=name,
            command=Command((str(FUNC_E), "run"), "make platforms", envoy.version),
            extra_arguments=WRITES_ITS_ACCESS_LOG_AT_ONCE,
            environment=environment,
        )

    def client(self, host: str) -> Client:
        return Client(
            self.listener,
            ca_path=self._servers.pem_path,
            authority=host,
            certificate=self._world.client_1,
        )

    def statuses(self, host: str, path: str, *token: str) -> list[int]:
        """What the owner of `client_1` gets for each token."""
        with self.client(host) as client:
            return [client.request("GET", path, headers=[("authorization", f"Bearer {each}")]).status for each in token]


@contextmanager
def running(name: str, world: World, directory: Path) -> Iterator[tuple[Running, Upstream]]:
    with Upstream() as upstream:
        found = Running(name, world, directory, upstream)
        with found.envoy:
            yield found, upstream


def _tokens(world: World) -> tuple[str, str]:
    """One that is bound to `client_1`, and a stolen one."""
    key = world.keys["ES256"]
    return tokens.sign(key, world.claims(world.client_1)), tokens.sign(key, world.claims(world.client_2))


def test_every_bootstrap_of_envoy_has_a_row() -> None:
    found = {path.stem for path in (shipped.ROOT / "envoy").glob("*.yaml") if "static_resources:" in path.read_text()}
    assert found == {*API, *SERVERS}


@pytest.mark.parametrize("name", API)
def test_an_api_takes_the_right_token_and_not_a_stolen_one(name: str, world: World, tmp_path: Path) -> None:
    host, path, *statuses = API[name]
    with running(name, world, tmp_path) as (proxy, _):
        assert proxy.statuses(host, path, *_tokens(world)) == statuses


@pytest.mark.parametrize("name", SERVERS)
def test_a_client_of_an_authorization_server_is_let_through(name: str, world: World, tmp_path: Path) -> None:
    host, path = SERVERS[name]
    with running(name, world, tmp_path) as (proxy, upstream):
        with proxy.client(host) as client:
            client.request("POST", path, headers=[("client-cert", FORGED), ("x-clientcert", FORGED)])
        (line,) = wait_until(lambda: told(proxy.envoy.log()), 5, "the line of the access log")
        assert line["verdict"] == "forwarded"
        assert FORGED not in str([request.headers for request in upstream.requests])


def test_at_its_end_func_e_leaves_no_envoy_and_a_dump_without_the_secret(world: World, tmp_path: Path) -> None:
    with running("auth0", world, tmp_path) as (proxy, _):
        runs = Path(proxy.homes["FUNC_E_STATE_HOME"]) / "envoy-runs"
        (dump,) = wait_until(lambda: [*runs.rglob("config_dump.json")], 10, "the dump of the configuration")
        started = time.monotonic()
        os.kill(proxy.envoy.pid, signal.SIGTERM)
        wait_until(lambda: proxy.envoy.exit_status is not None, 5, "the end of func-e")
        assert proxy.envoy.exit_status == 0 and time.monotonic() - started < 2
        with pytest.raises(OSError):
            proxy.envoy.admin("/ready")
    assert "certbound" in (text := dump.read_text()) and "0p3n-s3same" not in text


def test_a_refused_configuration_ends_func_e_and_its_log_has_the_reason(world: World, tmp_path: Path) -> None:
    with Upstream() as upstream:
        proxy = Running("resource-server", world, tmp_path, upstream, ("certificate_binding:", "certificate_bindings:"))
        with pytest.raises(EnvoyFailed) as failure, proxy.envoy:
            pass
    assert failure.value.exit_status == 1
    assert re.search(r'the configuration is refused: .*unknown key "certificate_bindings"', failure.value.log)
