# SPDX-License-Identifier: Apache-2.0
"""RFC 9440's own example, read with a parser of structured fields (RFC 8941) that shares nothing with certbound."""

import base64
import re
from pathlib import Path

from rig.desk import certbound
from rig.structured_fields import byte_sequence, byte_sequences

_TEXT = (Path(__file__).parent / "rfc9440" / "appendix-a.txt").read_text()

CHAIN = [
    base64.b64decode(body)
    for body in re.findall(r"-----BEGIN CERTIFICATE-----\n(.*?)-----END CERTIFICATE-----", _TEXT, re.DOTALL)
]
"""Figure 1, in DER: the client's certificate first."""


def field(name: str) -> str:
    """The value of a field in figure 2 or 3, its lines joined."""
    (found,) = re.findall(rf"^{name}: (.*(?:\n .*)*)", _TEXT, re.MULTILINE)
    return found.replace("\n ", "")


def test_the_example_is_what_the_independent_parser_reads() -> None:
    assert len(CHAIN) == 3
    assert byte_sequence(field("Client-Cert").encode()) == CHAIN[0]
    assert byte_sequences(field("Client-Cert-Chain").encode()) == CHAIN[1:]


def test_the_examples_certificate_makes_the_examples_field() -> None:
    answer = certbound("inspect", "-", "--dialect", "rfc9440", stdin=CHAIN[0])
    assert answer.returncode == 0, answer
    assert answer.stdout.decode().partition("\n\n")[2].splitlines() == [f"client-cert: {field('Client-Cert')}"]
