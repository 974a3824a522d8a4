# SPDX-License-Identifier: Apache-2.0
"""What a client writes into the headers in which certificates are handed over, on the shipped file in a real Envoy: under
any name, once or more, with a good certificate, with a wrong one, without one, over HTTP/1.1 and HTTP/2, in a plain request,
a preflight, an upgrade and one that is refused. The upstream sees the true value once, or nothing, on a raw socket."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from cases import FORGED, World, envoy_configuration
from rig import shipped
from rig.certificates import Certificate
from rig.client import Client, ConnectionRefusedByPeer
from rig.envoy import Envoy
from rig.forgeries import COPIES, NAMES, TWINS
from rig.ports import free_port
from rig.recorder import Head, Recorder
from rig.upstream import Upstream

SEPARATORS = "!#$%&'*+-.^_`|~"
"""What a name may have in it that is no letter or digit (RFC 9110 §5.6.2)."""
KINDS = {
    "plain": ("POST", "/token", ()),
    "options": (
        "OPTIONS",
        "/token",
        (("origin", "https://app.example.com"), ("access-control-request-method", "POST")),
    ),
    "upgrade": ("GET", "/token", (("connection", "Upgrade"), ("upgrade", "websocket"))),
    "refused": ("POST", "/nowhere", ()),
}
OF_THE_REQUEST = (
    "host content-length connection upgrade origin access-control-request-method x-forwarded-for x-forwarded-proto "
    "x-request-id x-envoy-expected-rq-timeout-ms x-envoy-external-address x-envoy-internal"
).split()


@dataclass(frozen=True)
class Deployment:
    listener: int
    recorder: Recorder
    world: World


@pytest.fixture(scope="module")
def deployment(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    listener = free_port()
    with Recorder() as recorder:
        document = envoy_configuration(
            "authorization-server", world, listener=listener, upstream=recorder.port, admin=free_port()
        )
        manager = shipped.manager(document)
        # A connection that Envoy ends is not kept half open for a second, hundreds of times.
        manager["delayed_close_timeout"] = "0.01s"
        manager["upgrade_configs"] = [{"upgrade_type": "websocket"}]
        manager["http2_protocol_options"] = {"allow_connect": True}
        manager["route_config"]["virtual_hosts"][0]["routes"].insert(
            0,
            {
                "match": {"path": "/nowhere"},
                "metadata": {"filter_metadata": {"certbound": {"policy": "a name that no policy has"}}},
                "route": {"cluster": "authorization_server"},
            },
        )
        assert "nowhere" not in shipped.plugin(document)["configuration"]["value"]["policies"]
        with Envoy(yaml.safe_dump(document), tmp_path_factory.mktemp("matrix"), name="matrix"):
            yield Deployment(listener, recorder, world)


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
@pytest.mark.parametrize("presented", ["valid", "untrusted", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_upstream_sees_the_true_value_once_or_nothing(
    deployment: Deployment, presented: str, protocol: str, kind: str
) -> None:
    world = deployment.world
    certificate = {"valid": world.client_1, "untrusted": world.impostor, "none": None}[presented]
    one = world.client_1
    true = [f"client-cert: {one.rfc9440_form}".encode(), f"x-clientcert: {one.apache_form}".encode()]
    expected = [] if kind == "refused" else [true if presented == "valid" else []]
    unexpected = []
    with contextlib.closing(_Connection(deployment, certificate, protocol)) as connection:
        assert connection.ask(kind, []) == expected
        for name in NAMES:
            for twin, spell in TWINS.items():
                # Each upgrade, and each malformed request, takes a connection of its own.
                once = kind == "upgrade" or (protocol == "h2" and spell(name) != spell(name).lower())
                for copies, repeat in {"two twins": COPIES["two twins"]}.items() if once else COPIES.items():
                    forged = repeat(spell(name))
                    # RFC 9113 §8.2.1: a name with a capital letter is malformed, and Envoy resets such a stream.
                    malformed = protocol == "h2" and any(each != each.lower() for each, _ in forged)
                    seen = connection.ask(kind, forged)
                    if seen != ([] if malformed else expected):
                        unexpected.append((name, twin, copies, seen))
    assert not unexpected


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
@pytest.mark.parametrize("presented", ["valid", "none"])
def test_every_character_of_a_name_that_is_no_letter_or_digit_is_one(
    deployment: Deployment, presented: str, protocol: str
) -> None:
    one = deployment.world.client_1
    with contextlib.closing(_Connection(deployment, one if presented == "valid" else None, protocol)) as connection:
        (expected,) = connection.ask("plain", [])
        for name in NAMES:
            forged = [(re.sub(r"\W|_", other, name).lower(), FORGED) for other in SEPARATORS]
            assert connection.ask("plain", forged) == [expected], name
        # They reach the upstream in other names.
        others = [(f"z{other}z", "1") for other in SEPARATORS]
        assert len(connection.ask("plain", others)[0]) == len(expected) + len(SEPARATORS)


CONNECTION = {
    # What a client says, and what the upstream gets: with an upgrade Envoy lets it through.
    "one name": (["Upgrade, X-ClientCert"], "Upgrade"),
    "names alone before": (["x-clientcert, client-cert, upgrade"], "upgrade"),
    "twins": (["X_ClientCert,upgrade,x!clientcert,$WSCC"], "upgrade"),
    "another line": (["upgrade", "client-cert"], "upgrade"),
    "what others may name": (["upgrade, x-other, client-cert"], "upgrade, x-other"),
    "in quotes": (['upgrade, "client-cert"'], "upgrade"),
    "with a parameter": (["upgrade, client-cert;a=b"], "upgrade"),
    "Envoy's own": (["upgrade, x-forwarded-client-cert"], "upgrade"),
    "nobody's": (["upgrade, x-other"], "upgrade, x-other"),
}


@pytest.mark.parametrize("presented", ["valid", "none"])
@pytest.mark.parametrize("said", CONNECTION)
def test_no_name_of_ours_reaches_the_upstream_in_connection(deployment: Deployment, said: str, presented: str) -> None:
    values, expected = CONNECTION[said]
    one = deployment.world.client_1
    with contextlib.closing(_Connection(deployment, one if presented == "valid" else None, "http/1.1")) as connection:
        fields = [("upgrade", "websocket"), *(("connection", value) for value in values), ("client-cert", FORGED)]
        (head,) = connection.heads("GET", "/token", fields)
        assert head.named("connection") == [f"connection: {expected}".encode()]
        assert head.named("upgrade") == [b"upgrade: websocket"]
        assert len(head.named("client-cert", "x-clientcert")) == (2 if presented == "valid" else 0)
        assert FORGED.encode() not in b"".join(head.lines)


@pytest.mark.parametrize("presented", ["valid", "none"])
def test_without_an_upgrade_nothing_of_connection_reaches_the_upstream(deployment: Deployment, presented: str) -> None:
    one = deployment.world.client_1
    for value in ("x-clientcert", "close, client-cert", "keep-alive, X_ClientCert"):
        fields = [("connection", value), ("keep-alive", "client-cert"), ("proxy-connection", "client-cert")]
        connection = _Connection(deployment, one if presented == "valid" else None, "http/1.1")
        with contextlib.closing(connection):
            (head,) = connection.heads("POST", "/token", [*fields, ("upgrade", "websocket"), ("client-cert", FORGED)])
            assert head.named("connection", "upgrade", "keep-alive", "proxy-connection") == []
            assert len(head.named("client-cert", "x-clientcert")) == (2 if presented == "valid" else 0)


# Trailers


OWN_NAMES = {
    # The forms of the policy, and its facts.
    "X-Own-Cert": {"forward_certificate": {"header": "X-Own-Cert", "encoding": "pem_url"}},
    "X_Own.Der": {
        "forward_certificate": {
            "header": "X_Own.Der",
            "encoding": "der_base64",
            "chain": "numbered",
            "prefix": "X-Own-Chain_",
        }
    },
    "X-Own-Subject": {"facts": {"subject": "X-Own-Subject"}},
    "X-Own-Verified": {"facts": {"verified": "X-Own-Verified"}},
}
"""Names of the operator's own, each with what makes it one."""
OTHERS = ("X-Own-Chain_0", "X-Own-Chain_17", "X-Own-Added", "X-Edge-Cert", "X-Edge-Secret", "X-Edge-Verify")
"""The numbers of a prefix, one of `additional_headers`, and those of a terminator in front of another policy."""


@pytest.fixture(scope="module")
def trailing(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Upstream]]:
    listener = free_port()
    with Upstream() as upstream:
        document = envoy_configuration(
            "authorization-server", world, listener=listener, upstream=upstream.port, admin=free_port()
        )
        shipped.let_trailers_through(document)
        plugin = shipped.plugin(document)
        plugin["vm_config"]["environment_variables"] = {"key_values": {"SECRET_OF_THE_TEST": "s3cret"}}
        configuration = plugin["configuration"]["value"]
        server = configuration["policies"]["clients"]["authorization_server"]
        made = [own["forward_certificate"] for own in OWN_NAMES.values() if "forward_certificate" in own]
        server["forward_certificate"] += made
        server["facts"] = {name: header for own in OWN_NAMES.values() for name, header in own.get("facts", {}).items()}
        configuration["policies"]["behind"] = {
            "authorization_server": {
                "forward_certificate": [{"dialect": "gluu"}],
                "client_certificate_source": {
                    "header": "X-Edge-Cert",
                    "encoding": "pem_url",
                    "proof": {"secret_header": "X-Edge-Secret", "secret": {"environment": "SECRET_OF_THE_TEST"}},
                    "verified": {"header": "X-Edge-Verify", "value": "SUCCESS"},
                },
            }
        }
        configuration["additional_headers"] = ["X-Own-Added"]
        with Envoy(yaml.safe_dump(document), tmp_path_factory.mktemp("trailers"), name="trailers"):
            yield listener, upstream


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
@pytest.mark.parametrize("presented", ["valid", "untrusted", "none"])
@pytest.mark.parametrize("path", ["/token", "/authorize"])
def test_no_trailer_has_a_name_of_the_operators_own(
    world: World, trailing: tuple[int, Upstream], path: str, presented: str, protocol: str
) -> None:
    listener, upstream = trailing
    certificate = {"valid": world.client_1, "untrusted": world.impostor, "none": None}[presented]
    unexpected = []
    with Client(listener, ca_path=world.authority.pem_path, certificate=certificate, protocol=protocol) as client:
        for name in [*NAMES, *OWN_NAMES, *OTHERS]:
            for twin, spell in TWINS.items():
                for copies, repeat in COPIES.items():
                    forged = repeat(spell(name))
                    if protocol == "h2":
                        # RFC 9113 §8.2.1.
                        forged = [(each.lower(), value) for each, value in forged]
                    trailers = [("x-before", "1"), *forged, ("x-after", "1")]
                    assert client.request("POST", path, body=b"a=b", trailers=trailers).status == 200
                    seen = [each.lower() for each, _ in upstream.requests[-1].trailers]
                    if seen != ["x-before", "x-after"]:
                        unexpected.append((name, twin, copies, seen))
                    assert FORGED not in str(upstream.requests[-1].headers)
    assert not unexpected


class _Connection:
    """A connection that is kept while it can be."""

    def __init__(self, deployment: Deployment, certificate: Certificate | None, protocol: str) -> None:
        self._deployment, self._certificate, self._protocol = deployment, certificate, protocol
        self._client: Client | None = None

    def ask(self, kind: str, forged: list[tuple[str, str]]) -> list[list[bytes]]:
        """For each request that reached the upstream, the lines that are not of the request itself."""
        method, path, headers = KINDS[kind]
        if kind == "upgrade" and self._protocol == "h2":
            # RFC 8441.
            method, headers = "CONNECT", ((":protocol", "websocket"),)
        return [sorted(head.except_for(*OF_THE_REQUEST)) for head in self.heads(method, path, [*headers, *forged])]

    def heads(self, method: str, path: str, headers: list[tuple[str, str]]) -> list[Head]:
        """What reached the upstream."""
        self._deployment.recorder.take()
        if not self._client:
            self._client = Client(
                self._deployment.listener,
                ca_path=self._deployment.world.authority.pem_path,
                certificate=self._certificate,
                protocol=self._protocol,
            ).__enter__()
        try:
            answer = self._client.request(method, path, headers=headers)
            usable = answer.header("connection") != "close" and "websocket" not in dict(headers).values()
        except ConnectionRefusedByPeer:
            usable = False
        if not usable:
            self.close()
        return self._deployment.recorder.take()

    def close(self) -> None:
        if self._client:
            self._client.close()
        self._client = None
