# SPDX-License-Identifier: Apache-2.0
"""An HTTP/1.1 server behind a proxy that keeps the head of each request as it was on the wire, byte for byte."""

import contextlib
import re
import socket
import socketserver
import threading
from dataclasses import dataclass
from typing import Any

from rig.local_server import LocalServer

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@dataclass(frozen=True)
class Head:
    """The first line of a request and the lines of its fields, without the CR LF that ends each. Nothing is folded,
    split, stripped or lower-cased."""

    start: bytes
    lines: tuple[bytes, ...]

    def named(self, *names: str) -> list[bytes]:
        """The lines of the fields of these names, in these very letters, in their order."""
        return [line for line in self.lines if line.partition(b":")[0] in {name.encode() for name in names}]

    def except_for(self, *names: str) -> list[bytes]:
        """The lines of all other fields; these names stand for any letters."""
        return [line for line in self.lines if line.partition(b":")[0].lower() not in {name.encode() for name in names}]


class Recorder(LocalServer):
    """Answers every request with 200, and one for an upgrade with 101."""

    def __init__(self) -> None:
        super().__init__(_Connection)
        self._heads: list[Head] = []
        self._lock = threading.Lock()

    def keep(self, head: Head) -> None:
        with self._lock:
            self._heads.append(head)

    def take(self) -> list[Head]:
        """The requests that have come since the last call; each is here before its response leaves."""
        with self._lock:
            taken, self._heads = self._heads, []
        return taken


class _Connection(socketserver.BaseRequestHandler):
    server: Any
    request: socket.socket

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            unread = b""
            while True:
                while b"\r\n\r\n" not in unread:
                    if not (data := self.request.recv(65536)):
                        return
                    unread += data
                head, _, unread = unread.partition(b"\r\n\r\n")
                start, *lines = head.split(b"\r\n")
                self.server.owner.keep(Head(start, tuple(lines)))
                # The tests send no chunked bodies.
                length = int(found[1]) if (found := re.search(rb"(?im)^content-length: *(\d+)\r?$", head)) else 0
                while len(unread) < length:
                    if not (data := self.request.recv(65536)):
                        return
                    unread += data
                unread = unread[length:]
                if re.search(rb"(?im)^upgrade: *websocket\r?$", head):
                    self.request.sendall(_UPGRADED)
                    return
                self.request.sendall(_ANSWER)
