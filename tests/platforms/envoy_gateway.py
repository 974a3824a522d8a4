# SPDX-License-Identifier: Apache-2.0
"""envoy-gateway.yaml by Envoy Gateway itself, standalone: it writes Envoy's configuration, fetches the image, and starts Envoy.

It has ports of its own, a name in /etc/hosts and a folder /certs: `apart` gives it a machine of its own.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import World
from rig import tokens
from rig.envoy import find_envoy
from rig.ports import free_port
from rig.process import Process, wait_until
from rig.shipped import ROOT
from rig.upstream import Upstream

from platforms import BUILT, resources
from platforms.image import Image
from platforms.load import Load
from platforms.requests import ROWS, TWO_SLASHES, Gateway, Row, foreign, refuses_a_foreign_certificate, server

_CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
_NAME = "envoy-gateway.envoy-gateway-system.svc.cluster.local"
"""Where Envoy looks for the module, by name; the translator has it and /certs/ca.crt written into it."""


class EnvoyGateway:
    """A running Envoy Gateway, from entry to exit of its context. What stands in the folder `resources` it applies."""

    def __init__(self, directory: Path) -> None:
        if "APART" not in os.environ:
            raise RuntimeError("Envoy Gateway writes to /etc/hosts and /certs: run this by `make platform-envoy-gateway`")
        self._directory = directory
        self._envoy = find_envoy()
        self._homes = {name: directory / name for name in ("config", "data", "state", "run", "home")}
        for path in [*self._homes.values(), directory / "resources"]:
            path.mkdir()
        program = self._homes["data"] / "envoy-versions" / self._envoy.version / "bin" / "envoy"
        program.parent.mkdir(parents=True)
        program.symlink_to(os.path.abspath(self._envoy.arguments[0]))
        self._environment = {"HOME": str(self._homes["home"])}
        certgen = [BUILT / "bin/envoy-gateway", "certgen", "--local", "--config-home", self._homes["config"]]
        subprocess.run(certgen, env=self._environment, check=True, capture_output=True, timeout=60)
        Path("/certs").mkdir(exist_ok=True)
        Path("/certs/ca.crt").write_bytes((self._certificates / "ca.crt").read_bytes())
        if _NAME not in Path("/etc/hosts").read_text():
            with Path("/etc/hosts").open("a") as hosts:
                hosts.write(f"127.0.0.1 {_NAME}\n")

    @property
    def _certificates(self) -> Path:
        return self._homes["config"] / "certs" / "envoy"

    def apply(self, name: str, text: str) -> None:
        """Writes a file of resources, at once, over an older one."""
        path = self._directory / "resources" / f"{name}.yaml"
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").rename(path)

    def __enter__(self) -> "EnvoyGateway":
        homes = {"configHome": "config", "dataHome": "data", "stateHome": "state", "runtimeDir": "run"}
        host = {key: str(self._homes[name]) for key, name in homes.items()}
        watched = {"type": "File", "file": {"paths": [str(self._directory / "resources")]}}
        configuration = {
            "apiVersion": "gateway.envoyproxy.io/v1alpha1",
            "kind": "EnvoyGateway",
            "gateway": {"controllerName": _CONTROLLER},
            "provider": {"type": "Custom", "custom": {"resource": watched, "infrastructure": {"type": "Host", "host": host}}},
            "logging": {"level": {"default": "info"}},
            "extensionApis": {"enableBackend": True},
        }
        path = self._directory / "envoy-gateway.yaml"
        path.write_text(yaml.safe_dump(configuration))
        command = [BUILT / "bin/envoy-gateway", "server", "--config-path", path]
        self._process = Process(command, path.with_suffix(".log"), environment=self._environment)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def log(self) -> str:
        """What it and its Envoy have logged so far."""
        written = [path.read_text(errors="replace") for path in self._homes["state"].rglob("*.log")]
        return "\n".join([self._process.log(), *written])

    def statuses(self, kind: str) -> list[tuple[str, str]]:
        """Type and status of each condition of the last status of this kind that was logged."""
        *_, last = re.findall(rf"Got new status for {kind}\n(.*?)\n\t", self._process.log(), re.DOTALL)
        (ancestor,) = yaml.safe_load(last)["ancestors"]
        return [(condition["type"], condition["status"]) for condition in ancestor["conditions"]]

    def platform(self, world: World, port: int, upstream: int) -> str:
        """What a user of Envoy Gateway has: a class, a Gateway, a route, an API, and secrets."""
        proxy = {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": "own", "namespace": "envoy-gateway-system"}
        tls = {"mode": "Terminate", "certificateRefs": [{"kind": "Secret", "name": "api-tls"}]}
        listener = {"name": "https", "protocol": "HTTPS", "port": port, "tls": tls}
        backend = {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "api"}
        match = {"path": {"type": "PathPrefix", "value": "/"}}
        own = self._certificates
        served = server(world)
        return resources.text_of(
            _resource("gateway.envoyproxy.io/v1alpha1", "EnvoyProxy", "own", "envoy-gateway-system",
                      {"provider": {"type": "Host", "host": {"envoyVersion": self._envoy.version}}}),
            _resource("gateway.networking.k8s.io/v1", "GatewayClass", "eg", None,
                      {"controllerName": _CONTROLLER, "parametersRef": proxy}),
            _resource("gateway.networking.k8s.io/v1", "Gateway", "eg", "default",
                      {"gatewayClassName": "eg", "listeners": [listener]}),
            _resource("gateway.networking.k8s.io/v1", "HTTPRoute", "api", "default",
                      {"parentRefs": [{"name": "eg"}], "rules": [{"matches": [match], "backendRefs": [backend]}]}),
            _resource("gateway.envoyproxy.io/v1alpha1", "Backend", "api", "default",
                      {"endpoints": [{"ip": {"address": "127.0.0.1", "port": upstream}}]}),
            resources.secret("api-tls", "default", tls_crt=served.certificate_path, tls_key=served.key_path),
            resources.secret("client-ca", "default", ca_crt=world.authority.pem_path),
            resources.secret("envoy", "envoy-gateway-system", tls_crt=own / "tls.crt", tls_key=own / "tls.key", ca_crt=own / "ca.crt"),
        )  # fmt: skip


def _resource(version: str, kind: str, name: str, namespace: str | None, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def shipped(image: Image, world: World) -> str:
    """envoy-gateway.yaml with this image and these keys."""
    address, _, digest = image.reference.partition("@sha256:")
    changes = {r"registry\.example\.com/certbound:0\.1\.0": f"{address}:0.1.0", "0{64}": digest}
    return resources.changed("envoy-gateway", changes, tokens.jwks(*world.keys.values()))


class Running(Gateway):
    """The gateway, and its control plane."""

    control: EnvoyGateway


@contextmanager
def running(world: World, image: Image, directory: Path, text: str) -> Iterator[Running]:
    port = free_port()
    with Upstream() as upstream, EnvoyGateway(directory) as control:
        gateway = Running(world, port, upstream, underscores=False)
        gateway.control = control
        control.apply("certbound", text)
        control.apply("platform", control.platform(world, port, upstream.port))
        try:
            wait_until(lambda: gateway.status() == 200, 60, "the first right request")
        except TimeoutError as error:
            raise RuntimeError(control.log()[-20_000:]) from error
        yield gateway


@pytest.fixture(scope="module")
def gateway(world: World, image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(world, image, tmp_path_factory.mktemp("envoy-gateway"), shipped(image, world)) as found:
        yield found


@pytest.mark.parametrize("row", [*ROWS, TWO_SLASHES["envoy-gateway"]], ids=lambda row: row.sentence)
def test_at_envoy_gateway(gateway: Running, row: Row) -> None:
    gateway.check(row)


def test_a_name_with_an_underscore_is_refused_by_envoy_gateway(gateway: Running) -> None:
    with gateway.client() as client:
        headers = [*gateway.headers("right"), ("x_ssl_cert", "made up")]
        assert client.request("GET", "/accounts", headers=headers).status == 400


def test_a_certificate_of_a_foreign_ca_ends_the_handshake(gateway: Running, world: World, tmp_path: Path) -> None:
    refuses_a_foreign_certificate(gateway, foreign(world, tmp_path))


def test_both_policies_are_accepted(gateway: Running) -> None:
    accepted = [("Accepted", "True")]
    assert gateway.control.statuses("EnvoyExtensionPolicy") == accepted
    # `optional`, which is older, is deprecated: `mode` is there since 1.8.
    assert gateway.control.statuses("ClientTrafficPolicy") == [*accepted, ("Warning", "True")]


def test_a_changed_and_a_bad_policy_lose_no_request(gateway: Running, world: World, image: Image) -> None:
    good = shipped(image, world)
    strict = good.replace("certificate_binding: required\n", "certificate_binding: required\n            required_scopes: [payments]\n", 1)
    assert strict != good
    with Load(gateway, "payments", "/accounts") as load:
        wait_until(lambda: load.statuses[200] > 50, 20, "the first requests")
        gateway.control.apply("certbound", strict)
        wait_until(lambda: gateway.status() == 403, 30, "the changed policy to be in force")
        gateway.control.apply("certbound", strict.replace("certificate_binding: required", "certificate_binding: reqired", 1))
        wait_until(lambda: "reqired" in gateway.control.log(), 30, "the bad policy to be refused")
        count = load.statuses.total()
        wait_until(lambda: load.statuses.total() > count + 100, 20, "more requests")
        assert gateway.status() == 403
        gateway.control.apply("certbound", good)
        wait_until(lambda: gateway.status() == 200, 30, "the first policy again")
    assert set(load.statuses) == {200}, load.statuses


_BESIDE = resources.text_of(
    _resource("gateway.networking.k8s.io/v1", "GatewayClass", "eg", None, {"controllerName": _CONTROLLER}),
    _resource("gateway.networking.k8s.io/v1", "Gateway", "eg", "default",
              {"gatewayClassName": "eg", "listeners": [{"name": "https", "protocol": "HTTPS", "port": 443, "tls": {
                  "mode": "Terminate", "certificateRefs": [{"kind": "Secret", "name": "api-tls"}]}}]}),
)  # fmt: skip


def translated(text: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """What `egctl x translate` says of resources beside a class and a Gateway."""
    (path := tmp_path / "resources.yaml").write_text(f"{_BESIDE}---\n{text}")
    command = [BUILT / "bin/egctl", "x", "translate", "--from", "gateway-api", "--to", "gateway-api", "-f", path]
    environment = {**os.environ, "HOME": str(tmp_path)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def shown() -> list[tuple[str, str]]:
    """Every text for Envoy Gateway that is shipped or shown: where it stands, and what it is."""
    found = [("envoy/envoy-gateway.yaml", (ROOT / "envoy/envoy-gateway.yaml").read_text())]
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        blocks = page.read_text().split("```yaml\n")[1:]
        texts = [block.partition("```")[0] for block in blocks]
        found += [(f"{page.name} {number}", text) for number, text in enumerate(texts) if "apiVersion: gateway.envoyproxy.io" in text]
    return found


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in shown()])
def test_egctl_knows_every_field_of(text: str, tmp_path: Path) -> None:
    said = translated(text, tmp_path)
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("    config:\n", "    configs:\n", "configs"),
        ("escapedSlashesAction: RejectRequest", "escapedSlashesAction: Reject", "Unsupported value"),
        ("rootID:", "rootId:", "rootId"),
    ],
)
def test_egctl_names_a_mistake(right: str, wrong: str, says: str, tmp_path: Path) -> None:
    text = (ROOT / "envoy/envoy-gateway.yaml").read_text()
    assert right in text
    said = translated(text.replace(right, wrong), tmp_path)
    assert said.returncode != 0 and says in said.stderr + said.stdout
