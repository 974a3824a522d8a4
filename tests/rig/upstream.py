"""An HTTP server behind the proxy, which tells what reached it."""

import base64
import json
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from rig.client import Http1Reader, Message


@dataclass(frozen=True)
class Request(Message):
    """A request that reached the server."""

    method: str = field(kw_only=True)
    path: str = field(kw_only=True)
    """The request target as it was on the wire, with the query."""


class Upstream:
    """A plain HTTP/1.1 server on 127.0.0.1, from entry to exit of its context; its threads serve many connections.

    It answers every request with 200 and a JSON object: `method`, `path`, `headers` (a list of [name, value], values as
    Latin-1 text, in the order and with the letters of the wire) and `body` (base64).
    """

    def __init__(self) -> None:
        self._requests: list[Request] = []
        self._lock = threading.Lock()
        self._server = _Server(self._keep)

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def requests(self) -> list[Request]:
        """The requests that have arrived so far, each before its answer left; a list of its own."""
        with self._lock:
            return list(self._requests)

    def clear(self) -> None:
        """Forgets the requests that have arrived so far."""
        with self._lock:
            self._requests.clear()

    def _keep(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    # Idle connections of a proxy would hold up the end.
    block_on_close = False
    request_queue_size = 128

    def __init__(self, keep: Callable[[Request], None]) -> None:
        # The kernel's choice of a port, which is held from here on: not free_port, which only names one.
        super().__init__(("127.0.0.1", 0), _Connection)
        self.keep = keep


class _Connection(socketserver.StreamRequestHandler):
    server: _Server
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
        method, path, _ = start_line.decode("latin-1").split(" ")
        body, trailers = reader.body(headers, until_close=False)
        request = Request(headers, body, trailers=trailers, method=method, path=path)
        self.server.keep(request)
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
