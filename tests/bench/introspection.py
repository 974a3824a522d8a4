"""An authorization server that is asked about opaque tokens (RFC 7662)."""

import http.server
import json
import threading
import urllib.parse
from typing import Any, Self


class IntrospectionServer:
    """Answers on 127.0.0.1 without TLS, from entry to exit of its context, with what `tokens` has for a token, and
    says of every other one that it is not active."""

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        server = self

        class Question(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                claims = server.tokens.get(form["token"][0])
                body = json.dumps({"active": True, **claims} if claims else {"active": False}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        http.server.ThreadingHTTPServer.daemon_threads = True
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Question)

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
