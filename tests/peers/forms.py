# SPDX-License-Identifier: Apache-2.0
"""The forms in which a certificate is handed over: what certbound is told to write, and the expression with which Apache,
nginx or HAProxy writes the same."""

import base64
import hashlib
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from rig.certificates import Certificate
from rig.terminators import Apache, HAProxy, Nginx, Terminator

# Forms: the terminator's expression, what it must give, and what it gives without a certificate


@dataclass(frozen=True)
class Field:
    expression: str
    form: Callable[[Certificate], str | None]
    without: str | None = None


def _base64(der: bytes) -> str:
    return base64.b64encode(der).decode()


def _in_spaces(der: bytes) -> str:
    """As Apache writes a certificate, its last space apart."""
    pem = x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM).decode()
    return pem.replace("\n", " ").rstrip(" ")


def _name(certificate: Certificate, which: str) -> str | None:
    """The subject or the issuer as OpenSSL's RFC 2253; None for an empty one, of which nginx makes no field."""
    arguments = ["openssl", "x509", "-inform", "DER", "-noout", f"-{which}", "-nameopt", "RFC2253"]
    answer = subprocess.run(arguments, input=certificate.der, capture_output=True, check=True).stdout.decode()
    return answer.removeprefix(f"{which}=").removesuffix("\n") or None


def _serial_number(certificate: Certificate) -> str:
    """As OpenSSL writes it: whole bytes."""
    digits = f"{x509.load_der_x509_certificate(certificate.der).serial_number:X}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"


def apache_chain(number: int) -> Field:
    return Field(
        f"%{{SSL_CLIENT_CERT_CHAIN_{number}}}s",
        lambda client: _in_spaces(client.chain[number]) if number < len(client.chain) else None,
    )


APACHE_PEM = Field("%{SSL_CLIENT_CERT}s", lambda client: client.apache_form)
APACHE_VERIFY = Field("%{SSL_CLIENT_VERIFY}s", lambda client: "SUCCESS", "NONE")
NGINX_ESCAPED = Field("$ssl_client_escaped_cert", lambda client: client.url_encoded)
NGINX_VERIFY = Field("$ssl_client_verify", lambda client: "SUCCESS", "NONE")
SECRET = Field("s3cret", lambda client: "s3cret", "s3cret")
"""A constant in the terminator's configuration."""
NGINX_SUBJECT = Field("$ssl_client_s_dn", lambda client: _name(client, "subject"))
NGINX_ISSUER = Field("$ssl_client_i_dn", lambda client: _name(client, "issuer"))
NGINX_SERIAL = Field("$ssl_client_serial", _serial_number)
HAPROXY_DER = Field("%[ssl_c_der,base64]", lambda client: _base64(client.der))
HAPROXY_CHAIN = Field("%[ssl_c_chain_der,base64]", lambda client: _base64(b"".join(client.chain)) or None)
HAPROXY_BYTES = Field(":%[ssl_c_der,base64]:", lambda client: client.rfc9440_form)
HAPROXY_DIGEST = Field("%[ssl_c_der,sha2(256),hex,lower]", lambda client: client.digest)
HAPROXY_THUMBPRINT = Field("%[ssl_c_der,sha2(256),ub64enc]", lambda client: client.thumbprint)


# Where a terminator writes what certbound does not, and why that means the same


@dataclass(frozen=True)
class Difference:
    why: str
    meant: Callable[[bytes], bytes | None]
    """The line that certbound writes in place of the terminator's; None where it writes none."""


TRAILING_SPACE = Difference(
    "Apache turns the PEM's last line end into a space too. White space around a value is not part of it (RFC 9110 §5.5).",
    lambda line: line.removesuffix(b" ") if line.endswith(b"----- ") else line,
)
NULL = Difference(
    "Apache writes the text `(null)` for what it does not have. certbound writes no field: a server that only asks whether "
    "the field is there would take the text for a certificate.",
    lambda line: None if line.endswith(b": (null)") else line,
)
EMPTY = Difference(
    "HAProxy sets a field without a value where it has none, and with colons around it an empty byte sequence. certbound "
    "writes no field.",
    lambda line: None if line.partition(b": ")[2] in (b"", b"::") else line,
)


NOT_REPEATED = {
    "folded": (
        Nginx,
        "$ssl_client_cert",
        lambda client: client.pem.rstrip("\n").replace("\n", "\n\t"),
        "A deprecated variable: lines folded with a bare line feed, which nobody may send (RFC 9112 §5.2).",
    ),
    "sha-1": (
        Nginx,
        "$ssl_client_fingerprint",
        lambda client: hashlib.sha1(client.der).hexdigest(),
        "SHA-1, with which two certificates can be made that have the same fingerprint.",
    ),
    "number": (
        HAProxy,
        "%[ssl_c_verify]",
        lambda client: "0",
        "0 for a valid certificate, and for none: see the test below.",
    ),
}
"""What terminators can write and no form of certbound does, by name: the terminator, its expression, what it gives, and
why not."""


# The table


@dataclass(frozen=True)
class Row:
    name: str
    """Also the name of the policy, and the first part of the path."""
    forwards: Mapping[str, Any]
    """An entry of `forward_certificate`."""
    peer: type[Terminator]
    fields: Mapping[str, Field]
    differences: tuple[Difference, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the policy says in `facts`."""
    beside: Mapping[str, Callable[[Certificate], str | None]] = field(default_factory=dict)
    """Fields that the terminator cannot write, and certbound must."""

    @property
    def policy(self) -> dict[str, Any]:
        server = {"forward_certificate": [dict(self.forwards)], "facts": dict(self.facts)}
        return {"authorization_server": {name: value for name, value in server.items() if value}}

    @property
    def path(self) -> str:
        return f"/{self.name}/token"

    def expected(self, certificate: Certificate | None) -> list[bytes]:
        """The lines that this certificate makes, in the order of names."""
        values = {name: each.form(certificate) if certificate else each.without for name, each in self.fields.items()}
        return sorted(f"{name}: {value}".encode() for name, value in values.items() if value is not None)


def _of(header: str, encoding: str, **rest: str) -> dict[str, str]:
    return {"header": header, "encoding": encoding, **rest}


APACHES = (TRAILING_SPACE, NULL)
# authlete/authlete-java-jaxrs 15cca4cca37d, HeaderClientCertificateXSslExtractor: the chain has the numbers 1 to 4.
AUTHLETE = {"x-ssl-cert": APACHE_PEM, **{f"x-ssl-cert-chain-{number + 1}": apache_chain(number) for number in range(4)}}
KEYCLOAK_APACHE = {
    "ssl_client_cert": APACHE_PEM,
    **{f"cert_chain_{number}": apache_chain(number) for number in range(3)},
}
CHAIN_LIST = {"client-cert-chain": lambda client: ", ".join(f":{_base64(der)}:" for der in client.chain) or None}
CHAIN_NUMBERED = {
    f"cert_chain_{number}": lambda client, number=number: (
        _base64(client.chain[number]) if number < len(client.chain) else None
    )
    for number in range(3)
}
SUBJECT = {"x-pem": NGINX_ESCAPED, "x-fact": NGINX_SUBJECT}
ISSUER = {"x-pem": NGINX_ESCAPED, "x-fact": NGINX_ISSUER}
SERIAL = {"x-pem": NGINX_ESCAPED, "x-fact": NGINX_SERIAL}
VERIFIED = {"x-pem": APACHE_PEM, "x-fact": APACHE_VERIFY}

ROWS = (
    Row("gluu", {"dialect": "gluu"}, Apache, {"x-clientcert": APACHE_PEM}, APACHES),
    Row("rfc9440", {"dialect": "rfc9440"}, HAProxy, {"client-cert": HAPROXY_BYTES}, (EMPTY,), beside=CHAIN_LIST),
    Row("janssen", {"dialect": "janssen"}, Apache, {"x-clientcert": APACHE_PEM}, APACHES),
    Row("authlete", {"dialect": "authlete"}, Apache, AUTHLETE, APACHES),
    Row("auth0", {"dialect": "auth0", "secret": {"environment": "SECRET_OF_THE_TEST"}}, Nginx, {"client-certificate": NGINX_ESCAPED, "client-certificate-ca-verified": NGINX_VERIFY, "cname-api-key": SECRET}),
    Row("keycloak-nginx", {"dialect": "keycloak_nginx"}, Nginx, {"ssl-client-cert": NGINX_ESCAPED, "ssl-client-verify": NGINX_VERIFY}),
    Row("keycloak-apache", {"dialect": "keycloak_apache"}, Apache, KEYCLOAK_APACHE, APACHES),
    Row("keycloak-haproxy", {"dialect": "keycloak_haproxy"}, HAProxy, {"ssl_client_cert": HAPROXY_DER}, (EMPTY,), beside=CHAIN_NUMBERED),
    Row("keycloak-rfc9440", {"dialect": "keycloak_rfc9440"}, HAProxy, {"client-cert": HAPROXY_BYTES}, (EMPTY,), beside=CHAIN_LIST),
    Row("azure", {"dialect": "azure"}, HAProxy, {"x-arr-clientcert": HAPROXY_DER}, (EMPTY,)),
    Row("tomcat", {"dialect": "tomcat"}, Apache, {"ssl_client_cert": APACHE_PEM}, APACHES),
    Row("tomcat-escaped", {"dialect": "tomcat_escaped"}, Nginx, {"ssl_client_escaped_cert": NGINX_ESCAPED}),
    Row("connect2id", {"dialect": "connect2id", "header": "x-b8g2wmq0"}, Nginx, {"x-b8g2wmq0": NGINX_ESCAPED}),
    Row("pem-url", _of("x-pem", "pem_url"), Nginx, {"x-pem": NGINX_ESCAPED}),
    Row("pem-nginx-escaped", _of("x-pem", "pem_nginx_escaped"), Nginx, {"x-pem": NGINX_ESCAPED}),
    Row("pem-apache", _of("x-pem", "pem_apache"), Apache, {"x-pem": APACHE_PEM}, APACHES),
    Row("der-base64", _of("x-der", "der_base64"), HAProxy, {"x-der": HAPROXY_DER}, (EMPTY,)),
    Row("sf-binary", _of("x-der", "sf_binary"), HAProxy, {"x-der": HAPROXY_BYTES}, (EMPTY,)),
    Row("sha256-hex", _of("x-digest", "sha256_hex"), HAProxy, {"x-digest": HAPROXY_DIGEST}, (EMPTY,)),
    Row("x5t-s256", _of("x-x5t", "x5t_s256"), HAProxy, {"x-x5t": HAPROXY_THUMBPRINT}, (EMPTY,)),
    Row("numbered", _of("x-pem", "pem_apache", chain="numbered", prefix="x-chain-"), Apache, {"x-pem": APACHE_PEM, "x-chain-0": apache_chain(0), "x-chain-1": apache_chain(1)}, APACHES),
    Row("concatenated", _of("x-der", "der_base64", chain="concatenated_der", chain_header="x-chain"), HAProxy, {"x-der": HAPROXY_DER, "x-chain": HAPROXY_CHAIN}, (EMPTY,)),
    Row("list", _of("client-cert", "sf_binary", chain="list", chain_header="client-cert-chain"), HAProxy, {"client-cert": HAPROXY_BYTES}, (EMPTY,), beside=CHAIN_LIST),
    Row("subject", _of("x-pem", "pem_url"), Nginx, SUBJECT, facts={"subject": "x-fact"}),
    Row("issuer", _of("x-pem", "pem_url"), Nginx, ISSUER, facts={"issuer": "x-fact"}),
    Row("serial-number", _of("x-pem", "pem_url"), Nginx, SERIAL, facts={"serial_number": "x-fact"}),
    Row("verified", _of("x-pem", "pem_apache"), Apache, VERIFIED, APACHES, {"verified": "x-fact"}),
)  # fmt: skip
