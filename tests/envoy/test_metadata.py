# SPDX-License-Identifier: Apache-2.0
"""The metadata of an authorization server, in a real Envoy: what it gains, and answers that are none."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cases import World, envoy_configuration
from rig import shipped
from rig.envoy import Envoy
from rig.ports import free_port
from rig.process import wait_until
from rig.proxy import WRITES_ITS_ACCESS_LOG_AT_ONCE, Proxy
from rig.scripted_server import Answer, Server
from rig.upstream import Upstream

PATH = "/.well-known/openid-configuration"
DOCUMENT = b"""{
  "issuer": "https://auth.bank.com", "number": 1.50E+2,
  "token_endpoint": "https://auth.bank.com/oauth/token",
  "pushed_authorization_request_endpoint": "https://auth.bank.com/oauth/par"
}
"""
METADATA = {
    "client_authentication_methods": ["tls_client_auth"],
    "mtls_endpoint_aliases": [{"endpoint": "token_endpoint", "base_url": "https://mtls.auth.bank.com"}],
    "certificate_bound_access_tokens": "stated",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def proxy(server: Server, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    listener, admin = free_port(), free_port()
    document = envoy_configuration("authorization-server", world, listener=listener, upstream=server.port, admin=admin)
    policies = shipped.plugin(document)["configuration"]["value"]["policies"]
    policies["clients"]["authorization_server"]["metadata"] = METADATA
    directory = tmp_path_factory.mktemp("metadata")
    arguments = WRITES_ITS_ACCESS_LOG_AT_ONCE
    with (
        Upstream() as nowhere,
        Envoy(yaml.safe_dump(document), directory, name="metadata", extra_arguments=arguments) as envoy,
    ):
        yield Proxy(envoy, listener, nowhere, world)


def count(proxy: Proxy, outcome: str) -> int:
    return proxy.counted(f'certbound_metadata_answers_total{{policy="clients",outcome="{outcome}"}}')


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
@pytest.mark.parametrize(
    "shape",
    [
        Answer(body=DOCUMENT, headers=["Content-Type: application/json; charset=utf-8", 'ETag: "abc"', "Accept-Ranges: bytes"]),
        Answer(body=DOCUMENT, chunks=7),
        Answer(body=DOCUMENT, chunks=3, trailers=b"X-After: 1\r\n"),
    ],
    ids=["length", "chunked", "trailers"],
)
def test_a_document_gains_what_is_configured(proxy: Proxy, server: Server, protocol: str, shape: Answer) -> None:
    server.answer = shape
    before = count(proxy, "rewritten")
    unwanted = [
        ("accept-encoding", "gzip"),
        ("range", "bytes=0-1"),
        ("if-none-match", '"abc"'),
        ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ]
    with proxy.client(None, protocol) as client:
        response = client.request("GET", PATH, unwanted)
        again = client.request("GET", "/.well-known/oauth-authorization-server/tenant", unwanted)
    assert not {name for name, _ in unwanted} & set(server.seen[-1])
    end = b'"https://auth.bank.com/oauth/par"'
    added = (
        b',"token_endpoint_auth_methods_supported":["client_secret_basic","tls_client_auth"]'
        b',"tls_client_certificate_bound_access_tokens":true'
        b',"mtls_endpoint_aliases":{"token_endpoint":"https://mtls.auth.bank.com/oauth/token"}'
    )
    assert response.status == 200
    assert response.body == again.body == DOCUMENT.replace(end, end + added)
    assert response.header("content-length") in (None, str(len(response.body)))
    assert response.header("accept-ranges") is None
    if any("ETag" in header for header in shape.headers):
        assert (response.header("etag") or "").startswith('W/"abc-')
    assert count(proxy, "rewritten") == before + 2


JSON = ["Content-Type: application/json"]


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(headers=["Content-Type: text/html"], body=b"<html></html>"), "not_json"),
        (Answer(body=b"<html></html>"), "malformed"),
        (Answer(body=b'{"issuer":"a","issuer":"b"}', chunks=2, trailers=b"X-After: 1\r\n"), "malformed"),
        (Answer(body=DOCUMENT, status="404 Not Found"), "status"),
        (Answer(status="302 Found", headers=["Location: https://other.example/"], body=b""), "status"),
        (Answer(body=DOCUMENT, status="304 Not Modified", headers=['ETag: "abc"']), "status"),
        (Answer(headers=[*JSON, "Content-Encoding: gzip"], body=gzip.compress(DOCUMENT)), "encoded"),
        (Answer(body=DOCUMENT + b" " * 10_000_000), "too_large"),
        # Of more than it keeps, 1 MiB, Envoy itself breaks off what comes at once behind a part that waits.
        (Answer(body=DOCUMENT + b" " * 500_000, chunks=100), "too_large"),
        (Answer(body=DOCUMENT + b" " * 131_072, chunks=1), "too_large"),
        (Answer(body=b""), "no_body"),
    ],
)
def test_what_is_no_document_goes_on_as_it_is(
    proxy: Proxy, server: Server, answer: Answer, outcome: str, protocol: str
) -> None:
    server.answer = answer
    before = count(proxy, outcome)
    with proxy.client(None, protocol) as client:
        response = client.request("GET", PATH)
    expected = b"" if answer.status.startswith("304") else answer.body
    assert str(response.status) == answer.status.split(" ")[0]
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(expected).digest()
    assert count(proxy, outcome) == before + 1


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_document_that_is_broken_off_does_not_come_and_is_counted(
    proxy: Proxy, server: Server, protocol: str
) -> None:
    server.answer = Answer(body=DOCUMENT, missing=1)
    before = count(proxy, "interrupted")
    with pytest.raises(Exception) as broken_off, proxy.client(None, protocol) as client:  # noqa: PT011
        client.request("GET", PATH)
    assert "issuer" not in str(broken_off.value)
    wait_until(lambda: count(proxy, "interrupted") == before + 1, 5, "the count")


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_request_for_the_headers_alone_gets_those_of_the_server(proxy: Proxy, server: Server, protocol: str) -> None:
    server.answer = Answer(body=DOCUMENT, headers=[*JSON, 'ETag: "abc"'])
    before = count(proxy, "no_body")
    with proxy.client(None, protocol) as client:
        response = client.request("HEAD", PATH)
    assert (response.status, response.header("content-length"), response.header("etag")) == (
        200,
        str(len(DOCUMENT)),
        '"abc"',
    )
    assert count(proxy, "no_body") == before + 1


def test_other_paths_and_the_responses_to_clients_are_not_read(proxy: Proxy, server: Server) -> None:
    server.answer = Answer(body=DOCUMENT, headers=[*JSON, 'ETag: "abc"'])
    for path in ("/.well-known/other", "/other", "/"):
        with proxy.client(None) as client:
            response = client.request("GET", path, [("accept-encoding", "gzip")])
        assert response.body == DOCUMENT
        assert response.header("etag") == '"abc"'
        assert server.seen[-1]["accept-encoding"] == "gzip"


def test_the_document_is_json_with_the_aliases_that_clients_use(proxy: Proxy, server: Server) -> None:
    server.answer = Answer(body=DOCUMENT)
    with proxy.client(None) as client:
        document = json.loads(client.request("GET", PATH).body)
    assert document["mtls_endpoint_aliases"] == {"token_endpoint": "https://mtls.auth.bank.com/oauth/token"}
