# SPDX-License-Identifier: Apache-2.0
"""DER (X.690), written by hand: certificates that no library makes."""

from collections.abc import Iterator, Sequence

UTF8, NUMERIC, PRINTABLE, T61, IA5, UNIVERSAL, BMP = 12, 18, 19, 20, 22, 28, 30
"""Tags of the string types that names have."""

Attribute = tuple[str, int, bytes]
"""An attribute of a name: its type as a dotted object identifier, the tag of its value, and the value's contents."""


def element(tag: int, *contents: bytes) -> bytes:
    """An element with these contents, its length in the shortest form."""
    content = b"".join(contents)
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8 or 1)
    form = b"" if len(content) < 0x80 else bytes([0x80 | len(length)])
    return bytes([tag]) + form + length + content


def contents(constructed: bytes) -> Iterator[bytes]:
    """The elements inside an element, each whole. Good DER alone is expected."""
    inside = constructed[_header(constructed) :]
    while inside:
        size = _header(inside) + _length(inside)
        yield inside[:size]
        inside = inside[size:]


def _header(element: bytes) -> int:
    return 2 + (element[1] & 0x7F if element[1] & 0x80 else 0)


def _length(element: bytes) -> int:
    return int.from_bytes(element[2 : _header(element)]) if element[1] & 0x80 else element[1]


def sequence(*contents: bytes) -> bytes:
    return element(0x30, *contents)


def integer(value: int) -> bytes:
    return element(2, value.to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, signed=True))


def bit_string(content: bytes) -> bytes:
    return element(3, b"\0", content)


def identifier(dotted: str) -> bytes:
    """An object identifier."""
    first, second, *rest = map(int, dotted.split("."))
    return element(6, *map(_base_128, [40 * first + second, *rest]))


def _base_128(arc: int) -> bytes:
    septets = [arc >> shift & 0x7F for shift in range(0, max(arc.bit_length(), 1), 7)]
    return bytes([septet | 0x80 for septet in septets[:0:-1]] + septets[:1])


def name(*relative: Sequence[Attribute]) -> bytes:
    """A Name of these relative distinguished names."""
    return sequence(
        *(
            # The order of a SET OF in DER (X.690, 11.6).
            element(0x31, *sorted(sequence(identifier(kind), element(tag, value)) for kind, tag, value in attributes))
            for attributes in relative
        )
    )


def utc_time(text: str) -> bytes:
    return element(23, text.encode())


def generalized_time(text: str) -> bytes:
    return element(24, text.encode())


def extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    return sequence(identifier(dotted), element(1, b"\xff") if critical else b"", element(4, value))


def general_names(*names: bytes, critical: bool = False) -> bytes:
    """The extension subjectAltName."""
    return extension("2.5.29.17", sequence(*names), critical=critical)


ED25519 = sequence(sequence(identifier("1.3.101.112")), bit_string(bytes(range(32))))
"""A SubjectPublicKeyInfo."""


def certificate(
    *,
    version: int = 3,
    serial_number: bytes = integer(1),
    issuer: bytes = name([("2.5.4.3", UTF8, b"issuer")]),
    subject: bytes = name([("2.5.4.3", UTF8, b"subject")]),
    not_before: bytes = utc_time("260101000000Z"),
    not_after: bytes = utc_time("270101000000Z"),
    key: bytes = ED25519,
    extensions: Sequence[bytes] = (),
    behind: bytes = b"",
) -> bytes:
    """A certificate of these parts. Its signature is none: whoever describes a certificate does not verify it."""
    algorithm = sequence(identifier("1.3.101.112"))
    return sequence(
        sequence(
            element(0xA0, integer(version - 1)) if version > 1 else b"",
            serial_number,
            algorithm,
            issuer,
            sequence(not_before, not_after),
            subject,
            key,
            element(0xA3, sequence(*extensions)) if extensions else b"",
            behind,
        ),
        algorithm,
        bit_string(bytes(64)),
    )
