# SPDX-License-Identifier: Apache-2.0
"""What certbound puts upstream of a client's certificate is, byte for byte, what Apache, nginx, HAProxy and Envoy itself
put there: the same connections, read on a raw socket. (Names are in small letters, as Envoy writes all of them; the
others write them as they are told.) A row of forms.py is one form."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from peers.forms import NOT_REPEATED, ROWS, Row
from rig import shipped, terminators
from rig.certificates import Authority, Certificate
from rig.client import Client
from rig.envoy import Envoy
from rig.ports import free_port
from rig.recorder import Head, Recorder
from rig.structured_fields import byte_sequence, byte_sequences
from rig.terminators import Apache, HAProxy, Nginx, Site, Terminator

pytestmark = pytest.mark.skipif(terminators.missing() is not None, reason=str(terminators.missing()))


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
