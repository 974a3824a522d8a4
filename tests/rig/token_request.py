# SPDX-License-Identifier: Apache-2.0
"""Requests to a token endpoint: the ways in which a form comes, and how one is refused."""

from rig.client import Client, Response

FORM = ("content-type", "application/x-www-form-urlencoded")
WAYS = ("headers_wait", "headers_leave")
"""Whether the proxy keeps the headers back until the body is judged (`request_body`)."""


def in_chunks(client: Client, *pieces: bytes, headers: bytes = b"", trailers: bytes = b"") -> Response:
    """A chunked request, each piece in a write of its own."""
    form = b"Content-Type: application/x-www-form-urlencoded\r\n"
    client.send(b"POST /token HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" + form + headers + b"\r\n")
    for piece in pieces:
        client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    client.send(b"0\r\n" + trailers + b"\r\n")
    return client.receive("POST")


def is_refused(response: Response, error: str) -> bool:
    return (response.status, response.json()["error"], response.all("cache-control")) == (400, error, ["no-store"])
