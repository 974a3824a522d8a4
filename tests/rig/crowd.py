# SPDX-License-Identifier: Apache-2.0
"""Many clients at once, and the one beside them that wants to know nothing of it."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from rig.client import Client, ConnectionRefusedByPeer, Fields, Response, Text

_AT_ONCE = 8
"""Handshakes."""


class Crowd:
    """Connections that are opened on entry and closed on exit of the context, each for so many requests at once."""

    def __init__(self, connections: int, each: int, connect: Callable[[], Client]) -> None:
        """`connect` gives a client that is not connected yet; with HTTP/1.1 `each` is 1."""
        self._connect, self._count, self._each = connect, connections, each
        self._clients: list[Client] = []

    def __enter__(self) -> Self:
        self.fill()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def fill(self) -> None:
        """Opens the connections that are missing."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            self._clients += pool.map(lambda _: self._connect().__enter__(), range(self._count - len(self._clients)))

    def leave(self) -> None:
        """Ends all connections, whatever they wait for."""
        for client in self._clients:
            client.close()
        self._clients = []

    def begin(self, requests: Sequence[tuple[Text, Text, Sequence[tuple[Text, Text]], bytes]]) -> None:
        """Sends so many requests as the crowd has room for: method, path, headers and body."""
        for number, client in enumerate(self._clients):
            client.begin(requests[number * self._each : (number + 1) * self._each])

    def finish(self, seconds: float) -> list[Response | None]:
        """What came back within so many seconds, None in place of what did not. Connections that cannot be used again are
        missing from now on."""
        deadline = time.monotonic() + seconds
        answers, kept = [], []
        for client in self._clients:
            found = client.finish(max(0.0, deadline - time.monotonic()))
            if all(answer and answer.header("connection") != "close" for answer in found):
                kept.append(client)
            else:
                client.close()
            answers += found
        self._clients = kept
        return answers


class Bystander:
    """Asks the same all the while, on a connection of its own, from entry to exit of the context."""

    def __init__(self, connect: Callable[[], Client], path: str, headers: Sequence[tuple[Text, Text]] = ()) -> None:
        self._connect, self._path, self._headers = connect, path, headers
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._seen: list[tuple[int, float]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def take(self) -> list[tuple[int, float]]:
        """The statuses since the last call, and how many seconds each took; 0 where the connection ended."""
        with self._lock:
            taken, self._seen = self._seen, []
        return taken

    def _ask(self) -> None:
        while not self._stopped.wait(0.005):
            began = time.monotonic()
            try:
                with self._connect() as client:
                    while not self._stopped.wait(0.005):
                        began = time.monotonic()
                        self._keep(client.request("GET", self._path, self._headers).status, began)
            except (ConnectionRefusedByPeer, OSError):
                self._keep(0, began)

    def _keep(self, status: int, began: float) -> None:
        with self._lock:
            self._seen.append((status, time.monotonic() - began))
