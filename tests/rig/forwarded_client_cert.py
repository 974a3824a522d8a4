# SPDX-License-Identifier: Apache-2.0
"""An independent reader of X-Forwarded-Client-Cert: regular expressions, one quoted text after the other, and an X.509 library."""

import json
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

MALFORMED: Final = "malformed"

_SPACE = r"[ \t]*"
_QUOTED = re.compile(
    rf'((?:^|;){_SPACE}(?:Cert|Chain|Subject)=)"((?:[^"\\]|\\.)*)"(?=;|$|,{_SPACE}(?:By|Hash)=)', re.IGNORECASE | re.DOTALL
)
_NEVER_UNQUOTED = re.compile(rf"(?:^|;){_SPACE}(?:Cert|Chain|Subject)=(?!\x00)", re.IGNORECASE)
_BEGINS = re.compile(rf",(?={_SPACE}(?:By|Hash)=)", re.IGNORECASE)
_ONE_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----[ \t\r\n]*")
_PAIR = re.compile(rf"{_SPACE}([A-Za-z]+)=(.*)", re.DOTALL)


@dataclass
class _Element:
    hashes: list[str] = field(default_factory=list)
    certificates: list[str] = field(default_factory=list)

    def certificate(self) -> x509.Certificate | None:
        """The one that it has, if its digest is there and right."""
        if len(self.certificates) != 1 or len(self.hashes) != 1:
            return None
        pem = urllib.parse.unquote(self.certificates[0])
        # The library reads past what stands round a certificate.
        if not _ONE_PEM.fullmatch(pem):
            return None
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
        except ValueError:
            return None
        return certificate if certificate.fingerprint(hashes.SHA256()).hex() == self.hashes[0].lower() else None


def read(value: str, own: str | None, hops: Sequence[str], never: Sequence[str] = ()) -> str | None:
    """The SHA-256 of the client's certificate in hexadecimal, None without one, or MALFORMED. `own` is the SHA-256 of the sender's
    certificate, `hops` are URIs in the certificates of proxies before it, the nearest first, and nobody whose certificate has a URI
    of `never` is a client."""
    elements = _of_json(value) if value.startswith("[") else _of_text(value)
    if elements is None:
        return MALFORMED
    if own and elements and [each.lower() for each in elements[-1].hashes] == [own]:
        elements.pop()
    for hop in hops:
        if not elements:
            return None
        certificate = elements.pop().certificate()
        if certificate is None or hop not in _uris(certificate):
            return MALFORMED
    if not elements:
        return None
    certificate = elements[0].certificate() if len(elements) == 1 else None
    if certificate is None:
        return MALFORMED
    return None if {*never, *hops} & set(_uris(certificate)) else certificate.fingerprint(hashes.SHA256()).hex()


def _of_json(value: str) -> list[_Element] | None:
    try:
        document = json.loads(value)
    except ValueError:
        return None
    found = []
    for element in document:
        members = [element.get(name) for name in ("hash", "cert")]
        found.append(_Element(*([member] if member is not None else [] for member in members)))
    return found


def _of_text(value: str) -> list[_Element] | None:
    texts: list[str] = []

    def kept(match: re.Match[str]) -> str:
        texts.append(match[2])
        return f"{match[1]}\x00{len(texts) - 1}"

    value = _QUOTED.sub(kept, value)
    if '"' in value or _NEVER_UNQUOTED.search(value):
        return None
    # Behind what was quoted another element begins, or another pair.
    found = []
    for part in _BEGINS.split(value):
        element = _Element()
        for match in filter(None, map(_PAIR.fullmatch, part.split(";"))):
            name, text = match[1].lower(), match[2]
            if name == "hash":
                element.hashes.append(text.strip(" \t"))
            elif name == "cert":
                element.certificates.append(texts[int(text[1:])])
        found.append(element)
    return found


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)
