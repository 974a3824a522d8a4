# SPDX-License-Identifier: Apache-2.0
"""An authorization server that is asked about opaque tokens (RFC 7662)."""

import json
import urllib.parse
from typing import Any

from rig.local_server import HttpHandler, LocalServer


class IntrospectionServer(LocalServer):
    """Answers with what `tokens` has for a token, and says of every other one that it is not active."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.tokens: dict[str, dict[str, Any]] = {}


class _Handler(HttpHandler):
    def do_POST(self) -> None:
        owner: IntrospectionServer = self.server.owner
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        claims = owner.tokens.get(form["token"][0])
        answer = {"active": True, **claims} if claims else {"active": False}
        self.answer(200, {"content-type": "application/json"}, json.dumps(answer).encode())
