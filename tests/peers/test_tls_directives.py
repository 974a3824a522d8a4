# SPDX-License-Identifier: Apache-2.0
"""docs/terminators.md's table of Apache's and nginx's directives for client certificates and Envoy's settings for them:
each row is run on all three, with the same clients, and gives the same outcome, or the difference that it states."""

import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import yaml

from rig import shipped, terminators
from rig.certificates import Authority, Certificate, self_signed
from rig.client import Client, ConnectionRefusedByPeer
from rig.envoy import Envoy
from rig.ports import free_port
from rig.recorder import Recorder
from rig.terminators import Apache, Nginx, Site, Terminator

pytestmark = pytest.mark.skipif(terminators.missing() is not None, reason=str(terminators.missing()))

Outcome = Literal["ends", "400", "without", "with"]
"""The handshake fails; the terminator answers 400; the request arrives without the certificate, or with it."""

CLIENTS = ("good", "intermediate", "two intermediates", "self-signed", "other CA", "expired", "revoked", "none")

Outcomes = Mapping[str, Outcome]


def outcomes(default: Outcome, **others: Outcome) -> Outcomes:
    """For each client; a name in `others` has `_` for what is not a letter."""
    return {client: others.get(re.sub(r"\W", "_", client), default) for client in CLIENTS}


@dataclass(frozen=True)
class Row:
    name: str
    apache: str
    nginx: str
    envoy: Callable[[dict[str, Any]], None]
    """What changes in the DownstreamTlsContext of the shipped file."""
    policy: str
    """`client_certificate`."""
    expected: Outcomes
    """With Envoy."""
    apache_differs: Outcomes = field(default_factory=dict)
    nginx_differs: Outcomes = field(default_factory=dict)


def _validation(context: dict[str, Any]) -> dict[str, Any]:
    return context["common_tls_context"]["validation_context"]


def _require(context: dict[str, Any]) -> None:
    context["require_client_certificate"] = True
    del _validation(context)["trust_chain_verification"]


def _optional(context: dict[str, Any]) -> None:
    del _validation(context)["trust_chain_verification"]


def _any(context: dict[str, Any]) -> None:
    """The shipped file as it is."""


def _depth(number: int) -> Callable[[dict[str, Any]], None]:
    def change(context: dict[str, Any]) -> None:
        _require(context)
        _validation(context)["max_verify_depth"] = number

    return change


def _revocation(context: dict[str, Any]) -> None:
    _require(context)
    _validation(context)["crl"] = {"filename": "CRL"}
    _validation(context)["only_verify_leaf_cert_crl"] = True


# nginx finishes the handshake and then says 400 where Apache and Envoy end it.
def _in_nginx(expected: Outcomes) -> Outcomes:
    return {client: "400" for client, outcome in expected.items() if outcome == "ends"}


REQUIRED = outcomes("ends", good="with", intermediate="with", two_intermediates="with", revoked="with")
OPTIONAL = {**REQUIRED, "none": "without"}
SHALLOW: Outcomes = {**REQUIRED, "two intermediates": "ends"}
DIRECT: Outcomes = {**SHALLOW, "intermediate": "ends"}
UNREVOKED: Outcomes = {**REQUIRED, "revoked": "ends"}
ANY = outcomes("with", none="without")
VALIDATED: Outcomes = {**OPTIONAL, "self-signed": "without", "other CA": "without", "expired": "without"}

ROWS = (
    Row(
        "require",
        "SSLVerifyClient require\nSSLVerifyDepth 5",
        "ssl_verify_client on;\nssl_verify_depth 5;",
        _require,
        "validated_by_listener",
        REQUIRED,
        nginx_differs=_in_nginx(REQUIRED),
    ),
    Row(
        "optional",
        "SSLVerifyClient optional\nSSLVerifyDepth 5",
        "ssl_verify_client optional;\nssl_verify_depth 5;",
        _optional,
        "validated_by_listener",
        OPTIONAL,
        nginx_differs=_in_nginx(OPTIONAL),
    ),
    Row(
        "optional_no_ca",
        "SSLVerifyClient optional_no_ca\nSSLVerifyDepth 5",
        "ssl_verify_client optional_no_ca;\nssl_verify_depth 5;",
        _any,
        "presented",
        ANY,
        # Only an unknown issuer is forgiven by these two.
        apache_differs={"expired": "ends"},
        nginx_differs={"expired": "400"},
    ),
    Row(
        "optional_no_ca and validated",
        "SSLVerifyClient optional_no_ca\nSSLVerifyDepth 5",
        "ssl_verify_client optional_no_ca;\nssl_verify_depth 5;",
        _any,
        "validated",
        VALIDATED,
        # They hand every certificate over, and say in a field beside it whether it is valid.
        apache_differs={"self-signed": "with", "other CA": "with", "expired": "ends"},
        nginx_differs={"self-signed": "with", "other CA": "with", "expired": "400"},
    ),
    # Apache and Envoy count the root, nginx (OpenSSL) does not.
    Row(
        "one intermediate",
        "SSLVerifyClient require\nSSLVerifyDepth 2",
        "ssl_verify_client on;\nssl_verify_depth 1;",
        _depth(2),
        "validated_by_listener",
        SHALLOW,
        nginx_differs=_in_nginx(SHALLOW),
    ),
    Row(
        "depth 1",
        "SSLVerifyClient require\nSSLVerifyDepth 1",
        "ssl_verify_client on;\nssl_verify_depth 1;",
        _depth(1),
        "validated_by_listener",
        DIRECT,
        nginx_differs={**_in_nginx(DIRECT), "intermediate": "with"},
    ),
    Row(
        "no depth",
        "SSLVerifyClient require",
        "ssl_verify_client on;",
        _require,
        "validated_by_listener",
        REQUIRED,
        apache_differs={"intermediate": "ends", "two intermediates": "ends"},
        nginx_differs={**_in_nginx(REQUIRED), "two intermediates": "400"},
    ),
    Row(
        "crl",
        'SSLVerifyClient require\nSSLVerifyDepth 5\nSSLCARevocationFile "CRL"\nSSLCARevocationCheck leaf',
        "ssl_verify_client on;\nssl_verify_depth 5;\nssl_crl CRL;",
        _revocation,
        "validated_by_listener",
        UNREVOKED,
        nginx_differs=_in_nginx(UNREVOKED),
    ),
)


@dataclass(frozen=True)
class Deployment:
    servers: Authority
    clients: Mapping[str, Certificate | None]
    recorder: Recorder
    ports: Mapping[tuple[str, str], int]
    """By row and server."""

    def outcome(self, row: Row, server: str, client: str) -> Outcome:
        self.recorder.take()
        connection = Client(
            self.ports[row.name, server], ca_path=self.servers.pem_path, certificate=self.clients[client]
        )
        try:
            with connection:
                status = connection.request("POST", "/token").status
        except ConnectionRefusedByPeer:
            assert not self.recorder.take()
            return "ends"
        heads = self.recorder.take()
        if status == 400:
            assert not heads
            return "400"
        assert status == 200
        (head,) = heads
        lines = [line for line in head.lines if line.lower().startswith(b"x-clientcert:") and b"(null)" not in line]
        assert len(lines) <= 1
        return "with" if lines else "without"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("directives")
    authority, servers = Authority(directory / "clients"), Authority(directory / "servers", "Servers")
    first = Authority(directory / "clients", "First intermediate", issuer=authority)
    second = Authority(directory / "clients", "Second intermediate", issuer=first)
    now = datetime.datetime.now(datetime.UTC)
    clients = {
        "good": authority.issue("good"),
        "intermediate": first.issue("intermediate"),
        "two intermediates": second.issue("two-intermediates"),
        "self-signed": self_signed(directory, "self-signed"),
        "other CA": Authority(directory / "other", "Other CA").issue("other"),
        "expired": authority.issue(
            "expired", not_before=now - datetime.timedelta(days=2), not_after=now - datetime.timedelta(days=1)
        ),
        "revoked": authority.issue("revoked"),
        "none": None,
    }
    assert tuple(clients) == CLIENTS
    lists = directory / "all.crl"
    # All three want a list of every authority in the chain.
    lists.write_bytes(
        b"".join(
            issuer.revoke(*revoked).read_bytes()
            for issuer, revoked in ((authority, [clients["revoked"]]), (first, []), (second, []))
        )
    )
    server = servers.issue("server", server=True)
    with Recorder() as recorder, ExitStack() as stack:
        ports = {}
        peers: tuple[tuple[type[Terminator], str, str], ...] = (
            (Apache, f"SSLCACertificateFile {authority.pem_path}\n", "%{SSL_CLIENT_CERT}s"),
            (Nginx, f"ssl_client_certificate {authority.pem_path};\n", "$ssl_client_escaped_cert"),
        )
        for peer, trusted, expression in peers:
            sites = {
                row.name.replace(" ", "-"): Site(
                    trusted + getattr(row, peer.name).replace("CRL", str(lists)),
                    {"/token": {"x-clientcert": expression}},
                )
                for row in ROWS
            }
            running = stack.enter_context(peer(directory, sites, server=server, upstream=recorder.port))
            ports |= {(row.name, peer.name): running.ports[row.name.replace(" ", "-")] for row in ROWS}
        ports |= {(row.name, "envoy"): free_port() for row in ROWS}
        text = shipped.read(
            "authorization-server",
            server=server,
            client_ca=authority.pem_path,
            upstream=recorder.port,
            admin=free_port(),
        )
        document = yaml.safe_load(text)
        (original,) = document["static_resources"]["listeners"]
        listeners = document["static_resources"]["listeners"] = []
        for row in ROWS:
            listener = deepcopy(original)
            listener["name"] = row.name
            listener["address"]["socket_address"]["port_value"] = ports[row.name, "envoy"]
            (chain,) = listener["filter_chains"]
            row.envoy(chain["transport_socket"]["typed_config"])
            wasm = chain["filters"][0]["typed_config"]["http_filters"][0]["typed_config"]["config"]
            policies = wasm["configuration"]["value"]["policies"]
            policies["clients"] = {
                "authorization_server": {
                    "forward_certificate": [{"dialect": "gluu"}],
                    "client_certificate": row.policy,
                }
            }
            listeners.append(listener)
        text = yaml.safe_dump(document).replace("filename: CRL", f"filename: {lists}")
        stack.enter_context(Envoy(text, directory, name="envoy"))
        yield Deployment(servers, clients, recorder, ports)


@pytest.mark.parametrize("server", ["apache", "nginx", "envoy"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_same_clients_get_in(deployment: Deployment, row: Row, server: str) -> None:
    differences = {"apache": row.apache_differs, "nginx": row.nginx_differs, "envoy": {}}[server]
    assert all(row.expected[client] != outcome for client, outcome in differences.items())
    found = {client: deployment.outcome(row, server, client) for client in CLIENTS}
    assert found == {**row.expected, **differences}


def test_the_manual_has_a_line_for_each_row() -> None:
    text = (shipped.ROOT / "docs" / "terminators.md").read_text().partition("\n## In place of Apache or nginx\n")[2]
    text = text.partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(lines) == len(ROWS)
    for row, line in zip(ROWS, lines, strict=True):
        for directives, separator in ((row.apache, "\n"), (row.nginx, ";")):
            words = [directive.strip() for directive in directives.split(separator)]
            # What is the same in every row, unless it is what the row is about.
            told = [each for each in words if each and not each.endswith(("depth 5", "Depth 5"))]
            about = told[-1:] if len(told) == 1 else told[1:]
            for directive in about:
                assert f"`{re.sub(r' .?CRL.?', '', directive)}`" in line, (row.name, directive)
        # The rows about whom to ask say which policy goes with that.
        assert ("client_certificate" in line) == (
            row.apache.startswith("SSLVerifyClient") and row.apache.endswith("h 5")
        )
        assert "client_certificate" not in line or f"`client_certificate: {row.policy}`" in line
