# SPDX-License-Identifier: Apache-2.0
"""Both roles over HTTP/3 on the shipped file in a real Envoy: whose certificate a request has, forged headers and trailers, bodies
in pieces, and many streams of one connection."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import FORGED, World
from rig import shipped, tokens
from rig.certificates import Certificate
from rig.client import Client, ConnectionRefusedByPeer
from rig.envoy import Envoy, find_envoy, is_before
from rig.forgeries import COPIES, NAMES, TWINS
from rig.http3 import Http3Client
from rig.ports import free_port
from rig.upstream import Upstream

if is_before(find_envoy().version, "1.40.0"):
    pytest.skip("Envoy before 1.40 asks no client for a certificate over QUIC", allow_module_level=True)


class Deployment:
    """The shipped file, with the policy of an authorization server at /token beside it."""

    def __init__(self, world: World, listener: int, upstream: Upstream) -> None:
        self.world, self.listener, self.upstream = world, listener, upstream

    def client(self, certificate: Certificate | None, **how) -> Http3Client:
        return Http3Client(self.listener, ca_path=self.world.authority.pem_path, certificate=certificate, **how)

    def bearer(self, certificate: Certificate) -> tuple[str, str]:
        token = tokens.sign(self.world.keys["ES256"], self.world.claims(certificate))
        return ("authorization", f"Bearer {token}")


@pytest.fixture(scope="module")
def deployment(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Upstream() as upstream:
        listener = free_port()
        text = yaml.safe_dump(_document(world, listener, upstream))
        with Envoy(text, tmp_path_factory.mktemp("http3"), name="http3"):
            yield Deployment(world, listener, upstream)


def _document(world: World, listener: int, upstream: Upstream) -> Any:
    ports = {"listener": listener, "upstream": upstream.port, "admin": free_port()}
    document = yaml.safe_load(shipped.read("resource-server-http3", **world.substitutions(), **ports))
    # YAML's aliases are one object in both listeners.
    policies = shipped.plugin(document)["configuration"]["value"]["policies"]
    policies["token"] = {
        "authorization_server": {"forward_certificate": [{"dialect": "rfc9440"}], "client_certificate": "validated"}
    }
    policies["dpop"] = {"resource_server": policies["api"]["resource_server"] | {"dpop": "verified_upstream"}}
    shipped.manager(document)["route_config"]["virtual_hosts"][0]["routes"][:0] = [
        {
            "match": {"prefix": f"/{name}"},
            "metadata": {"filter_metadata": {"certbound": {"policy": name}}},
            "route": {"cluster": "api"},
        }
        for name in ("token", "dpop")
    ]
    return document


@pytest.fixture(params=["valid", "none"])
def presented(request: pytest.FixtureRequest, world: World) -> Certificate | None:
    return world.client_1 if request.param == "valid" else None


def test_a_token_passes_on_its_own_certificate_alone(deployment: Deployment) -> None:
    world = deployment.world
    for certificate, status in ((world.client_1, 200), (world.client_2, 401), (None, 401)):
        with deployment.client(certificate) as client:
            assert client.request("GET", "/", [deployment.bearer(world.client_1)]).status == status


def test_a_certificate_of_another_ca_ends_the_handshake(deployment: Deployment) -> None:
    with pytest.raises(ConnectionRefusedByPeer), deployment.client(deployment.world.impostor) as client:
        client.request("GET", "/health")


def test_the_token_endpoint_gets_the_certificate_or_none(deployment: Deployment, presented: Certificate | None) -> None:
    with deployment.client(presented) as client:
        forged = [("client-cert", FORGED), ("x-forwarded-client-cert", FORGED)]
        assert client.request("POST", "/token", forged, b"grant_type=client_credentials").status == 200
    (request,) = deployment.upstream.requests[-1:]
    assert request.all("client-cert") == ([presented.rfc9440_form] if presented else [])
    assert request.all("x-forwarded-client-cert") == []


def test_http_1_1_says_where_http_3_is_and_the_same_token_passes_there(deployment: Deployment) -> None:
    world = deployment.world
    with Client(deployment.listener, ca_path=world.authority.pem_path, certificate=world.client_1) as client:
        response = client.request("GET", "/", headers=[deployment.bearer(world.client_1)])
    assert (response.status, response.header("alt-svc")) == (200, 'h3=":8454"; ma=86400')


def test_no_session_is_resumed_and_nothing_is_early(deployment: Deployment) -> None:
    with deployment.client(deployment.world.client_1) as client:
        assert client.request("GET", "/health").status == 200
        assert client.tickets == [] and not client.resumed


@pytest.mark.parametrize("forged", [(), (("early-data", "1"),), (("early-data", "0"),)], ids=str)
def test_an_early_request_gets_425_at_a_token_endpoint_and_under_dpop(
    early: Deployment, forged: tuple[tuple[str, str], ...]
) -> None:
    """RFC 8470 §5.2, where a listener takes early data against the shipped file. Envoy leaves what a client says itself."""
    world = early.world
    with early.client(world.client_1) as client:
        assert client.request("GET", "/health").status == 200
        (ticket, *_) = client.tickets
    headers = [early.bearer(world.client_1), *forged]
    with early.client(world.client_1, ticket=ticket) as client:
        requests = [(method, path, headers, b"", ()) for method, path in (("POST", "/token"), ("GET", "/dpop"), ("GET", "/"))]
        assert [response.status for response in client.requests(requests)] == [425, 425, 200]
        assert client.resumed
        early_data = early.upstream.requests[-1].all("early-data")
        # The same connection, after the handshake.
        late = [(method, path, headers[:1], body, trailers) for method, path, _, body, trailers in requests]
        assert [response.status for response in client.requests(late)] == [200, 200, 200]
    assert early_data == [dict(forged).get("early-data", "1")]


@pytest.fixture(scope="module")
def early(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Upstream() as upstream:
        listener = free_port()
        document = _document(world, listener, upstream)
        (chain,) = document["static_resources"]["listeners"][1]["filter_chains"]
        chain["transport_socket"]["typed_config"] |= {"enable_early_data": True, "enable_resumption": True}
        with Envoy(yaml.safe_dump(document), tmp_path_factory.mktemp("early"), name="early"):
            yield Deployment(world, listener, upstream)


SWITCHES = ("enable_early_data", "enable_resumption")


def _by_sds(document: Any, directory: Path) -> Any:
    """The HTTP/3 listener's CAs come by SDS, from a file. Envoy demands names of itself then."""
    document["node"] = {"id": "test", "cluster": "test"}
    (chain,) = document["static_resources"]["listeners"][1]["filter_chains"]
    quic = chain["transport_socket"]["typed_config"]
    common = quic["downstream_tls_context"]["common_tls_context"]
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    secret = {"@type": kind, "name": "clients", "validation_context": common.pop("validation_context")}
    (directory / "secret.yaml").write_text(yaml.safe_dump({"resources": [secret]}))
    source = {"path_config_source": {"path": str(directory / "secret.yaml")}, "resource_api_version": "V3"}
    common["validation_context_sds_secret_config"] = {"name": "clients", "sds_config": source}
    return quic


def test_with_cas_by_sds_the_shipped_switches_keep_tickets_and_early_data_off(world: World, tmp_path: Path) -> None:
    with Upstream() as upstream:
        listener = free_port()
        document = _document(world, listener, upstream)
        quic = _by_sds(document, tmp_path)
        assert [quic[switch] for switch in SWITCHES] == [False, False]
        with Envoy(yaml.safe_dump(document), tmp_path, name="sds"):
            deployment = Deployment(world, listener, upstream)
            for certificate, status in ((world.client_1, 200), (world.client_2, 401), (None, 401)):
                with deployment.client(certificate) as client:
                    assert client.request("GET", "/", [deployment.bearer(world.client_1)]).status == status
                    assert client.tickets == [] and not client.resumed
            with deployment.client(world.client_1) as client:
                assert client.request("POST", "/token", [], b"grant_type=client_credentials").status == 200
            assert upstream.requests[-1].all("client-cert") == [world.client_1.rfc9440_form]


def test_with_cas_by_sds_and_without_the_switches_a_request_is_early(world: World, tmp_path: Path) -> None:
    """What the switches are for: without them Envoy resumes such sessions, and takes early data."""
    with Upstream() as upstream:
        listener = free_port()
        document = _document(world, listener, upstream)
        quic = _by_sds(document, tmp_path)
        for switch in SWITCHES:
            del quic[switch]
        with Envoy(yaml.safe_dump(document), tmp_path, name="sds"):
            deployment = Deployment(world, listener, upstream)
            with deployment.client(world.client_1) as client:
                assert client.request("GET", "/health").status == 200
                (ticket, *_) = client.tickets
            headers = [deployment.bearer(world.client_1)]
            with deployment.client(world.client_1, ticket=ticket) as client:
                requests = [(method, path, headers, b"", ()) for method, path in (("POST", "/token"), ("GET", "/"))]
                assert [response.status for response in client.requests(requests)] == [425, 200]
                assert client.resumed
            assert upstream.requests[-1].all("early-data") == ["1"]


@pytest.mark.parametrize("path", ["/token", "/health"])
def test_no_forged_header_reaches_the_upstream(
    deployment: Deployment, presented: Certificate | None, path: str
) -> None:
    forged = [
        repeat(spell(name).lower())
        for name in NAMES
        for spell in TWINS.values()
        for repeat in (COPIES["one"], COPIES["two"], COPIES["empty and not"])
    ]
    deployment.upstream.clear()
    with deployment.client(presented) as client:
        requests = [("GET", path, headers, b"", ()) for headers in forged]
        # As many streams at once as Envoy allows.
        for start in range(0, len(requests), 50):
            assert {response.status for response in client.requests(requests[start : start + 50])} == {200}
    seen = deployment.upstream.requests
    assert len(seen) == len(forged)
    true = [presented.rfc9440_form.encode()] if presented and path == "/token" else []
    assert all(FORGED.encode() not in value for request in seen for _, value in request.headers)
    assert all([value for name, value in request.headers if "cert" in name.lower()] == true for request in seen)


def test_a_name_with_a_capital_letter_is_refused(deployment: Deployment) -> None:
    """RFC 9114 §4.2."""
    with pytest.raises(ConnectionRefusedByPeer), deployment.client(None) as client:
        client.request("GET", "/health", [("Client-Cert", FORGED)])


@pytest.mark.parametrize("piece", [1, 1000, None])
def test_a_body_arrives_whole_and_a_forged_trailer_does_not(deployment: Deployment, piece: int | None) -> None:
    world = deployment.world
    body = bytes(range(256)) * (1 if piece == 1 else 400)
    headers = [deployment.bearer(world.client_1), ("content-type", "application/octet-stream")]
    trailers = [("client-cert", FORGED), ("x-clientcert", FORGED), ("x-other", "kept")]
    deployment.upstream.clear()
    with deployment.client(world.client_1) as client:
        (response,) = client.requests([("POST", "/", headers, body, trailers)], piece=piece)
        (refused,) = client.requests([("POST", "/", headers[1:], body, trailers)], piece=piece)
    assert (response.status, refused.status) == (200, 401)
    (request,) = deployment.upstream.requests
    assert request.body == body and all(FORGED.encode() not in value for _, value in request.trailers)


def test_streams_of_one_connection_are_judged_each_by_its_own_token(deployment: Deployment) -> None:
    world = deployment.world
    good, stolen = deployment.bearer(world.client_1), deployment.bearer(world.client_2)
    which = [number % 3 for number in range(60)]
    requests = [
        ("POST", f"/{number}", [(good,), (stolen,), ()][kind], b"x" * number, ()) for number, kind in enumerate(which)
    ]
    deployment.upstream.clear()
    with deployment.client(world.client_1) as client:
        statuses = [response.status for response in client.requests(requests, piece=7)]
    assert statuses == [200 if kind == 0 else 401 for kind in which]
    arrived = {request.path: request.body for request in deployment.upstream.requests}
    assert arrived == {f"/{number}": b"x" * number for number, kind in enumerate(which) if kind == 0}
