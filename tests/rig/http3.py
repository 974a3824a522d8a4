# SPDX-License-Identifier: Apache-2.0
"""A client over QUIC for tests that decide on every byte: HTTP/3 without any checks."""

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamReset
from aioquic.tls import SessionTicket

from rig.certificates import Certificate
from rig.client import TIME_LIMIT, ConnectionRefusedByPeer, Fields, Response, Text

Request = tuple[Text, Text, Iterable[tuple[Text, Text]], bytes, Iterable[tuple[Text, Text]]]
"""Method, path, headers, body and trailers."""


class Http3Client:
    """One QUIC connection to 127.0.0.1:`port`, opened on entry and closed on exit of its context."""

    def __init__(
        self,
        port: int,
        *,
        ca_path: Path | str,
        certificate: Certificate | None = None,
        ticket: SessionTicket | None = None,
    ) -> None:
        """Says how to connect, and does not yet. `ticket` offers to resume a session, and what is asked first is then
        early data."""
        configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="localhost")
        configuration.load_verify_locations(str(ca_path))
        if certificate:
            configuration.load_cert_chain(certificate.certificate_path, certificate.key_path)
        configuration.session_ticket = ticket
        self.tickets: list[SessionTicket] = []
        """What the server has offered to resume this session by."""
        self.resumed = False
        """Whether the server resumed the session that was offered."""
        self._address = ("127.0.0.1", port)
        self._quic = QuicConnection(configuration=configuration, session_ticket_handler=self.tickets.append)
        self._http: H3Connection | None = None
        self._answers: dict[int, _Answer] = {}
        self._connected = False
        self._is_early = ticket is not None

    def __enter__(self) -> Self:
        """Connects. Raises ConnectionRefusedByPeer when the peer refuses the handshake."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(self._address)
        try:
            self._quic.connect(self._address, now=time.monotonic())
            self._http = H3Connection(self._quic)
            if not self._is_early:
                self._until(lambda: self._connected)
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._quic.close()
        self._flush()
        self._socket.close()

    def request(
        self,
        method: Text,
        path: Text,
        headers: Iterable[tuple[Text, Text]] = (),
        body: bytes = b"",
        trailers: Iterable[tuple[Text, Text]] = (),
    ) -> Response:
        """Sends a request and returns its response. Raises ConnectionRefusedByPeer when the peer ends the connection or the
        stream before it, and TimeoutError when it does nothing for 10 seconds."""
        return self.requests([(method, path, headers, body, trailers)])[0]

    def requests(self, requests: Iterable[Request], *, piece: int | None = None) -> list[Response]:
        """Sends requests at once, each on a stream of its own, bodies in turn in pieces of so many bytes. Their responses."""
        streams = [self._open(*request, piece) for request in requests]
        for pending in _in_turn([pieces for _, pieces in streams]):
            pending()
            self._flush()
        self._until(lambda: all(self._answers[stream].complete for stream, _ in streams))
        return [self._answers[stream].response() for stream, _ in streams]

    def _open(
        self,
        method: Text,
        path: Text,
        headers: Iterable[tuple[Text, Text]],
        body: bytes,
        trailers: Iterable[tuple[Text, Text]],
        piece: int | None,
    ) -> tuple[int, list[Callable[[], None]]]:
        """Sends the headers of a request. Its stream, and what sends the rest, one step after the other."""
        stream = self._quic.get_next_available_stream_id()
        self._answers[stream] = _Answer()
        pseudo = {":method": method, ":scheme": "https", ":authority": "localhost", ":path": path}
        fields = [(_bytes(name), _bytes(value)) for name, value in (*pseudo.items(), *headers)]
        last = [(_bytes(name), _bytes(value)) for name, value in trailers]
        parts = [body[at : at + (piece or len(body))] for at in range(0, len(body), piece or len(body) or 1)]
        # A stream's number is taken only when something is sent on it.
        self._http.send_headers(stream, fields, end_stream=not parts and not last)
        steps = []
        for number, part in enumerate(parts, start=1):
            end = number == len(parts) and not last
            steps.append(lambda part=part, end=end: self._http.send_data(stream, part, end_stream=end))
        if last:
            steps.append(lambda: self._http.send_headers(stream, last, end_stream=True))
        return stream, steps

    def _until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIME_LIMIT
        while True:
            self._flush()
            if done():
                return
            now = time.monotonic()
            if now > deadline:
                raise TimeoutError
            timer = self._quic.get_timer()
            self._socket.settimeout(max(0.001, min(deadline, timer or deadline) - now))
            try:
                self._quic.receive_datagram(self._socket.recv(65536), self._address, now=time.monotonic())
            except TimeoutError:
                self._quic.handle_timer(now=time.monotonic())
            except ConnectionRefusedError:
                raise ConnectionRefusedByPeer("nobody listens") from None
            self._take()

    def _take(self) -> None:
        while (event := self._quic.next_event()) is not None:
            match event:
                case HandshakeCompleted():
                    self._connected, self.resumed = True, event.session_resumed
                case ConnectionTerminated():
                    raise ConnectionRefusedByPeer(event.reason_phrase or f"error {event.error_code:#x}")
                case StreamReset(stream_id=stream) if stream in self._answers:
                    self._answers[stream].reset(event.error_code)
            for received in self._http.handle_event(event) if self._http else ():
                if isinstance(received, HeadersReceived | DataReceived) and received.stream_id in self._answers:
                    self._answers[received.stream_id].take(received)

    def _flush(self) -> None:
        for data, _ in self._quic.datagrams_to_send(now=time.monotonic()):
            self._socket.send(data)


class _Answer:
    """What has come so far in answer to the request of one stream."""

    def __init__(self) -> None:
        self._fields: list[Fields] = []
        self._body = b""
        self._error: int | None = None
        self.complete = False

    def take(self, event: HeadersReceived | DataReceived) -> None:
        if isinstance(event, DataReceived):
            self._body += event.data
        else:
            self._fields.append([(name.decode("latin-1"), value) for name, value in event.headers])
        self.complete = self.complete or event.stream_ended

    def reset(self, code: int) -> None:
        if not self.complete:
            self._error, self.complete = code, True

    def response(self) -> Response:
        if self._error is not None:
            raise ConnectionRefusedByPeer(f"stream reset: {self._error:#x}")
        headers, *trailers = self._fields
        status = int(dict(headers)[":status"])
        rest = [(name, value) for name, value in headers if not name.startswith(":")]
        return Response(rest, self._body, trailers=trailers[0] if trailers else (), status=status)


def _in_turn(sequences: list[list[Callable[[], None]]]) -> Iterator[Callable[[], None]]:
    """The first of each, then the second of each, and so on."""
    for place in range(max(map(len, sequences))):
        yield from (sequence[place] for sequence in sequences if place < len(sequence))


def _bytes(text: Text) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
