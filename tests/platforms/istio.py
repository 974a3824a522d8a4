# SPDX-License-Identifier: Apache-2.0
"""istio.yaml at a gateway: Istio's own control plane gives a plain Envoy its listeners, routes, clusters, secrets and certbound."""

import hashlib
import json
import os
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from cases import AUDIENCE, ISSUER, World
from rig import tokens
from rig.certificates import Certificate
from rig.envoy import Envoy
from rig.key_server import KeyServer, document
from rig.process import wait_until
from rig.shipped import MODULE, ROOT
from rig.upstream import Upstream

from platforms import BUILT, HERE, resources, versions
from platforms.control_plane import ControlPlane, Workload
from platforms.image import Image
from platforms.load import Load
from platforms.requests import ROWS, TWO_SLASHES, Gateway, Row, foreign, refuses_a_foreign_certificate, server

GATEWAY = Workload("gateway", "istio-ingress", {"istio": "ingressgateway"})
SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: api, namespace: istio-ingress }
spec:
  hosts: [api.example.com, "*.api.example.com"]
  gateways: [api]
  http:
  - route: [ { destination: { host: backend.internal, port: { number: 80 } } } ]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: backend, namespace: istio-ingress }
spec:
  hosts: [backend.internal]
  ports: [ { number: 80, name: http, protocol: HTTP } ]
  resolution: STATIC
  location: MESH_EXTERNAL
  endpoints: [ { address: 127.0.0.1, ports: { http: PORT } } ]
"""
"""A user's own: where the gateway sends what certbound lets through."""


class Running(Gateway):
    """The gateway, its Envoy and its control plane."""

    control: ControlPlane
    envoy: Envoy

    def counted(self, statistic: str) -> int:
        """What the Envoy's counters of this ending add up to."""
        lines = self.envoy.admin(f"/stats?filter={statistic}$").splitlines()
        return sum(int(line.rpartition(" ")[2]) for line in lines)


@contextmanager
def running(world: World, directory: Path, kind: str, text: str, *more: str) -> Iterator[Running]:
    """istio.yaml, or what was made of it, at a gateway; of its two ways the one of this kind."""
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream())
        own = server(world)
        secret = resources.secret(
            "api-tls", "istio-ingress",
            tls_crt=own.certificate_path, tls_key=own.key_path, ca_crt=world.authority.pem_path,
        )  # fmt: skip
        trusted = resources.secret("as-ca", "istio-ingress", ca_crt=world.authority.pem_path)
        control = stack.enter_context(ControlPlane(directory, resources.text_of(secret, trusted)))
        control.apply("certbound", resources.of_kinds(text, kind))
        control.apply("gateway", resources.of_kinds(text, "Gateway"))
        control.apply("service", SERVICE.replace("PORT", str(upstream.port)))
        for number, each in enumerate(more):
            control.apply(f"more-{number}", each)
        gateway = Running(world, 443, upstream)
        gateway.control = control
        gateway.envoy = stack.enter_context(control.envoy(GATEWAY))
        try:
            wait_until(lambda: gateway.status() in (200, 401, 403, 500, 503), 30, "the gateway to answer")
        except TimeoutError as error:
            raise RuntimeError(control.log()[-5_000:] + gateway.envoy.log()[-3_000:]) from error
        yield gateway


def shipped(world: World, url: str) -> str:
    """istio.yaml with this URL of the module and these keys, and the other kind of its extension."""
    changes = {r"oci://registry\.example\.com/certbound@sha256:0{64}": url}
    files = [resources.changed(name, changes, tokens.jwks(*world.keys.values())) for name in ("istio", "istio-wasmplugin")]
    return "---\n".join(files)


def _by_image(image: Image) -> str:
    return f"oci://{image.reference}"


# All gateways have port 443: this one ends with its class.
@pytest.fixture(scope="class", params=["TrafficExtension", "WasmPlugin"])
def gateway(request: pytest.FixtureRequest, world: World, image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    text = shipped(world, _by_image(image))
    with running(world, tmp_path_factory.mktemp(request.param), request.param, text) as found:
        yield found


class TestAtAnIstioGateway:
    @pytest.mark.parametrize("row", [*ROWS, TWO_SLASHES["istio"]], ids=lambda row: row.sentence)
    def test_request(self, gateway: Running, row: Row) -> None:
        gateway.check(row)

    def test_a_certificate_of_a_foreign_ca_ends_the_handshake(self, gateway: Running, world: World, tmp_path: Path) -> None:
        refuses_a_foreign_certificate(gateway, foreign(world, tmp_path))

    def test_a_changed_and_a_bad_policy_lose_no_request(self, gateway: Running) -> None:
        good = (gateway.control._resources / "certbound.yaml").read_text()
        strict = re.sub(r"( *)certificate_binding: required\n", r"\g<0>\1required_scopes: [payments]\n", good, count=1)
        with Load(gateway, "payments", "/accounts") as load:
            wait_until(lambda: load.statuses[200] > 50, 20, "the first requests")
            gateway.control.apply("certbound", strict)
            wait_until(lambda: gateway.status() == 403, 10, "the changed policy to be in force")
            refused = gateway.counted("config_fail")
            gateway.control.apply("certbound", strict.replace("certificate_binding: required", "certificate_binding: reqired", 1))
            wait_until(lambda: gateway.counted("config_fail") > refused, 10, "the bad policy to be refused")
            count = load.statuses.total()
            wait_until(lambda: load.statuses.total() > count + 100, 20, "more requests")
            assert gateway.status() == 403
            gateway.control.apply("certbound", good)
            wait_until(lambda: gateway.status() == 200, 10, "the first policy again")
        assert set(load.statuses) == {200}, load.statuses


def _short(gateway: Running) -> list[int]:
    """Right, stolen, and the open path without anything."""
    return [gateway.status(), gateway.status("stolen"), gateway.status("none", "/health", "nobody")]


def test_the_module_comes_from_a_file(world: World, tmp_path: Path) -> None:
    with running(world, tmp_path, "TrafficExtension", shipped(world, f"file://{MODULE}")) as gateway:
        assert _short(gateway) == [200, 401, 200]


def _serving(content: bytes) -> KeyServer:
    return KeyServer({"/certbound.wasm": lambda: (200, {"content-type": "application/wasm"}, content)})


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_the_module_comes_by_http_with_the_digest_of_the_file(right: bool, world: World, tmp_path: Path) -> None:
    digest = hashlib.sha256(MODULE.read_bytes()).hexdigest() if right else "0" * 64
    with _serving(MODULE.read_bytes()) as server:
        text = shipped(world, f"http://127.0.0.1:{server.port}/certbound.wasm")
        text = re.sub(r"( +)url: http.*\n", rf'\g<0>\1sha256: "{digest}"\n', text)
        with running(world, tmp_path, "TrafficExtension", text) as gateway:
            # The agent puts a filter that refuses everything in the place of a module that it does not get.
            assert _short(gateway) == ([200, 401, 200] if right else [403, 403, 403])


def test_an_image_that_is_not_there_refuses_everything_until_it_is(world: World, image: Image, tmp_path: Path) -> None:
    missing = _by_image(image).rpartition(":")[0] + ":" + "1" * 64
    with running(world, tmp_path, "TrafficExtension", shipped(world, missing)) as gateway:
        assert _short(gateway) == [403, 403, 403]
        gateway.control.apply("certbound", resources.of_kinds(shipped(world, _by_image(image)), "TrafficExtension"))
        wait_until(lambda: gateway.status() == 200, 20, "the module")
        assert _short(gateway) == [200, 401, 200]


KEYS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: as, namespace: istio-ingress }
spec:
  hosts: [as.example.com]
  ports: [ { number: 443, name: https, protocol: HTTPS, targetPort: PORT } ]
  resolution: DNS
  location: MESH_EXTERNAL
  endpoints: [ { address: localhost } ]
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: as, namespace: istio-ingress }
spec:
  host: as.example.com
  workloadSelector: { matchLabels: { istio: ingressgateway } }
  trafficPolicy: { tls: { mode: SIMPLE, credentialName: as-ca } }
"""


@pytest.fixture(scope="module")
def key_servers(world: World) -> dict[str, Certificate]:
    """The certificates of an authorization server, by the name that they have."""
    return {name: world.authority.issue(name, dns=[name], server=True) for name in ("as.example.com", "other.example.com")}


@pytest.mark.parametrize(
    ("name", "tls", "status"),
    [
        pytest.param("as.example.com", True, 200, id="a server of that name"),
        pytest.param("other.example.com", True, 503, id="a server of another name"),
        # Without a DestinationRule Istio connects in plain text, to port 443 too.
        pytest.param("as.example.com", False, 503, id="a server of that name, without a DestinationRule"),
    ],
)
def test_keys_are_fetched_through_a_service_entry(
    name: str, tls: bool, status: int, world: World, image: Image, key_servers: dict[str, Certificate], tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key_servers[name].certificate_path, key_servers[name].key_path)
    with KeyServer({"/jwks": document(tokens.jwks(*world.keys.values()))}) as server:
        server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
        fetched = json.dumps({"jwks_uri": "https://as.example.com/jwks", "cluster": "outbound|443||as.example.com"})
        text = re.sub(r"keys: \{ jwks: .*\} \}", lambda _: f"keys: {fetched}", shipped(world, _by_image(image)))
        more = [KEYS.replace("PORT", str(server.port)), *([RULE] if tls else [])]
        with running(world, tmp_path, "TrafficExtension", text, *more) as gateway:
            if status == 200:
                wait_until(lambda: gateway.status() == 200, 20, "the keys")
            assert gateway.status() == status
            assert gateway.status("stolen") == (401 if status == 200 else status)
            assert (server.count() > 0) == (status == 200)


def _verified_by_jwt_authn(world: World, image: Image) -> str:
    """istio.yaml as its comments say where Istio's own filter verifies tokens."""
    text = shipped(world, _by_image(image)).replace("phase: AUTHN", "phase: AUTHZ")
    return re.sub(r"keys: \{ jwks: .*\} \}", "keys: { verified_by: jwt_authn, payload_in_metadata: payload }", text)


@pytest.mark.parametrize("forwarded", [True, False], ids=["the token goes on", "the token is taken away"])
def test_request_authentication_verifies_and_certbound_judges_the_binding(
    forwarded: bool, world: World, image: Image, tmp_path: Path
) -> None:
    rule = {"issuer": ISSUER, "audiences": [AUDIENCE], "forwardOriginalToken": forwarded}
    rule["jwks"] = json.dumps(tokens.jwks(world.keys["ES256"]))
    authentication = {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": "jwt", "namespace": "istio-ingress"},
        "spec": {"selector": {"matchLabels": {"istio": "ingressgateway"}}, "jwtRules": [rule]},
    }
    text = _verified_by_jwt_authn(world, image)
    with running(world, tmp_path, "TrafficExtension", text, yaml.safe_dump(authentication)) as gateway:
        assert _short(gateway) == [200, 401, 200]
        # Istio hands the scope over as a list.
        assert [gateway.status("payments"), gateway.status("payments", "/payments/1")] == [200, 200]
        assert gateway.status("right", "/payments/1") == 403
        assert [gateway.status(token) for token in ("unbound", "stranger", "none")] == [401, 401, 401]
        assert gateway.status("payments", who="two") == 401


def _istioctl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [BUILT / "bin/istioctl", *arguments]
    return subprocess.run(command, env={**os.environ, "HOME": "/nonexistent"}, capture_output=True, text=True, timeout=60)


def shown() -> list[tuple[str, str]]:
    """Every text for Istio that is shipped or shown: where it stands, and what it is."""
    found = [(path.name, path.read_text()) for path in sorted((ROOT / "envoy").glob("istio*.yaml"))]
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        texts = [block.partition("```")[0] for block in page.read_text().split("```yaml\n")[1:]]
        found += [(f"{page.name} {number}", text) for number, text in enumerate(texts) if re.search(r"^apiVersion: .*istio\.io", text)]
    return found


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in shown()])
def test_istioctl_validates_and_analyzes(text: str, tmp_path: Path) -> None:
    (path := tmp_path / "shown.yaml").write_text(text)
    for arguments in (["validate", "-f", path], ["analyze", "--use-kube=false", path]):
        said = _istioctl(*arguments)
        assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("phase: AUTHN", "phase: AUTHENTICATION"),
        ("failStrategy: FAIL_RELOAD", "failStrategy: FAIL_RESTART"),
        ("pluginConfig:", "pluginConfigs:"),
    ],
)
def test_istioctl_names_a_mistake(right: str, wrong: str, tmp_path: Path) -> None:
    text = (ROOT / "envoy/istio.yaml").read_text()
    assert right in text
    (path := tmp_path / "mistake.yaml").write_text(text.replace(right, wrong))
    said = _istioctl("validate", "-f", path)
    assert said.returncode != 0 and wrong.partition(": ")[2] in said.stderr + said.stdout


def test_the_control_plane_is_of_the_pinned_version() -> None:
    assert f"istio.io/istio {versions()['ISTIO']}\n" in (HERE / "control_plane" / "go.mod").read_text()
