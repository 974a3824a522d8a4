# SPDX-License-Identifier: Apache-2.0
"""A real Tomcat behind certbound: its SSLValve gives applications the client's certificate, in which Spring Security, for one,
finds what a token must be bound to. The valve believes a header of anybody's."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from cases import World
from rig import shipped, tokens, tomcat
from rig.certificates import Certificate, self_signed
from rig.client import Client
from rig.envoy import Envoy
from rig.ports import free_port
from rig.tomcat import BOTH_HEADERS, ONE_HEADER, Tomcat

pytestmark = pytest.mark.skipif(tomcat.missing() is not None, reason=str(tomcat.missing()))

KINDS: dict[str, dict[str, Any]] = {
    "rsa-2048": {"key": "rsa2048"},
    "rsa-4096": {"key": "rsa4096"},
    "p-256": {"key": "p256"},
    "p-521": {"key": "p521"},
    "ed25519": {"key": "ed25519"},
    "utf-8-subject": {"subject": [("C", "BR"), ("O", 'São Paulo, "Inc" + <Söhne>; #1\\'), ("CN", " 日本\U0001f511 ")]},
    "many-names": {"dns": [f"client-{number}.example.org" for number in range(20)]},
}
"""By name, what is asked of the authority."""

FORMS = {
    "tomcat": [{"dialect": "tomcat"}],
    "tomcat_escaped": [{"dialect": "tomcat_escaped"}],
    "both": [{"dialect": "tomcat"}, {"dialect": "tomcat_escaped"}],
}
"""The policy's name, and the first part of its paths."""

READS = {ONE_HEADER: {"tomcat", "both"}, BOTH_HEADERS: set(FORMS)}
"""By version, the forms from which the valve has a certificate."""


@dataclass(frozen=True)
class Running:
    world: World
    clients: Mapping[str, Certificate]
    tomcats: Mapping[str, int]
    listeners: Mapping[str, int]

    def seen(
        self,
        version: str,
        form: str,
        certificate: Certificate | None,
        bound_to: Certificate | None = None,
        headers: list[tuple[str, str]] = [],
    ) -> str:
        """What an application behind certbound finds."""
        token = tokens.sign(self.world.keys["ES256"], self.world.claims(bound_to))
        port, ca = self.listeners[version], self.world.authority.pem_path
        with Client(port, ca_path=ca, certificate=certificate) as client:
            response = client.request("GET", f"/{form}/", headers=[("authorization", f"Bearer {token}"), *headers])
        assert response.status == 200
        return response.body.decode()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("tomcat")
    world = World(directory)
    clients = {name: world.authority.issue(name, **asked) for name, asked in KINDS.items()}
    clients["self-signed"] = self_signed(directory, "self-signed", copy_subject_of=clients["p-256"])
    variants = {
        name: {"certificate_binding": "if_present", "forward_certificate": forms} for name, forms in FORMS.items()
    }
    with ExitStack() as stack:
        tomcats = {version: stack.enter_context(Tomcat(directory, version)).port for version in READS}
        listeners = {version: free_port() for version in READS}
        for version, port in tomcats.items():
            text = shipped.read(
                "resource-server", listener=listeners[version], upstream=port, admin=free_port(), **world.substitutions()
            )
            document = yaml.safe_load(shipped.with_variants(text, variants))
            # As for an API whose clients have certificates of their own making (RFC 8705 §6.2).
            tls = document["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"]["typed_config"]
            tls["common_tls_context"]["validation_context"]["trust_chain_verification"] = "ACCEPT_UNTRUSTED"
            stack.enter_context(Envoy(yaml.safe_dump(document), directory, name=f"envoy-{version}"))
        yield Running(world, clients, tomcats, listeners)


@pytest.mark.parametrize("kind", [*KINDS, "self-signed"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("version", READS)
def test_an_application_finds_the_certificate_that_the_token_is_bound_to(
    running: Running, version: str, form: str, kind: str
) -> None:
    certificate = running.clients[kind]
    found = running.seen(version, form, certificate, certificate)
    assert found == (certificate.digest if form in READS[version] else "none")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("version", READS)
def test_an_application_finds_no_certificate_of_a_clients_own_making(running: Running, version: str, form: str) -> None:
    victim, thief = running.clients["p-256"], running.clients["rsa-2048"]
    forged = [
        (name, value)
        for names, value in (
            (("ssl_client_cert", "ssl-client-cert", "SSL_CLIENT_CERT"), victim.apache_form),
            (("ssl_client_escaped_cert", "ssl.client.escaped.cert"), victim.url_encoded),
        )
        for name in names
    ]
    assert running.seen(version, form, None, headers=forged) == "none"
    assert running.seen(version, form, thief, headers=forged) == (thief.digest if form in READS[version] else "none")


@pytest.mark.parametrize("version", READS)
def test_the_valve_believes_whoever_reaches_it(running: Running, version: str) -> None:
    """The check above could fail."""
    victim = running.clients["p-256"]
    url = f"http://127.0.0.1:{running.tomcats[version]}/"
    with urlopen(Request(url, headers={"ssl_client_cert": victim.apache_form}), timeout=10) as response:
        assert response.read().decode() == victim.digest
