# SPDX-License-Identifier: Apache-2.0
"""What the rig's own servers have in common."""

import contextlib
import http.server
import socketserver
import threading
from collections.abc import Mapping
from typing import Any, Self


class LocalServer:
    """Serves on 127.0.0.1 without TLS, from entry to exit of its context, each connection in a thread of its own.

    The handler finds this object as `self.server.owner`.
    """

    def __init__(self, handler: type[socketserver.BaseRequestHandler], port: int = 0) -> None:
        # 0 is the kernel's choice of a port, which is held from here on: not free_port, which only names one.
        self._server = _Server(("127.0.0.1", port), handler)
        self._server.owner = self

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    owner: LocalServer
    daemon_threads = True
    # Idle connections of a proxy would hold up the end.
    block_on_close = False
    # Many may connect at once, and the usual five refuse the sixth.
    request_queue_size = 128


class HttpHandler(http.server.BaseHTTPRequestHandler):
    """Takes one request of a connection, and says nothing of it on the terminal."""

    server: Any

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        with contextlib.suppress(OSError):
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
