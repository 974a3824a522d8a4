# SPDX-License-Identifier: Apache-2.0
"""A server that certbound asks, for keys or about tokens, and that fails in every way that servers fail in."""

import json
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import parse_qs

from rig.local_server import HttpHandler, LocalServer
from rig.ports import free_port
from rig.scripted_server import Answer

Fault = Literal["dies", "hangs", "stalls", "garbage"]
"""Nobody listens; no response comes; none comes to its end; what comes is no valid response."""
FAULTS: tuple[Fault, ...] = ("dies", "hangs", "stalls", "garbage")

_LONGEST = 30
"""Seconds for which a request is held: more than anybody waits."""


def document(content: Any) -> Answer:
    # Each connection ends with its response, and a proxy that does not know would use it again.
    headers = ["Content-Type: application/json", "Cache-Control: max-age=86400", "Connection: close"]
    return Answer(headers=headers, body=json.dumps(content).encode())


class Server(LocalServer):
    """Answers what `answer` makes of a path and a form."""

    def __init__(self, answer: Callable[[str, dict[str, str]], Answer]) -> None:
        # A port that is named stays bound while nobody listens, so nobody else gets it.
        super().__init__(_Handler, free_port())
        # Old connections of the port do not keep it from listening again.
        self._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.answer = answer
        self.fault: Fault | None = None
        self.served: list[tuple[float, str]] = []
        """When (monotonic) which path was answered as it should be."""
        self._over = threading.Event()
        self._chance = random.Random(0)

    def fail(self, fault: Fault) -> None:
        self._over.clear()
        self.fault = fault
        if fault == "dies":
            self._server.shutdown()
            self._thread.join()
            self._server.socket.shutdown(socket.SHUT_RDWR)

    def recover(self) -> None:
        fault, self.fault = self.fault, None
        self._over.set()
        if fault == "dies":
            self._server.socket.listen(128)
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
            self._thread.start()

    def has_served(self, path: str, since: float) -> bool:
        return any(when >= since and served == path for when, served in list(self.served))

    def wire(self, path: str, form: dict[str, str]) -> tuple[bytes, bool]:
        """What goes over the wire now, and whether nothing more does until the fault is over."""
        fault, good = self.fault, self.answer(path, form)
        if fault == "hangs":
            return b"", True
        if fault == "stalls":
            # Sometimes the body breaks off, sometimes the head does.
            whole = good.wire("GET")
            return whole[: self._chance.randrange(10, len(whole) - 1)], True
        if fault == "garbage":
            return self._chance.choice(garbage(good)), False
        self.served.append((time.monotonic(), path))
        return good.wire("GET"), False

    def wait_until_over(self) -> None:
        self._over.wait(_LONGEST)


def garbage(good: Answer) -> list[bytes]:
    """Responses that must not be believed, with what a good one would say in each that has room for it."""
    body, json_type = good.body, ["Content-Type: application/json"]
    answers = [
        Answer("500 Internal Server Error", body=body),
        Answer("503 Service Unavailable", body=body),
        Answer("404 Not Found", body=body),
        Answer("302 Found", [*json_type, "Location: http://127.0.0.1/"], body),
        Answer("307 Temporary Redirect", [*json_type, "Location: http://127.0.0.1/"], body),
        Answer("401 Unauthorized", [*json_type, 'WWW-Authenticate: Basic realm="x"'], body),
        Answer(headers=["Content-Type: text/html"], body=b"<html>Please sign in</html>"),
        Answer(body=b""),
        Answer(body=body[:-1]),
        Answer(body=body, missing=1000),
        Answer(body=body.replace(b"{", b'{"x": "' + b"x" * 300_000 + b'", ', 1)),
        Answer(body=body.replace(b"{", b'{"x": "\xff", ', 1)),
        Answer(body=body + body),
        Answer(body=b'{"active": false, "active": true}'),
        Answer(body=b'{"active": "true", "keys": "none"}'),
        Answer(body=b"[" * 60_000),
        Answer(body=b"null"),
    ]
    return [answer.wire("GET") for answer in answers] + [b"This is no HTTP.\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"]


class _Handler(HttpHandler):
    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self._answer({name: value for name, (value,) in parse_qs(body, strict_parsing=True).items()})

    def _answer(self, form: dict[str, str]) -> None:
        owner: Server = self.server.owner
        data, waits = owner.wire(self.path, form)
        try:
            self.wfile.write(data)
            if waits:
                owner.wait_until_over()
        except OSError:
            pass
