# SPDX-License-Identifier: Apache-2.0
"""TLS on the shipped files in a real Envoy: sessions that are resumed, keys of every type, and revocation."""

import contextlib
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from cases import World, envoy_configuration
from rig import shipped, tokens
from rig.certificates import Authority, Key, made_by_openssl
from rig.client import Client, ConnectionRefusedByPeer
from rig.envoy import Envoy
from rig.ports import free_port
from rig.proxy import Proxy
from rig.upstream import Upstream

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_client_that_renewed_its_certificate_and_resumes_is_judged_by_the_new_one(
    world: World, proxies: dict[str, Proxy], version: ssl.TLSVersion
) -> None:
    before, after = _status_of_each_certificate(world, proxies["resource-server"].client, version)
    assert (before, after) == ((200, 401, False), (401, 200, False))


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_client_that_renewed_its_certificate_is_judged_by_the_old_one_where_sessions_are_resumed(
    world: World, resuming: Callable[..., Client], version: ssl.TLSVersion
) -> None:
    """Why the shipped files do not resume."""
    before, after = _status_of_each_certificate(world, resuming, version)
    assert (before, after) == ((200, 401, False), (200, 401, True))


def _status_of_each_certificate(
    world: World, connect: Callable[..., Client], version: ssl.TLSVersion
) -> list[tuple[int, int, bool]]:
    """What a token of the first certificate and one of the second get on a connection with the first, and then on one with the
    second that offers the session of the first, and whether it was resumed."""
    first, second = (world.authority.issue(f"{when}-{version.name}-{id(connect)}") for when in ("before", "after"))
    bound = [tokens.sign(world.keys["ES256"], world.claims(certificate)) for certificate in (first, second)]
    session, seen = None, []
    for certificate in (first, second):
        # With nothing offered there is nothing to resume; where there is, Envoy must not take it.
        with connect(
            certificate, **({"tls_session": session} if session else {"maximum_version": version})
        ) as client:
            headers = [[("authorization", f"Bearer {token}")] for token in bound]
            statuses = [client.request("GET", "/", headers=each).status for each in headers]
            session = client.tls_session
            seen.append((*statuses, client.resumed))
            assert client.tls_version == version.name.replace("v1_", "v1.")
    return seen


@pytest.fixture(scope="module")
def resuming(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Client]]:
    """Clients of an Envoy on the shipped file that resumes sessions."""
    listener = free_port()
    with Upstream() as upstream:
        ports = {"listener": listener, "upstream": upstream.port, "admin": free_port()}
        document = envoy_configuration("resource-server", world, **ports)
        (chain,) = document["static_resources"]["listeners"][0]["filter_chains"]
        for resumption in ("stateless", "stateful"):
            del chain["transport_socket"]["typed_config"][f"disable_{resumption}_session_resumption"]
        with Envoy(yaml.safe_dump(document), tmp_path_factory.mktemp("resuming"), name="resuming"):
            yield lambda certificate, **how: Client(
                listener, ca_path=world.authority.pem_path, certificate=certificate, **how
            )


def test_every_shipped_file_that_asks_for_certificates_resumes_no_session() -> None:
    listeners = [
        listener
        for name in shipped.PORTS
        for listener in yaml.safe_load((shipped.ROOT / "envoy" / f"{name}.yaml").read_text())["static_resources"]["listeners"]
    ]
    contexts = [chain["transport_socket"]["typed_config"] for one in listeners for chain in one["filter_chains"]]
    # HTTP/3 has other settings: tests/envoy/test_http3.py.
    contexts = [context for context in contexts if "validation_context" in context.get("common_tls_context", {})]
    assert len(contexts) > len(shipped.PORTS)
    for resumption in ("disable_stateless_session_resumption", "disable_stateful_session_resumption"):
        assert all(context[resumption] is True for context in contexts)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_sessions_are_not_resumed_in_front_of_the_authorization_server(
    world: World, proxies: dict[str, Proxy], version: ssl.TLSVersion
) -> None:
    proxy = proxies["authorization-server"]
    with proxy.client(world.client_1, maximum_version=version) as client:
        client.request("POST", "/token")
        session = client.tls_session
    # With nothing offered there is nothing to resume; where there is, Envoy must not take it.
    with proxy.client(
        world.client_1, **({"tls_session": session} if session else {"maximum_version": version})
    ) as client:
        client.request("POST", "/token")
        assert not client.resumed
        assert proxy.upstream.requests[-1].all("x-clientcert") == [world.client_1.apache_form]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("key", ["p256", "p384", "p521", "rsa2048", "ed25519"])
def test_a_client_certificate_of_every_type_of_key_is_seen(
    world: World, proxies: dict[str, Proxy], key: Key, version: ssl.TLSVersion
) -> None:
    certificate = world.authority.issue(f"{key}-{version.name}", key=key)
    token = tokens.sign(world.keys["ES256"], world.claims(certificate))
    with proxies["resource-server"].client(certificate, maximum_version=version) as client:
        assert client.request("GET", "/", headers=[("authorization", f"Bearer {token}")]).status == 200
        assert client.tls_version == version.name.replace("v1_", "v1.")


@pytest.mark.parametrize("name", ["resource-server", "authorization-server", "client-authentication"])
def test_a_listener_for_self_signed_certificates_names_no_authorities(proxies: dict[str, Proxy], name: str) -> None:
    """Java, Go, GnuTLS and NSS send nothing else than what one of the named authorities issued: docs/listeners.md."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{proxies[name].listener}", "-servername", "localhost"]
    said = subprocess.run(command, input=b"", capture_output=True, timeout=10).stdout.decode()
    assert ("No client certificate CA names sent" in said) == (name == "client-authentication")
    assert ("Acceptable client certificate CA names" in said) == (name != "client-authentication")


RSA = ("-newkey", "rsa:2048")
HANDSHAKES = {
    "`keyUsage` without `digitalSignature`": ((*RSA, "-addext", "keyUsage=keyEncipherment"), "ended", "ended"),
    "an RSA-PSS key": (("-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"), "none", "none"),
    "an Ed448 key": (("-newkey", "ed448"), "none", "none"),
    "a secp256k1 key": (("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"), "none", "none"),
    "a P-521 key": (("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"), "taken", "none"),
    "an Ed25519 key": (("-newkey", "ed25519"), "taken", "none"),
    "any other self-signed certificate": (RSA, "taken", "taken"),
}
"""By the rows of docs/listeners.md: the certificate, and what becomes of it with the shipped list of signature algorithms and
without one."""


def test_the_manual_says_what_a_handshake_refuses() -> None:
    manual = (shipped.ROOT / "docs" / "listeners.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (taken|none|ended) \| (taken|none|ended) \|$", manual, re.MULTILINE)
    assert rows == [(kind, *outcomes) for kind, (_, *outcomes) in HANDSHAKES.items()]


@pytest.fixture(scope="module")
def accepting(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Proxy]]:
    """The shipped resource server where any certificate is accepted, with its list of signature algorithms and without."""
    with contextlib.ExitStack() as stack:
        found = {}
        for name in ("shipped", "without"):
            upstream, listener = stack.enter_context(Upstream()), free_port()
            document = envoy_configuration(
                "resource-server", world, listener=listener, upstream=upstream.port, admin=free_port()
            )
            (chain,) = document["static_resources"]["listeners"][0]["filter_chains"]
            common = chain["transport_socket"]["typed_config"]["common_tls_context"]
            common["validation_context"] = {"trust_chain_verification": "ACCEPT_UNTRUSTED"}
            if name == "without":
                del common["tls_params"]
            envoy = Envoy(yaml.safe_dump(document), tmp_path_factory.mktemp("accepting"), name=name)
            found[name] = Proxy(stack.enter_context(envoy), listener, upstream, world)
        yield found


@pytest.mark.parametrize("kind", HANDSHAKES)
def test_a_handshake_does_with_a_certificate_what_the_manual_says(
    world: World, accepting: dict[str, Proxy], tmp_path: Path, kind: str
) -> None:
    options, *expected = HANDSHAKES[kind]
    certificate = made_by_openssl(tmp_path, "client", *options)
    headers = [("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims(certificate)))]
    for name, outcome in zip(("shipped", "without"), expected, strict=True):
        try:
            with accepting[name].client(certificate, minimum_version=ssl.TLSVersion.TLSv1_3) as client:
                response = client.request("GET", "/", headers=headers)
        except ConnectionRefusedByPeer:
            assert outcome == "ended"
            continue
        assert (response.status, outcome) in {(200, "taken"), (401, "none")}
        assert ("none was presented" in str(response.headers)) == (outcome == "none")


def test_a_certificate_on_the_list_that_the_shipped_file_shows_ends_the_handshake(world: World, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    good, revoked = (authority.issue(name) for name in ("good", "revoked"))
    listener = free_port()
    with Upstream() as upstream:
        substitutions = {**world.substitutions(), "client_ca": authority.pem_path}
        text = shipped.read(
            "resource-server", **substitutions, listener=listener, upstream=upstream.port, admin=free_port()
        )
        text = shipped.uncommented(text, "crl:")
        text = text.replace("/etc/certbound/client-ca.crl", str(authority.revoke(revoked)))
        with Envoy(text, tmp_path, name="crl"):
            token = tokens.sign(world.keys["ES256"], world.claims(good))
            with Client(listener, ca_path=world.authority.pem_path, certificate=good) as client:
                assert client.request("GET", "/", headers=[("authorization", f"Bearer {token}")]).status == 200
            with pytest.raises(ConnectionRefusedByPeer, match="CERTIFICATE_REVOKED"):
                with Client(listener, ca_path=world.authority.pem_path, certificate=revoked) as client:
                    client.request("GET", "/")


def test_a_certificate_in_the_filter_state_is_handed_over_where_the_connection_has_none_to_give(
    world: World, tmp_path: Path
) -> None:
    """As docs/platforms.md shows it. An Envoy before 1.38 has it nowhere else; a later one asks the connection."""
    listener = free_port()
    manual = (shipped.ROOT / "docs" / "platforms.md").read_text()
    (filter_state,) = re.findall(r"```yaml\n(- name: set-filter-state\n.*?)```", manual, re.DOTALL)
    with Upstream() as upstream:
        ports = {"listener": listener, "upstream": upstream.port, "admin": free_port()}
        document = envoy_configuration("validated-by-listener", world, **ports)
        manager = shipped.manager(document)
        manager["http_filters"][:0] = yaml.safe_load(filter_state)
        with (
            Envoy(yaml.safe_dump(document), tmp_path, name="filter-state"),
            Client(listener, ca_path=world.authority.pem_path, certificate=world.client_1) as client,
            Client(listener, ca_path=world.authority.pem_path) as nobody,
        ):
            assert client.request("POST", "/token").status == 200
            assert upstream.requests[-1].all("x-clientcert") == [world.client_1.apache_form]
            assert nobody.request("POST", "/token").status == 200
            assert upstream.requests[-1].all("x-clientcert") == []


@pytest.mark.parametrize("context", [None, {"max_verify_depth": 3}], ids=["no context", "a context that trusts nobody"])
@pytest.mark.parametrize("required", [False, True], ids=["optional", "required"])
def test_a_listener_that_trusts_nobody_sees_no_certificate_even_where_it_requires_one(
    world: World, tmp_path: Path, required: bool, context: dict[str, int] | None
) -> None:
    """What `certbound check` says of it: certificate_not_requested."""
    listener = free_port()
    with Upstream() as upstream:
        ports = {"listener": listener, "upstream": upstream.port, "admin": free_port()}
        document = envoy_configuration("validated-by-listener", world, **ports)
        (chain,) = document["static_resources"]["listeners"][0]["filter_chains"]
        tls = chain["transport_socket"]["typed_config"]
        tls["require_client_certificate"] = required
        del tls["common_tls_context"]["validation_context"]
        if context:
            tls["common_tls_context"]["validation_context"] = context
        with Envoy(yaml.safe_dump(document), tmp_path, name="nobody"):
            for certificate in (world.client_1, world.impostor):
                with Client(listener, ca_path=world.authority.pem_path, certificate=certificate) as client:
                    assert client.request("POST", "/token").status == 200
                assert upstream.requests[-1].all("x-clientcert") == []
