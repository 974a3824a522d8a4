# SPDX-License-Identifier: Apache-2.0
"""Pairs of a certificate and the name that a client is registered by, each with the verdict that the RFCs give it.

The oracle knows RFC 4514, 4517 and 5280 and nothing of the filter: it makes up what a name *is* (attributes and texts),
writes it once into a certificate and once as a registered value, changed or not, and compares what it made up, never
what it wrote. For a part of them OpenSSL writes the registered value. `client_names.rs` runs the pairs.
"""

import base64
import ipaddress
import json
import random
import subprocess
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig import der

PAIRS, WRITTEN_BY_OPENSSL = 7000, 250
MODES = ("rfc4517", "unordered", "exact")

TEXTS = {
    "2.5.4.3": ("CN", "commonName"), "2.5.4.6": ("C", "countryName"), "2.5.4.7": ("L", "localityName"),
    "2.5.4.8": ("ST", "stateOrProvinceName"), "2.5.4.10": ("O", "organizationName"),
    "2.5.4.11": ("OU", "organizationalUnitName"), "2.5.4.5": ("serialNumber",), "2.5.4.9": ("STREET", "street"),
    "2.5.4.97": ("organizationIdentifier",), "2.5.4.15": ("businessCategory",),
    "0.9.2342.19200300.100.1.1": ("UID", "userId"), "1.3.6.1.4.1.311.60.2.1.3": ("jurisdictionC",),
}  # fmt: skip
"""Attributes of caseIgnoreMatch (RFC 4519, X.520), with names for them."""
ASCII_TEXTS = {"0.9.2342.19200300.100.1.25": ("DC", "domainComponent"), "1.2.840.113549.1.9.1": ("emailAddress", "E")}
"""Attributes of caseIgnoreIA5Match."""
NAMES = TEXTS | ASCII_TEXTS
UNKNOWN = ("1.2.3.4", "1.3.6.1.4.1.1466.0", "2.999.1")

WORDS = (
    "client", "Example Bank", "a", "A b", "a  b", " lead", "trail ", "Zo\u00eb", "Zoe\u0308", "\u65e5\u672c", "\U0001f600", "Org, Inc", "x+y=z",
    '"q"', "#1", "back\\slash", "<a>;b", "stra\u00dfe", "STRASSE", "\u0130", "i", "\u00c5ngstr\u00f6m", "\u212bngstr\u00f6m",
    "a\u00a0b", "a\tb", "e \u0301x", "\u0130stanbul", "fi", "\ufb01", "PSDGB-1", "1",
)  # fmt: skip


@dataclass(frozen=True, order=True)
class Attribute:
    """What an attribute is, in whatever encoding. `text` is None where it is of an unknown type or no text."""

    kind: str
    text: str | None
    raw: bytes = b""


Name = list[list[Attribute]]


def prepared(text: str, mode: str) -> str:
    """RFC 4518 for ASCII letters and spaces; every other character stands for itself after NFC."""
    if mode == "exact":
        return text
    text = unicodedata.normalize("NFC", text)
    shown, pending = "", False
    for position, character in enumerate(text):
        if character == " " and not unicodedata.category(text[position + 1 : position + 2] or "a").startswith("M"):
            pending = True
            continue
        shown += (" " if pending and shown else "") + (character.lower() if character.isascii() else character)
        pending = False
    return shown


def comparable(name: Name, mode: str) -> Any:
    relative = [
        sorted((each.kind, each.raw if each.text is None else prepared(each.text, mode).encode()) for each in attributes)
        for attributes in name
    ]
    return sorted(relative) if mode == "unordered" else relative


def never_matches(name: Name) -> bool:
    return any("\0" in (each.text or "") for attributes in name for each in attributes)


def encoded(attribute: Attribute, chance: random.Random) -> tuple[str, int, bytes]:
    """An attribute in one of the string types that can hold it."""
    if attribute.text is None:
        element = attribute.raw
        return attribute.kind, element[0], element[2:]
    text = attribute.text
    forms = [(der.UTF8, text.encode()), (der.UNIVERSAL, text.encode("utf-32-be"))]
    if all(ord(character) < 0x10000 for character in text):
        forms.append((der.BMP, text.encode("utf-16-be")))
    if text.isascii():
        forms += [(tag, text.encode()) for tag in (der.PRINTABLE, der.IA5, der.T61)]
    tag, content = chance.choice(forms)
    return attribute.kind, tag, content


def escaped(text: str, chance: random.Random) -> str:
    """The text as RFC 4514, section 2.4, writes it, with more escapes than it needs now and then."""
    written = ""
    for position, character in enumerate(text):
        edge = character == " " and position in (0, len(text) - 1)
        must = character in '"+,;<>\\\0' or edge or (character == "#" and position == 0) or character in "\t\n"
        if character in '"+,;<>\\ #=' and (must or chance.random() < 0.05) and chance.random() < 0.7:
            written += "\\" + character
        elif must or chance.random() < 0.05:
            written += "".join(f"\\{byte:{chance.choice(['02x', '02X'])}}" for byte in character.encode())
        else:
            written += character
    return written


def any_case(text: str, chance: random.Random) -> str:
    return "".join(chance.choice([character.lower(), character.upper()]) for character in text)


def written(name: Name, chance: random.Random) -> str:
    """A string of RFC 4514, as leniently as one may be read."""

    def space() -> str:
        return chance.choice(["", "", "", " ", "  "])

    def value(attribute: Attribute) -> str:
        if attribute.text is None or chance.random() < 0.1:
            kind, tag, content = encoded(attribute, chance)
            return "#" + any_case(der.element(tag, content).hex(), chance)
        return escaped(attribute.text, chance)

    def kind(attribute: Attribute) -> str:
        names = [any_case(each, chance) for each in NAMES.get(attribute.kind, ())]
        return chance.choice([*names * 3, attribute.kind, "OID." + attribute.kind])

    def one(attribute: Attribute) -> str:
        return f"{kind(attribute)}={space()}{value(attribute)}"

    relative = [
        f"{space()}+{space()}".join(map(one, chance.sample(attributes, len(attributes)))) for attributes in reversed(name)
    ]
    return space() + f"{space()},{space()}".join(relative) + space()


def some_attribute(chance: random.Random) -> Attribute:
    roll = chance.random()
    if roll < 0.12:
        return Attribute(chance.choice(UNKNOWN), None, der.element(chance.choice([der.UTF8, 4]), chance.choice([b"a", b"A", b"a b"])))
    if roll < 0.3:
        text = chance.choice([word for word in WORDS if word.isascii()])
        return Attribute(chance.choice(list(ASCII_TEXTS)), text)
    return Attribute(chance.choice(list(TEXTS)), chance.choice(WORDS))


def some_name(chance: random.Random) -> Name:
    return [
        list({some_attribute(chance) for _ in range(chance.choice([1, 1, 1, 2, 3]))})
        for _ in range(chance.choice([1, 2, 2, 3, 5]))
    ]


def changed(name: Name, chance: random.Random) -> Name:
    """Another name, or the same one in other words."""
    name = [list(attributes) for attributes in name]
    row = chance.randrange(len(name))
    column = chance.randrange(len(name[row]))
    own = name[row][column]
    text = own.text or ""
    match chance.randrange(9):
        case 0 if own.text is not None:
            name[row][column] = Attribute(own.kind, any_case(text, chance) if text.isascii() else text.swapcase())
        case 1 if own.text is not None:
            name[row][column] = Attribute(own.kind, text.replace(" ", "   ") + " ")
        case 2 if own.text is not None:
            name[row][column] = Attribute(own.kind, unicodedata.normalize(chance.choice(["NFC", "NFD", "NFKC"]), text))
        case 3:
            chance.shuffle(name)
        case 4:
            name[row].append(some_attribute(chance))
        case 5 if len(name) > 1:
            del name[row]
        case 6 if len(name) > 1:
            # One multi-valued part is not two parts.
            other = name.pop(row)
            name[row - 1 if row else 0] += other
        case 7:
            name[row][column] = Attribute(chance.choice(list(TEXTS)), text or "a")
        case _:
            name[row][column] = some_attribute(chance)
    return name


def certificate_of(name: Name, chance: random.Random) -> bytes:
    return der.certificate(subject=der.name(*([encoded(each, chance) for each in attributes] for attributes in name)))


def pair_of_names(chance: random.Random) -> dict[str, Any]:
    name, mode = some_name(chance), chance.choice(MODES)
    other = changed(name, chance) if chance.random() < 0.7 else name
    if any(each.text == "" for attributes in other for each in attributes):
        other = name
    same = comparable(name, mode) == comparable(other, mode)
    if chance.random() < 0.04:
        # In the certificate alone: behind a NUL there may be anything.
        own = name[0][0]
        poisoned = Attribute("2.5.4.3", (own.text or "a") + "\0" + ".example.org")
        return pair("subject_dn", mode, certificate_of([[poisoned]], chance), f"CN={escaped(own.text or 'a', chance)}", False, "NUL")
    return pair("subject_dn", mode, certificate_of(name, chance), written(other, chance), same, f"{name!r} {other!r}")


def pair(kind: str, mode: str, certificate: bytes, registered: str, matches: bool, why: str) -> dict[str, Any]:
    encoded = base64.b64encode(certificate).decode()
    return {"kind": kind, "mode": mode, "certificate": encoded, "registered": registered, "matches": matches, "why": why}


HOSTS = ("client.example.org", "CLIENT.Example.org", "client.example.org.", "*.example.org", "other.example.org", "xn--bcher-kva.example")
ADDRESSES = ("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1", "2001:db8::1:0:0:1", "2001:Db8:0:0:1:0:0:1", "::1")
MAILS = ("a@example.org", "A@example.org", "a@EXAMPLE.org", "b@example.org", '"a@b"@example.org')
URIS = (
    "https://example.org/a", "HTTPS://EXAMPLE.org/a", "https://example.org/A", "https://example.org", "https://u@example.org/a",
    "https://U@example.org/a", "urn:example:a", "URN:example:a", "urn:EXAMPLE:a", "spiffe://example.org/ns/a", "https://example.org:443/a",
    "https://example.org?X@Y", "https://example.org?x@y", "https://example.org?X@y",
)  # fmt: skip
TAGS = {"san_email": 0x81, "san_dns": 0x82, "san_uri": 0x86, "san_ip": 0x87}
VALUES = {"san_email": MAILS, "san_dns": HOSTS, "san_uri": URIS, "san_ip": ADDRESSES}


def same_alternative(kind: str, left: str, right: str) -> bool:
    match kind:
        case "san_dns":
            return left.lower() == right.lower()
        case "san_ip":
            return ipaddress.ip_address(left).packed == ipaddress.ip_address(right).packed
        case "san_email":
            return [part if index == 0 else part.lower() for index, part in enumerate(left.rsplit("@", 1))] == [
                part if index == 0 else part.lower() for index, part in enumerate(right.rsplit("@", 1))
            ]
        case _:
            return uri_parts(left) == uri_parts(right)


def uri_parts(uri: str) -> tuple[str, ...]:
    """By the regular expression of RFC 3986, appendix B, in words."""
    scheme, _, rest = uri.partition(":")
    if not rest.startswith("//"):
        return scheme.lower(), rest
    end = min([position for mark in "/?#" if (position := rest.find(mark, 2)) >= 0], default=len(rest))
    user, at, host = rest[2:end].rpartition("@")
    return scheme.lower(), user + at, host.lower(), rest[end:]


def contents(kind: str, value: str) -> bytes:
    return ipaddress.ip_address(value).packed if kind == "san_ip" else value.encode()


def pair_of_alternatives(chance: random.Random) -> dict[str, Any]:
    kind = chance.choice(list(TAGS))
    registered = chance.choice(VALUES[kind])
    own = [chance.choice([registered, chance.choice(VALUES[kind])]) for _ in range(chance.choice([0, 1, 1, 2, 3]))]
    names = [der.element(TAGS[kind], contents(kind, each)) for each in own]
    matches, why = any(same_alternative(kind, each, registered) for each in own), repr(own)
    extensions: list[bytes] | None = None
    behind, subject = b"", der.name([("2.5.4.3", der.UTF8, registered.encode())])
    match chance.randrange(18):
        case 0:
            names = [der.element(tag, contents(kind, registered)) for other, tag in TAGS.items() if other != kind]
            names = [name for name in names if name[0] != 0x87 or len(name) in (6, 18)]
            matches, why = False, "of other types alone"
        case 1:
            names += [der.element(0xA0, der.identifier("1.2.3"), der.element(0xA0, der.element(12, b"x"))), der.element(0xA4, subject)]
        case 2:
            names = [der.element(TAGS[kind], contents(kind, registered) + b"\0.evil.example")]
            matches, why = False, "NUL, or an address of another length"
        case 3:
            extensions, matches, why = [der.general_names(*names), der.general_names(*names)], False, "two extensions"
        case 4 if names:
            extensions = [der.extension("2.5.29.17", der.sequence(*names) + b"\0\0")]
            matches, why = False, "bytes behind the names"
        case 5 if names:
            extensions = [der.extension("2.5.29.17", der.sequence(*names)[:-1])]
            matches, why = False, "cut off"
        case 6:
            behind, matches, why = b"\x05", False, "bytes behind the extensions"
        case 7:
            names = [der.element(TAGS[kind] | 0x20, der.element(22, contents(kind, registered)))]
            matches, why = False, "a string made of strings"
        case _:
            pass
    if extensions is None:
        extensions = [der.extension("2.5.29.15", der.bit_string(b"\x80")), der.general_names(*names, critical=chance.random() < 0.3)] if names else []
    certificate = der.certificate(subject=subject, extensions=extensions, behind=behind)
    return pair(kind, "rfc4517", certificate, registered, matches, why)


def by_openssl(chance: random.Random) -> dict[str, Any]:
    """A pair whose registered value OpenSSL wrote; it must match in every mode."""
    name = [[each for each in attributes if each.text != ""] for attributes in some_name(chance)]
    certificate = certificate_of(name, chance)
    options = chance.choice(["RFC2253", "RFC2253,-esc_msb,utf8", "RFC2253,oid"])
    command = ["openssl", "x509", "-inform", "der", "-noout", "-subject", "-nameopt", options]
    shown = subprocess.run(command, input=certificate, capture_output=True, check=False)
    if shown.returncode:
        # A character that the string type does not have in OpenSSL's view.
        return by_openssl(chance)
    registered = shown.stdout.decode().removeprefix("subject=").rstrip("\n")
    return pair("subject_dn", chance.choice(MODES), certificate, registered, True, f"OpenSSL ({options})")


def alternative_by_openssl(chance: random.Random) -> dict[str, Any]:
    """A pair whose registered value OpenSSL wrote, of a certificate with one name."""
    kind = chance.choice(list(TAGS))
    value = chance.choice(VALUES[kind])
    certificate = der.certificate(extensions=[der.general_names(der.element(TAGS[kind], contents(kind, value)))])
    command = ["openssl", "x509", "-inform", "der", "-noout", "-ext", "subjectAltName"]
    shown = subprocess.run(command, input=certificate, capture_output=True, check=True).stdout.decode()
    label = {"san_dns": "DNS:", "san_ip": "IP Address:", "san_uri": "URI:", "san_email": "email:"}[kind]
    registered = shown.splitlines()[1].strip().removeprefix(label)
    return pair(kind, "rfc4517", certificate, registered, True, "OpenSSL")


def pairs(seed: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    made = [chance.choice([pair_of_names, pair_of_names, pair_of_alternatives])(chance) for _ in range(PAIRS)]
    return made + [chance.choice([by_openssl, by_openssl, alternative_by_openssl])(chance) for _ in range(WRITTEN_BY_OPENSSL)]


def main() -> None:
    path, *seeds = sys.argv[1:]
    seed = int(seeds[0]) if seeds else random.randrange(1 << 32)
    made = pairs(seed)
    Path(path).write_text("".join(json.dumps(each) + "\n" for each in made))
    counted = Counter((each["kind"], each["matches"]) for each in made)
    print(f"client names: seed {seed}, {len(made)} pairs: {dict(sorted(counted.items()))}")


if __name__ == "__main__":
    main()
