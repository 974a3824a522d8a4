# SPDX-License-Identifier: Apache-2.0
"""The ways of docs/istio-sidecars.md in a plain Envoy of any version: a gateway and a sidecar with the settings that Istio writes, and
the very configurations that the page shows and istio-sidecar.yaml has.

`make platforms` has Istio's own control plane write the listeners.
"""

import copy
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import pytest
import yaml

from cases import World
from cases.forged import xfcc
from rig import mutual_tls, shipped, tokens
from rig.certificates import Certificate
from rig.client import Client
from rig.envoy import Envoy
from rig.ports import free_port
from rig.upstream import Upstream

from platforms.test_listeners import KEPT, LISTENERS

PAGE = shipped.ROOT / "docs" / "istio-sidecars.md"
INNER = "spiffe://cluster.local/ns/istio-inner/sa/inner"
HANDED_ON = ("x-forwarded-client-cert", "client-cert", "x-client-cert")
"""The headers in which one of the ways tells of the client."""

# istio.io/istio of 27 August 2026.
_OF_A_GATEWAY = LISTENERS["istio"]
_OF_A_SIDECAR = _OF_A_GATEWAY | {
    "forward_client_cert_details": "APPEND_FORWARD",
    "set_current_client_cert_details": {"subject": True, "dns": True, "uri": True},
    "use_remote_address": False,
}


@dataclass(frozen=True)
class Way:
    """What certbound is told in the sidecar, and how the gateway tells it of the client."""

    sidecar: Mapping[str, Any]
    at_the_gateway: Mapping[str, Any] | None = None
    headers: Mapping[str, Any] | None = None
    """`headers.request` of the VirtualService."""
    has_inner: bool = False
    """Whether another gateway stands between the gateway and the sidecar, and appends."""


def _shown(world: World, has: Callable[[Mapping[str, Any]], object]) -> dict[str, Any]:
    """The one block of the page of which this is true."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    keys = f"jwks: {json.dumps(tokens.jwks(*world.keys.values()))}"
    (found,) = [block for text in blocks if has(block := yaml.safe_load(text.replace("jwks: { keys: [] }", keys)))]
    return found


def _source(block: Mapping[str, Any]) -> Mapping[str, Any]:
    return block.get("resource_server", {}).get("client_certificate_source", {})


def _shipped(world: World, *live: str) -> dict[str, Any]:
    """certbound's configuration in istio-sidecar.yaml, with these of its comments live."""
    text = shipped.filled("istio-sidecar", **world.substitutions())
    for comment in live:
        assert text.count(f"# {comment}") == 1
        text = text.replace(f"# {comment}", comment)
    (extension,) = [each for each in yaml.safe_load_all(text) if each["kind"] == "TrafficExtension"]
    return extension["spec"]["wasm"]["pluginConfig"]


def _as_it_is(world: World) -> Way:
    return Way(_shipped(world))


def _rebuilt(world: World) -> Way:
    return Way(_shipped(world), at_the_gateway={"clean_only": {"x_forwarded_client_cert": "rebuild"}})


def _at_the_gateway_too(world: World) -> Way:
    sidecar = _shown(world, lambda block: _source(block).get("encoding") == "sf_binary")
    return Way(sidecar, at_the_gateway=_shown(world, lambda block: "policies" in block))


def _virtual_service(world: World) -> Way:
    sidecar = _shipped(world)
    sidecar["policies"]["api"]["resource_server"]["client_certificate_source"] |= {"header": "x-client-cert", "encoding": "pem_url"}
    (route,) = _shown(world, lambda block: block.get("kind") == "VirtualService")["spec"]["http"]
    return Way(sidecar, headers=route["headers"]["request"])


def _two_gateways(world: World) -> Way:
    return Way(_shown(world, lambda block: "hops" in _source(block)), has_inner=True)


WAYS = {
    "XFCC as it is": _as_it_is,
    "XFCC that certbound at the gateway writes anew": _rebuilt,
    "certbound at the gateway too": _at_the_gateway_too,
    "a header of the VirtualService": _virtual_service,
    "two gateways": _two_gateways,
}


@dataclass(frozen=True)
class Row:
    """A request, and its status."""

    sentence: str
    status: int
    who: str
    token: str
    """The certificate that it is bound to."""
    forged: bool = False
    """Whether it has each of these headers with the certificate of "one"."""
    at: Literal["gateway", "inner", "sidecar"] = "gateway"
    """Who is asked."""


ROWS = [
    Row("the right certificate", 200, "one", "one"),
    Row("the right certificate and forged headers", 200, "two", "two", forged=True),
    Row("a stolen token", 401, "two", "one"),
    Row("a stolen token and forged headers", 401, "two", "one", forged=True),
    Row("no certificate", 401, "nobody", "one"),
    Row("no certificate and forged headers", 401, "nobody", "one", forged=True),
    Row("a token that is bound to the gateway's certificate", 401, "nobody", "gateway"),
    Row("a token that is bound to the inner gateway's certificate", 401, "nobody", "inner"),
    Row("a neighbour with a stolen token and forged headers", 401, "neighbour", "one", forged=True, at="sidecar"),
    Row("a neighbour with its own token", 401, "neighbour", "neighbour", at="sidecar"),
]


@functools.cache
def _inner(world: World) -> Certificate:
    return world.authority.issue("inner", subject=(), uri=[INNER])


class Mesh:
    """A gateway, perhaps another one, and a sidecar, in one Envoy."""

    def __init__(self, world: World, directory: Path, way: Way) -> None:
        self._world, self.upstream = world, Upstream()
        inner = _inner(world)
        self._certificates: dict[str, Certificate | None] = {
            "one": world.client_1, "two": world.client_2, "nobody": None,
            "gateway": world.gateway, "inner": inner, "neighbour": world.neighbour,
        }  # fmt: skip
        self._document = yaml.safe_load(
            shipped.read("policies-by-path", **world.substitutions(), listener=free_port(), upstream=self.upstream.port, admin=free_port())
        )
        resources = self._document["static_resources"]
        self._model = resources["listeners"].pop()
        (api,) = resources["clusters"]
        self._ports = {"sidecar": self._listener("sidecar", api["name"], _OF_A_SIDECAR, way.sidecar)}
        behind = self._ports["sidecar"]
        if way.has_inner:
            appending = _OF_A_GATEWAY | {"forward_client_cert_details": "APPEND_FORWARD"}
            behind = self._ports["inner"] = self._listener("inner", self._cluster("to-sidecar", behind, inner), appending, None)
        inside = self._cluster("to-inside", behind, world.gateway)
        self._ports["gateway"] = self._listener("gateway", inside, _OF_A_GATEWAY, way.at_the_gateway, way.headers)
        self._envoy = Envoy(yaml.safe_dump(self._document), directory, name="sidecars")

    def __enter__(self) -> Self:
        self.upstream.__enter__()
        self._envoy.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._envoy.__exit__(*raised)
        self.upstream.__exit__(*raised)

    def _listener(
        self, name: str, cluster: str, settings: Mapping[str, Any], certbound: Any, headers: Mapping[str, Any] | None = None
    ) -> int:
        listener = copy.deepcopy(self._model) | {"name": name}
        listener["address"]["socket_address"]["port_value"] = port = free_port()
        (chain,) = listener["filter_chains"]
        tls = chain["transport_socket"]["typed_config"]
        tls["require_client_certificate"] = name != "gateway"
        del tls["disable_stateless_session_resumption"], tls["disable_stateful_session_resumption"]
        manager = chain["filters"][0]["typed_config"]
        for key in [key for key in manager if key not in KEPT]:
            del manager[key]
        manager |= settings | {"stat_prefix": name}
        first, *_, router = manager["http_filters"]
        manager["http_filters"] = [router]
        if certbound is not None:
            value = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": json.dumps(certbound)}
            first["typed_config"]["config"]["configuration"] = value
            manager["http_filters"] = [first, router]
        route: dict[str, Any] = {"match": {"prefix": "/"}, "route": {"cluster": cluster}}
        for key, value in (headers or {}).get("set", {}).items():
            added = {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            route.setdefault("request_headers_to_add", []).append(added)
        if headers and "remove" in headers:
            route["request_headers_to_remove"] = headers["remove"]
        manager["route_config"] = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]}
        self._document["static_resources"]["listeners"].append(listener)
        return port

    def _cluster(self, name: str, port: int, own: Certificate) -> str:
        """A cluster that presents this certificate."""
        cluster = mutual_tls.cluster(name, port, own, self._world.authority.pem_path)
        self._document["static_resources"]["clusters"].append(cluster)
        return name

    def _forged(self) -> Sequence[tuple[str, str]]:
        one = self._world.client_1
        return list(zip(HANDED_ON, (xfcc(one), one.rfc9440_form, one.url_encoded), strict=True))

    def check(self, row: Row) -> None:
        """Asks, and compares; what reaches the API tells nothing of a certificate."""
        token = tokens.sign(self._world.keys["ES256"], self._world.claims(self._certificates[row.token]))
        headers = [("authorization", f"Bearer {token}"), *(self._forged() if row.forged else [])]
        self.upstream.clear()
        with Client(self._ports[row.at], ca_path=self._world.authority.pem_path, certificate=self._certificates[row.who]) as client:
            response = client.request("GET", "/accounts", headers=headers)
        assert response.status == row.status, (row.sentence, response.body)
        reached = self.upstream.take()
        assert len(reached) == (row.status == 200)
        assert not [name for request in reached for name in HANDED_ON if request.all(name)]


@pytest.fixture(scope="module", params=WAYS)
def mesh(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with Mesh(world, tmp_path_factory.mktemp("sidecars"), WAYS[request.param](world)) as found:
        yield found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.sentence)
def test_request(mesh: Mesh, row: Row) -> None:
    mesh.check(row)


OWN = Row("a neighbour with its own token", 200, "neighbour", "neighbour", at="sidecar")
OTHERS = Row("a neighbour with a client's token and forged headers", 401, "neighbour", "one", forged=True, at="sidecar")
OF_THE_GATEWAY = Row("a token that is bound to the gateway's certificate", 401, "nobody", "gateway")


def test_a_caller_in_the_mesh_is_held_to_its_own_certificate_under_from_others(world: World, tmp_path: Path) -> None:
    with Mesh(world, tmp_path, Way(_shipped(world, "from_others: connection"))) as mesh:
        for row in (OWN, OTHERS, OF_THE_GATEWAY, *ROWS[:-1]):
            mesh.check(row)


def test_where_there_is_no_source_the_gateway_is_not_a_client(world: World, tmp_path: Path) -> None:
    shown = _shown(world, lambda block: "not_a_client" in block.get("resource_server", {}))
    with Mesh(world, tmp_path, Way(shown)) as mesh:
        for row in (OWN, OTHERS, OF_THE_GATEWAY):
            mesh.check(row)


def test_without_it_a_token_that_is_bound_to_the_gateways_certificate_is_everybodys(world: World, tmp_path: Path) -> None:
    shown = _shown(world, lambda block: "not_a_client" in block.get("resource_server", {}))
    del shown["resource_server"]["not_a_client"]
    with Mesh(world, tmp_path, Way(shown)) as mesh:
        mesh.check(Row("nobody", 200, "nobody", "gateway"))


def test_a_virtual_service_that_sets_alone_lets_clients_be_anybody(world: World, tmp_path: Path) -> None:
    """Why the page shows `remove` beside it."""
    way = _virtual_service(world)
    assert way.headers is not None
    without = Way(way.sidecar, headers={"set": way.headers["set"]})
    with Mesh(world, tmp_path, without) as mesh:
        mesh.check(Row("no certificate and forged headers", 200, "nobody", "one", forged=True))


def test_a_neighbour_at_an_inner_gateway_that_appends_is_nobody_else(world: World, tmp_path: Path) -> None:
    with Mesh(world, tmp_path, _two_gateways(world)) as mesh:
        mesh.check(Row("a neighbour with forged headers", 400, "neighbour", "one", forged=True, at="inner"))
        mesh.check(Row("a neighbour with its own token", 400, "neighbour", "neighbour", at="inner"))
