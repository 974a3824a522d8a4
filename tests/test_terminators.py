"""What certbound puts upstream of a client's certificate is, byte for byte, what Apache, nginx, HAProxy and Envoy itself
put there: the same connections, read on a raw socket. (Names are in small letters, as Envoy writes all of them; the
others write them as they are told.) A row of `ROWS` is one form."""

import base64
import hashlib
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from rig import shipped, terminators
from rig.certificates import Authority, Certificate
from rig.client import Client
from rig.desk import certbound
from rig.envoy import Envoy
from rig.ports import free_port
from rig.recorder import Head, Recorder
from rig.terminators import Apache, HAProxy, Nginx, Site, Terminator
from test_rfc9440 import byte_sequence, byte_sequences

pytestmark = pytest.mark.skipif(terminators.missing() is not None, reason=str(terminators.missing()))


# Forms: the terminator's expression, what it must give, and what it gives without a certificate


@dataclass(frozen=True)
class Field:
    expression: str
    form: Callable[[Certificate], str | None]
    without: str | None = None


def _base64(der: bytes) -> str:
    return base64.b64encode(der).decode()


def _in_spaces(der: bytes) -> str:
    """As Apache writes a certificate, its last space apart."""
    pem = x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM).decode()
    return pem.replace("\n", " ").rstrip(" ")


def _name(certificate: Certificate, which: str) -> str | None:
    """The subject or the issuer as OpenSSL's RFC 2253; None for an empty one, of which nginx makes no field."""
    arguments = ["openssl", "x509", "-inform", "DER", "-noout", f"-{which}", "-nameopt", "RFC2253"]
    answer = subprocess.run(arguments, input=certificate.der, capture_output=True, check=True).stdout.decode()
    return answer.removeprefix(f"{which}=").removesuffix("\n") or None


def _serial_number(certificate: Certificate) -> str:
    """As OpenSSL writes it: whole bytes."""
    digits = f"{x509.load_der_x509_certificate(certificate.der).serial_number:X}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"


def apache_chain(number: int) -> Field:
    return Field(
        f"%{{SSL_CLIENT_CERT_CHAIN_{number}}}s",
        lambda client: _in_spaces(client.chain[number]) if number < len(client.chain) else None,
    )


APACHE_PEM = Field("%{SSL_CLIENT_CERT}s", lambda client: client.apache_form)
APACHE_VERIFY = Field("%{SSL_CLIENT_VERIFY}s", lambda client: "SUCCESS", "NONE")
NGINX_ESCAPED = Field("$ssl_client_escaped_cert", lambda client: client.url_encoded)
NGINX_VERIFY = Field("$ssl_client_verify", lambda client: "SUCCESS", "NONE")
SECRET = Field("s3cret", lambda client: "s3cret", "s3cret")
"""A constant in the terminator's configuration."""
NGINX_SUBJECT = Field("$ssl_client_s_dn", lambda client: _name(client, "subject"))
NGINX_ISSUER = Field("$ssl_client_i_dn", lambda client: _name(client, "issuer"))
NGINX_SERIAL = Field("$ssl_client_serial", _serial_number)
HAPROXY_DER = Field("%[ssl_c_der,base64]", lambda client: _base64(client.der))
HAPROXY_CHAIN = Field("%[ssl_c_chain_der,base64]", lambda client: _base64(b"".join(client.chain)) or None)
HAPROXY_BYTES = Field(":%[ssl_c_der,base64]:", lambda client: client.rfc9440_form)
HAPROXY_DIGEST = Field("%[ssl_c_der,sha2(256),hex,lower]", lambda client: client.digest)
HAPROXY_THUMBPRINT = Field("%[ssl_c_der,sha2(256),ub64enc]", lambda client: client.thumbprint)


# Where a terminator writes what certbound does not, and why that means the same


@dataclass(frozen=True)
class Difference:
    why: str
    meant: Callable[[bytes], bytes | None]
    """The line that certbound writes in place of the terminator's; None where it writes none."""


TRAILING_SPACE = Difference(
    "Apache turns the PEM's last line end into a space too. White space around a value is not part of it (RFC 9110 §5.5).",
    lambda line: line.removesuffix(b" ") if line.endswith(b"----- ") else line,
)
NULL = Difference(
    "Apache writes the text `(null)` for what it does not have. certbound writes no field: a server that only asks whether "
    "the field is there would take the text for a certificate.",
    lambda line: None if line.endswith(b": (null)") else line,
)
EMPTY = Difference(
    "HAProxy sets a field without a value where it has none, and with colons around it an empty byte sequence. certbound "
    "writes no field.",
    lambda line: None if line.partition(b": ")[2] in (b"", b"::") else line,
)


NOT_REPEATED = {
    "folded": (
        Nginx,
        "$ssl_client_cert",
        lambda client: client.pem.rstrip("\n").replace("\n", "\n\t"),
        "A deprecated variable: lines folded with a bare line feed, which nobody may send (RFC 9112 §5.2).",
    ),
    "sha-1": (
        Nginx,
        "$ssl_client_fingerprint",
        lambda client: hashlib.sha1(client.der).hexdigest(),
        "SHA-1, with which two certificates can be made that have the same fingerprint.",
    ),
    "number": (
        HAProxy,
        "%[ssl_c_verify]",
        lambda client: "0",
        "0 for a valid certificate, and for none: see the test below.",
    ),
}
"""What terminators can write and no form of certbound does, by name: the terminator, its expression, what it gives, and
why not."""


# The table


@dataclass(frozen=True)
class Row:
    name: str
    """Also the name of the policy, and the first part of the path."""
    forwards: Mapping[str, Any]
    """An entry of `forward_certificate`."""
    peer: type[Terminator]
    fields: Mapping[str, Field]
    differences: tuple[Difference, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the policy says in `facts`."""
    beside: Mapping[str, Callable[[Certificate], str | None]] = field(default_factory=dict)
    """Fields that the terminator cannot write, and certbound must."""

    @property
    def policy(self) -> dict[str, Any]:
        server = {"forward_certificate": [dict(self.forwards)], "facts": dict(self.facts)}
        return {"authorization_server": {name: value for name, value in server.items() if value}}

    @property
    def path(self) -> str:
        return f"/{self.name}/token"

    def expected(self, certificate: Certificate | None) -> list[bytes]:
        """The lines that this certificate makes, in the order of names."""
        values = {name: each.form(certificate) if certificate else each.without for name, each in self.fields.items()}
        return sorted(f"{name}: {value}".encode() for name, value in values.items() if value is not None)


def _of(header: str, encoding: str, **rest: str) -> dict[str, str]:
    return {"header": header, "encoding": encoding, **rest}


APACHES = (TRAILING_SPACE, NULL)
# authlete/authlete-java-jaxrs 15cca4cca37d, HeaderClientCertificateXSslExtractor: the chain has the numbers 1 to 4.
AUTHLETE = {"x-ssl-cert": APACHE_PEM, **{f"x-ssl-cert-chain-{number + 1}": apache_chain(number) for number in range(4)}}
KEYCLOAK_APACHE = {
    "ssl_client_cert": APACHE_PEM,
    **{f"cert_chain_{number}": apache_chain(number) for number in range(3)},
}
CHAIN_LIST = {"client-cert-chain": lambda client: ", ".join(f":{_base64(der)}:" for der in client.chain) or None}
CHAIN_NUMBERED = {
    f"cert_chain_{number}": lambda client, number=number: (
        _base64(client.chain[number]) if number < len(client.chain) else None
    )
    for number in range(3)
}
SUBJECT = {"x-pem": NGINX_ESCAPED, "x-fact": NGINX_SUBJECT}
ISSUER = {"x-pem": NGINX_ESCAPED, "x-fact": NGINX_ISSUER}
SERIAL = {"x-pem": NGINX_ESCAPED, "x-fact": NGINX_SERIAL}
VERIFIED = {"x-pem": APACHE_PEM, "x-fact": APACHE_VERIFY}

ROWS = (
    Row("gluu", {"dialect": "gluu"}, Apache, {"x-clientcert": APACHE_PEM}, APACHES),
    Row("rfc9440", {"dialect": "rfc9440"}, HAProxy, {"client-cert": HAPROXY_BYTES}, (EMPTY,), beside=CHAIN_LIST),
    Row("janssen", {"dialect": "janssen"}, Apache, {"x-clientcert": APACHE_PEM}, APACHES),
    Row("authlete", {"dialect": "authlete"}, Apache, AUTHLETE, APACHES),
    Row("auth0", {"dialect": "auth0", "secret": {"environment": "SECRET_OF_THE_TEST"}}, Nginx, {"client-certificate": NGINX_ESCAPED, "client-certificate-ca-verified": NGINX_VERIFY, "cname-api-key": SECRET}),
    Row("keycloak-nginx", {"dialect": "keycloak_nginx"}, Nginx, {"ssl-client-cert": NGINX_ESCAPED, "ssl-client-verify": NGINX_VERIFY}),
    Row("keycloak-apache", {"dialect": "keycloak_apache"}, Apache, KEYCLOAK_APACHE, APACHES),
    Row("keycloak-haproxy", {"dialect": "keycloak_haproxy"}, HAProxy, {"ssl_client_cert": HAPROXY_DER}, (EMPTY,), beside=CHAIN_NUMBERED),
    Row("keycloak-rfc9440", {"dialect": "keycloak_rfc9440"}, HAProxy, {"client-cert": HAPROXY_BYTES}, (EMPTY,), beside=CHAIN_LIST),
    Row("azure", {"dialect": "azure"}, HAProxy, {"x-arr-clientcert": HAPROXY_DER}, (EMPTY,)),
    Row("connect2id", {"dialect": "connect2id", "header": "x-b8g2wmq0"}, Nginx, {"x-b8g2wmq0": NGINX_ESCAPED}),
    Row("pem-url", _of("x-pem", "pem_url"), Nginx, {"x-pem": NGINX_ESCAPED}),
    Row("pem-nginx-escaped", _of("x-pem", "pem_nginx_escaped"), Nginx, {"x-pem": NGINX_ESCAPED}),
    Row("pem-apache", _of("x-pem", "pem_apache"), Apache, {"x-pem": APACHE_PEM}, APACHES),
    Row("der-base64", _of("x-der", "der_base64"), HAProxy, {"x-der": HAPROXY_DER}, (EMPTY,)),
    Row("sf-binary", _of("x-der", "sf_binary"), HAProxy, {"x-der": HAPROXY_BYTES}, (EMPTY,)),
    Row("sha256-hex", _of("x-digest", "sha256_hex"), HAProxy, {"x-digest": HAPROXY_DIGEST}, (EMPTY,)),
    Row("x5t-s256", _of("x-x5t", "x5t_s256"), HAProxy, {"x-x5t": HAPROXY_THUMBPRINT}, (EMPTY,)),
    Row("numbered", _of("x-pem", "pem_apache", chain="numbered", prefix="x-chain-"), Apache, {"x-pem": APACHE_PEM, "x-chain-0": apache_chain(0), "x-chain-1": apache_chain(1)}, APACHES),
    Row("concatenated", _of("x-der", "der_base64", chain="concatenated_der", chain_header="x-chain"), HAProxy, {"x-der": HAPROXY_DER, "x-chain": HAPROXY_CHAIN}, (EMPTY,)),
    Row("list", _of("client-cert", "sf_binary", chain="list", chain_header="client-cert-chain"), HAProxy, {"client-cert": HAPROXY_BYTES}, (EMPTY,), beside=CHAIN_LIST),
    Row("subject", _of("x-pem", "pem_url"), Nginx, SUBJECT, facts={"subject": "x-fact"}),
    Row("issuer", _of("x-pem", "pem_url"), Nginx, ISSUER, facts={"issuer": "x-fact"}),
    Row("serial-number", _of("x-pem", "pem_url"), Nginx, SERIAL, facts={"serial_number": "x-fact"}),
    Row("verified", _of("x-pem", "pem_apache"), Apache, VERIFIED, APACHES, {"verified": "x-fact"}),
)  # fmt: skip


# Certificates


def _unit(number: int) -> tuple[str, str]:
    return ("OU", f"unit {number:02} ".ljust(64, "x"))


KINDS: dict[str, dict[str, Any]] = {
    "rsa-2048": {"key": "rsa2048"},
    "rsa-4096": {"key": "rsa4096"},
    "p-256": {"key": "p256"},
    "p-384": {"key": "p384"},
    "p-521": {"key": "p521"},
    "ed25519": {"key": "ed25519"},
    "long-subject": {"subject": [("C", "NL"), *map(_unit, range(30)), ("CN", "client")]},
    "utf-8-subject": {"subject": [("C", "BR"), ("O", 'São Paulo, "Inc" + <Söhne>; #1\\'), ("CN", " 日本\U0001f511 ")]},
    "names": {
        "dns": [f"client-{number}.example.org" for number in range(20)],
        "uri": ["urn:client", "https://example.org/a;b,c"],
        "ip": ["192.0.2.1", "2001:db8::1"],
        "email": ["c@example.org"],
    },
    "version-1": {"version": 1},
    "no-subject": {"subject": [], "dns": ["client.example.org"]},
    "two-intermediates": {},
}
"""By name, what is asked of the authority."""


@dataclass(frozen=True)
class Clients:
    directory: Path
    authority: Authority
    servers: Authority
    """The servers' authority is another than the clients': OpenSSL would complete a client's chain with what it trusts."""
    server: Certificate
    by_kind: Mapping[str, Certificate]

    def head(self, recorder: Recorder, port: int, certificate: Certificate | None, path: str) -> Head:
        """What goes upstream for a request with this certificate."""
        recorder.take()
        with Client(port, ca_path=self.servers.pem_path, certificate=certificate) as client:
            assert client.request("GET", path).status == 200
        (head,) = recorder.take()
        return head


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Clients:
    directory = tmp_path_factory.mktemp("terminators")
    authority, servers = Authority(directory / "clients"), Authority(directory / "servers", "Servers")
    first = Authority(directory / "clients", "First intermediate", issuer=authority)
    second = Authority(directory / "clients", "Second intermediate", issuer=first)
    by_kind = {
        name: (second if name == "two-intermediates" else authority).issue(name, **asked)
        for name, asked in KINDS.items()
    }
    return Clients(directory, authority, servers, servers.issue("server", server=True), by_kind)


# The terminators, and Envoy


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def peers(clients: Clients, recorder: Recorder) -> Iterator[Mapping[type[Terminator], int]]:
    """The port of each, that asks for a certificate and takes a validated one."""
    trusted = clients.authority.pem_path
    verify = {
        Nginx: f"ssl_client_certificate {trusted};\nssl_verify_client optional;\nssl_verify_depth 5;",
        Apache: f"SSLCACertificateFile {trusted}\nSSLVerifyClient optional\nSSLVerifyDepth 5",
        HAProxy: f"ca-file {trusted} verify optional",
    }
    with ExitStack() as stack:
        ports = {}
        for peer, whom in verify.items():
            fields = {
                row.path: {name: each.expression for name, each in row.fields.items()}
                for row in ROWS
                if row.peer is peer
            } | {
                f"/{name}/": {"x-fact": expression}
                for name, (whose, expression, _, _) in NOT_REPEATED.items()
                if whose is peer
            }
            running = peer(
                clients.directory, {"all": Site(whom, fields)}, server=clients.server, upstream=recorder.port
            )
            ports[peer] = stack.enter_context(running).ports["all"]
        yield ports


@dataclass(frozen=True)
class Listeners:
    with_certbound: int
    without: int
    """Where Envoy itself writes X-Forwarded-Client-Cert."""


@pytest.fixture(scope="module")
def envoy(clients: Clients, recorder: Recorder) -> Iterator[Listeners]:
    """The shipped file, with a policy and a route for each row, beside the same listener without the filter."""
    ports = Listeners(free_port(), free_port())
    text = shipped.read(
        "authorization-server",
        server=clients.server,
        client_ca=clients.authority.pem_path,
        listener=ports.with_certbound,
        upstream=recorder.port,
        admin=free_port(),
    )
    document = yaml.safe_load(text)
    manager = shipped.manager(document)
    # The chain is nowhere else. What Envoy writes there, certbound removes.
    manager["forward_client_cert_details"] = "SANITIZE_SET"
    manager["set_current_client_cert_details"] = {"cert": True, "chain": True}
    plugin = shipped.plugin(document)
    plugin["vm_config"]["environment_variables"] = {"host_env_keys": ["SECRET_OF_THE_TEST"]}
    policies = plugin["configuration"]["value"]["policies"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    rebuilt = {"forward_certificate": [], "x_forwarded_client_cert": "rebuild"}
    for name, policy in {
        **{row.name: row.policy for row in ROWS},
        "rebuilt": {"authorization_server": rebuilt},
    }.items():
        policies[name] = policy
        metadata = {"filter_metadata": {"certbound": {"policy": name}}}
        routes.insert(
            0, {"match": {"prefix": f"/{name}/"}, "metadata": metadata, "route": {"cluster": "authorization_server"}}
        )
    plain = deepcopy(document["static_resources"]["listeners"][0])
    plain["name"] = "without_certbound"
    plain["address"]["socket_address"]["port_value"] = ports.without
    document["static_resources"]["listeners"].append(plain)
    manager = shipped.manager(document, 1)
    manager["http_filters"] = manager["http_filters"][-1:]
    manager["set_current_client_cert_details"] = {"cert": True}
    with Envoy(yaml.safe_dump(document), clients.directory, name="envoy", environment={"SECRET_OF_THE_TEST": "s3cret"}):
        yield ports


OF_THE_HOP = (
    "host connection content-length x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-server x-request-id "
    "x-envoy-expected-rq-timeout-ms x-envoy-external-address x-envoy-internal"
).split()
"""What the proxies say of themselves and of the connection."""


def lines(head: Head) -> list[bytes]:
    """All that the server is told beyond the request."""
    return sorted(head.except_for(*OF_THE_HOP))


# Tests


@pytest.mark.parametrize("kind", [*KINDS, "none"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_terminator_writes_what_the_table_says(
    clients: Clients, recorder: Recorder, peers: Mapping[type[Terminator], int], row: Row, kind: str
) -> None:
    certificate = clients.by_kind.get(kind)
    written = lines(clients.head(recorder, peers[row.peer], certificate, row.path))
    meant = [_meant(row, line) for line in written]
    assert [line for line in meant if line is not None] == row.expected(certificate)


@pytest.mark.parametrize("kind", [*KINDS, "none"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_certbound_writes_what_the_terminator_writes(
    clients: Clients,
    recorder: Recorder,
    peers: Mapping[type[Terminator], int],
    envoy: Listeners,
    row: Row,
    kind: str,
) -> None:
    certificate = clients.by_kind.get(kind)
    theirs = [_meant(row, line) for line in lines(clients.head(recorder, peers[row.peer], certificate, row.path))]
    ours = lines(clients.head(recorder, envoy.with_certbound, certificate, row.path))
    beside = {name: form(certificate) for name, form in row.beside.items()} if certificate else {}
    theirs += [f"{name}: {value}".encode() for name, value in beside.items() if value is not None]
    assert ours == sorted(line for line in theirs if line is not None)


def _meant(row: Row, line: bytes) -> bytes | None:
    for difference in row.differences:
        if line is not None:
            line = difference.meant(line)
    return line


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_difference_is_one(
    clients: Clients, recorder: Recorder, peers: Mapping[type[Terminator], int], row: Row
) -> None:
    written = [
        line
        for certificate in (clients.by_kind["p-256"], None)
        for line in lines(clients.head(recorder, peers[row.peer], certificate, row.path))
    ]
    for difference in row.differences:
        assert any(difference.meant(line) != line for line in written), difference.why


@pytest.mark.parametrize("name", NOT_REPEATED)
def test_what_certbound_does_not_repeat_is_as_described(
    clients: Clients, recorder: Recorder, peers: Mapping[type[Terminator], int], name: str
) -> None:
    peer, _, form, _ = NOT_REPEATED[name]
    certificate = clients.by_kind["p-256"]
    head = clients.head(recorder, peers[peer], certificate, f"/{name}/")
    assert lines(head) == [f"x-fact: {form(certificate)}".encode()]
    without = lines(clients.head(recorder, peers[peer], None, f"/{name}/"))
    assert without == ([b"x-fact: 0"] if name == "number" else [])


@pytest.mark.parametrize("kind", [*KINDS, "none"])
def test_certbound_rebuilds_what_envoy_itself_writes(
    clients: Clients, recorder: Recorder, envoy: Listeners, kind: str
) -> None:
    certificate = clients.by_kind.get(kind)
    theirs = lines(clients.head(recorder, envoy.without, certificate, "/"))
    assert [line.partition(b":")[0] for line in theirs] == ([b"x-forwarded-client-cert"] if certificate else [])
    assert lines(clients.head(recorder, envoy.with_certbound, certificate, "/rebuilt/")) == theirs


@pytest.mark.parametrize("kind", KINDS)
def test_a_parser_of_structured_fields_reads_client_cert(
    clients: Clients, recorder: Recorder, envoy: Listeners, kind: str
) -> None:
    certificate = clients.by_kind[kind]
    head = clients.head(recorder, envoy.with_certbound, certificate, "/rfc9440/token")
    (value,) = head.named("client-cert")
    assert byte_sequence(value.removeprefix(b"client-cert: ")) == certificate.der
    chain = head.named("client-cert-chain")
    if chain:
        assert byte_sequences(b", ".join(line.partition(b": ")[2] for line in chain)) == list(certificate.chain)
