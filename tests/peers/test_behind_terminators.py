# SPDX-License-Identifier: Apache-2.0
"""certbound behind Debian's nginx, Apache and HAProxy: each ends the client's TLS, proves to Envoy to be itself, and the
upstream sees the client's certificate, and once. The same headers from anybody else never count. Read on a raw socket."""

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from rig import shipped, terminators
from rig.certificates import Authority, Certificate, self_signed
from rig.client import Client
from rig.envoy import Envoy
from rig.ports import free_port
from rig.recorder import Recorder
from rig.terminators import Apache, HAProxy, Nginx, Site, Terminator

pytestmark = pytest.mark.skipif(terminators.missing() is not None, reason=str(terminators.missing()))

SECRET = "s3cret of the terminator"
SECRET_HEADER = {"secret_header": "X-Edge-Secret", "secret": {"environment": "SECRET_OF_THE_TEST"}}

PEERS: dict[str, tuple[type[Terminator], str, dict[str, str], dict[str, Any]]] = {
    "nginx": (
        Nginx,
        "pem_nginx_escaped",
        {"X-Edge-Cert": "$ssl_client_escaped_cert", "X-Edge-Verify": "$ssl_client_verify"},
        {"value": "SUCCESS"},
    ),
    "apache": (
        Apache,
        "pem_apache",
        {"X-Edge-Cert": "%{SSL_CLIENT_CERT}s", "X-Edge-Verify": "%{SSL_CLIENT_VERIFY}s"},
        {"value": "SUCCESS"},
    ),
    "haproxy": (
        HAProxy,
        "der_base64",
        {"X-Edge-Cert": "%[ssl_c_der,base64]", "X-Edge-Verify": "%[ssl_c_verify]"},
        {"value": "0"},
    ),
    "haproxy-rfc9440": (
        HAProxy,
        "sf_binary",
        {"X-Edge-Cert": ":%[ssl_c_der,base64]:", "X-Edge-Verify": "%[ssl_c_verify]"},
        {"value": "0"},
    ),
}
"""By the first part of the path: the terminator, the encoding, the headers in its own words, and its word for a validated
chain."""


@dataclass(frozen=True)
class World:
    clients: Authority
    servers: Authority
    client: Certificate
    edge: Certificate
    """The terminators' own, which they present to Envoy."""
    impostor: Certificate
    terminators: dict[str, int]
    envoy: int
    recorder: Recorder

    def upstream(self, port: int, certificate: Certificate | None, path: str, *headers: tuple[str, str]) -> list[bytes]:
        """What the upstream is told of a certificate, a secret and the terminator's word."""
        self.recorder.take()
        with Client(port, ca_path=self.servers.pem_path, certificate=certificate) as client:
            assert client.request("POST", path, headers=list(headers)).status == 200
        (head,) = self.recorder.take()
        return sorted(line for line in head.lines if any(part in line.lower() for part in (b"cert", b"edge", b"verif")))

    def expected(self, certificate: Certificate) -> list[bytes]:
        return sorted(
            [
                f"client-cert: {certificate.rfc9440_form}".encode(),
                f"x-clientcert: {certificate.apache_form}".encode(),
                b"x-fact-verified: SUCCESS",
            ]
        )


NOTHING = [b"x-fact-verified: NONE"]


def _policies(edge: Certificate) -> dict[str, Any]:
    """One for each terminator, that proves itself by its secret under /NAME/secret/ and by its certificate under
    /NAME/certificate/."""
    proofs = {
        "secret": SECRET_HEADER,
        "certificate": {"terminator_certificates": [edge.thumbprint]},
        "name": {"terminator_san": {"dns": "edge.example.com"}},
    }
    return {
        f"{name}.{how}": {
            "authorization_server": {
                "forward_certificate": [{"dialect": "rfc9440"}, {"dialect": "gluu"}],
                "facts": {"verified": "x-fact-verified"},
                "client_certificate_source": {
                    "header": "X-Edge-Cert",
                    "encoding": encoding,
                    "proof": proof,
                    "verified": {"header": "X-Edge-Verify", **verified},
                },
            }
        }
        for name, (_, encoding, _, verified) in PEERS.items()
        for how, proof in proofs.items()
    }


class _ToEnvoy:
    """Has a terminator speak TLS to Envoy, with a certificate of its own."""

    def __init__(self, peer: type[Terminator], edge: Certificate, trusted: Path) -> None:
        self._peer, self._edge, self._trusted = peer, edge, trusted

    def made(self) -> type[Terminator]:
        edge, trusted = self._edge, self._trusted

        class Speaking(self._peer):  # type: ignore[misc,name-defined]
            def configuration(self) -> str:
                text = super().configuration()
                both = self.directory / "edge.pem"
                both.write_text(edge.certificate_path.read_text() + edge.key_path.read_text())
                return (
                    text.replace(
                        f"proxy_pass http://127.0.0.1:{self.upstream};\n",
                        f"proxy_pass https://127.0.0.1:{self.upstream};\nproxy_http_version 1.1;\n"
                        f"proxy_ssl_certificate {edge.certificate_path};\nproxy_ssl_certificate_key {edge.key_path};\n",
                    )
                    .replace("SSLEngine on\n", f'SSLEngine on\nSSLProxyEngine on\nSSLProxyMachineCertificateFile "{both}"\n'
                             "SSLProxyVerify none\nSSLProxyCheckPeerName off\n")
                    .replace(f"ProxyPass / http://127.0.0.1:{self.upstream}/", f"ProxyPass / https://127.0.0.1:{self.upstream}/")
                    .replace(
                        f"  server upstream 127.0.0.1:{self.upstream}\n",
                        f"  server upstream 127.0.0.1:{self.upstream} ssl verify required ca-file {trusted} crt {both}\n",
                    )
                )

        return Speaking


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("behind-terminators")
    clients, servers, edges = (Authority(directory / name, name) for name in ("clients", "servers", "edges"))
    edge = edges.issue("edge", dns=["edge.example.com"])
    client = clients.issue("client")
    server = servers.issue("server", server=True)
    listener = free_port()
    with Recorder() as recorder, ExitStack() as stack:
        document = yaml.safe_load(
            shipped.read(
                "authorization-server",
                server=server,
                client_ca=edges.pem_path,
                listener=listener,
                upstream=recorder.port,
                admin=free_port(),
            )
        )
        plugin = shipped.plugin(document)
        plugin["vm_config"]["environment_variables"] = {"host_env_keys": ["SECRET_OF_THE_TEST"]}
        policies = _policies(edge)
        routes = [{"path_prefix": f"/{name.replace('.', '/')}", "policy": name} for name in policies]
        everything = {"policies": {**policies, "open": {"clean_only": {}}}}
        everything["routes"] = [*routes, {"path_prefix": "/", "policy": "open"}]
        plugin["configuration"]["value"] = everything
        stack.enter_context(
            Envoy(yaml.safe_dump(document), directory, name="envoy", environment={"SECRET_OF_THE_TEST": SECRET})
        )
        trusted = clients.pem_path
        verify = {
            Nginx: f"ssl_client_certificate {trusted};\nssl_verify_client optional;",
            Apache: f"SSLCACertificateFile {trusted}\nSSLVerifyClient optional",
            HAProxy: f"ca-file {trusted} verify optional",
        }
        ports = {}
        for peer in verify:
            quoted = {Nginx: f'"{SECRET}"', Apache: SECRET, HAProxy: f'"{SECRET}"'}[peer]
            fields = {}
            for name, (whose, _, headers, _) in PEERS.items():
                if whose is peer:
                    fields[f"/{name}/"] = {**headers, "X-Edge-Secret": quoted}
            speaking = _ToEnvoy(peer, edge, servers.pem_path).made()
            running = speaking(directory, {"all": Site(verify[peer], fields)}, server=server, upstream=listener)
            port = stack.enter_context(running).ports["all"]
            ports |= {name: port for name, (whose, *_) in PEERS.items() if whose is peer}
        impostor = self_signed(directory, "impostor", copy_subject_of=client)
        yield World(clients, servers, client, edge, impostor, ports, listener, recorder)


def forged(world: World, name: str) -> list[tuple[str, str]]:
    """What the terminator would say of the client."""
    _, encoding, _, verified = PEERS[name]
    der = base64.b64encode(world.client.der).decode()
    written = {
        "pem_nginx_escaped": world.client.url_encoded,
        "pem_apache": world.client.apache_form,
        "der_base64": der,
        "sf_binary": f":{der}:",
    }[encoding]
    return [("x-edge-cert", written), ("x-edge-verify", verified["value"])]


HOWS = ("secret", "certificate", "name")


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", PEERS)
def test_the_upstream_sees_the_certificate_of_the_terminators_client_once(world: World, name: str, how: str) -> None:
    for _ in range(3):
        seen = world.upstream(world.terminators[name], world.client, f"/{name}/{how}/token")
        assert seen == world.expected(world.client)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", PEERS)
def test_without_a_certificate_the_upstream_sees_none_and_never_the_terminators(
    world: World, name: str, how: str
) -> None:
    assert world.upstream(world.terminators[name], None, f"/{name}/{how}/token") == NOTHING


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", PEERS)
def test_what_a_client_tells_the_terminator_does_not_come_through(world: World, name: str, how: str) -> None:
    port, path = world.terminators[name], f"/{name}/{how}/token"
    made_up = [*forged(world, name), ("x_edge_cert", "made up"), ("client-cert", "made up"), ("x-edge-secret", "made up")]
    assert world.upstream(port, None, path, *made_up) == NOTHING
    assert world.upstream(port, world.client, path, *made_up) == world.expected(world.client)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("presented", ["none", "client", "impostor"])
@pytest.mark.parametrize("name", PEERS)
def test_the_same_headers_without_the_proof_never_count(world: World, name: str, presented: str, how: str) -> None:
    certificate = {"none": None, "client": world.client, "impostor": world.impostor}[presented]
    for secret in ([], [("x-edge-secret", "made up")], [("x-edge-secret", SECRET[:-1])]):
        seen = world.upstream(world.envoy, certificate, f"/{name}/{how}/token", *forged(world, name), *secret)
        assert seen == NOTHING


def test_they_are_removed_where_no_policy_reads_them(world: World) -> None:
    headers = [*forged(world, "nginx"), ("x-edge-secret", SECRET)]
    assert world.upstream(world.envoy, world.edge, "/elsewhere", *headers) == []
