# SPDX-License-Identifier: Apache-2.0
"""X.509 certificates for clients and servers, made when they are needed, and every form they are forwarded in."""

import base64
import datetime
import hashlib
import ipaddress
import re
import subprocess
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rig import der as der_writer

Key = Literal["p256", "p384", "p521", "rsa2048", "rsa4096", "ed25519"]
Subject = Sequence[tuple[str, str]]

APPENDIX_A = """
MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcw
OVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9Oyl
MbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD
/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=
"""
"""RFC 8705's own certificate, in base64: figure 6."""

_PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_SUBJECT: Subject = (("CN", "client-1"), ("O", "Example Bank"))

_ATTRIBUTES = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "STREET": NameOID.STREET_ADDRESS,
    "DC": NameOID.DOMAIN_COMPONENT,
    "UID": NameOID.USER_ID,
    "SN": NameOID.SURNAME,
    "GN": NameOID.GIVEN_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}

_MAKE_KEY: dict[Key, Callable[[], _PrivateKey]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa2048": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "rsa4096": lambda: rsa.generate_private_key(public_exponent=65537, key_size=4096),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@dataclass(frozen=True)
class Certificate:
    """One certificate and its private key, both also as PEM files, the key unencrypted."""

    name: str
    certificate_path: Path
    key_path: Path
    pem: str
    """The certificate as PEM: lines of 64 characters, a newline after each, the last one too."""
    der: bytes
    chain: tuple[bytes, ...] = ()
    """The DER of the intermediate authorities, the leaf's own issuer first, without the root. `certificate_path` has
    them too, so a client sends them."""

    @property
    def thumbprint(self) -> str:
        """`x5t#S256` of RFC 8705: the base64url SHA-256 of the DER, without padding (43 characters)."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.der).digest()).rstrip(b"=").decode()

    @property
    def digest(self) -> str:
        """SHA-256 of the DER in lower-case hexadecimal (64 characters), as Envoy writes it."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def subject(self) -> str:
        """The subject as an RFC 4514 string: the last attribute of the certificate first."""
        return x509.load_der_x509_certificate(self.der).subject.rfc4514_string()

    @property
    def apache_form(self) -> str:
        """The PEM with spaces for its newlines and none at the end, as Apache's `%{SSL_CLIENT_CERT}s` writes it."""
        return self.pem.replace("\n", " ").rstrip(" ")

    @property
    def rfc9440_form(self) -> str:
        """The DER as a byte sequence of structured fields, `:base64:`, the value of RFC 9440's `Client-Cert`."""
        return f":{base64.b64encode(self.der).decode()}:"

    @property
    def url_encoded(self) -> str:
        """The PEM percent-encoded: `Cert` of Envoy's `x-forwarded-client-cert`, nginx's `$ssl_client_escaped_cert`."""
        return urllib.parse.quote(self.pem, safe="")


class Authority:
    """A certification authority with a certificate of its own, valid from an hour ago for ten days: self-signed, or of an
    `issuer`, and then it is an intermediate one. It signs with SHA-256, or with `hash_algorithm`; with an RSA key by PKCS #1
    v1.5, or by PSS with a salt of `pss_salt` bytes. Its key may be that of another authority.

    `pem_path` is the file of that certificate, named after the common name ("Example CA": `example-ca.pem`).
    """

    def __init__(
        self,
        directory: Path,
        common_name: str = "Example CA",
        *,
        issuer: "Authority | None" = None,
        key: "Key | Authority" = "p256",
        hash_algorithm: hashes.HashAlgorithm | None = None,
        pss_salt: int | None = None,
    ) -> None:
        """Makes the authority; `directory` is made too when it is not there.

        Raises FileExistsError when `directory` has a file of that name.
        """
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self.pem_path = self._directory / (re.sub(r"[^a-z0-9]+", "-", common_name.lower()).strip("-") + ".pem")
        self._key = key._key if isinstance(key, Authority) else _MAKE_KEY[key]()
        self._hash = None if isinstance(self._key, ed25519.Ed25519PrivateKey) else hash_algorithm or hashes.SHA256()
        self._pss_salt = pss_salt
        self._name = _distinguished_name([("CN", common_name)])
        builder = (
            _builder(self._name, self._key, None, None, days=10)
            .issuer_name(issuer._name if issuer else self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
        )
        certificate = (issuer or self)._sign(builder)
        self.der = certificate.public_bytes(serialization.Encoding.DER)
        self._chain: tuple[bytes, ...] = (self.der, *issuer._chain) if issuer else ()
        _write_new(self.pem_path, certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def key_sha256(self) -> str:
        """The SHA-256 of its SubjectPublicKeyInfo, in hexadecimal."""
        info = self._key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(info).hexdigest()

    def _sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        if self._pss_salt is None:
            return builder.sign(self._key, self._hash)
        padding = rsa_padding.PSS(rsa_padding.MGF1(self._hash), self._pss_salt)
        return builder.sign(self._key, self._hash, rsa_padding=padding)

    def revoke(self, *certificates: Certificate) -> Path:
        """Writes the authority's list of revoked certificates, in force from an hour ago for ten days, beside its
        certificate, over an older one."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - datetime.timedelta(hours=1))
            .next_update(now + datetime.timedelta(days=10))
        )
        for certificate in certificates:
            number = x509.load_der_x509_certificate(certificate.der).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
            builder = builder.add_revoked_certificate(entry)
        path = self.pem_path.with_suffix(".crl")
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path

    def issue(
        self,
        name: str,
        *,
        subject: Subject = _SUBJECT,
        key: Key = "p256",
        dns: Sequence[str] = (),
        uri: Sequence[str] = (),
        ip: Sequence[str] = (),
        email: Sequence[str] = (),
        server: bool = False,
        client: bool | None = None,
        version: Literal[1, 3] = 3,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
    ) -> Certificate:
        """Issues a certificate into `name`.pem and `name`.key of the authority's directory.

        `subject` is in the order of the certificate, which an RFC 4514 string turns round; it may be empty; an
        attribute is a short name (CN, O, OU, C, ST, L, DC, UID, ...) or a dotted object identifier. `dns`, `uri`, `ip`
        and `email` become subject alternative names, in this order; a server without any has `localhost` and 127.0.0.1.
        `server` makes a certificate for TLS servers, not clients, unless `client` says so too. Version 1 has no extensions. Without dates it is valid from an hour ago until a
        day from now; a date without a zone is UTC.

        Raises FileExistsError when there is a file of that name, and ValueError for what no certificate can hold.
        """
        return _issue(
            self._directory,
            name,
            _distinguished_name(subject),
            key,
            dns,
            uri,
            ip,
            email,
            server,
            not_before,
            not_after,
            issuer=(self._name, self._key, self._sign),
            chain=self._chain,
            version=version,
            client=client,
        )


def made_by_openssl(directory: Path, name: str, *options: str) -> Certificate:
    """A self-signed certificate as no library here makes one, valid for a day: `options` are those of `openssl req` that say which
    key (`-newkey`) and which extensions (`-addext`)."""
    paths = directory / f"{name}.pem", directory / f"{name}.key"
    command = ["openssl", "req", "-x509", "-nodes", "-days", "1", "-subj", f"/CN={name}", *options]
    subprocess.run([*command, "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    pem = paths[0].read_text()
    return Certificate(name, *paths, pem, x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER))


def self_signed(
    directory: Path,
    name: str,
    *,
    subject: Subject = _SUBJECT,
    copy_subject_of: Certificate | None = None,
    key: Key = "p256",
    dns: Sequence[str] = (),
    uri: Sequence[str] = (),
    ip: Sequence[str] = (),
    email: Sequence[str] = (),
    server: bool = False,
    not_before: datetime.datetime | None = None,
    not_after: datetime.datetime | None = None,
) -> Certificate:
    """Makes a certificate that is signed with its own key, in `directory`; otherwise as `Authority.issue`.

    `copy_subject_of` takes the subject of another certificate byte for byte, in place of `subject`.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    distinguished_name = (
        x509.load_der_x509_certificate(copy_subject_of.der).subject if copy_subject_of else _distinguished_name(subject)
    )
    return _issue(
        directory, name, distinguished_name, key, dns, uri, ip, email, server, not_before, not_after, issuer=None
    )


def jwk(certificate: Certificate) -> dict[str, Any]:
    """The certificate's key with the certificate (RFC 7517, section 4.7)."""
    numbers = x509.load_der_x509_certificate(certificate.der).public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(each.to_bytes(32)).rstrip(b"=").decode() for each in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "x5c": [base64.b64encode(certificate.der).decode()]}


def _issue(
    directory: Path,
    name: str,
    subject: x509.Name,
    key: Key,
    dns: Sequence[str],
    uri: Sequence[str],
    ip: Sequence[str],
    email: Sequence[str],
    server: bool,
    not_before: datetime.datetime | None,
    not_after: datetime.datetime | None,
    *,
    issuer: tuple[x509.Name, _PrivateKey, Callable[[x509.CertificateBuilder], x509.Certificate]] | None,
    chain: tuple[bytes, ...] = (),
    version: Literal[1, 3] = 3,
    client: bool | None = None,
) -> Certificate:
    private_key = _MAKE_KEY[key]()
    itself = None if isinstance(private_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    issuer_name, issuer_key, sign = issuer or (subject, private_key, lambda builder: builder.sign(private_key, itself))
    if server and not (dns or uri or ip or email):
        dns, ip = ["localhost"], ["127.0.0.1"]
    names: list[x509.GeneralName] = [
        *map(x509.DNSName, dns),
        *map(x509.UniformResourceIdentifier, uri),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in ip),
        *map(x509.RFC822Name, email),
    ]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH] if server else []
    usages += [ExtendedKeyUsageOID.CLIENT_AUTH] if client or (client is None and not server) else []
    builder = (
        _builder(subject, private_key, not_before, not_after, days=1)
        .issuer_name(issuer_name)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if names:
        # RFC 5280, 4.2.1.6: critical when the subject is empty.
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not list(subject))
    certificate = sign(builder)
    if version == 1:
        certificate = x509.load_der_x509_certificate(_of_version_1(certificate, issuer_key))
    certificate_path, key_path = directory / f"{name}.pem", directory / f"{name}.key"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    _write_new(certificate_path, pem + b"".join(map(_pem, chain)))
    _write_new(
        key_path,
        private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    return Certificate(
        name, certificate_path, key_path, pem.decode(), certificate.public_bytes(serialization.Encoding.DER), chain
    )


def _of_version_1(certificate: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey) -> bytes:
    """The same certificate without what X.509 has since version 3, signed anew: no library makes one."""
    fields = list(der_writer.contents(certificate.tbs_certificate_bytes))
    without = der_writer.sequence(*(field for field in fields if field[0] not in (0xA0, 0xA3)))
    _, algorithm, _ = der_writer.contents(certificate.public_bytes(serialization.Encoding.DER))
    signature = issuer_key.sign(without, ec.ECDSA(hashes.SHA256()))
    return der_writer.sequence(without, algorithm, der_writer.bit_string(signature))


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name,
    key: _PrivateKey,
    not_before: datetime.datetime | None,
    not_after: datetime.datetime | None,
    *,
    days: int,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or now - datetime.timedelta(hours=1))
        .not_valid_after(not_after or now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _distinguished_name(subject: Subject) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(_ATTRIBUTES.get(attribute) or x509.ObjectIdentifier(attribute), value)
            for attribute, value in subject
        ]
    )


def _write_new(path: Path, content: bytes) -> None:
    # Not over an old file: the certificate of one object with the key of another would fail far from the cause.
    with path.open("xb") as file:
        file.write(content)
