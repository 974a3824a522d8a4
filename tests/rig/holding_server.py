# SPDX-License-Identifier: Apache-2.0
"""An authorization server that has everybody wait for its response, until it is told what to say."""

import socket
import threading
import time
from collections.abc import Mapping
from urllib.parse import parse_qs

from rig.local_server import HttpHandler, LocalServer

Answer = tuple[int, Mapping[str, str], bytes]

RESET: Answer = (0, {}, b"")
"""The connection is reset."""

_LONGEST = 40
"""Seconds: more than any client waits."""


class HoldingServer(LocalServer):
    """What is asked about is the path of a GET, and of a POST the part of the form's `token` before its last dot."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self._answers: dict[str, Answer] = {}
        self._held: dict[str, list[float]] = {}
        self._change = threading.Condition()
        self._fillers: list[socket.socket] = []

    def release(self, what: str, answer: Answer) -> None:
        """Answers so whoever asks about this and whoever will."""
        with self._change:
            self._answers[what] = answer
            self._change.notify_all()

    def hold(self, what: str) -> None:
        """Has whoever asks about this wait again."""
        with self._change:
            del self._answers[what]

    def holds(self, what: str, *, at_most: float = _LONGEST) -> int:
        """How many wait for the response about this, for no longer than so many seconds yet."""
        with self._change:
            return sum(time.monotonic() - since < at_most for since in self._held.get(what, []))

    def answer_about(self, what: str) -> Answer:
        with self._change:
            since = time.monotonic()
            self._held.setdefault(what, []).append(since)
            self._change.wait_for(lambda: what in self._answers, _LONGEST)
            self._held[what].remove(since)
            return self._answers.get(what, RESET)

    def bar(self) -> None:
        """Has whoever connects from now on wait at the door: neither let in nor turned away before `leave`."""
        self._server.shutdown()
        # Linux drops who comes while the queue is full, and who came comes again after a second.
        self._server.socket.listen(0)
        while True:
            filler = socket.socket()
            self._fillers.append(filler)
            filler.settimeout(0.2)
            try:
                filler.connect(("127.0.0.1", self.port))
            except TimeoutError:
                return

    def leave(self) -> None:
        """Turns away whoever connects from now on, or waits at the door."""
        self._server.server_close()
        for filler in self._fillers:
            filler.close()


class _Handler(HttpHandler):
    def do_GET(self) -> None:
        self._answer(self.path)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode(), strict_parsing=True)
        self._answer(form["token"][0].rpartition(".")[0])

    def _answer(self, what: str) -> None:
        status, headers, body = self.server.owner.answer_about(what)
        if status:
            self.answer(status, headers, body)
        else:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.close()
