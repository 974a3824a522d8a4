# SPDX-License-Identifier: Apache-2.0
"""A client over TLS for tests that decide on every byte: HTTP/1.1 written by hand, HTTP/2 without any checks."""

import contextlib
import json
import select
import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from rig.certificates import Certificate

Text = str | bytes
"""Bytes as they are; a str stands for its Latin-1 bytes, one for each character."""
Fields = Sequence[tuple[str, bytes]]
"""Header or trailer fields in the order of arrival, the names as they were sent, the values in bytes."""

TIME_LIMIT = 10
"""Seconds that one operation on a socket may take; TimeoutError after that."""


_GOAWAY = 7


class ConnectionRefusedByPeer(Exception):
    """The peer ended the connection or the stream: by a TLS alert, by closing, or by an HTTP/2 error.

    `reason` is OpenSSL's name of the alert (`TLSV13_ALERT_CERTIFICATE_REQUIRED`), the HTTP/2 error code's name after
    `stream reset: ` or `connection ended: `, or a sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Message:
    """What a request and a response have in common."""

    headers: Fields
    body: bytes
    trailers: Fields = field(default=(), kw_only=True)

    def header(self, name: str) -> str | None:
        """The value of the first field of that name, in any case of letters, as Latin-1; None when there is none."""
        return next(iter(self.all(name)), None)

    def all(self, name: str) -> list[str]:
        """The values of all fields of that name, in any case of letters, in order, as Latin-1."""
        return [value.decode("latin-1") for each, value in self.headers if each.lower() == name.lower()]

    def json(self) -> Any:
        """The body read as JSON. Raises ValueError when it is not."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Response(Message):
    """A complete response, after any informational (1xx) ones."""

    status: int = field(kw_only=True)


@dataclass(frozen=True)
class TlsSession:
    """What a later client needs to resume a TLS session."""

    session: ssl.SSLSession
    context: ssl.SSLContext
    """OpenSSL takes a session back only in the context that it comes from."""
    certificate: Certificate | None


class Client:
    """One TLS connection to `host`:`port`, opened on entry and closed on exit of its context, for requests in turn."""

    def __init__(
        self,
        port: int,
        *,
        ca_path: Path | str,
        authority: str = "localhost",
        certificate: Certificate | None = None,
        protocol: Literal["http/1.1", "h2"] = "http/1.1",
        tls_session: TlsSession | None = None,
        host: str = "127.0.0.1",
        server_name: str | None = None,
        minimum_version: ssl.TLSVersion | None = None,
        maximum_version: ssl.TLSVersion | None = None,
    ) -> None:
        """Says how to connect, and does not yet.

        `authority` is what requests name as their host. The server must have a certificate of the authority in
        `ca_path` for `server_name`, which is also sent (SNI) and without which it is `authority` less its port.
        `protocol` is the one offered by ALPN. `tls_session` offers to resume that session; the connection then has the
        trust and the versions of the one that the session comes from, whatever is given here. Its certificate too, unless
        `certificate` is another one: the client has renewed it since.
        """
        self._address = (host, port)
        self._authority = authority
        self._server_name = server_name or authority.rpartition("]")[0].strip("[") or authority.partition(":")[0]
        self._certificate = certificate or (tls_session.certificate if tls_session else None)
        self._protocol = protocol
        self._offered_session = tls_session.session if tls_session else None
        self._context = tls_session.context if tls_session else _context(ca_path, certificate)
        if not tls_session:
            if minimum_version:
                self._context.minimum_version = minimum_version
            if maximum_version:
                self._context.maximum_version = maximum_version
        elif certificate and certificate != tls_session.certificate:
            self._context.load_cert_chain(certificate.certificate_path, certificate.key_path)
        self._context.set_alpn_protocols([protocol])
        self._socket: ssl.SSLSocket | None = None
        self._stream: BinaryIO | None = None
        self._http2: h2.connection.H2Connection | None = None
        self._unfinished_frame = b""
        self._end: tuple[int, int] | None = None
        self._begun: list[bytes | _Http2Answer] = []

    def __enter__(self) -> Self:
        """Connects.

        Raises ConnectionRefusedByPeer when the peer refuses the handshake (with TLS 1.3 that may show only at the first
        request), ssl.SSLError when this side does, and OSError when there is nobody to connect to.
        """
        connection = socket.create_connection(self._address, timeout=TIME_LIMIT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket = self._context.wrap_socket(
                connection, server_hostname=self._server_name, session=self._offered_session
            )
        except OSError as error:
            connection.close()
            raise _refusal(error) or error from None
        if self._protocol == "h2":
            if self._socket.selected_alpn_protocol() != "h2":
                self.close()
                raise ConnectionRefusedByPeer("the server does not speak HTTP/2")
            # Nothing that a test wants to send is refused or put right on this side.
            self._http2 = h2.connection.H2Connection(
                h2.config.H2Configuration(
                    client_side=True,
                    header_encoding=False,
                    validate_outbound_headers=False,
                    normalize_outbound_headers=False,
                    validate_inbound_headers=False,
                    normalize_inbound_headers=False,
                )
            )
            self._http2.initiate_connection()
        else:
            self._stream = self._socket.makefile("rb")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; a second time does nothing."""
        if self._stream:
            self._stream.close()
        if self._socket:
            self._socket.close()

    @property
    def tls_version(self) -> str:
        """`TLSv1.2` or `TLSv1.3`."""
        return self._socket.version()

    @property
    def resumed(self) -> bool:
        """Whether the server resumed the session that was offered."""
        return bool(self._socket.session_reused)

    @property
    def tls_session(self) -> TlsSession | None:
        """What to give a later client to resume this session; None when the server has offered nothing to resume by.

        With TLS 1.3 a server offers it after the handshake, so make a request first.
        """
        session = self._socket.session
        resumable = session and (session.has_ticket or (session.id and self.tls_version != "TLSv1.3"))
        return TlsSession(session, self._context, self._certificate) if resumable else None

    largest_piece: int | None = None
    """The largest piece of a body in one frame of HTTP/2, where that shall be smaller than it must."""

    def request(
        self,
        method: Text,
        path: Text,
        headers: Iterable[tuple[Text, Text]] = (),
        body: bytes = b"",
        trailers: Iterable[tuple[Text, Text]] | None = None,
    ) -> Response:
        """Sends a request and returns its response.

        Fields go out as given, in order, after those which HTTP needs. Of these, HTTP/1.1 has `Host` and, for a body,
        `Content-Length` (with trailers, even an empty list of them, `Transfer-Encoding: chunked`), HTTP/2 `:method`,
        `:path`, `:scheme` and `:authority`; whichever of them `headers` names itself is not added.

        Raises ConnectionRefusedByPeer when the peer ends the connection or the stream before the response is complete,
        TimeoutError when it does nothing for 10 seconds, and ValueError when what it says is no HTTP.
        """
        fields = _encode_fields(headers)
        last_fields = None if trailers is None else _encode_fields(trailers)
        exchange = self._exchange_http2 if self._http2 else self._exchange_http1
        return exchange(_bytes(method), _bytes(path), fields, body, last_fields)

    def begin(self, requests: Iterable[tuple[Text, Text, Iterable[tuple[Text, Text]], bytes]]) -> None:
        """Sends requests (method, path, headers and body, as of `request`) in one piece, and reads nothing: over HTTP/2 any
        number whose bodies fit the peer's windows, over HTTP/1.1 one. `finish` has their responses."""
        for method, path, headers, body in requests:
            method, path, fields = _bytes(method), _bytes(path), _encode_fields(headers)
            if self._http2:
                self._begun.append(self._open_stream(method, path, fields, end_stream=not body))
                if body:
                    self._http2.send_data(self._begun[-1].stream, body, end_stream=True)
            else:
                self._send_http1(method, path, fields, body, None)
                self._begun.append(method)
        if self._http2:
            self._flush()

    def finish(self, seconds: float) -> list[Response | None]:
        """The responses to the requests that `begin` sent, in their order; None in place of one that did not come in so many
        seconds, or that the peer refused to give."""
        deadline = time.monotonic() + seconds
        begun, self._begun = self._begun, []

        def comes() -> bool:
            return self.readable(max(0.0, deadline - time.monotonic()))

        def response(sent: "bytes | _Http2Answer") -> Response | None:
            try:
                if isinstance(sent, bytes):
                    return self.receive(sent) if comes() else None
                return sent.response() if sent.complete else None
            except ConnectionRefusedByPeer:
                return None

        if self._http2:
            with contextlib.suppress(ConnectionRefusedByPeer):
                while not all(answer.complete for answer in begun) and comes():
                    self._advance(*begun)
        return [response(sent) for sent in begun]

    def send(self, data: bytes) -> None:
        """Writes bytes to the connection as they are.

        Raises ConnectionRefusedByPeer for a TLS alert. That the peer has stopped reading is no error here: it may have
        answered before, or said why, which shows on reading.
        """
        try:
            self._socket.sendall(data)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            pass
        except OSError as error:
            raise _refusal(error) or error from None

    def readable(self, seconds: float) -> bool:
        """Whether the peer says anything within so long."""
        if self._socket.pending():
            return True
        # Unlike select(), for a test with more than a thousand connections too.
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def receive(self, method: Text = "GET") -> Response:
        """Reads an HTTP/1.1 response to a request of that method, which `send` sent. Errors as of `request`."""
        reader = Http1Reader(self._stream)
        try:
            while True:
                start_line, headers = reader.head()
                version, status, *_ = [*start_line.split(b" ", 2), b"", b""]
                if not version.startswith(b"HTTP/1.") or len(status) != 3 or not status.isdigit():
                    raise ValueError(f"not the first line of a response: {start_line!r}")
                if not status.startswith(b"1"):
                    break
            bodiless = _bytes(method) == b"HEAD" or status in (b"204", b"304")
            body, trailers = (b"", ()) if bodiless else reader.body(headers, until_close=True)
        except (EOFError, OSError) as error:
            raise _refusal(error) or error from None
        return Response(headers, body, trailers=trailers, status=int(status))

    def _exchange_http1(
        self,
        method: bytes,
        path: bytes,
        fields: list[tuple[bytes, bytes]],
        body: bytes,
        trailers: list[tuple[bytes, bytes]] | None,
    ) -> Response:
        self._send_http1(method, path, fields, body, trailers)
        return self.receive(method)

    def _send_http1(
        self,
        method: bytes,
        path: bytes,
        fields: list[tuple[bytes, bytes]],
        body: bytes,
        trailers: list[tuple[bytes, bytes]] | None,
    ) -> None:
        names = {name.lower() for name, _ in fields}
        added = [] if b"host" in names else [(b"Host", _bytes(self._authority))]
        if not names & {b"content-length", b"transfer-encoding"}:
            if trailers is not None:
                added.append((b"Transfer-Encoding", b"chunked"))
            elif body or method in (b"POST", b"PUT", b"PATCH"):
                added.append((b"Content-Length", b"%d" % len(body)))
        if trailers is not None:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = b"%b0\r\n%b\r\n" % (chunk, _field_lines(trailers))
        self.send(b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, path, _field_lines(added + fields), body))

    def _exchange_http2(
        self,
        method: bytes,
        path: bytes,
        fields: list[tuple[bytes, bytes]],
        body: bytes,
        trailers: list[tuple[bytes, bytes]] | None,
    ) -> Response:
        answer = self._open_stream(method, path, fields, end_stream=not body and trailers is None)
        stream = answer.stream
        rest = memoryview(body)
        while rest and not answer.complete:
            window, frame = self._http2.local_flow_control_window(stream), self._http2.max_outbound_frame_size
            size = min(len(rest), window, frame, self.largest_piece or frame)
            if size > 0:
                self._http2.send_data(stream, bytes(rest[:size]), end_stream=size == len(rest) and trailers is None)
                rest = rest[size:]
                self._flush()
            else:
                self._advance(answer)
        if trailers is not None and not answer.complete:
            self._http2.send_headers(stream, trailers, end_stream=True)
        while not answer.complete:
            self._advance(answer)
        return answer.response()

    def _open_stream(
        self, method: bytes, path: bytes, fields: list[tuple[bytes, bytes]], *, end_stream: bool
    ) -> "_Http2Answer":
        pseudo_fields = {
            b":method": method,
            b":path": path,
            b":scheme": b"https",
            b":authority": _bytes(self._authority),
        }
        names = {name for name, _ in fields}
        added = [(name, value) for name, value in pseudo_fields.items() if name not in names]
        answer = _Http2Answer(self._http2.get_next_available_stream_id())
        self._check_end(answer.stream)
        self._http2.send_headers(answer.stream, added + fields, end_stream=end_stream)
        return answer

    def _flush(self) -> None:
        if data := self._http2.data_to_send():
            self.send(data)

    def _advance(self, *answers: "_Http2Answer") -> None:
        """Sends what waits to be sent, then takes in the next bytes of the peer."""
        self._flush()
        try:
            data = self._socket.recv(65536)
        except OSError as error:
            raise _refusal(error) or error from None
        if not data:
            raise ConnectionRefusedByPeer("the peer closed the connection")
        try:
            events = self._take_frames(data)
        except h2.exceptions.ProtocolError as error:
            raise ValueError(f"the peer broke HTTP/2: {error}") from error
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                self._http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            for answer in answers:
                answer.take(event)
        self._flush()
        for answer in answers:
            if not answer.complete:
                self._check_end(answer.stream)

    def _take_frames(self, data: bytes) -> list[h2.events.Event]:
        """The events of all frames that are complete with `data`."""
        data = self._unfinished_frame + data
        events = []
        # RFC 9113, 4.1: a header of nine bytes, of which three are the length of the rest, and one is the type.
        while len(data) >= 9 and len(data) >= (size := 9 + int.from_bytes(data[:3], "big")):
            frame, data = data[:size], data[size:]
            if frame[3] == _GOAWAY:
                # Kept from h2, which would refuse all that follows; but streams up to the one that the frame names are
                # still answered (RFC 9113, 6.8), and a proxy which drains does so.
                self._end = int.from_bytes(frame[9:13], "big") & 0x7FFFFFFF, int.from_bytes(frame[13:17], "big")
            else:
                events += self._http2.receive_data(frame)
        self._unfinished_frame = data
        return events

    def _check_end(self, stream: int) -> None:
        """Raises ConnectionRefusedByPeer when the peer has said that it will not answer this stream."""
        if self._end:
            last_stream, error_code = self._end
            if error_code or last_stream < stream:
                raise ConnectionRefusedByPeer(f"connection ended: {_error_name(error_code)}")


class _Http2Answer:
    """What has come so far in answer to the request of one stream."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self._headers: Fields = ()
        self._body = bytearray()
        self._trailers: Fields = ()
        self._refusal: ConnectionRefusedByPeer | None = None
        self.complete = False

    def take(self, event: h2.events.Event) -> None:
        if getattr(event, "stream_id", None) != self.stream:
            return
        match event:
            case h2.events.ResponseReceived():
                self._headers = _decode_fields(event.headers)
            case h2.events.DataReceived():
                self._body += event.data
            case h2.events.TrailersReceived():
                self._trailers = _decode_fields(event.headers)
            case h2.events.StreamEnded():
                self.complete = True
            case h2.events.StreamReset() if not self.complete:
                self._refusal = ConnectionRefusedByPeer(f"stream reset: {_error_name(event.error_code)}")
                self.complete = True

    def response(self) -> Response:
        if self._refusal:
            raise self._refusal
        status = dict(self._headers)[":status"]
        headers = [(name, value) for name, value in self._headers if not name.startswith(":")]
        return Response(headers, bytes(self._body), trailers=self._trailers, status=int(status))


class Http1Reader:
    """Reads HTTP/1.1 messages from a stream of bytes, one after the other.

    All methods raise EOFError when the stream ends inside a message, and ValueError for what is not HTTP/1.1.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def head(self) -> tuple[bytes, Fields]:
        """The first line of a message and its header fields."""
        return self._line(), self._fields()

    def body(self, headers: Fields, *, until_close: bool) -> tuple[bytes, Fields]:
        """The body and the trailer fields of a message with these header fields.

        `until_close` is true of responses: without a length, theirs is whatever comes before the connection ends.
        """
        message = Message(headers, b"")
        codings = ",".join(message.all("transfer-encoding")).lower()
        if codings.rpartition(",")[2].strip() == "chunked":
            return self._chunks(), self._fields()
        lengths = set(message.all("content-length"))
        if len(lengths) > 1:
            raise ValueError(f"several lengths of one body: {sorted(lengths)}")
        if lengths:
            return self._exactly(int(lengths.pop())), ()
        return (self._stream.read() if until_close else b""), ()

    def _chunks(self) -> bytes:
        chunks = []
        while size := int(self._line().partition(b";")[0], 16):
            chunks.append(self._exactly(size))
            if self._line():
                raise ValueError("a chunk is longer than it says")
        return b"".join(chunks)

    def _fields(self) -> Fields:
        fields = []
        while line := self._line():
            name, colon, value = line.partition(b":")
            if not colon:
                raise ValueError(f"not a field: {line!r}")
            fields.append((name.decode("latin-1"), value.strip(b" \t")))
        return fields

    def _line(self) -> bytes:
        line = self._stream.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line.removesuffix(b"\n").removesuffix(b"\r")

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise EOFError
        return data


def _context(ca_path: Path | str, certificate: Certificate | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca_path)
    if certificate:
        context.load_cert_chain(certificate.certificate_path, certificate.key_path)
    return context


def _refusal(error: BaseException) -> ConnectionRefusedByPeer | None:
    """The refusal of the peer that an error tells of; None when it tells of something else."""
    match error:
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError() | EOFError():
            return ConnectionRefusedByPeer("the peer closed the connection")
        case ssl.SSLError(reason=str(reason)) if "ALERT" in reason:
            return ConnectionRefusedByPeer(reason)
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return ConnectionRefusedByPeer("the peer reset the connection")
    return None


def _error_name(code: int | None) -> str:
    return h2.errors.ErrorCodes(code).name if code in set(h2.errors.ErrorCodes) else f"code {code}"


def _bytes(text: Text) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _encode_fields(fields: Iterable[tuple[Text, Text]]) -> list[tuple[bytes, bytes]]:
    return [(_bytes(name), _bytes(value)) for name, value in fields]


def _decode_fields(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    return [(name.decode("latin-1"), bytes(value)) for name, value in fields]


def _field_lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%b: %b\r\n" % field for field in fields)
