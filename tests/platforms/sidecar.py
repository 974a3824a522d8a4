# SPDX-License-Identifier: Apache-2.0
"""certbound in an Istio sidecar, behind an Istio gateway: who passes, in each way in which the gateway tells of the client."""

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cases import AUDIENCE, ISSUER, World
from cases.forged import xfcc
from rig import tokens
from rig.certificates import Certificate
from rig.process import wait_until

from platforms import resources
from platforms.image import Image
from platforms.mesh import GATEWAY, INNER, INNER_ADDRESS, INNER_PORT, Mesh, Setting


def _api(world: World, **more: Any) -> dict[str, Any]:
    issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "keys": {"jwks": tokens.jwks(*world.keys.values())}}
    return {"resource_server": {"issuers": [issuer], "certificate_binding": "required", **more}}


def _policies(policy: dict[str, Any]) -> dict[str, Any]:
    """One policy for everything."""
    return {"default_policy": "all", "policies": {"all": policy}}


def _behind(world: World, header: str, encoding: str, terminator: str = GATEWAY, **more: Any) -> dict[str, Any]:
    # Not `validated`: a session that the gateway resumes at the sidecar says nothing of validity.
    proof = {"terminator_san": {"uri": terminator, "chain": "validated_by_listener"}}
    source = {"header": header, "encoding": encoding, "proof": proof, **more}
    return _policies(_api(world, client_certificate_source=source))


def _behind_xfcc(world: World, terminator: str = GATEWAY, **more: Any) -> dict[str, Any]:
    return _behind(world, "x-forwarded-client-cert", "xfcc", terminator, **more)


FORWARD_ONLY = {"proxyHeaders": {"forwardedClientCert": "FORWARD_ONLY"}}


def _inner(details: str) -> dict[str, Any]:
    """The annotation of an inner gateway."""
    return {"gatewayTopology": {"forwardClientCertDetails": details}}


def shipped(world: World) -> str:
    """istio-sidecar.yaml with nothing but its CHANGE lines changed."""
    changes = {r"oci://registry\.example\.com/certbound@sha256:0{64}": "MODULE"}
    return resources.changed("istio-sidecar", changes, tokens.jwks(*world.keys.values()))


def _wasm_plugin(text: str) -> str:
    """The same with the resource that is in its comments in the place of the TrafficExtension."""
    others, _, commented = text.partition("# ---\n")
    plugin = "".join(line.removeprefix("# ") for line in commented.splitlines(keepends=True))
    return resources.of_kinds(others, "PeerAuthentication", "Gateway") + "---\n" + plugin


def _rfc9440(world: World) -> Setting:
    handing = {"clean_only": {"forward_certificate": [{"dialect": "rfc9440"}]}}
    return Setting(_behind(world, "client-cert", "sf_binary"), at_the_gateway=_policies(handing))


def _virtual_service(world: World) -> Setting:
    # `set` alone leaves what the client wrote where there is no certificate.
    headers = {"request": {"remove": ["x-client-cert"], "set": {"x-client-cert": "%DOWNSTREAM_PEER_CERT%"}}}
    return Setting(_behind(world, "x-client-cert", "pem_url"), headers=headers)


def _forwarding_gateways(world: World) -> Setting:
    return Setting(_behind_xfcc(world, INNER), proxy_config=FORWARD_ONLY, inner=_inner("FORWARD_ONLY"))


REBUILT = _policies({"clean_only": {"x_forwarded_client_cert": "rebuild"}})
WAYS = {
    "the shipped file": lambda world: Setting(shipped(world)),
    "the WasmPlugin of the shipped file": lambda world: Setting(_wasm_plugin(shipped(world))),
    "XFCC, which the sidecar leaves alone": lambda world: Setting(_behind_xfcc(world), proxy_config=FORWARD_ONLY),
    "XFCC, which certbound at the gateway writes anew": lambda world: Setting(_behind_xfcc(world), at_the_gateway=REBUILT),
    "the same, which the sidecar leaves alone": lambda world: Setting(
        _behind_xfcc(world), at_the_gateway=REBUILT, proxy_config=FORWARD_ONLY
    ),
    "Client-Cert, which certbound at the gateway writes": _rfc9440,
    "a header that the VirtualService removes and sets": _virtual_service,
    "XFCC, to which an inner gateway and the sidecar append": lambda world: Setting(
        _behind_xfcc(world, INNER, hops=[{"uri": GATEWAY}]), inner=_inner("APPEND_FORWARD")
    ),
    "XFCC, which an inner gateway and the sidecar leave alone": _forwarding_gateways,
}
"""How the sidecar learns of the client's certificate."""


@dataclass(frozen=True)
class Row:
    """A request, and the status that it must have in every way."""

    sentence: str
    status: int
    who: str
    """Whose certificate the sender presents: to the gateway, or `neighbour`, who connects to the sidecar."""
    token: str
    """The certificate that the token is bound to."""
    forged: bool = False
    """Whether it has every header that may tell of a certificate, with that of "one"."""


ROWS = [
    Row("the right certificate", 200, "one", "one"),
    Row("a stolen token", 401, "two", "one"),
    Row("no certificate", 401, "nobody", "one"),
    Row("forged headers of its own, and the right certificate", 200, "one", "one", forged=True),
    Row("forged headers of somebody else, and its own token", 200, "two", "two", forged=True),
    Row("forged headers, and another certificate", 401, "two", "one", forged=True),
    Row("forged headers, and no certificate", 401, "nobody", "one", forged=True),
    Row("a neighbour with a stolen token", 401, "neighbour", "one"),
    Row("a neighbour with a stolen token and forged headers", 401, "neighbour", "one", forged=True),
    Row("a comma in a name of the certificate", 200, "comma", "comma"),
    Row("a name that makes up a certificate, and a stolen token", 0, "maker", "one"),
]
"""0 stands for any status but 200: a name that makes up an element may be refused as malformed, too."""


class Ask:
    """Asks a mesh in the name of any of its clients."""

    def __init__(self, mesh: Mesh, world: World, named: dict[str, Certificate]) -> None:
        self.mesh, self._world = mesh, world
        one = world.client_1
        self.certificates: dict[str, Certificate | None] = {
            "one": one,
            "two": world.client_2,
            "nobody": None,
            "neighbour": mesh.neighbour,
            **named,
        }
        header = base64.b64encode(one.der).decode()
        self._forged = [
            ("x-forwarded-client-cert", xfcc(one)),
            ("client-cert", f":{header}:"),
            ("x-client-cert", one.url_encoded),
        ]

    def headers(self, bound: str, *, forged: bool) -> list[tuple[str, str]]:
        """A token that is bound to this certificate, and what may tell of one."""
        token = tokens.sign(self._world.keys["ES256"], self._world.claims(self.certificates[bound]))
        return [("authorization", f"Bearer {token}"), *(self._forged if forged else [])]

    def status(self, row: Row, path: str = "/accounts") -> int:
        connect = self.mesh.beside if row.who == "neighbour" else self.mesh.client
        with connect(self.certificates[row.who]) as client:
            return client.request("GET", path, headers=self.headers(row.token, forged=row.forged)).status


@pytest.fixture(scope="module")
def named(world: World) -> dict[str, Certificate]:
    """Certificates whose names mean something in X-Forwarded-Client-Cert."""
    one = world.client_1
    made_up = f"urn:x,Hash={one.digest};Cert={one.url_encoded};By=x"
    return {
        "comma": world.authority.issue("comma", uri=["https://a.example.com/x,y;z"]),
        "maker": world.authority.issue("maker", uri=[made_up]),
    }


# All meshes have the same addresses: this one ends with its class.
@pytest.fixture(scope="class", params=WAYS)
def way(
    request: pytest.FixtureRequest,
    world: World,
    image: Image,
    named: dict[str, Certificate],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ask]:
    setting = WAYS[request.param](world)
    with Mesh(world, tmp_path_factory.mktemp("mesh"), setting, f"oci://{image.reference}") as mesh:
        yield Ask(mesh, world, named)


class TestInASidecar:
    @pytest.mark.parametrize("row", ROWS, ids=lambda row: row.sentence)
    def test_request(self, way: Ask, row: Row) -> None:
        status = way.status(row)
        assert status == row.status if row.status else status >= 400

    def test_certbound_stands_where_others_connect_and_not_where_the_api_does(self, way: Ask) -> None:
        listeners = way.mesh.listeners()
        assert {name for name, stands in listeners.items() if stands} == {"127.51.0.10_8080", "virtualInbound"}
        assert {name for name, stands in listeners.items() if not stands} == {"0.0.0.0_80", "virtualOutbound"}

    def test_twelve_at_once_on_resumed_sessions_keep_their_certificate(self, way: Ask) -> None:
        row = Row("", 200, "one", "one")
        assert way.status(row) == 200
        with ThreadPoolExecutor(12) as pool:
            statuses = list(pool.map(lambda _: way.status(row, "/slow"), range(12)))
        assert statuses == [200] * 12
        resumed = way.mesh.sidecar.admin("/stats?filter=ssl.session_reused")
        assert any(int(line.rpartition(" ")[2]) for line in resumed.splitlines()), resumed


def test_a_neighbour_is_not_let_into_an_inner_gateway(
    world: World, image: Image, named: dict[str, Certificate], tmp_path: Path
) -> None:
    """It would be the first gateway, and whoever it says: FORWARD_ONLY believes what comes."""
    with Mesh(world, tmp_path, _forwarding_gateways(world), f"oci://{image.reference}") as mesh:
        ask = Ask(mesh, world, named)
        with mesh.beside(mesh.neighbour, INNER_ADDRESS, INNER_PORT) as client:
            assert client.request("GET", "/accounts", headers=ask.headers("one", forged=True)).status == 403


def test_behind_an_inner_gateway_that_does_not_append_nobody_is_the_outer_one(
    world: World, image: Image, named: dict[str, Certificate], tmp_path: Path
) -> None:
    """With Istio's default it writes one element, about the outer gateway, whoever the client is."""
    hops = [{"uri": GATEWAY}]
    with Mesh(world, tmp_path, Setting(_behind_xfcc(world, INNER, hops=hops), inner=_inner("SANITIZE_SET")), f"oci://{image.reference}") as mesh:
        ask = Ask(mesh, world, named)
        ask.certificates["gateway"] = mesh.of_the_gateway
        statuses = [ask.status(Row("", 401, who, token)) for who in ("one", "nobody") for token in ("one", "gateway")]
        assert statuses == [401] * 4


def test_without_match_the_calls_of_the_api_itself_are_judged(world: World, image: Image, tmp_path: Path) -> None:
    setting = Setting(_behind_xfcc(world), match=None)
    with Mesh(world, tmp_path, setting, f"oci://{image.reference}") as mesh:
        assert {"127.51.0.10_8080", "0.0.0.0_80"} <= {name for name, stands in mesh.listeners().items() if stands}


def test_the_open_path_of_the_shipped_file_asks_nothing(world: World, image: Image, tmp_path: Path) -> None:
    with Mesh(world, tmp_path, Setting(shipped(world)), f"oci://{image.reference}") as mesh, mesh.client(None) as client:
        assert [client.request("GET", path).status for path in ("/health", "/health/x")] == [200, 401]


def test_from_others_holds_a_neighbour_to_its_own_certificate_beside_the_clients(
    world: World, image: Image, named: dict[str, Certificate], tmp_path: Path
) -> None:
    setting = Setting(_behind_xfcc(world, from_others="connection"))
    with Mesh(world, tmp_path, setting, f"oci://{image.reference}") as mesh:
        ask = Ask(mesh, world, named)
        ask.certificates["gateway"] = mesh.of_the_gateway
        for row in [
            Row("a neighbour's own token", 200, "neighbour", "neighbour"),
            Row("its own token and forged headers", 200, "neighbour", "neighbour", forged=True),
            Row("a neighbour with a client's token", 401, "neighbour", "one"),
            Row("the same and forged headers", 401, "neighbour", "one", forged=True),
            Row("a client's own token", 200, "one", "one"),
            Row("a client with a neighbour's token", 401, "one", "neighbour"),
            Row("a token that is bound to the gateway's certificate", 401, "nobody", "gateway"),
        ]:
            assert ask.status(row) == row.status, row.sentence


def test_not_a_client_names_the_gateway_where_there_is_no_source(
    world: World, image: Image, named: dict[str, Certificate], tmp_path: Path
) -> None:
    policies = _policies(_api(world, not_a_client=[{"uri": GATEWAY}]))
    with Mesh(world, tmp_path, Setting(policies), f"oci://{image.reference}") as mesh:
        ask = Ask(mesh, world, named)
        ask.certificates["gateway"] = mesh.of_the_gateway
        assert ask.status(Row("", 200, "neighbour", "neighbour")) == 200
        assert ask.status(Row("", 401, "nobody", "gateway")) == 401


def test_callers_in_the_mesh_are_held_to_their_mesh_certificate_where_there_is_no_source(
    world: World, image: Image, named: dict[str, Certificate], tmp_path: Path
) -> None:
    with Mesh(world, tmp_path, Setting(_policies(_api(world))), f"oci://{image.reference}") as mesh:
        ask = Ask(mesh, world, named)
        assert ask.status(Row("", 200, "neighbour", "neighbour")) == 200
        assert ask.status(Row("", 401, "neighbour", "one")) == 401
        # Behind the gateway everybody has the gateway's certificate.
        assert ask.status(Row("", 401, "one", "one")) == 401


def test_a_rotated_mesh_certificate_needs_a_new_token(
    world: World, image: Image, named: dict[str, Certificate], tmp_path: Path
) -> None:
    with Mesh(world, tmp_path, Setting(_policies(_api(world))), f"oci://{image.reference}") as mesh:
        ask = Ask(mesh, world, named)
        ask.certificates["old"] = mesh.of_the_gateway
        old, new = Row("", 200, "nobody", "old"), Row("", 200, "nobody", "new")
        assert ask.status(old) == 200
        before = mesh.secrets()
        ask.certificates["new"] = mesh.rotate("gateway.istio-ingress", GATEWAY)
        wait_until(lambda: mesh.secrets() > before, 10, "the gateway to have its new certificate")
        # A connection that is kept goes on with the old one.
        assert [ask.status(old), ask.status(new)] == [200, 401]
        wait_until(lambda: 200 in _at_once(ask, new), 20, "a new connection of the gateway")


def _at_once(ask: Ask, row: Row) -> list[int]:
    with ThreadPoolExecutor(12) as pool:
        return list(pool.map(lambda _: ask.status(row, "/slow"), range(12)))
