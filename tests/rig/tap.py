# SPDX-License-Identifier: Apache-2.0
"""A listener on the wire between the proxy and a server: it passes every byte on and keeps what the proxy sent."""

import contextlib
import socket
import threading
from typing import Self


class Tap:
    """Accepts connections on 127.0.0.1 and passes them on to `port`, from entry to exit of its context."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._seen = bytearray()
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    def take(self) -> bytes:
        """What the proxy has sent since the last call."""
        with self._lock:
            seen, self._seen = bytes(self._seen), bytearray()
        return seen

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                proxy, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                threading.Thread(target=self._pass_on, args=(proxy, server, True), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, proxy, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, keep: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if keep:
                    with self._lock:
                        self._seen += data
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
