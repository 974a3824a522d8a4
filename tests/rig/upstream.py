# SPDX-License-Identifier: Apache-2.0
"""An HTTP server behind the proxy, which tells what reached it."""

import base64
import json
import socketserver
import threading
from dataclasses import dataclass, field
from typing import Any

from rig.client import Http1Reader, Message
from rig.local_server import LocalServer


@dataclass(frozen=True)
class Request(Message):
    """A request that reached the server."""

    method: str = field(kw_only=True)
    path: str = field(kw_only=True)
    """The request target as it was on the wire, with the query."""


class Upstream(LocalServer):
    """A plain HTTP/1.1 server that serves many connections.

    It answers every request with 200 and a JSON object: `method`, `path`, `headers` (a list of [name, value], values as
    Latin-1 text, in the order and with the letters of the wire) and `body` (base64).
    """

    def __init__(self) -> None:
        super().__init__(_Connection)
        self._requests: list[Request] = []
        self._begun = 0
        self._lock = threading.Lock()

    @property
    def requests(self) -> list[Request]:
        """The requests that have arrived so far, each before its response left; a list of its own."""
        with self._lock:
            return list(self._requests)

    @property
    def begun(self) -> int:
        """How many requests have begun to arrive, whether or not their end has come."""
        with self._lock:
            return self._begun

    def begin(self) -> None:
        with self._lock:
            self._begun += 1

    def clear(self) -> None:
        """Forgets the requests that have arrived so far."""
        with self._lock:
            self._requests.clear()

    def take(self) -> list[Request]:
        """The requests that have arrived since the last call."""
        with self._lock:
            taken, self._requests = self._requests, []
        return taken

    def keep(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)


class _Connection(socketserver.StreamRequestHandler):
    server: Any
    disable_nagle_algorithm = True

    def handle(self) -> None:
        reader = Http1Reader(self.rfile)
        try:
            while self._serve(reader):
                pass
        except (EOFError, OSError):
            # The proxy closed an idle connection, or gave up on a request.
            pass

    def _serve(self, reader: Http1Reader) -> bool:
        """Answers one request. Returns whether another may follow."""
        start_line, headers = reader.head()
        self.server.owner.begin()
        method, path, _ = start_line.decode("latin-1").split(" ")
        body, trailers = reader.body(headers, until_close=False)
        request = Request(headers, body, trailers=trailers, method=method, path=path)
        self.server.owner.keep(request)
        answer = json.dumps(
            {
                "method": method,
                "path": path,
                "headers": [[name, value.decode("latin-1")] for name, value in headers],
                "body": base64.b64encode(body).decode(),
            }
        ).encode()
        self.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
            + (b"" if method == "HEAD" else answer)
        )
        return (request.header("connection") or "").lower() != "close"
