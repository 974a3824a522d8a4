"""An HTTP server that publishes a key set, rightly or in any wrong way, and counts who asks."""

import http.server
import json
import threading
import time
from collections.abc import Callable
from typing import Any, Self


class _Server(http.server.ThreadingHTTPServer):
    # Many fetches may begin at once, and the usual five refuse the sixth.
    request_queue_size = 128
    daemon_threads = True


class KeyServer:
    """Serves `answers` on 127.0.0.1 without TLS, from entry to exit of its context.

    `answers` maps a path to a function that gives status, headers and body; it may be changed while the server runs.
    """

    def __init__(self, answers: dict[str, Callable[[], tuple[int, dict[str, str], bytes]]]) -> None:
        self.answers = answers
        self.asked: list[tuple[float, str]] = []
        """When (monotonic) which path was asked for."""
        self._server = _Server(("127.0.0.1", 0), self._handler())

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def count(self, path: str = "/jwks") -> int:
        return sum(1 for _, asked in list(self.asked) if asked == path)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((time.monotonic(), self.path))
                status, headers, body = server.answers.get(self.path, lambda: (404, {}, b""))()
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def document(content: Any, max_age: int = 300) -> Callable[[], tuple[int, dict[str, str], bytes]]:
    """The answer with this JSON document, fresh for so many seconds."""
    body = json.dumps(content).encode()
    return lambda: (200, {"content-type": "application/json", "cache-control": f"max-age={max_age}"}, body)
