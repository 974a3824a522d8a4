"""The files of envoy/ for one authorization server each, in a real Envoy, with TLS to a server behind it."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cases import FORGED, World, forged_headers
from conftest import WRITES_ITS_ACCESS_LOG_AT_ONCE
from rig import shipped
from rig.client import Client, ConnectionRefusedByPeer
from rig.envoy import Envoy
from rig.ports import free_port
from rig.upstream import Request, Upstream

SECRET = "0p3n-s3same-of-auth0"


@dataclass(frozen=True)
class File:
    name: str
    host: str
    server: str
    """The name of the server behind, which its certificate has."""
    rewritten: str
    endpoint: str
    other: str
    """A path of the server that is none for clients."""
    page: str
    """A path for browsers."""


FILES = [
    File(
        "gluu",
        "as.example.com",
        "gluu.internal.example.com",
        "as.example.com",
        "/jans-auth/restv1/token",
        "/jans-auth/restv1/authorize",
        "/jans-auth/restv1/authorize",
    ),
    File(
        "auth0",
        "auth.example.com",
        "tenant.edge.tenants.auth0.com",
        "tenant.edge.tenants.auth0.com",
        "/oauth/token",
        "/authorize",
        "/authorize",
    ),
    File(
        "authlete",
        "as.example.com",
        "authlete.internal.example.com",
        "as.example.com",
        "/api/token",
        "/api/authorization",
        "/api/authorization",
    ),
    File(
        "keycloak",
        "sso.example.com",
        "keycloak.internal.example.com",
        "sso.example.com",
        "/realms/example/protocol/openid-connect/token",
        "/admin/",
        "/realms/example/protocol/openid-connect/auth",
    ),
]


class Running:
    """An Envoy on one of the files, and what stands behind it."""

    def __init__(self, file: File, world: World, directory: Path) -> None:
        self.file, self.world = file, world
        self.names: list[str | None] = []
        """The server names with which the server behind was asked for."""
        self.upstream = Upstream()
        certificate = world.authority.issue(f"upstream-{file.name}", dns=[file.server], server=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate_path, certificate.key_path)
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        server = self.upstream._server
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.port = free_port()
        ports = {"listener": self.port, "upstream": self.upstream.port, "admin": free_port()}
        text = shipped.read(file.name, server=world.server, client_ca=world.authority.pem_path, **ports)
        text = text.replace("/etc/ssl/certs/ca-certificates.crt", str(world.authority.pem_path))
        environment = {"AUTH0_CNAME_API_KEY": SECRET}
        self.envoy = Envoy(
            text, directory, name=file.name, extra_arguments=WRITES_ITS_ACCESS_LOG_AT_ONCE, environment=environment
        )

    def client(self, host: str, *, certified: bool, **options: str) -> Client:
        certificate = self.world.client_1 if certified else None
        ca_path = self.world.authority.pem_path
        return Client(
            self.port, ca_path=ca_path, certificate=certificate, authority=host, server_name=host, **options
        )

    def last(self) -> Request:
        return self.upstream.requests[-1]


@pytest.fixture(scope="module", params=FILES, ids=lambda file: file.name)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    file: File = request.param
    directory = tmp_path_factory.mktemp(file.name)
    world = World(directory)
    hosts = [file.host, f"mtls.{file.host}"]
    world.server = world.authority.issue("listener", dns=hosts, server=True)
    running = Running(file, world, directory)
    with running.upstream, running.envoy:
        yield running


def expected(file: File, world: World) -> dict[str, str]:
    one = world.client_1
    return {
        "gluu": {"x-clientcert": one.apache_form},
        "auth0": {
            "client-certificate": one.url_encoded,
            "client-certificate-ca-verified": "SUCCESS",
            "cname-api-key": SECRET,
        },
        "authlete": {"x-ssl-cert": one.apache_form},
        "keycloak": {"client-cert": one.rfc9440_form},
    }[file.name]


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_the_server_gets_the_certificate_at_its_mtls_host(running: Running, protocol: str, method: str) -> None:
    file = running.file
    with running.client(f"mtls.{file.host}", certified=True, protocol=protocol) as client:
        assert client.request(method, file.endpoint, headers=forged_headers()).status == 200
    seen = running.last()
    for name, value in expected(file, running.world).items():
        assert seen.all(name) == [value], name
    assert FORGED not in [value for _, value in seen.headers]
    assert seen.header("host") == file.rewritten
    assert running.names[-1] == file.server


def test_no_other_path_is_there_at_its_mtls_host(running: Running) -> None:
    before = len(running.upstream.requests)
    file = running.file
    with running.client(f"mtls.{file.host}", certified=True) as client:
        for path in (file.other, "/", f"{file.endpoint}/", f"{file.endpoint}/x", f"/x/..{file.other}"):
            assert client.request("POST", path).status == 404, path
    assert len(running.upstream.requests) == before


def test_nobody_comes_to_its_mtls_host_without_a_certificate(running: Running) -> None:
    with pytest.raises(ConnectionRefusedByPeer):
        with running.client(f"mtls.{running.file.host}", certified=False) as client:
            client.request("POST", running.file.endpoint)


def test_browsers_are_not_asked_and_no_forged_header_passes(running: Running) -> None:
    file = running.file
    with running.client(file.host, certified=True) as client:
        assert client.request("GET", file.page, headers=forged_headers()).status == 200
    seen = running.last()
    assert FORGED not in [value for _, value in seen.headers]
    for name in expected(file, running.world):
        assert seen.all(name) == ([SECRET] if name == "cname-api-key" else []), name
    assert seen.header("host") == file.rewritten


def test_one_host_is_not_reached_through_the_others_handshake(running: Running) -> None:
    file = running.file
    ca_path = running.world.authority.pem_path
    other = f"mtls.{file.host}"
    with Client(
        running.port, ca_path=ca_path, certificate=running.world.client_1, authority=other, server_name=file.host
    ) as client:
        assert client.request("POST", file.endpoint).status == 404


def test_no_dump_has_the_secret(running: Running) -> None:
    for path in ("/config_dump", "/config_dump?include_eds", "/server_info"):
        assert SECRET not in running.envoy.admin(path)
    assert SECRET not in running.envoy.log()


def test_a_connection_header_cannot_take_the_certificate_away(running: Running) -> None:
    """Envoy removes what `Connection` names from what the client sent, before the filter sets its own."""
    file = running.file
    wanted = expected(file, running.world)
    for nominated in (", ".join(wanted), ", ".join(["close", *wanted])):
        with running.client(f"mtls.{file.host}", certified=True, protocol="http/1.1") as client:
            headers = [("connection", nominated), *((name, FORGED) for name in wanted)]
            assert client.request("POST", file.endpoint, headers=headers).status == 200
        for name, value in wanted.items():
            assert running.last().all(name) == [value], name
