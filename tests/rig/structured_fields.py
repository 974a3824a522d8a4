# SPDX-License-Identifier: Apache-2.0
"""Structured fields (RFC 8941), read by a parser that shares nothing with certbound."""

import http_sfv


def byte_sequence(value: bytes) -> bytes:
    """A byte sequence alone. Raises ValueError when it is anything else or has parameters."""
    item = http_sfv.Item()
    item.parse(value)
    if not isinstance(item.value, bytes) or item.params:
        raise ValueError(f"not a byte sequence: {value!r}")
    return item.value


def byte_sequences(value: bytes) -> list[bytes]:
    """A list of byte sequences alone. Raises ValueError when it is anything else."""
    members = http_sfv.List()
    members.parse(value)
    if any(not isinstance(member.value, bytes) or member.params for member in members):
        raise ValueError(f"not a list of byte sequences: {value!r}")
    return [member.value for member in members]
