# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that publishes a key set, rightly or in any wrong way, and counts who asks."""

import json
import time
from collections.abc import Callable
from typing import Any

from rig.local_server import HttpHandler, LocalServer


class KeyServer(LocalServer):
    """Serves `answers`, which maps a path to a function that gives status, headers and body, and may be changed at any
    time."""

    def __init__(self, answers: dict[str, Callable[[], tuple[int, dict[str, str], bytes]]]) -> None:
        super().__init__(_Handler)
        self.answers = answers
        self.asked: list[tuple[float, str]] = []
        """When (monotonic) which path was asked for."""

    def count(self, path: str = "/jwks") -> int:
        return sum(1 for _, asked in list(self.asked) if asked == path)


class _Handler(HttpHandler):
    def do_GET(self) -> None:
        owner: KeyServer = self.server.owner
        owner.asked.append((time.monotonic(), self.path))
        self.answer(*owner.answers.get(self.path, lambda: (404, {}, b""))())


def document(content: Any, max_age: int = 300) -> Callable[[], tuple[int, dict[str, str], bytes]]:
    """The response with this JSON document, fresh for so many seconds."""
    body = json.dumps(content).encode()
    return lambda: (200, {"content-type": "application/json", "cache-control": f"max-age={max_age}"}, body)
