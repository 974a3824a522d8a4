# SPDX-License-Identifier: Apache-2.0
"""An HTTP server behind the proxy that answers as it is told, rightly or not."""

import socketserver
import time
from dataclasses import dataclass, field
from typing import Any

from rig.client import Http1Reader
from rig.local_server import LocalServer


@dataclass
class Answer:
    """What the server says next."""

    status: str = "200 OK"
    headers: list[str] = field(default_factory=lambda: ["Content-Type: application/json"])
    body: bytes = b""
    chunks: int = 0
    """In how many chunks; 0 with a length."""
    trailers: bytes = b""
    missing: int = 0
    """How many bytes of the body never come: the server goes away instead."""
    stalls: float = 0
    """How many seconds it stays before it goes away."""
    silent: bool = False
    """It goes away without a word."""

    def wire(self, method: str) -> bytes:
        bodiless = method == "HEAD" or self.status.startswith("304")
        head = [f"HTTP/1.1 {self.status}", *self.headers]
        if not self.chunks:
            head.append(f"Content-Length: {len(self.body) + self.missing}")
            body = self.body
        else:
            head.append("Transfer-Encoding: chunked")
            size = -(-len(self.body) // self.chunks)
            pieces = [self.body[start : start + size] for start in range(0, len(self.body), size)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            body += b"0\r\n" + self.trailers + b"\r\n"
        return "\r\n".join(head).encode() + b"\r\n\r\n" + (b"" if bodiless else body)


class Server(LocalServer):
    """An HTTP/1.1 server that says what it is told to."""

    def __init__(self) -> None:
        super().__init__(_Connection)
        self.answer = Answer()
        self.seen: list[dict[str, str]] = []


class _Connection(socketserver.StreamRequestHandler):
    server: Any

    def handle(self) -> None:
        owner: Server = self.server.owner
        reader = Http1Reader(self.rfile)
        try:
            while True:
                line, headers = reader.head()
                reader.body(headers, until_close=False)
                owner.seen.append({name.lower(): value.decode("latin-1") for name, value in headers})
                answer = owner.answer
                if answer.silent:
                    break
                self.wfile.write(answer.wire(line.split(b" ")[0].decode()))
                if answer.missing:
                    time.sleep(answer.stalls)
                    break
        except (EOFError, OSError):
            pass
