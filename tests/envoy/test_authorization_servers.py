# SPDX-License-Identifier: Apache-2.0
"""The files of envoy/ for one authorization server each, in a real Envoy, with TLS to a server behind it."""

import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from cases import FORGED, World, forged_headers
from rig import shipped
from rig.certificates import Authority, Certificate
from rig.client import Client, ConnectionRefusedByPeer
from rig.envoy import Envoy
from rig.ports import free_port
from rig.proxy import WRITES_ITS_ACCESS_LOG_AT_ONCE
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

    def __init__(
        self, file: File, world: World, directory: Path, change: Callable[[str], str] = lambda text: text
    ) -> None:
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
        text = change(text)
        environment = {"AUTH0_CNAME_API_KEY": SECRET}
        self.envoy = Envoy(
            text, directory, name=file.name, extra_arguments=WRITES_ITS_ACCESS_LOG_AT_ONCE, environment=environment
        )

    def client(self, host: str, *, certified: bool, certificate: Certificate | None = None, **options: str) -> Client:
        certificate = certificate or (self.world.client_1 if certified else None)
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
    with started(file, directory) as running:
        yield running


@contextmanager
def started(file: File, directory: Path, change: Callable[[str, World], str] = lambda text, _: text) -> Iterator[Running]:
    world = World(directory)
    world.server = world.authority.issue("listener", dns=[file.host, f"mtls.{file.host}"], server=True)
    running = Running(file, world, directory, lambda text: change(text, world))
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


# What Apache's and nginx's directives are in Envoy: the table of docs/terminators.md.

REQUIRED = "          require_client_certificate: true\n"
DEPTH = "max_verify_depth: 10"
GLUU = FILES[0]


def outcome(running: Running, certificate: Certificate | None) -> str:
    """What comes of a client: "refused" in the handshake, or "handed over", or "absent" to the server."""
    try:
        with running.client(f"mtls.{GLUU.host}", certified=False, certificate=certificate) as client:
            assert client.request("POST", GLUU.endpoint).status == 200
    except ConnectionRefusedByPeer:
        return "refused"
    values = running.last().all("x-clientcert")
    return "handed over" if certificate and values == [certificate.apache_form] else "absent" if not values else "wrong"


def optional(text: str, world: World) -> str:
    return text.replace(REQUIRED, "          require_client_certificate: false\n")


def optional_no_ca(text: str, world: World) -> str:
    resumption = "          disable_stateless_session_resumption: true\n          disable_stateful_session_resumption: true\n"
    text = text.replace(REQUIRED, "          require_client_certificate: false\n" + resumption)
    text = text.replace(DEPTH, f"{DEPTH}\n              trust_chain_verification: ACCEPT_UNTRUSTED")
    return text.replace("client_certificate: validated_by_listener", "client_certificate: validated")


def self_signed_alone(text: str, world: World) -> str:
    return optional_no_ca(text, world).replace("client_certificate: validated", "client_certificate: presented")


def revocation(text: str, world: World) -> str:
    world.authority.revoke(*world.revoked)
    path = world.authority.pem_path.with_suffix(".crl")
    return text.replace(DEPTH, f"crl: {{ filename: {path} }}")


@pytest.mark.parametrize(
    ("change", "trusted", "untrusted", "revoked", "none"),
    [
        (lambda text, _: text, "handed over", "refused", "handed over", "refused"),
        (optional, "handed over", "refused", "handed over", "absent"),
        (optional_no_ca, "handed over", "absent", "handed over", "absent"),
        (self_signed_alone, "handed over", "handed over", "handed over", "absent"),
        (revocation, "handed over", "refused", "refused", "refused"),
    ],
    ids=["require", "optional", "optional_no_ca", "optional_no_ca, presented", "revocation"],
)
def test_a_directive_has_its_like_in_envoy(
    change: Callable[[str, World], str], trusted: str, untrusted: str, revoked: str, none: str, tmp_path: Path
) -> None:
    with started(GLUU, tmp_path, change) as running:
        world = running.world
        came = [outcome(running, each) for each in (world.client_1, world.impostor, world.revoked[0], None)]
        assert came == [trusted, untrusted, revoked, none]


@pytest.mark.parametrize(("depth", "expected_outcome"), [(1, "refused"), (2, "handed over")])
def test_the_depth_counts_the_certificates_above_the_clients_own(
    depth: int, expected_outcome: str, tmp_path: Path
) -> None:
    with started(GLUU, tmp_path, lambda text, _: text.replace(DEPTH, f"max_verify_depth: {depth}")) as running:
        leaf = behind_an_intermediate(running.world.authority, tmp_path)
        assert outcome(running, leaf) == expected_outcome
        assert outcome(running, running.world.client_1) == "handed over"


@pytest.mark.parametrize("form_of_envoy", ["TEXT", "JSON"])
@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
@pytest.mark.parametrize(
    ("file", "names"),
    [(FILES[2], ("x-ssl-cert", "x-ssl-cert-chain-1")), (FILES[3], ("client-cert", "client-cert-chain"))],
    ids=["authlete", "keycloak"],
)
def test_the_chain_of_the_handshake_comes_to_the_server(
    file: File, names: tuple[str, str], protocol: str, form_of_envoy: str, tmp_path: Path
) -> None:
    def change(text: str, _: World) -> str:
        told = "set_current_client_cert_details: { chain: true"
        assert told in text
        return text.replace(told, f"{told}, format: JSON") if form_of_envoy == "JSON" else text

    with started(file, tmp_path, change) as running:
        leaf = behind_an_intermediate(running.world.authority, tmp_path)
        intermediate = pem_of(tmp_path / "intermediate.pem")
        for _ in range(2):
            with running.client(f"mtls.{file.host}", certified=False, certificate=leaf, protocol=protocol) as client:
                assert client.request("POST", file.endpoint, headers=forged_headers()).status == 200
            form = (lambda each: each.rfc9440_form) if file.name == "keycloak" else (lambda each: each.apache_form)
            seen = running.last()
            assert [seen.all(name) for name in names] == [[form(leaf)], [form(intermediate)]]
            assert not seen.all("x-forwarded-client-cert")
        # The next client's own chain, in which OpenSSL sends the CA that it knows, and nothing of another's.
        with running.client(f"mtls.{file.host}", certified=True, protocol=protocol) as client:
            assert client.request("POST", file.endpoint).status == 200
        assert running.last().all(names[1]) == [form(pem_of(running.world.authority.pem_path))]


def pem_of(path: Path) -> Certificate:
    pem = path.read_text()
    return Certificate(path.stem, path, path.with_suffix(".key"), pem, ssl.PEM_cert_to_DER_cert(pem))


def behind_an_intermediate(authority: Authority, directory: Path) -> Certificate:
    """A client's certificate of an intermediate CA's, whose file has the intermediate's behind it."""
    key, leaf_key = directory / "intermediate.key", directory / "leaf.key"
    extensions = directory / "extensions.cnf"
    extensions.write_text("[ca]\nbasicConstraints=critical,CA:TRUE\n[leaf]\nextendedKeyUsage=clientAuth\n")
    root = directory / "root.key"
    root.write_bytes(
        authority._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def openssl(*arguments: str | Path) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    for name, subject, own_key, issuer, issuer_key, section in (
        ("intermediate", "/CN=Intermediate CA", key, authority.pem_path, root, "ca"),
        ("leaf", "/CN=leaf", leaf_key, directory / "intermediate.pem", key, "leaf"),
    ):
        request, certificate = directory / f"{name}.csr", directory / f"{name}.pem"
        openssl("req", "-new", *curve, "-keyout", own_key, "-out", request, "-subj", subject)
        signing = ("-CA", issuer, "-CAkey", issuer_key, "-extfile", extensions, "-extensions", section, "-days", "1")
        openssl("x509", "-req", "-in", request, *signing, "-out", certificate)
    leaf = pem_of(directory / "leaf.pem")
    leaf.certificate_path.write_text(leaf.pem + (directory / "intermediate.pem").read_text())
    return leaf
