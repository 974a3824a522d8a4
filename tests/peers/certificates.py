# SPDX-License-Identifier: Apache-2.0
"""A thousand certificates of every shape that RFC 5280 allows and authorities make, each with what an independent parser (the package
`cryptography`) reads in it: names of every kind and string type, dates, serial numbers, keys, extensions that few have, and chains.

`python tests/peers/certificates.py FILE [SEED]` writes one JSON object a line; certificates.rs compares them with what certbound
reads, on the desk and as the module does. The same seed gives the same file. Certificates that no parser agrees on, and what a
terminal is shown of them, are in tests/desk/test_inspect.py; the comparison of names in client_names.py."""

import base64
import datetime
import hashlib
import ipaddress
import json
import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.utils import CryptographyDeprecationWarning
from rig import der

SEED, COUNT = 5280, 1000

SHORT_NAMES = {
    "2.5.4.3": "CN", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C", "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
}  # fmt: skip
"""RFC 4514 §3."""
OTHER_TYPES = (
    "1.2.840.113549.1.9.1", "2.5.4.5", "2.5.4.97", "2.5.4.4", "2.5.4.42", "2.5.4.65", "2.5.4.46", "1.3.6.1.4.1.311.60.2.1.3", "1.2.3.4", "2.999.1",
    "2.25.329800735698586629295641978511506172918",
)  # fmt: skip
ENCODINGS = {
    der.UTF8: "utf-8", der.PRINTABLE: "ascii", der.IA5: "ascii", der.NUMERIC: "ascii", der.T61: "ascii", der.BMP: "utf-16-be", der.UNIVERSAL: "utf-32-be",
    26: "ascii",
}  # fmt: skip
"""By the tags of the string types; 26 is VisibleString."""
LETTERS = {
    der.UTF8: ' #"+,;<>\\=aZ09.-éß日本😀Ωж', der.PRINTABLE: " +,=aZ09.-/:?'()", der.IA5: ' #"+,;<>\\=aZ09@*_', der.NUMERIC: " 0123456789",
    der.T61: " +,;aZ09", der.BMP: " +,aZé日Ω", der.UNIVERSAL: " +,aZ日😀", 26: ' #"+,;<>\\=aZ09',
}  # fmt: skip
CURVES = {
    "EC P-224": ec.SECP224R1(), "EC P-256": ec.SECP256R1(), "EC P-384": ec.SECP384R1(), "EC P-521": ec.SECP521R1(), "EC secp256k1": ec.SECP256K1(),
    "EC brainpoolP256r1": ec.BrainpoolP256R1(), "EC brainpoolP384r1": ec.BrainpoolP384R1(), "EC brainpoolP512r1": ec.BrainpoolP512R1(),
}  # fmt: skip
CURVE_NAMES = {curve.name: name for name, curve in CURVES.items()}
OTHER_KEYS = {
    "1.2.840.113549.1.1.10": "RSA-PSS", "1.3.101.110": "X25519", "1.3.101.111": "X448", "1.3.101.112": "Ed25519", "1.3.101.113": "Ed448",
}  # fmt: skip
USAGES = {
    "digital_signature": "digitalSignature", "content_commitment": "nonRepudiation", "key_encipherment": "keyEncipherment",
    "data_encipherment": "dataEncipherment", "key_agreement": "keyAgreement", "key_cert_sign": "keyCertSign", "crl_sign": "cRLSign",
    "encipher_only": "encipherOnly", "decipher_only": "decipherOnly",
}  # fmt: skip
"""The bits of keyUsage as `cryptography` and RFC 5280 §4.2.1.3 call them, the first one first."""
CRITICAL = (True, False, False)


class Maker:
    """The certificates of one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.authority = ed25519.Ed25519PrivateKey.from_private_bytes(self.chance.randbytes(32))
        self.curve_keys = [self._curve_key(curve) for curve in CURVES.values()]

    def _curve_key(self, curve: ec.EllipticCurve) -> bytes:
        key = ec.derive_private_key(self.chance.getrandbits(200) + 1, curve).public_key()
        return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def text(self, tag: int) -> bytes:
        length = self.chance.choice([1, 1, 2, 3, 5, 8, 13, 40, 64])
        return "".join(self.chance.choices(LETTERS[tag], k=length)).encode(ENCODINGS[tag])

    def attribute(self) -> der.Attribute:
        kind = self.chance.choice([*SHORT_NAMES] * 2 + [*OTHER_TYPES])
        if kind == "2.5.4.6":
            return kind, der.PRINTABLE, self.chance.choice([b"DE", b"SE", b"US", b"XX"])
        tag = self.chance.choice([der.UTF8, der.UTF8, der.PRINTABLE, *ENCODINGS])
        return kind, tag, self.text(tag)

    def name(self) -> bytes:
        count = self.chance.choice([0, 1, 1, 2, 3, 4, 6, 6, 20])
        return der.name(*([self.attribute() for _ in range(self.chance.choice([1, 1, 1, 1, 2, 3, 7]))] for _ in range(count)))

    def times(self) -> tuple[bytes, bytes]:
        """RFC 5280 §4.1.2.5: a UTCTime through 2049, and then a GeneralizedTime."""
        first = datetime.datetime(1950, 1, 1) + datetime.timedelta(seconds=self.chance.randrange(120 * 365 * 86400))
        length = self.chance.choice([0, 1, 3600, 86400, 90 * 86400, 398 * 86400, 3650 * 86400, 100 * 365 * 86400])
        last = first + datetime.timedelta(seconds=length)
        if self.chance.random() < 0.1:
            # It has no end that is known (RFC 5280 §4.1.2.5).
            last = datetime.datetime(9999, 12, 31, 23, 59, 59)
        if self.chance.random() < 0.1:
            first = self.chance.choice([datetime.datetime(2000, 2, 29), datetime.datetime(2049, 12, 31, 23, 59, 59), datetime.datetime(1950, 1, 1)])
            last = max(last, first)
        return time_of(first), time_of(last)

    def serial_number(self) -> bytes:
        size = self.chance.choice([7, 8, 15, 16, 63, 64, 127, 128, 159])
        return der.integer(self.chance.choice([self.chance.getrandbits(size) | 1, self.chance.getrandbits(size) | 1, 1, 127, 128, 255, 1 << size]))

    def key(self) -> bytes:
        chance = self.chance
        kind = chance.choice(["rsa", "rsa", "pss", "ec", "ec", "ec", "ed25519", "ed448", "x25519", "x448", "dsa"])
        if kind in ("rsa", "pss"):
            bits = chance.choice([1024, 1025, 2047, 2048, 2048, 3072, 4096, 4097])
            modulus = chance.getrandbits(bits) | 1 << bits - 1 | 1
            number = der.sequence(der.integer(modulus), der.integer(chance.choice([3, 17, 65537, 65537])))
            identifier = der.identifier("1.2.840.113549.1.1.1" if kind == "rsa" else "1.2.840.113549.1.1.10")
            return der.sequence(der.sequence(identifier, b"\5\0" if kind == "rsa" else b""), der.bit_string(number))
        if kind == "ec":
            return chance.choice(self.curve_keys)
        if kind == "dsa":
            p, q = (chance.getrandbits(bits) | 1 << bits - 1 | 1 for bits in (2048, 256))
            parameters = der.sequence(*map(der.integer, (p, q, 5)))
            return der.sequence(der.sequence(der.identifier("1.2.840.10040.4.1"), parameters), der.bit_string(der.integer(chance.getrandbits(2047))))
        identifier, size = {
            "x25519": ("1.3.101.110", 32), "x448": ("1.3.101.111", 56), "ed25519": ("1.3.101.112", 32), "ed448": ("1.3.101.113", 57),
        }[kind]  # fmt: skip
        public = chance.randbytes(size)
        if kind == "ed448":
            public = ed448.Ed448PrivateKey.from_private_bytes(public).public_key().public_bytes_raw()
        return der.sequence(der.sequence(der.identifier(identifier)), der.bit_string(public))

    def general_name(self) -> bytes:
        chance = self.chance
        label = "".join(chance.choices("abcxyz0189-", k=chance.choice([1, 3, 8, 30])))
        match chance.randrange(14):
            case 0 | 1 | 2:
                form = chance.choice(["{}.example.org", "*.{}.example", "{}", "_{}.EXAMPLE.org", "xn--{}-kva.example", "{}.example."])
                return der.element(0x82, form.format(label).encode())
            case 3 | 4:
                form = chance.choice(["https://{}.example/a?b=c#d", "spiffe://{}/ns/a/sa/b", "urn:uuid:{}", "HTTPS://U:P@{}:8443/%41", "ldap:///cn={}", "{}:"])
                return der.element(0x86, form.format(label).encode())
            case 5 | 6:
                return der.element(0x87, chance.randbytes(chance.choice([4, 16])))
            case 7:
                address = chance.choice(["::1", "::", "::ffff:192.0.2.1", "2001:db8::", "fe80::1", "2001:db8:0:0:1::1", "::192.0.2.1", "0.0.0.0", "255.255.255.255"])
                return der.element(0x87, ipaddress.ip_address(address).packed)
            case 8 | 9:
                return der.element(0x81, chance.choice(["{}@example.org", "{}+x@EXAMPLE.org", '"{} a"@example.org', "example.org{}"]).format(label).encode())
            case 10:
                principal = der.element(0xA0, der.element(der.UTF8, chance.choice(["u@d", "日本"]).encode()))
                return der.element(0xA0, der.identifier(chance.choice(["1.3.6.1.4.1.311.20.2.3", "1.2.3"])), principal)
            case 11 | 12:
                return der.element(0xA4, self.name())
            case _:
                return der.element(0x88, der.identifier(chance.choice(["1.2.3", "2.999.1234567890", "2.5.4.3"]))[2:])

    def usages(self) -> bytes:
        """One or more bits of the nine, without zeros behind the last one (RFC 5280 §4.2.1.3, X.690 §11.2.2)."""
        bits = self.chance.choice([0b100000000, 0b100000000, self.chance.randrange(1, 1 << len(USAGES))])
        unused = (bits & -bits).bit_length() - 1
        length = len(USAGES) - unused
        filled = -length % 8
        return der.element(3, bytes([filled]) + (bits >> unused << filled).to_bytes((length + 7) // 8))

    def extensions(self) -> list[bytes]:
        """Some that everybody knows, and some that nobody does."""
        chance = self.chance
        made = [
            der.extension("2.5.29.19", chance.choice([der.sequence(), der.sequence(b"\1\1\xff", der.integer(3))]), critical=True),
            der.extension("2.5.29.15", self.usages(), critical=chance.choice(CRITICAL)), der.extension("2.5.29.14", der.element(4, chance.randbytes(20))),
            der.extension("2.5.29.35", der.sequence(der.element(0x80, chance.randbytes(20)))),
            der.extension("2.5.29.37", der.sequence(der.identifier("1.3.6.1.5.5.7.3.2"))),
            der.extension("2.5.29.18", der.sequence(self.general_name(), self.general_name())),
            der.extension("1.3.6.1.5.5.7.1.3", der.sequence(der.sequence(der.identifier("0.4.0.1862.1.1")))),
            der.extension("1.3.6.1.4.1.99999.1", chance.randbytes(chance.choice([0, 1, 100, 3000])), critical=chance.choice(CRITICAL)),
            der.extension("2.999.3", b""), der.extension("2.16.840.1.113730.1.1", b"\3\2\7\x80"), der.extension("1.3.6.1.4.1.11129.2.4.3", b"\5\0", critical=True),
        ]  # fmt: skip
        chosen = chance.sample(made, chance.choice([0, 1, 3, 6]))
        if chance.random() < 0.8:
            count = chance.choice([1, 1, 2, 3, 5, 12, 100])
            chosen.append(der.general_names(*(self.general_name() for _ in range(count)), critical=chance.choice(CRITICAL)))
        chance.shuffle(chosen)
        return chosen

    def certificate(self) -> bytes:
        not_before, not_after = self.times()
        parts: dict[str, Any] = {"serial_number": self.serial_number(), "issuer": self.name(), "subject": self.name(), "key": self.key()}
        extensions = self.extensions()
        version = 3 if extensions else self.chance.choice([1, 3])
        if version == 3 and self.chance.random() < 0.05:
            # What nobody has used for decades (RFC 5280 §4.1.2.8): between the key and the extensions.
            unique = [der.element(tag, b"\0" + self.chance.randbytes(8)) for tag in (0x81, 0x82)]
            parts["key"] += b"".join(unique)
        return der.certificate(version=version, not_before=not_before, not_after=not_after, extensions=extensions, **parts)

    def signed(self) -> bytes:
        """One that `cryptography` makes and signs."""
        chance = self.chance
        now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        kinds = [x509.NameOID.COMMON_NAME, x509.NameOID.ORGANIZATION_NAME, x509.NameOID.LOCALITY_NAME, x509.NameOID.PSEUDONYM, x509.NameOID.SURNAME]

        def name() -> x509.Name:
            texts = (self.text(der.UTF8).decode()[:20].strip() or "a" for _ in range(chance.choice([1, 2, 5])))
            return x509.Name([x509.NameAttribute(chance.choice(kinds), text) for text in texts])

        builder = x509.CertificateBuilder(name(), name(), self.authority.public_key(), chance.getrandbits(150) + 1, now, now + datetime.timedelta(chance.randrange(1, 5000)))
        names = [x509.DNSName("a.example"), x509.UniformResourceIdentifier("urn:a"), x509.DirectoryName(name()), x509.RFC822Name("a@b.example")]
        builder = builder.add_extension(x509.SubjectAlternativeName(chance.sample(names, chance.choice([1, 2, 4]))), chance.choice(CRITICAL))
        return builder.sign(self.authority, None).public_bytes(serialization.Encoding.DER)


def time_of(moment: datetime.datetime) -> bytes:
    return der.utc_time(f"{moment:%y%m%d%H%M%SZ}") if moment.year < 2050 else der.generalized_time(f"{moment:%Y%m%d%H%M%SZ}")


def shown_name(name: x509.Name) -> str:
    """RFC 4514, with a dotted type and its DER for what has no short name there (§2.3, §2.4)."""

    def shown(attribute: x509.NameAttribute) -> str:
        dotted = attribute.oid.dotted_string
        if dotted in SHORT_NAMES:
            return attribute.rfc4514_string()
        tag = attribute._type.value
        return f"{dotted}=#{der.element(tag, str(attribute.value).encode(ENCODINGS[tag])).hex()}"

    return ",".join("+".join(map(shown, relative)) for relative in reversed(list(name.rdns)))


def shown_key(certificate: x509.Certificate) -> str:
    identifier = certificate.public_key_algorithm_oid.dotted_string
    match certificate.public_key():
        case rsa.RSAPublicKey() as key:
            return f"{OTHER_KEYS.get(identifier, 'RSA')} {key.key_size}"
        case dsa.DSAPublicKey() as key:
            return f"DSA {key.key_size}"
        case ec.EllipticCurvePublicKey() as key:
            return CURVE_NAMES[key.curve.name]
        case _:
            return OTHER_KEYS[identifier]


def shown_alternatives(certificate: x509.Certificate) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {"dns": [], "uri": [], "ip": [], "email": [], "other": []}
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = []
    for name in names:
        match name:
            case x509.DNSName():
                kinds["dns"].append(name.value)
            case x509.UniformResourceIdentifier():
                kinds["uri"].append(name.value)
            case x509.IPAddress():
                kinds["ip"].append(name.value.packed.hex())
            case x509.RFC822Name():
                kinds["email"].append(name.value)
            case x509.DirectoryName():
                kinds["other"].append(f"directoryName {shown_name(name.value)}")
            case x509.RegisteredID():
                kinds["other"].append(f"registeredID {name.value.dotted_string}")
            case x509.OtherName():
                value = der.element(0xA0, der.identifier(name.type_id.dotted_string), der.element(0xA0, name.value))
                kinds["other"].append(f"otherName #{value.hex()}")
    return kinds


def shown_usages(certificate: x509.Certificate) -> dict[str, list[str]]:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return {}
    # It refuses a certificate that has one of the last two without keyAgreement, which gives them their meaning, and to be asked
    # for them where none is.
    asked = list(USAGES.items())[: None if usage.key_agreement else -2]
    return {"key_usage": [name for attribute, name in asked if getattr(usage, attribute)]}


def is_registrable(attribute: x509.NameAttribute) -> bool:
    """Whether every reader knows its type, and the value is one that the type has: ASCII for a domain component (RFC 4519 §2.4)."""
    kind = SHORT_NAMES.get(attribute.oid.dotted_string)
    return kind is not None and (kind != "DC" or str(attribute.value).isascii())


def read(encoded: bytes) -> dict[str, Any]:
    """What `cryptography` reads in it."""
    certificate = x509.load_der_x509_certificate(encoded)
    digits = f"{certificate.serial_number:X}"
    dates = [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (certificate.not_valid_before_utc, certificate.not_valid_after_utc)]
    known = all(is_registrable(attribute) for attribute in certificate.subject)
    return {
        "sha256": hashlib.sha256(encoded).hexdigest(),
        "x5t#S256": base64.urlsafe_b64encode(hashlib.sha256(encoded).digest()).decode().rstrip("="),
        "subject": shown_name(certificate.subject),
        "issuer": shown_name(certificate.issuer),
        "serial_number": digits.rjust(len(digits) + len(digits) % 2, "0"),
        "not_before": dates[0],
        "not_after": dates[1],
        "subject_alternative_names": shown_alternatives(certificate),
        "key": shown_key(certificate),
        **shown_usages(certificate),
        # A domain component is ASCII (RFC 4519 §2.4), and readers differ in what they make of another one.
        "not_as_shown": [
            field
            for field, name in {"subject": certificate.subject, "issuer": certificate.issuer}.items()
            if any(SHORT_NAMES.get(each.oid.dotted_string) == "DC" and not str(each.value).isascii() for each in name)
        ],
        # As an operator would register it who takes it from there.
        "registered": certificate.subject.rfc4514_string() if known and certificate.subject.rdns else None,
    }


def lines(seed: int, refused: Callable[[Exception], None]) -> list[dict[str, Any]]:
    maker = Maker(seed)
    made: list[dict[str, Any]] = []
    while len(made) < COUNT:
        encoded = maker.signed() if maker.chance.random() < 0.2 else maker.certificate()
        try:
            expected = read(encoded)
        except (ValueError, TypeError) as error:
            refused(error)
            continue
        made.append({"certificate": base64.b64encode(encoded).decode(), **expected})
    return made


def main(path: Path, seed: int) -> None:
    warnings.simplefilter("ignore", CryptographyDeprecationWarning)
    warnings.filterwarnings("ignore", "Attribute's length")
    refused: Counter[str] = Counter()
    made = lines(seed, lambda error: refused.update([str(error)[:60]]))
    path.write_text("".join(json.dumps(line) + "\n" for line in made))
    keys = Counter(line["key"] for line in made)
    print(f"certificates: seed {seed}, {len(made)}, {len(keys)} kinds of keys, not read by cryptography: {dict(refused)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else SEED)
