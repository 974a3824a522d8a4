# SPDX-License-Identifier: Apache-2.0
"""A real authorization server, oidc-provider, behind certbound: it authenticates clients by their certificates and binds
their tokens, whichever header it reads the certificate from, and takes nobody for somebody else. Its readers are strict
and share nothing with certbound; the one for Authlete's form is first shown to work behind Debian's nginx."""

import base64
import contextlib
import itertools
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from cases import AUDIENCE, ISSUER
from peers.forms import ROWS
from rig import authorization_server, shipped, terminators, tokens
from rig.authorization_server import AuthorizationServer
from rig.certificates import Authority, Certificate, self_signed
from rig.client import Client, Response
from rig.envoy import Envoy
from rig.ports import free_port
from rig.terminators import Nginx, Site
from rig.tokens import SigningKey

pytestmark = pytest.mark.skipif(authorization_server.missing() is not None, reason=str(authorization_server.missing()))

HEADERS = {
    "gluu": ("X-ClientCert", lambda client: client.apache_form),
    "authlete": ("X-Ssl-Cert", lambda client: client.apache_form),
    "rfc9440": ("Client-Cert", lambda client: client.rfc9440_form),
}
"""By dialect, what a client would forge: the header and the value."""

FRONTS = [
    *(("certbound", row.name) for row in ROWS if row.name in HEADERS),
    pytest.param(
        ("nginx", "authlete"),
        marks=pytest.mark.skipif(terminators.missing() is not None, reason=str(terminators.missing())),
    ),
]


@dataclass(frozen=True)
class Party:
    """A client as it is registered, and its certificate."""

    metadata: Mapping[str, Any]
    certificate: Certificate


@dataclass(frozen=True)
class Deployment:
    dialect: str
    ports: Mapping[str, int]
    """The listener of the clients with a certificate of the authority ("validated"), and of the others ("presented")."""
    servers: Authority
    parties: Mapping[str, Party]
    strangers: Mapping[str, Certificate]

    def token(self, party: str, certificate: Certificate | None, *, forged: Certificate | None = None) -> Response:
        """What the token endpoint answers to someone who says to be this client."""
        header, form = HEADERS[self.dialect]
        method = self.parties[party].metadata["token_endpoint_auth_method"]
        port = self.ports["presented" if method == "self_signed_tls_client_auth" else "validated"]
        with Client(port, ca_path=self.servers.pem_path, certificate=certificate) as client:
            return client.request(
                "POST",
                "/token",
                headers=[
                    ("content-type", "application/x-www-form-urlencoded"),
                    *([(header, form(forged))] if forged else []),
                ],
                body=f"grant_type=client_credentials&client_id={party}".encode(),
            )


def _registered(name: str, certificate: Certificate, **metadata: Any) -> Party:
    bound = {"tls_client_certificate_bound_access_tokens": True}
    return Party({"client_id": name, **bound, **metadata}, certificate)


def _self_signed_client(directory: Path, name: str) -> Party:
    certificate = self_signed(directory, name)
    numbers = x509.load_der_x509_certificate(certificate.der).public_key().public_numbers()
    key = {
        "kty": "EC",
        "crv": "P-256",
        **{
            coordinate: base64.urlsafe_b64encode(getattr(numbers, coordinate).to_bytes(32)).rstrip(b"=").decode()
            for coordinate in "xy"
        },
        "x5c": [base64.b64encode(certificate.der).decode()],
    }
    return _registered(
        name, certificate, token_endpoint_auth_method="self_signed_tls_client_auth", jwks={"keys": [key]}
    )


@pytest.fixture(scope="module", params=FRONTS, ids=" ".join)
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    front, dialect = request.param
    directory = tmp_path_factory.mktemp(f"{front}-{dialect}")
    authority, servers = Authority(directory / "clients"), Authority(directory / "servers", "Servers")
    intermediate = Authority(directory / "clients", "Intermediate", issuer=authority)
    server = servers.issue("server", server=True)
    by_name, other = (
        authority.issue(name, subject=[("C", "NL"), ("O", "Bank, São Paulo"), ("CN", name)]) for name in ("one", "two")
    )
    by_san = intermediate.issue("three", dns=["three.example.org", "www.three.example.org"])
    parties = [
        *(
            _registered(
                party.name,
                party,
                token_endpoint_auth_method="tls_client_auth",
                tls_client_auth_subject_dn=party.subject,
            )
            for party in (by_name, other)
        ),
        _registered(
            "three", by_san, token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="three.example.org"
        ),
        *(_self_signed_client(directory, name) for name in ("four", "five")),
    ]
    strangers = {
        "copy of the subject": self_signed(directory, "impostor", copy_subject_of=by_name),
        "another of its authority": authority.issue("stranger", subject=[("CN", "stranger")]),
    }
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(
            AuthorizationServer(
                directory,
                issuer=ISSUER,
                audience=AUDIENCE,
                keys=[SigningKey.make("ES256", "1")],
                clients=[dict(party.metadata) for party in parties],
                dialect=dialect,
            )
        )
        make = _behind_certbound if front == "certbound" else _behind_nginx
        ports = stack.enter_context(make(directory, dialect, server, authority, running.port))
        yield Deployment(dialect, ports, servers, {party.metadata["client_id"]: party for party in parties}, strangers)


@contextlib.contextmanager
def _behind_certbound(
    directory: Path, dialect: str, server: Certificate, authority: Authority, upstream: int
) -> Iterator[Mapping[str, int]]:
    ports = {"validated": free_port(), "presented": free_port()}
    document = yaml.safe_load(
        shipped.read(
            "authorization-server",
            server=server,
            client_ca=authority.pem_path,
            listener=ports["validated"],
            upstream=upstream,
            admin=free_port(),
        )
    )
    policies = shipped.plugin(document)["configuration"]["value"]["policies"]
    for name in ports:
        forward = {"forward_certificate": [{"dialect": dialect}], "client_certificate": name}
        policies["clients" if name == "validated" else name] = {"authorization_server": forward}
    listeners = document["static_resources"]["listeners"]
    manager = shipped.manager(document)
    # Where a certificate's chain is.
    manager["forward_client_cert_details"] = "SANITIZE_SET"
    manager["set_current_client_cert_details"] = {"cert": True, "chain": True}
    listeners.append(deepcopy(listeners[0]))
    listeners[1]["name"] = "presented"
    listeners[1]["address"]["socket_address"]["port_value"] = ports["presented"]
    for route in shipped.manager(document, 1)["route_config"]["virtual_hosts"][0]["routes"]:
        if "metadata" in route:
            route["metadata"] = {"filter_metadata": {"certbound": {"policy": "presented"}}}
    with Envoy(yaml.safe_dump(document), directory, name="envoy"):
        yield ports


@contextlib.contextmanager
def _behind_nginx(
    directory: Path, dialect: str, server: Certificate, authority: Authority, upstream: int
) -> Iterator[Mapping[str, int]]:
    trusted = f"ssl_client_certificate {authority.pem_path};\nssl_verify_depth 5;"
    fields = {"/token": {HEADERS[dialect][0]: "$ssl_client_escaped_cert"}}
    sites = {
        "validated": Site(f"{trusted}\nssl_verify_client optional;", fields),
        "presented": Site(f"{trusted}\nssl_verify_client optional_no_ca;", fields),
    }
    with Nginx(directory, sites, server=server, upstream=upstream) as nginx:
        yield nginx.ports


PARTIES = ("one", "two", "three", "four", "five")


@pytest.mark.parametrize("party", PARTIES)
def test_a_client_is_authenticated_by_its_certificate_and_its_token_is_bound_to_it(
    deployment: Deployment, party: str
) -> None:
    certificate = deployment.parties[party].certificate
    answer = deployment.token(party, certificate)
    assert answer.status == 200, answer
    assert tokens.decode(answer.json()["access_token"])[1]["cnf"] == {"x5t#S256": certificate.thumbprint}


@pytest.mark.parametrize(("party", "other"), list(itertools.permutations(PARTIES, 2)))
def test_a_client_is_not_another(deployment: Deployment, party: str, other: str) -> None:
    _refused(deployment.token(party, deployment.parties[other].certificate))


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize("stranger", ["copy of the subject", "another of its authority"])
def test_a_stranger_is_nobody(deployment: Deployment, party: str, stranger: str) -> None:
    _refused(deployment.token(party, deployment.strangers[stranger]))


@pytest.mark.parametrize("party", PARTIES)
def test_a_header_of_the_clients_own_is_no_certificate(deployment: Deployment, party: str) -> None:
    forged = deployment.parties[party].certificate
    own = deployment.parties["two" if party == "one" else "one"].certificate
    for certificate in (None, own):
        _refused(deployment.token(party, certificate, forged=forged))


def _refused(answer: Response) -> None:
    # nginx refuses a certificate that it cannot validate, in words of its own.
    if answer.status == 400 and b"nginx" in answer.body:
        assert b"SSL certificate error" in answer.body
        return
    assert answer.status in (400, 401) and answer.json()["error"] == "invalid_client", answer
