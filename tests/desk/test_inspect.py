# SPDX-License-Identifier: Apache-2.0
"""`certbound inspect` says of a certificate what OpenSSL says, and what a file is that holds none."""

import base64
import hashlib
import ipaddress
import json
import random
import re
import subprocess
import unicodedata
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12

from rig import der
from rig.certificates import APPENDIX_A, Authority, Certificate, made_by_openssl
from rig.desk import COMMAND, certbound


def openssl(*arguments: object, stdin: bytes = b"") -> bytes:
    """What OpenSSL prints. Raises CalledProcessError where it refuses."""
    return subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, check=True).stdout


def openssl_x509(certificate: bytes, *arguments: str) -> str:
    return openssl("x509", "-inform", "DER", "-noout", *arguments, stdin=certificate).decode().removesuffix("\n")


def inspected(content: bytes, *arguments: object, in_a_handshake: bool = False) -> dict[str, Any]:
    """What the command prints as JSON; only `in_a_handshake` with the notes on how a TLS handshake takes the certificate."""
    answer = certbound("inspect", "--format", "json", *arguments, "-", stdin=content)
    assert answer.returncode == 0, answer
    assert re.fullmatch(rb"[\n -~]*", answer.stdout)
    description = json.loads(answer.stdout)
    if not in_a_handshake:
        notes = [note for note in description.pop("notes", []) if HANDSHAKE not in note]
        description |= {"notes": notes} if notes else {}
    return description


HANDSHAKE = "a client with this certificate seems to have none"


def sentence(content: bytes) -> str:
    """What the command says of something without a certificate, after the name of the file."""
    answer = certbound("inspect", "-", stdin=content)
    assert (answer.returncode, answer.stdout) == (2, b""), answer
    (said,) = answer.stderr.decode().splitlines()
    assert said.startswith("certbound: standard input is ")
    return said.removeprefix("certbound: standard input is ")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Authority(tmp_path_factory.mktemp("authority")).issue(
        "client",
        dns=["client.example.org"],
        uri=["urn:client"],
        ip=["192.0.2.1", "2001:db8::1"],
        email=["c@example.org"],
    )


# Names


SHORT_NAMES = {
    "CN": "2.5.4.3",
    "L": "2.5.4.7",
    "ST": "2.5.4.8",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "C": "2.5.4.6",
    "STREET": "2.5.4.9",
    "DC": "0.9.2342.19200300.100.1.25",
    "UID": "0.9.2342.19200300.100.1.1",
}
"""RFC 4514, section 3."""

OTHER_TYPES = ["1.2.840.113549.1.9.1", "2.5.4.5", "2.5.4.97", "2.25.329800735698586629295641978511506172918", "1.2.3.4"]


def read_name(text: str) -> list[list[tuple[str, str]]]:
    """The attributes of an RFC 4514 string, with the values still escaped."""
    if not text:
        return []
    relative = re.findall(r"(?:\\.|[^\\,])+", text)
    return [
        [tuple(part.split("=", 1)) for part in re.findall(r"(?:\\.|[^\\+])+", attributes)] for attributes in relative
    ]


def unescaped(value: str) -> str:
    pieces = re.findall(rb"\\([0-9A-Fa-f]{2})|\\(.)|([^\\])", value.encode(), re.DOTALL)
    return b"".join(bytes.fromhex(pair.decode()) if pair else other or plain for pair, other, plain in pieces).decode()


def made_names(count: int) -> Iterator[bytes]:
    """Names of every string type that OpenSSL reads, with everything that needs an escape, the same in every run."""
    numbers = random.Random(4514)
    special = ' #"+,;<>\\=\0\n\x1b\x7f'
    characters = {
        der.UTF8: special + "aZ09éß日本😀\u202e\u200b\u0301\x9b",
        der.PRINTABLE: special + "aZ09@*_",
        der.NUMERIC: " 0123456789",
        der.T61: special + "aZ09éß\x9b",
        der.IA5: special + "aZ09@",
        der.UNIVERSAL: special + "aZé日😀\u202e",
        der.BMP: special + "aZé日\u202e",
    }
    encodings = {der.UTF8: "utf-8", der.T61: "latin-1", der.UNIVERSAL: "utf-32-be", der.BMP: "utf-16-be"}

    def attribute() -> der.Attribute:
        tag = numbers.choice(list(characters))
        length = numbers.choice([1, 1, 2, 3, 3, 5, 8, 13, 70])
        text = "".join(numbers.choices(characters[tag], k=length))
        kind = numbers.choice([*SHORT_NAMES.values()] * 2 + OTHER_TYPES)
        return kind, tag, text.encode(encodings.get(tag, "ascii"))

    for _ in range(count):
        relative = numbers.choice([0, 1, 1, 2, 3, 6])
        yield der.name(*([attribute() for _ in range(numbers.choice([1, 1, 1, 2, 3]))] for _ in range(relative)))


def check_name(name: bytes) -> int:
    """Compares the description of a name with OpenSSL's and, character by character, with that of the package
    cryptography, where it reads the name and has nothing that it would leave as it is: a control character, or a type
    without a short name. Returns the number of the latter."""
    certificate = der.certificate(subject=name, issuer=name)
    description = inspected(certificate)
    shown = description["subject"]
    assert shown == description["issuer"]
    assert not any(unicodedata.category(character) in ("Cc", "Cf") for character in shown), shown

    def of_openssl(options: str) -> list[list[tuple[str, str]]]:
        names = read_name(openssl_x509(certificate, "-subject", "-nameopt", options).removeprefix("subject="))
        # OpenSSL turns round the attributes of a multi-valued part as well, which RFC 4514 leaves open.
        return [attributes[::-1] for attributes in names]

    texts, dumped = of_openssl("RFC2253,-esc_msb,utf8"), of_openssl("RFC2253,oid,dump_all,dump_der")
    own = read_name(shown)
    assert [len(attributes) for attributes in own] == [len(attributes) for attributes in dumped], shown
    flat = [[attribute for attributes in name for attribute in attributes] for name in (own, dumped, texts)]
    for (kind, value), (identifier, dump), (_, text) in zip(*flat, strict=True):
        assert SHORT_NAMES.get(kind, kind) == identifier
        if kind in SHORT_NAMES:
            assert unescaped(value) == unescaped(text)
            assert not value.startswith("#")
        else:
            # OpenSSL has names of its own for more types, and a name outside RFC 4514's list needs this form.
            assert value.lower() == dump.lower()
    try:
        expected = x509.load_der_x509_certificate(certificate).subject.rfc4514_string()
    except (ValueError, TypeError):
        return 0
    short = all(kind in SHORT_NAMES for attributes in own for kind, _ in attributes)
    if not short or any(unicodedata.category(character) in ("Cc", "Cf") for character in expected):
        return 0
    assert shown == expected
    return 1


@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_five_hundred_names_are_what_openssl_and_cryptography_read() -> None:
    with ThreadPoolExecutor(4) as pool:
        compared = list(pool.map(check_name, made_names(500)))
    assert len(compared) == 500
    assert sum(compared) > 50


def test_a_byte_that_its_string_type_does_not_have_is_not_guessed() -> None:
    """OpenSSL shows these as ISO 8859-1, or refuses the certificate."""
    for tag, value in [(der.PRINTABLE, b"caf\xe9"), (der.IA5, b"\xff"), (der.UTF8, b"caf\xe9"), (der.BMP, b"a")]:
        name = der.name([("2.5.4.3", tag, value)])
        assert inspected(der.certificate(subject=name))["subject"] == f"CN=#{der.element(tag, value).hex()}"


def test_a_name_that_readers_decode_differently_is_registered_by_its_bytes() -> None:
    """OpenSSL reads a TeletexString as ISO 8859-1, and others as T.61."""
    name = der.name([("2.5.4.10", der.UTF8, b"A")], [("2.5.4.3", der.T61, b"caf\xe9")])
    (note,) = inspected(der.certificate(subject=name))["notes"]
    assert note.startswith("subject cannot be registered as text")
    assert note.endswith(" 2.5.4.3=#1404636166e9,O=A byte for byte")
    assert "notes" not in inspected(der.certificate(subject=der.name([("2.5.4.3", der.T61, b"cafe")])))


def test_a_value_that_some_readers_cut_or_refuse_is_registered_by_its_bytes() -> None:
    """A NUL ends a text of C, and neither dNSName-like attribute has a letter beyond ASCII."""
    for attribute, registered in [
        (("2.5.4.3", der.UTF8, b"a\0b"), "2.5.4.3=#0c03610062"),
        (("0.9.2342.19200300.100.1.25", der.UTF8, "é".encode()), "0.9.2342.19200300.100.1.25=#0c02c3a9"),
        (("2.5.4.10", der.UTF8, b"a/UID=b"), "2.5.4.10=#0c07612f5549443d62"),
    ]:
        (note,) = inspected(der.certificate(subject=der.name([attribute])))["notes"]
        assert note.startswith("subject cannot be registered as text")
        assert note.endswith(f" {registered} byte for byte")


def test_it_says_which_lines_other_servers_compare() -> None:
    text = certbound("inspect", "-", stdin=der.certificate()).stdout.decode()
    assert re.findall("^compared: +(.*)$", text, re.MULTILINE) == [
        "subject, by Spring as text and by Keycloak part by part in this order; issuer by neither"
    ]


PRINTED = {
    'subject=C = BR, O = "Example, Inc.", CN = client + emailAddress = a@b.example': "CN=client+emailAddress=a@b.example,O=Example\\, Inc.,C=BR",
    "/C=BR/O=Example, Inc./CN=client+emailAddress=a@b.example": "CN=client+emailAddress=a@b.example,O=Example\\, Inc.,C=BR",
    "C=BR\nO=Example\\, Inc.\nCN=client + emailAddress=a@b.example": "CN=client+emailAddress=a@b.example,O=Example\\, Inc.,C=BR",
    "CN=client, O=\"Example, Inc.\", C=BR": "CN=client,O=Example\\, Inc.,C=BR",
    "CN=client,C=BR": "CN=client,C=BR",
}
"""As OpenSSL 3.0.19, Node 20.20.2 and OpenJDK 17.0.15 print a subject; and as RFC 4514 has it."""


@pytest.mark.parametrize("printed", PRINTED)
def test_a_name_that_a_tool_printed_becomes_a_string_of_rfc_4514(printed: str) -> None:
    answer = certbound("inspect", "--dn", printed)
    assert (answer.returncode, answer.stdout.decode(), answer.stderr) == (0, PRINTED[printed] + "\n", b"")


def test_a_name_that_means_two_things_or_breaks_off_or_is_turned_round_is_told() -> None:
    for printed, code, told in [("SN=1", 2, b"surname"), ("CN = \"a", 2, b"breaks off"), ("C=BR,CN=a", 0, b"unordered")]:
        answer = certbound("inspect", "--dn", printed)
        assert answer.returncode == code
        assert told in answer.stderr


def test_a_name_of_sixty_thousand_characters_is_shown() -> None:
    name = der.name([("2.5.4.3", der.UTF8, b"a," * 30_000)])
    assert inspected(der.certificate(subject=name))["subject"] == "CN=" + "a\\," * 30_000


def test_nothing_in_a_certificate_reaches_the_terminal_as_more_than_text() -> None:
    evil = "\x1b[2J\r\n\u202egpj\x9b31m\u200b"
    name = der.name([("2.5.4.3", der.UTF8, evil.encode())])
    names = der.general_names(
        der.element(0x82, b"a\x1b[2J\nb\\"), der.element(0x86, evil.encode()), der.element(0xA4, name)
    )
    certificate = der.certificate(subject=name, issuer=name, extensions=[names], not_before=der.utc_time("\x1b[2J"))
    text = certbound("inspect", "-", "--dialect", "gluu", stdin=certificate).stdout.decode()
    assert re.fullmatch(r"[\n -~]*", text), text
    assert "dns:           a\\1B[2J\\0Ab\\\\\n" in text
    assert inspected(certificate)["subject_alternative_names"]["dns"] == ["a\x1b[2J\nb\\"]


# Numbers, dates and keys


def test_serial_numbers_are_openssls() -> None:
    numbers = [0, 1, 127, 128, 255, 256, -1, -127, -128, -129, -256, 2**64, 2**159, -(2**159), 2**400]
    contents = [der.integer(number) for number in numbers]
    for content in contents:
        certificate = der.certificate(serial_number=content)
        expected = openssl_x509(certificate, "-serial").removeprefix("serial=").replace("\\\n", "")
        assert inspected(certificate)["serial_number"] == expected


TIMES = [
    der.utc_time("500101000000Z"),
    der.utc_time("491231235959Z"),
    der.utc_time("2601010000Z"),
    der.utc_time("260101000000+0130"),
    der.utc_time("2601010000-1259"),
    der.utc_time("240229000000Z"),
    der.generalized_time("20500101000000Z"),
    der.generalized_time("99991231235959Z"),
    der.generalized_time("19500101000000Z"),
    der.generalized_time("202601010000Z"),
    der.generalized_time("20260101000000.123Z"),
    der.generalized_time("20260101000000.5+0100"),
]
NO_TIMES = [
    der.utc_time("260229000000Z"),
    der.utc_time("261301000000Z"),
    der.utc_time("260101000060Z"),
    der.utc_time("260101240000Z"),
    der.utc_time("260101000000"),
    der.generalized_time("20260101000000"),
    der.generalized_time("20260101000000,5Z"),
    der.generalized_time("20260101000000.Z"),
    der.generalized_time("2026010100Z"),
    der.generalized_time(""),
]


@pytest.mark.parametrize("time", TIMES, ids=lambda time: time[2:].decode())
def test_dates_are_openssls(time: bytes) -> None:
    certificate = der.certificate(not_before=time, not_after=time)
    expected = openssl_x509(certificate, "-startdate", "-dateopt", "iso_8601").partition("=")[2].replace(" ", "T")
    description = inspected(certificate)
    assert [description["not_before"], description["not_after"]] == [expected, expected]
    assert "notes" not in description


@pytest.mark.parametrize("time", NO_TIMES, ids=lambda time: time[2:].decode())
def test_what_is_a_bad_time_to_openssl_is_named(time: bytes) -> None:
    certificate = der.certificate(not_after=time)
    assert "Bad time value" in openssl_x509(certificate, "-enddate", "-dateopt", "iso_8601")
    description = inspected(certificate)
    assert description["not_after"] is None
    assert description["notes"] == [f'not_after is no time: "{time[2:].decode()}"']


KEYS = {
    "RSA 2048": ["-newkey", "rsa:2048"],
    "RSA 1023": ["-newkey", "rsa:1023"],
    "RSA-PSS 2048": ["-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"],
    "EC P-224": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-224"],
    "EC P-256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "EC P-384": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "EC P-521": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "EC secp256k1": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
    "EC brainpoolP256r1": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"],
    "EC 1.3.132.0.39": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:sect571r1"],
    "EC with a curve of its own parameters": [
        *["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"]
    ],
    "Ed25519": ["-newkey", "ed25519"],
    "Ed448": ["-newkey", "ed448"],
}


@pytest.mark.parametrize("key", KEYS)
def test_a_certificate_with_any_key_is_described_as_openssl_does(key: str, tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    subject = r"/C=DE/O=Example \+ Sons, Ltd/OU=a+OU=b/CN= client/emailAddress=c@example.org"
    names = "DNS:a.example,DNS:*.b.example,URI:urn:x,IP:192.0.2.1,IP:2001:db8::1,email:c@d.example"
    openssl(
        *["req", "-x509", "-nodes", "-multivalue-rdn", "-subj", subject, "-keyout", tmp_path / "key.pem", "-out", path],
        *["-addext", f"subjectAltName={names}"],
        *KEYS[key],
    )
    certificate = openssl("x509", "-in", path, "-outform", "DER")
    description = inspected(path.read_bytes())
    digest = hashlib.sha256(certificate).digest()
    assert description.pop("x5t#S256") == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    fingerprint = openssl_x509(certificate, "-fingerprint", "-sha256").partition("=")[2]
    assert description.pop("sha256") == digest.hex() == fingerprint.replace(":", "").lower()
    assert description.pop("serial_number") == openssl_x509(certificate, "-serial").partition("=")[2]
    dates = openssl_x509(certificate, "-dates", "-dateopt", "iso_8601").replace(" ", "T").splitlines()
    assert dates == [f"notBefore={description.pop('not_before')}", f"notAfter={description.pop('not_after')}"]
    assert description.pop("subject_alternative_names") == {
        "dns": ["a.example", "*.b.example"],
        "uri": ["urn:x"],
        "ip": ["192.0.2.1", "2001:db8::1"],
        "email": ["c@d.example"],
    }
    email = "1.2.840.113549.1.9.1=#" + der.element(der.IA5, b"c@example.org").hex()
    name = f"{email},CN=\\ client,OU=a+OU=b,O=Example \\+ Sons\\, Ltd,C=DE"
    assert description == {"subject": name, "issuer": name, "key": key}


def test_the_certificate_of_rfc_8705_has_the_thumbprint_that_the_rfc_gives() -> None:
    description = inspected(APPENDIX_A.encode())
    assert description["x5t#S256"] == "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
    assert (description["subject"], description["serial_number"], description["key"]) == ("CN=mtls", "02", "EC P-256")


# Subject alternative names and other extensions


def test_an_empty_subject_and_its_critical_names_are_shown() -> None:
    names = der.general_names(der.element(0x82, b"a.example"), critical=True)
    certificate = der.certificate(subject=der.name(), extensions=[names])
    description = inspected(certificate)
    assert description["subject"] == ""
    assert description["subject_alternative_names"]["dns"] == ["a.example"]
    assert "subject:       (empty)\n" in certbound("inspect", "-", stdin=certificate).stdout.decode()


def test_names_of_other_kinds_are_not_dropped() -> None:
    principal = der.sequence(der.identifier("1.3.6.1.4.1.311.20.2.3"), der.element(0xA0, der.element(der.UTF8, b"u@d")))
    other_name = der.element(0xA0, principal[2:])
    directory_name = der.element(0xA4, der.name([("2.5.4.6", der.PRINTABLE, b"DE")], [("2.5.4.3", der.UTF8, b"a+b")]))
    not_ascii, no_address = der.element(0x82, "bücher.example".encode()), der.element(0x87, bytes(8))
    names = [other_name, directory_name, der.element(0x88, der.identifier("1.2.3")[2:]), not_ascii, no_address]
    description = inspected(der.certificate(extensions=[der.general_names(*names)]))
    assert description["subject_alternative_names"] == {
        "dns": [],
        "uri": [],
        "ip": [],
        "email": [],
        "other": [
            f"otherName #{other_name.hex()}",
            "directoryName CN=a\\+b,C=DE",
            "registeredID 1.2.3",
            f"dNSName #{not_ascii.hex()}",
            f"iPAddress #{no_address.hex()}",
        ],
    }


def test_names_in_any_number_keep_their_order() -> None:
    numbers = random.Random(5280)
    addresses = [ipaddress.ip_address(numbers.randbytes(numbers.choice([4, 16]))) for _ in range(300)]
    labels = [f"{number}.example" for number in numbers.sample(range(10_000), 300)]
    names = [der.element(0x87, address.packed) for address in addresses]
    names += [der.element(0x82, label.encode()) for label in labels]
    shown = inspected(der.certificate(extensions=[der.general_names(*names)]))["subject_alternative_names"]
    assert [ipaddress.ip_address(address) for address in shown["ip"]] == addresses
    assert shown["dns"] == labels


def test_what_is_wrong_with_extensions_is_named_and_the_rest_is_shown() -> None:
    a, b = (der.general_names(der.element(0x82, name)) for name in (b"a.example", b"b.example"))
    broken = der.extension("2.5.29.17", b"\x30\x05\x82\x01a")
    repeated = "the extension 2.5.29.17 is there 2 times, and servers differ in which they read"
    for certificate, dns, notes in [
        (der.certificate(extensions=[a, b]), ["a.example", "b.example"], [repeated]),
        (der.certificate(extensions=[broken]), [], ["the extension subjectAltName cannot be read"]),
        (der.certificate(extensions=[der.integer(1), a]), ["a.example"], ["an extension cannot be read"]),
        (der.certificate(behind=der.element(0xA3, b"\x30\x05")), [], ["the extensions cannot be read"]),
        (der.certificate(behind=der.integer(1)), [], ["there is an unknown field beside the extensions"]),
        (der.certificate(behind=b"\x02"), [], ["there are bytes behind the last field"]),
        (der.certificate(key=der.sequence()), [], ["the public key cannot be read"]),
        (
            der.certificate(subject=der.sequence(der.integer(1))),
            [],
            ["subject cannot be read as a distinguished name"],
        ),
    ]:
        description = inspected(certificate)
        assert description["subject_alternative_names"]["dns"] == dns
        assert description["notes"] == notes
        text = certbound("inspect", "-", stdin=certificate).stdout.decode()
        told = re.findall("^note: +(.*)$", text, re.MULTILINE)
        assert [note for note in told if HANDSHAKE not in note] == notes


# What is printed


def test_the_json_has_these_keys_and_the_text_the_same_facts(certificate: Certificate) -> None:
    description = inspected(certificate.der)
    names = description["subject_alternative_names"]
    assert list(names) == ["dns", "uri", "ip", "email"]
    keys = "x5t#S256 sha256 subject issuer serial_number not_before not_after subject_alternative_names key key_usage"
    assert list(description) == keys.split()
    answer = certbound("inspect", certificate.certificate_path)
    assert (answer.returncode, answer.stderr) == (0, b"")
    facts = [(key, value) for key, value in description.items() if isinstance(value, str)]
    facts[-1:-1] = [(kind, name) for kind, of_kind in names.items() for name in of_kind]
    facts.append(("key_usage", ", ".join(description["key_usage"])))
    # It says of every certificate how others read these lines.
    facts.append(("compared", "subject, by Spring as text and by Keycloak part by part in this order; issuer by neither"))
    assert answer.stdout.decode() == "".join(f"{key + ':':<14} {value}\n" for key, value in facts)


def test_a_dialect_adds_the_header_that_it_sends(certificate: Certificate) -> None:
    gluu, rfc9440 = ("x-clientcert", certificate.apache_form), ("client-cert", certificate.rfc9440_form)
    arguments = ["--dialect", "gluu", "--dialect", "rfc9440"]
    assert inspected(certificate.der, *arguments)["headers"] == [list(gluu), list(rfc9440)]
    text = certbound("inspect", certificate.certificate_path, *arguments).stdout.decode()
    assert text.partition("\n\n")[2].splitlines() == [": ".join(gluu), ": ".join(rfc9440)]


def test_a_dialect_that_is_none_is_named_with_the_nearest() -> None:
    answer = certbound("inspect", "-", "--dialect", "glu")
    assert answer.returncode == 2
    assert b'unknown dialect "glu"; did you mean "gluu"?' in answer.stderr


# What is read


def test_every_form_of_a_certificate_is_read(certificate: Certificate) -> None:
    expected = inspected(certificate.der)
    pem, base64_line = certificate.pem, base64.b64encode(certificate.der).decode()
    key = certificate.key_path.read_text()
    for form in [
        pem,
        pem.replace("\n", "\r\n"),
        pem.replace("\n", ""),
        "\ufeff" + pem,
        f"subject=CN = x\n\n{pem}\nwhatever\n",
        key + pem,
        pem.replace("CERTIFICATE", "X509 CERTIFICATE"),
        pem.replace("-\n", "-\nfriendlyName: client\n\n", 1),
        certificate.apache_form,
        certificate.url_encoded,
        re.sub("%..", lambda pair: pair[0].lower(), certificate.url_encoded),
        urllib.parse.quote_plus(pem),
        base64_line,
        f"\n{base64_line}\n",
        "\n".join(re.findall(".{1,64}", base64_line)),
        base64_line.rstrip("="),
        certificate.rfc9440_form,
    ]:
        assert inspected(form.encode()) == expected, form
    assert inspected(b"caf\xe9\n" + pem.encode()) == expected
    trusted = openssl("x509", "-addtrust", "clientAuth", "-trustout", stdin=pem.encode())
    assert b"TRUSTED" in trusted
    assert inspected(trusted) == expected


def test_the_first_of_several_certificates_is_described_and_the_others_are_counted(
    certificate: Certificate, tmp_path: Path
) -> None:
    other = Authority(tmp_path).pem_path.read_text()
    answer = certbound("inspect", "-", "--format", "json", stdin=(certificate.pem + other + other).encode())
    assert json.loads(answer.stdout) == inspected(certificate.der)
    assert answer.stderr == b"certbound: standard input has 3 certificates; this is the first\n"


def test_what_is_no_certificate_is_named(certificate: Certificate, tmp_path: Path) -> None:
    parsed = x509.load_der_x509_certificate(certificate.der)
    key = serialization.load_pem_private_key(certificate.key_path.read_bytes(), None)
    private, public = "a private key, not a certificate", "a public key, not a certificate"
    pem, raw = serialization.Encoding.PEM, serialization.Encoding.DER
    plain, secret = serialization.NoEncryption(), serialization.BestAvailableEncryption(b"secret")
    pkcs8, sec1 = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
    rsa = openssl("genrsa", "-traditional", "2048")
    request = openssl("req", "-new", "-key", certificate.key_path, "-subj", "/CN=x")
    authority = Authority(tmp_path / "authority")
    crl = authority.revoke(certificate).read_bytes()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    bundle7, bundle12 = "a PKCS #7 bundle; `openssl pkcs7 -print_certs`", "a PKCS #12 bundle; `openssl pkcs12 -nokeys`"

    def as_der(kind: str, content: bytes) -> bytes:
        return openssl(kind, "-outform", "DER", stdin=content)

    for content, said in [
        (certificate.key_path.read_bytes(), private),
        *((key.private_bytes(*form), private) for form in [
            (pem, pkcs8, secret), (raw, pkcs8, plain), (raw, pkcs8, secret), (pem, sec1, plain), (pem, sec1, secret),
            (raw, sec1, plain),
        ]),
        (rsa, private),
        (openssl("rsa", "-traditional", "-outform", "DER", stdin=rsa), private),
        (openssl("ecparam", "-name", "prime256v1", "-genkey"), private),
        (key.private_bytes(pem, serialization.PrivateFormat.OpenSSH, plain), private),
        (key.public_key().public_bytes(pem, spki), public),
        (key.public_key().public_bytes(raw, spki), public),
        (openssl("rsa", "-RSAPublicKey_out", stdin=rsa), public),
        (openssl("rsa", "-RSAPublicKey_out", "-outform", "DER", stdin=rsa), public),
        (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== operator@example.org", "an SSH key"),
        (request, "a certificate request, not a certificate"),
        (as_der("req", request), "a certificate request, not a certificate"),
        (crl, "a certificate revocation list"),
        (as_der("crl", crl), "a certificate revocation list"),
        (pkcs7.serialize_certificates([parsed], pem), bundle7),
        (pkcs7.serialize_certificates([parsed], raw), bundle7),
        (pkcs12.serialize_key_and_certificates(b"x", key, parsed, None, secret), bundle12),
        (b'[{"kty": "EC", "d": "c2VjcmV0"}]', "JSON, not a certificate"),
        (b'{"a": 1}', "JSON, not a certificate"),
        (b"eyJhbGciOiJFUzI1NiJ9.e30.AAAA.AAAA.AAAA", "a JSON Web Token,"),
        (b"# comment\npolicies:\n  api: {}\n", "YAML, not a certificate"),
        (b"---\n- a: b\n", "YAML, not a certificate"),
        (b"Dear operator,\nplease find this attached: no\n", "text, not a certificate"),
        (b"", "empty"),
        (b" \n\t", "empty"),
        (random.Random(1).randbytes(500), "binary data, not a certificate"),
        (("\ufeff" + certificate.pem).encode("utf-16-le"), "text in UTF-16"),
        (certificate.der + b"\n", "a certificate with other bytes after it"),
        (certificate.pem.replace("\nM", "\n*", 1).encode(), "a PEM whose certificate is broken"),
        (certificate.pem[:-30].encode(), "a truncated PEM"),
        (certificate.pem.replace("END CERT", "END X CERT").encode(), "a truncated PEM"),
        (b"-----BEGIN \x1b[2J-----\n-----END x-----\n", 'a PEM block "\\1B[2J", not a certificate'),
        (b"-----BEGIN ", "PEM with a broken BEGIN line"),
        (der.sequence(der.integer(1)), "DER, but not a certificate"),
        (b"\x30\x80" + certificate.der[4:] + b"\0\0", "BER but not DER"),
        (b"\x30\x83\0" + certificate.der[2:], "BER but not DER"),
        (der.sequence(der.sequence(), der.sequence(), der.bit_string(b"")), "a broken certificate"),
        (b"a" * 1024 * 1024 + b"a", "larger than 1 MiB"),
    ]:
        assert sentence(content).startswith(said), content


def test_a_private_key_is_never_repeated(certificate: Certificate) -> None:
    key = certificate.key_path.read_text()
    # What follows them is the public key, which the certificate has too.
    secrets = key.splitlines()[1:3]
    for content in (key, key.replace("PRIVATE", "SECRET"), key + certificate.pem, "\n".join(secrets), key[:-40]):
        answer = certbound("inspect", "-", "--dialect", "gluu", stdin=content.encode())
        assert not any(line in (answer.stdout + answer.stderr).decode() for line in secrets), content


def test_no_part_of_a_certificate_is_taken_for_a_certificate(certificate: Certificate) -> None:
    for length in range(1, len(certificate.der), 7):
        said = sentence(certificate.der[:length])
        assert said in ("truncated DER: it ends before its own length says", "text, not a certificate"), length


def test_a_file_that_cannot_be_read_is_named_with_the_systems_reason(tmp_path: Path) -> None:
    for path, reason in [
        (tmp_path, "Is a directory"),
        (tmp_path / "missing.pem", "No such file or directory"),
        (tmp_path / "evil\x1b[2J\n", "No such file or directory"),
    ]:
        answer = certbound("inspect", path)
        assert (answer.returncode, answer.stdout) == (2, b"")
        (said,) = answer.stderr.decode().splitlines()
        assert str(tmp_path) in said and f": {reason}" in said and "\x1b" not in said


def test_whoever_stops_reading_gets_no_complaint(certificate: Certificate) -> None:
    process = subprocess.Popen(
        [COMMAND, "inspect", certificate.certificate_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert (process.stderr.read(), process.wait(10)) == (b"", 0)


# What a handshake makes of it


@pytest.mark.parametrize(
    ("options", "note"),
    [
        (("-newkey", "rsa:2048"), None),
        (("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"), None),
        (("-newkey", "rsa:2048", "-addext", "keyUsage=digitalSignature,keyEncipherment"), None),
        (("-newkey", "rsa:2048", "-addext", "keyUsage=keyEncipherment"), "keyUsage has no digitalSignature"),
        (("-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"), "takes no key of this kind"),
        (("-newkey", "ed448"), "takes no key of this kind"),
        (("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"), "names ecdsa_secp521r1_sha512"),
        (("-newkey", "ed25519"), "names ed25519"),
    ],
    ids=str,
)
def test_a_certificate_that_a_handshake_does_not_take_has_a_note(
    tmp_path: Path, options: tuple[str, ...], note: str | None
) -> None:
    """docs/listeners.md has the same rows, which tests/envoy/test_tls.py runs."""
    notes = inspected(made_by_openssl(tmp_path, "client", *options).der, in_a_handshake=True).get("notes", [])
    assert len(notes) == (note is not None) and all(note in said for said in notes)
