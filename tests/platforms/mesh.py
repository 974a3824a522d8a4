# SPDX-License-Identifier: Apache-2.0
"""A mesh of Istio's making: a gateway, the sidecar of an API, and a neighbour in the mesh, who may connect to the sidecar.

Not Istio's: nothing is captured by iptables; the resource Sidecar binds the port where the sidecar takes requests from others.
The listener's TLS and its HTTP connection manager are those of a captured port.
"""

import json
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cases import World
from rig.certificates import Authority, Certificate
from rig.client import Client, ConnectionRefusedByPeer
from rig.envoy import Envoy
from rig.process import wait_until
from rig.upstream import Request, Upstream

from platforms import resources
from platforms.control_plane import ControlPlane, Workload
from platforms.requests import server

ADDRESS = "127.51.0.10"
"""Of the API's pod, where the sidecar listens."""
PORT = 8080
GATEWAY = "spiffe://cluster.local/ns/istio-ingress/sa/istio-ingressgateway"
INNER = "spiffe://cluster.local/ns/istio-inner/sa/inner"
INNER_ADDRESS = "127.51.0.2"
INNER_PORT = 8443
_API = "spiffe://cluster.local/ns/shop/sa/accounts"
_NEIGHBOUR = "spiffe://cluster.local/ns/shop/sa/neighbour"

def _kube(namespace: str, name: str, address: str, port: int, labels: str) -> str:
    """A Service with one pod, as Kubernetes has it."""
    return f"""
apiVersion: v1
kind: Service
metadata: {{ name: {name}, namespace: {namespace} }}
spec: {{ clusterIP: 10.1.0.{len(name)}, selector: {{ {labels} }}, ports: [ {{ name: http, port: 80, targetPort: {port} }} ] }}
---
apiVersion: v1
kind: Pod
metadata: {{ name: {name}-1, namespace: {namespace}, labels: {{ {labels}, security.istio.io/tlsMode: istio }} }}
spec: {{ serviceAccountName: {name}, containers: [ {{ name: it, image: it }} ] }}
status: {{ podIP: {address}, phase: Running, conditions: [ {{ type: Ready, status: "True" }} ] }}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{ name: {name}-1, namespace: {namespace}, labels: {{ kubernetes.io/service-name: {name} }} }}
addressType: IPv4
endpoints:
- {{ addresses: [{address}], conditions: {{ ready: true }}, targetRef: {{ kind: Pod, name: {name}-1, namespace: {namespace} }} }}
ports: [ {{ name: http, port: {port}, protocol: TCP }} ]
---
"""


_KUBE = _kube("shop", "accounts", ADDRESS, PORT, "app: accounts") + _kube("istio-inner", "inner", INNER_ADDRESS, INNER_PORT, "istio: inner")

_INNER = f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{ name: inner, namespace: istio-inner }}
spec:
  selector: {{ istio: inner }}
  servers:
  - {{ port: {{ number: {INNER_PORT}, name: https, protocol: HTTPS }}, bind: {INNER_ADDRESS}, hosts: ["*"], tls: {{ mode: ISTIO_MUTUAL }} }}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{ name: inner, namespace: istio-inner }}
spec:
  hosts: ["*"]
  gateways: [istio-inner/inner]
  http: [ {{ route: [ {{ destination: {{ host: accounts.shop.svc.cluster.local, port: {{ number: 80 }} }} }} ] }} ]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{ name: edge-alone, namespace: istio-inner }}
spec:
  selector: {{ matchLabels: {{ istio: inner }} }}
  action: ALLOW
  rules: [ {{ from: [ {{ source: {{ principals: ["{GATEWAY.removeprefix("spiffe://")}"] }} }} ] }} ]
"""

_STRICT_GATEWAY = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: istio-system }
spec: { mtls: { mode: STRICT } }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: api, namespace: istio-ingress }
spec:
  selector: { istio: ingressgateway }
  servers:
  - port: { number: 443, name: https, protocol: HTTPS }
    hosts: [api.example.com]
    tls: { mode: OPTIONAL_MUTUAL, credentialName: api-tls }
"""

_SIDECAR = f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{ name: accounts, namespace: shop }}
spec:
  workloadSelector: {{ labels: {{ app: accounts }} }}
  ingress:
  - {{ port: {{ number: {PORT}, protocol: HTTP, name: http }}, bind: {ADDRESS}, captureMode: NONE, defaultEndpoint: "127.0.0.1:BEHIND" }}
"""


@dataclass(frozen=True)
class Setting:
    """How the mesh is set up, and what certbound is told where."""

    sidecar: Mapping[str, Any] | str
    """certbound's configuration in the sidecar; or resources that have it, with the gateway and the mode of mTLS, and MODULE in the place
    of the module's URL."""
    at_the_gateway: Mapping[str, Any] | None = None
    proxy_config: Mapping[str, Any] | None = None
    """The annotation proxy.istio.io/config of the API's pod."""
    headers: Mapping[str, Any] | None = None
    """`headers` of the route in the VirtualService."""
    inner: Mapping[str, Any] | None = None
    """The annotation of a second gateway, between the first one and the sidecar, which lets the first one alone in."""
    match: list[dict[str, str]] | None = field(default_factory=lambda: [{"mode": "SERVER"}])


class _Upstream(Upstream):
    """The API. Below /slow it takes half a second."""

    def keep(self, request: Request) -> None:
        super().keep(request)
        if request.path.startswith("/slow"):
            time.sleep(0.5)


class Mesh:
    """The mesh as it runs, from entry to exit of its context."""

    def __init__(self, world: World, directory: Path, setting: Setting, module: str) -> None:
        """`module` is the module's URL."""
        self.world, self._directory, self._setting, self._module = world, directory, setting, module
        self._ca = Authority(directory / "mesh-ca", "cluster.local")
        self.neighbour = self._ca.issue("neighbour", subject=[], uri=[_NEIGHBOUR])
        self.upstream = _Upstream()
        own = server(world)
        self._trusted = directory / "client-ca.pem"
        self._trusted.write_bytes(world.authority.pem_path.read_bytes())
        secret = resources.secret("api-tls", "istio-ingress", tls_crt=own.certificate_path, tls_key=own.key_path, ca_crt=self._trusted)
        self.control = ControlPlane(directory, _KUBE + resources.text_of(secret))
        self._rotations = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.upstream)
            self.of_the_gateway = self.rotate("gateway.istio-ingress", GATEWAY)
            self.rotate("accounts-1.shop", _API)
            self.rotate("inner-1.istio-inner", INNER)
            for name, text in self._resources().items():
                self.control.apply(name, text)
            stack.enter_context(self.control)
            labels = {"app": "accounts"}
            sidecar = Workload("accounts-1", "shop", labels, "sidecar", ADDRESS, "accounts", self._setting.proxy_config)
            gateway = Workload("gateway", "istio-ingress", {"istio": "ingressgateway"}, service_account="istio-ingressgateway")
            self.sidecar: Envoy = stack.enter_context(self.control.envoy(sidecar))
            if self._setting.inner:
                inner = Workload("inner-1", "istio-inner", {"istio": "inner"}, "router", INNER_ADDRESS, "inner", self._setting.inner)
                stack.enter_context(self.control.envoy(inner))
            self.gateway: Envoy = stack.enter_context(self.control.envoy(gateway))
            try:
                wait_until(self._answers, 30, "the mesh to answer")
            except TimeoutError as error:
                logs = (self.control.log(), self.sidecar.log(), self.gateway.log())
                raise RuntimeError("\n".join(log[-6000:] for log in logs)) from error
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _answers(self) -> bool:
        """Whether certbound in the sidecar has refused a request that has no token."""
        try:
            with self.client(None) as client:
                return client.request("GET", "/").status in (400, 401)
        except (OSError, ConnectionRefusedByPeer):
            return False

    def _resources(self) -> dict[str, str]:
        to = "inner.istio-inner" if self._setting.inner else "accounts.shop"
        destination = {"host": f"{to}.svc.cluster.local", "port": {"number": 80}}
        route = {"route": [{"destination": destination}]} | ({"headers": self._setting.headers} if self._setting.headers else {})
        service = {"hosts": ["api.example.com"], "gateways": ["istio-ingress/api"], "http": [route]}
        found = {
            "mesh": _SIDECAR.replace("BEHIND", str(self.upstream.port)),
            "inner": _INNER,
            "service": _resource("networking.istio.io/v1", "VirtualService", "istio-ingress", service),
        }
        match self._setting.sidecar:
            case str() as text:
                found["sidecar"] = text.replace("MODULE", self._module)
            case configuration:
                found["gateway"] = _STRICT_GATEWAY
                found["sidecar"] = self._extension("shop", {"app": "accounts"}, configuration, self._setting.match)
        if self._setting.at_the_gateway:
            found["at-the-gateway"] = self._extension(
                "istio-ingress", {"istio": "ingressgateway"}, self._setting.at_the_gateway, None
            )
        return found

    def _extension(self, namespace: str, labels: Mapping[str, str], configuration: Mapping[str, Any], match: Any) -> str:
        wasm = {"url": self._module, "failStrategy": "FAIL_RELOAD", "pluginName": "certbound", "pluginConfig": dict(configuration)}
        spec = {"selector": {"matchLabels": dict(labels)}, "phase": "AUTHN", "wasm": wasm} | ({"match": match} if match else {})
        return _resource("extensions.istio.io/v1alpha1", "TrafficExtension", namespace, spec)

    def rotate(self, workload: str, uri: str) -> Certificate:
        """Gives a workload a new certificate of the mesh, with a new key."""
        self._rotations += 1
        issued = self._ca.issue(f"{workload}-{self._rotations}", subject=[], uri=[uri], server=True, client=True)
        folder = self.control.identities / f"{self._rotations}"
        folder.mkdir()
        shutil.copy(issued.certificate_path, folder / "cert.pem")
        shutil.copy(issued.key_path, folder / "key.pem")
        shutil.copy(self._ca.pem_path, folder / "ca.pem")
        # All three at once.
        (link := folder.with_suffix(".link")).symlink_to(folder.name)
        link.rename(folder.parent / workload)
        return issued

    def client(self, certificate: Certificate | None) -> Client:
        """A client of the gateway."""
        return Client(443, ca_path=self._trusted, authority="api.example.com", certificate=certificate)

    def beside(self, certificate: Certificate, host: str = ADDRESS, port: int = PORT) -> Client:
        """A caller in the mesh, who connects to the sidecar, or to another workload."""
        client = Client(port, ca_path=self._ca.pem_path, host=host, authority="accounts.shop:80", certificate=certificate)
        # The name of a workload is a URI, which Python does not compare.
        client._context.check_hostname = False
        return client

    def secrets(self) -> int:
        """How often the gateway has taken over a new certificate of its own for the API."""
        name = "cluster.outbound|80||accounts.shop.svc.cluster.local;.client_ssl_socket_factory.ssl_context_update_by_sds: "
        lines = self.gateway.admin("/stats?filter=ssl_context_update_by_sds").splitlines()
        return next(int(line.removeprefix(name)) for line in lines if line.startswith(name))

    def listeners(self) -> dict[str, bool]:
        """The listeners of the sidecar, and whether certbound stands in them."""
        dump = json.loads(self.sidecar.admin("/config_dump?resource=dynamic_listeners"))
        return {each["name"]: "trafficextension/shop.certbound" in json.dumps(each) for each in dump["configs"]}


def _resource(version: str, kind: str, namespace: str, spec: Mapping[str, Any]) -> str:
    metadata = {"name": "certbound", "namespace": namespace}
    return resources.text_of({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": dict(spec)})
