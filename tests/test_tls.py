"""TLS sessions that are resumed, on the shipped files in a real Envoy."""

import ssl

import pytest

from cases import World
from conftest import Proxy
from rig import tokens

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_resumed_session_still_has_its_certificate(
    world: World, proxies: dict[str, Proxy], version: ssl.TLSVersion
) -> None:
    proxy = proxies["resource-server"]
    headers = [("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims(world.client_1)))]
    for certificate, status in ((world.client_1, 200), (world.client_2, 401)):
        with proxy.client(certificate, maximum_version=version) as client:
            assert client.request("GET", "/", headers=headers).status == status
            session = client.tls_session
        with proxy.client(certificate, tls_session=session) as client:
            assert client.request("GET", "/", headers=headers).status == status
            assert client.resumed and client.tls_version == version.name.replace("v1_", "v1.")


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
