# SPDX-License-Identifier: Apache-2.0
"""Streams that outlive their token: WebSockets, gRPC, downloads, with clients and servers of the field."""

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
import websockets.exceptions
import websockets.sync.client
import websockets.sync.server
import yaml

from cases import World, envoy_configuration
from rig import shipped, tokens
from rig.client import Client
from rig.envoy import Envoy
from rig.key_server import KeyServer
from rig.ports import free_port
from rig.process import wait_until

LEEWAY = 1
LIFETIME = 3
HTTP = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


class Api:
    def __init__(self, world: World, envoy: Envoy, port: int) -> None:
        self.world, self.envoy, self.port = world, envoy, port

    def token(self, name: str) -> tuple[str, int]:
        """A token, and when it expires."""
        expires = int(time.time()) + LIFETIME
        claims = self.world.claims(self.world.client_1, exp=expires, sub=name)
        return tokens.sign(self.world.keys["ES256"], claims), expires

    def told(self) -> list[str]:
        return [line for line in self.envoy.log().splitlines() if "certbound={" in line]


@contextlib.contextmanager
def running(world: World, directory: Path, upstream: int, at_expiry: str, *, http2: bool = False) -> Iterator[Api]:
    listener = free_port()
    configuration = envoy_configuration(
        "resource-server", world, listener=listener, upstream=upstream, admin=free_port()
    )
    policy = shipped.plugin(configuration)["configuration"]["value"]["policies"]["api"]["resource_server"]
    policy |= {"at_expiry": at_expiry, "leeway_seconds": LEEWAY}
    shipped.manager(configuration)["upgrade_configs"] = [{"upgrade_type": "websocket"}]
    if http2:
        for cluster in configuration["static_resources"]["clusters"]:
            options: dict[str, Any] = {"@type": HTTP, "explicit_http_config": {"http2_protocol_options": {}}}
            cluster["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
    with Envoy(yaml.safe_dump(configuration), directory, name="streams") as envoy:
        yield Api(world, envoy, listener)


def outlived(api: Api) -> None:
    """It is counted within two seconds."""
    wait_until(lambda: 'certbound_outlived_tokens_total{policy="api"} 1\n' in api.envoy.admin("/stats/prometheus"), 5, "it")


def ended(began_to_expire: int) -> None:
    """Now is when a stream is ended: not before the leeway is over, and not long after."""
    assert 0 <= time.time() - began_to_expire - LEEWAY < 4


@contextlib.contextmanager
def websocket_server() -> Iterator[int]:
    def echo(connection: websockets.sync.server.ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with websockets.sync.server.serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("at_expiry", ["count", "end"])
def test_a_websocket(world: World, tmp_path: Path, at_expiry: str) -> None:
    context = ssl.create_default_context(cafile=str(world.authority.pem_path))
    context.load_cert_chain(world.client_1.certificate_path, world.client_1.key_path)
    with websocket_server() as upstream, running(world, tmp_path, upstream, at_expiry) as api:
        token, expires = api.token("websocket")
        with websockets.sync.client.connect(
            f"wss://localhost:{api.port}/", ssl=context, additional_headers={"authorization": f"Bearer {token}"}
        ) as client:
            client.send("before")
            assert client.recv(5) == "before"
            if at_expiry == "end":
                with pytest.raises(websockets.exceptions.ConnectionClosedError):
                    client.recv(10)
                ended(expires)
            else:
                time.sleep(max(0.0, expires + LEEWAY + 2 - time.time()))
                client.send("after")
                assert client.recv(5) == "after"
            outlived(api)
        if at_expiry == "end":
            wait_until(lambda: '"reason":"token_expired"' in "".join(api.told()), 5, "the access log")
            assert "it expired while the request was in flight" in api.envoy.log()


@contextlib.contextmanager
def grpc_server() -> Iterator[int]:
    """One method that sends a message ten times a second, as long as anybody listens."""

    def count(_: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(1000):
            if not context.is_active():
                return
            yield str(number).encode()
            time.sleep(0.1)

    handler = grpc.method_handlers_generic_handler("test.Clock", {"Count": grpc.unary_stream_rpc_method_handler(count)})
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None)


@pytest.mark.parametrize("at_expiry", ["count", "end"])
def test_a_grpc_stream(world: World, tmp_path: Path, at_expiry: str) -> None:
    certificate, key = world.client_1.certificate_path.read_bytes(), world.client_1.key_path.read_bytes()
    credentials = grpc.ssl_channel_credentials(world.authority.pem_path.read_bytes(), key, certificate)
    with grpc_server() as upstream, running(world, tmp_path, upstream, at_expiry, http2=True) as api:
        token, expires = api.token("grpc")
        with grpc.secure_channel(f"localhost:{api.port}", credentials) as channel:
            call = channel.unary_stream("/test.Clock/Count")(
                b"", metadata=[("authorization", f"Bearer {token}")], timeout=20
            )
            if at_expiry == "end":
                with pytest.raises(grpc.RpcError) as raised:
                    for _ in call:
                        pass
                ended(expires)
                assert raised.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
            else:
                for _ in call:
                    if time.time() > expires + LEEWAY + 2:
                        break
                assert call.is_active()
                outlived(api)
                call.cancel()
            outlived(api)


@pytest.mark.parametrize("at_expiry", ["count", "end"])
def test_a_request_that_no_response_has_come_to(world: World, tmp_path: Path, at_expiry: str) -> None:
    """The client of one that is ended is told why."""
    released = threading.Event()

    def slowly() -> tuple[int, dict[str, str], bytes]:
        released.wait(20)
        return 200, {}, b"done"

    with KeyServer({"/": slowly}) as upstream, running(world, tmp_path, upstream.port, at_expiry) as api:
        token, expires = api.token("slow")
        with Client(api.port, ca_path=world.authority.pem_path, certificate=world.client_1) as client:
            timer = threading.Timer(LIFETIME + LEEWAY + 3, released.set)
            timer.start()
            try:
                response = client.request("GET", "/", headers=[("authorization", f"Bearer {token}")])
            finally:
                released.set()
                timer.cancel()
        if at_expiry == "end":
            ended(expires)
            assert response.status == 401
            assert 'error="invalid_token"' in (response.header("www-authenticate") or "")
        else:
            assert (response.status, response.body) == (200, b"done")
        outlived(api)
