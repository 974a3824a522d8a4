# SPDX-License-Identifier: Apache-2.0
"""certbound behind other Envoys that tell of the client in X-Forwarded-Client-Cert, as in an Istio sidecar behind one gateway or two:
with every setting that Istio has for both, over real connections with the certificates of a mesh.

Each request is sent twice: to certbound, and to a proxy without it, whose upstream shows the header that certbound reads. What an
independent reader makes of that header must be what certbound made of it."""

import copy
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import AUDIENCE, ISSUER, World
from cases.forged import xfcc
from cases.world import EDGE, GATEWAY
from rig import mutual_tls, shipped, tokens
from rig.certificates import Certificate
from rig.client import Client
from rig.envoy import Envoy, find_envoy, is_before
from rig.forwarded_client_cert import MALFORMED, read
from rig.ports import free_port
from rig.upstream import Request, Upstream

if is_before(find_envoy().version, "1.38.0"):
    pytest.skip("Envoy before 1.38 does not hand over the certificate of a gateway", allow_module_level=True)

NAMES = {"subject": True, "dns": True, "uri": True}
"""What Istio has a sidecar write."""


@dataclass(frozen=True)
class Setting:
    """What each proxy does with the header, and what it writes (`set_current_client_cert_details`)."""

    gateway: str = "SANITIZE_SET"
    of_gateway: Mapping[str, Any] = field(default_factory=lambda: {**NAMES, "cert": True})
    inner: str | None = None
    """A second gateway, behind the first one."""
    sidecar: str = "APPEND_FORWARD"
    of_sidecar: Mapping[str, Any] = field(default_factory=lambda: dict(NAMES))
    policy: str = "one-gateway"
    believes: bool = False
    """Whether the gateway hands on what a client wrote itself."""
    loses: bool = False
    """Whether a client's certificate does not come through."""

    @property
    def is_json(self) -> bool:
        return "format" in self.of_gateway or "format" in self.of_sidecar


WHOLE = {**NAMES, "cert": True, "chain": True}
IN_JSON = {**WHOLE, "format": "JSON"}
SETTINGS = {
    "as Istio has it": Setting(),
    "a sidecar that writes all": Setting(of_gateway=WHOLE, of_sidecar=WHOLE),
    "a sidecar that leaves it alone": Setting(sidecar="FORWARD_ONLY"),
    "a gateway that hands on what it gets": Setting(gateway="APPEND_FORWARD", believes=True),
    "a gateway that leaves it alone": Setting(gateway="FORWARD_ONLY", believes=True, loses=True),
    "a gateway that removes it": Setting(gateway="SANITIZE", loses=True),
    "a sidecar that writes its own": Setting(sidecar="SANITIZE_SET", loses=True),
    "a sidecar that removes it": Setting(sidecar="SANITIZE", loses=True),
    "two gateways": Setting(inner="APPEND_FORWARD", policy="two-gateways"),
    "two gateways, the inner one leaves it alone": Setting(inner="FORWARD_ONLY"),
    "two gateways, the inner one writes its own": Setting(inner="SANITIZE_SET", policy="two-gateways", loses=True),
    "JSON": Setting(of_gateway=IN_JSON, of_sidecar=IN_JSON),
    "JSON of the gateway alone": Setting(of_gateway=IN_JSON, sidecar="FORWARD_ONLY"),
    "two gateways and JSON": Setting(inner="APPEND_FORWARD", of_gateway=IN_JSON, of_sidecar=IN_JSON, policy="two-gateways"),
}


@dataclass(frozen=True)
class Row:
    """A request, and what certbound must answer where the client's certificate comes through and nothing else does."""

    sentence: str
    status: int
    who: str
    """Whose certificate the client presents."""
    token: str
    """The certificate that the token is bound to."""
    forged: Sequence[str] = ()
    """Whose certificates it has in headers of its own."""
    directly: bool = False
    """Whether it goes past the gateways."""


ROWS = [
    Row("the right certificate", 200, "one", "one"),
    Row("a stolen token", 401, "two", "one"),
    Row("no certificate", 401, "nobody", "one"),
    Row("a forged header and the right certificate", 200, "one", "one", ["two"]),
    Row("two forged headers and the right certificate", 200, "one", "one", ["two", "one"]),
    Row("a forged header and a stolen token", 401, "two", "one", ["one"]),
    Row("a forged header and no certificate", 401, "nobody", "one", ["one"]),
    Row("a token that is bound to the gateway's certificate", 401, "one", "gateway"),
    Row("a token that is bound to the gateway's certificate, and no certificate", 401, "nobody", "gateway"),
    Row("a token that is bound to the first gateway's certificate, and no certificate", 401, "nobody", "edge"),
    Row("a comma and a semicolon in a name", 200, "comma", "comma"),
    Row("a name that makes up an element, and its own token", 400, "maker", "maker"),
    Row("a name that makes up an element, and a stolen token", 400, "maker", "one"),
    Row("a quote in a name", 400, "quote", "quote"),
    Row("a subject with quotes and backslashes", 200, "subject", "subject"),
    Row("ten thousand characters of names", 200, "many", "many"),
    Row("a neighbour with a stolen token", 401, "neighbour", "one", directly=True),
    Row("a neighbour with a stolen token and a forged header", 401, "neighbour", "one", ["one"], directly=True),
    Row("a neighbour with its own token", 401, "neighbour", "neighbour", directly=True),
]


class _Slow(Upstream):
    """Below /slow it takes half a second."""

    def keep(self, request: Request) -> None:
        super().keep(request)
        if "/slow" in request.path:
            time.sleep(0.5)


class Mesh:
    """The proxies of all settings, in one Envoy."""

    def __init__(self, world: World, upstream: Upstream, directory: Path) -> None:
        self.world, self.upstream = world, upstream
        one = world.client_1
        made_up = f"urn:x,Hash={one.digest};Cert={one.url_encoded};By=x"
        issue = world.authority.issue
        self.certificates: dict[str, Certificate | None] = {
            "one": one, "two": world.client_2, "nobody": None,
            "gateway": world.gateway, "edge": world.edge, "neighbour": world.neighbour,
            "comma": issue("comma", uri=["https://a.example.com/x,y;z"]),
            "maker": issue("maker", uri=[made_up]),
            "quote": issue("quote", uri=['urn:x",By="']),
            "subject": issue("subject", subject=[("CN", 'a\\",Hash=0;"')]),
            "many": issue("many", dns=[f"{number:03}.{'a' * 60}.example.com" for number in range(140)]),
        }  # fmt: skip
        self._document = yaml.safe_load(
            shipped.read("resource-server", **world.substitutions(), listener=free_port(), upstream=upstream.port, admin=free_port())
        )
        resources = self._document["static_resources"]
        self._model = resources["listeners"][0]
        (self._api,) = resources["clusters"]
        resources["listeners"], resources["clusters"] = [], [self._api]
        self._policies()
        self.front: dict[str, int] = {}
        self.sidecar: dict[str, int] = {}
        for name, setting in SETTINGS.items():
            self._add(name, setting)
        self.envoy = Envoy(yaml.safe_dump(self._document), directory, name="sidecar")

    def _policies(self) -> None:
        world = self.world
        issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "keys": {"jwks": tokens.jwks(*world.keys.values())}}
        proof = {"terminator_san": [{"uri": uri, "chain": "validated_by_listener"} for uri in (GATEWAY,)]}
        source = {"header": "x-forwarded-client-cert", "encoding": "xfcc", "proof": proof}

        def api(source: dict[str, Any]) -> dict[str, Any]:
            return {"resource_server": {"issuers": [issuer], "certificate_binding": "required", "client_certificate_source": source}}

        policies = {"one-gateway": api(source), "two-gateways": api(source | {"hops": [{"uri": EDGE}]})}
        routes = [{"path_prefix": f"/{name}", "policy": name} for name in policies]
        manager = self._model["filter_chains"][0]["filters"][0]["typed_config"]
        plugin = manager["http_filters"][0]["typed_config"]["config"]
        plugin["configuration"]["value"] = {"policies": policies, "routes": routes}

    def _add(self, name: str, setting: Setting) -> None:
        """A sidecar with certbound and one without, and the gateways before them."""
        world, gateway = self.world, self.world.gateway
        first = gateway if setting.inner is None else world.edge
        self.sidecar[name] = self._listener(f"{name}: sidecar", {"/": "api"}, setting.sidecar, setting.of_sidecar, is_sidecar=True)
        bare = self._listener(
            f"{name}: bare", {"/": "api"}, setting.sidecar, setting.of_sidecar, is_sidecar=True, has_certbound=False
        )
        targets = {"/bare": self._cluster(f"{name}: to bare", bare, gateway), "/": self._cluster(f"{name}: to sidecar", self.sidecar[name], gateway)}
        if setting.inner is not None:
            inner = self._listener(f"{name}: inner", targets, setting.inner, setting.of_gateway, has_certbound=False)
            targets = {"/": self._cluster(f"{name}: to inner", inner, first)}
        self.front[name] = self._listener(f"{name}: gateway", targets, setting.gateway, setting.of_gateway, has_certbound=False)

    def _listener(
        self, name: str, targets: Mapping[str, str], details: str, written: Mapping[str, Any], *, is_sidecar: bool = False, has_certbound: bool = True
    ) -> int:  # fmt: skip
        port = free_port()
        listener = copy.deepcopy(self._model) | {"name": name}
        listener["address"]["socket_address"]["port_value"] = port
        (chain,) = listener["filter_chains"]
        tls = chain["transport_socket"]["typed_config"]
        # A sidecar asks everybody, and resumes sessions: nothing of Istio's turns that off.
        tls["require_client_certificate"] = is_sidecar
        del tls["disable_stateless_session_resumption"], tls["disable_stateful_session_resumption"]
        manager = chain["filters"][0]["typed_config"]
        manager |= {"forward_client_cert_details": details, "set_current_client_cert_details": dict(written)}
        manager["max_request_headers_kb"] = 64
        manager["stat_prefix"] = name.replace(" ", "_").replace(":", "")
        if not has_certbound:
            manager["http_filters"] = manager["http_filters"][-1:]
        routes = [{"match": {"prefix": prefix}, "route": {"cluster": cluster}} for prefix, cluster in targets.items()]
        manager["route_config"] = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}
        self._document["static_resources"]["listeners"].append(listener)
        return port

    def _cluster(self, name: str, port: int, own: Certificate) -> str:
        cluster = mutual_tls.cluster(name, port, own, self.world.authority.pem_path)
        self._document["static_resources"]["clusters"].append(cluster)
        return name

    def ask(self, setting: str, row: Row, prefix: str = "") -> int:
        certificate = self.certificates[row.who]
        bound = self.certificates[row.token]
        token = tokens.sign(self.world.keys["ES256"], self.world.claims(bound))
        forged = [("x-forwarded-client-cert", xfcc(self._certificate(name))) for name in row.forged]
        port = self.sidecar[setting] if row.directly else self.front[setting]
        with Client(port, ca_path=self.world.authority.pem_path, certificate=certificate) as client:
            path = f"{prefix}/{SETTINGS[setting].policy}"
            return client.request("GET", path, headers=[("authorization", f"Bearer {token}"), *forged]).status

    def _certificate(self, name: str) -> Certificate:
        certificate = self.certificates[name]
        assert certificate is not None
        return certificate

    def seen(self, setting: str, row: Row) -> str | None:
        """The header that a filter of the sidecar sees."""
        self.upstream.clear()
        assert self.ask(setting, row, "/bare") == 200
        (request,) = self.upstream.take()
        values = request.all("x-forwarded-client-cert")
        assert len(values) <= 1
        return values[0] if values else None

    def resumed(self, setting: str) -> int:
        stats = self.envoy.admin(f"/stats?format=json&filter=127.0.0.1_{self.sidecar[setting]}.ssl.session_reused")
        return sum(each.get("value", 0) for each in json.loads(stats)["stats"])


@pytest.fixture(scope="module")
def mesh(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with _Slow() as upstream:
        mesh = Mesh(world, upstream, tmp_path_factory.mktemp("sidecar"))
        with mesh.envoy:
            yield mesh


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.sentence)
@pytest.mark.parametrize("setting", SETTINGS)
def test_who_passes(mesh: Mesh, setting: str, row: Row) -> None:
    how, status = SETTINGS[setting], mesh.ask(setting, row)
    if how.believes and row.forged:
        # Nothing in the header tells that the client wrote it: the reader below decides.
        assert status in (200, 400, 401)
    elif how.loses:
        # Of a client whose certificate does not come through, nobody says that it has another.
        assert status in (400, 401)
    elif how.is_json and row.who in ("maker", "quote") and not row.directly:
        # JSON leaves no doubt.
        assert status == (200 if row.token == row.who else 401)
    else:
        assert status == row.status
    if row.directly:
        assert status == 401
        return
    value, hops = mesh.seen(setting, row), [EDGE] if how.policy == "two-gateways" else []
    found = read(value, mesh.world.gateway.digest, hops, never=[GATEWAY]) if value else None
    bound = mesh.certificates[row.token]
    assert bound is not None
    assert status == (400 if found == MALFORMED else 200 if found == bound.digest else 401)


def test_what_a_gateway_hands_on_of_a_clients_own_making_is_refused(mesh: Mesh) -> None:
    setting = "a gateway that hands on what it gets"
    for row in (Row("", 400, "one", "one", ["two"]), Row("", 400, "two", "one", ["one"])):
        assert mesh.ask(setting, row) == 400


def test_twelve_at_once_on_resumed_sessions_keep_their_certificate(mesh: Mesh) -> None:
    setting, row = "as Istio has it", Row("", 200, "one", "one")
    before = mesh.resumed(setting)
    with ThreadPoolExecutor(12) as pool:
        world, token = mesh.world, tokens.sign(mesh.world.keys["ES256"], mesh.world.claims(mesh.world.client_1))

        def slow(_: int) -> int:
            with Client(mesh.front[setting], ca_path=world.authority.pem_path, certificate=world.client_1) as client:
                return client.request("GET", "/one-gateway/slow", headers=[("authorization", f"Bearer {token}")]).status

        assert list(pool.map(slow, range(12))) == [200] * 12
    assert mesh.ask(setting, row) == 200
    assert mesh.resumed(setting) > before
