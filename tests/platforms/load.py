# SPDX-License-Identifier: Apache-2.0
"""Right requests, one after the other on kept connections, while something changes."""

import threading
import time
from collections import Counter
from typing import Self

from rig.client import ConnectionRefusedByPeer

from platforms.requests import Gateway, Token

_CONNECTIONS = 4


class Load:
    """Asks from entry to exit of its context; `statuses` counts what came, with 0 for a request without an answer."""

    def __init__(self, gateway: Gateway, token: Token, path: str) -> None:
        self._gateway, self._headers, self._path = gateway, gateway.headers(token), path
        self._end = threading.Event()
        self._lock = threading.Lock()
        self.statuses: Counter[int] = Counter()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(_CONNECTIONS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._end.is_set():
            try:
                with self._gateway.client() as client:
                    while not self._end.is_set():
                        response = client.request("GET", self._path, headers=self._headers)
                        self._count(response.status)
                        if (response.header("connection") or "").lower() == "close":
                            break
                        time.sleep(0.005)
            except (OSError, ValueError, ConnectionRefusedByPeer):
                self._count(0)

    def _count(self, status: int) -> None:
        with self._lock:
            self.statuses[status] += 1
