# SPDX-License-Identifier: Apache-2.0
"""RSASSA-PKCS1-v1_5 and RSASSA-PSS (RFC 8017 §8, RFC 7518 §3.3 and §3.5)."""

import hashlib
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from by_the_standards import DIGEST_INFO, is_pkcs1, is_pss, mgf1
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from issuer import Issuer, Published
from rig import der, tokens

HASHES = {"256": ("sha256", hashes.SHA256()), "384": ("sha384", hashes.SHA384()), "512": ("sha512", hashes.SHA512())}
EXPONENT = 65537
IDENTIFIERS = {
    "md5": "1.2.840.113549.2.5", "sha1": "1.3.14.3.2.26", "sha224": "2.16.840.1.101.3.4.2.4", "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2", "sha512": "2.16.840.1.101.3.4.2.3", "sha3_256": "2.16.840.1.101.3.4.2.8",
}  # fmt: skip


SMALL_PRIMES = [each for each in range(3, 2000) if all(each % divisor for divisor in range(2, math.isqrt(each) + 1))]


def prime(chance: random.Random, least: int, most: int, exponent: int) -> int:
    """A number from `least` up to `most` that passes for a prime."""
    while True:
        candidate = chance.randrange(least, most) | 1
        if all(candidate % each for each in SMALL_PRIMES) and candidate % exponent != 1:
            if pow(2, candidate - 1, candidate) == 1:
                return candidate


@dataclass(frozen=True)
class Private:
    """A key of several primes (RFC 8017 §3.1), which are quicker to find than two large ones."""

    primes: tuple[int, ...]
    exponent: int = EXPONENT

    @classmethod
    def make(cls, chance: random.Random, bits: int, exponent: int = EXPONENT) -> "Private":
        first = [prime(chance, 1 << 511, 1 << 512, exponent) for _ in range(bits // 512 - 1)]
        product = math.prod(first)
        return cls((*first, prime(chance, (1 << bits - 1) // product + 1, (1 << bits) // product, exponent)), exponent)

    @property
    def modulus(self) -> int:
        return math.prod(self.primes)

    @property
    def length(self) -> int:
        return (self.modulus.bit_length() + 7) // 8

    def power(self, number: int) -> int:
        """RSASP1 (RFC 8017 §5.2.1), by the remainders."""
        total, product = 0, 1
        for each in self.primes:
            remainder = pow(number % each, pow(self.exponent, -1, each - 1), each)
            total += product * ((remainder - total) * pow(product, -1, each) % each)
            product *= each
        return total

    def sign(self, encoded: int | bytes) -> bytes:
        number = int.from_bytes(encoded) if isinstance(encoded, bytes) else encoded
        return self.power(number % self.modulus).to_bytes(self.length)

    @property
    def jwk(self) -> dict[str, str]:
        return jwk(self.modulus, self.exponent)


def jwk(modulus: int, exponent: int, zeros: int = 0) -> dict[str, str]:
    n, e = (tokens.encode_part(bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)) for number in (modulus, exponent))
    return {"kty": "RSA", "n": n, "e": e}


def digest_info(hash_name: str, digest: bytes, parameters: bytes = b"\5\0") -> bytes:
    return der.sequence(der.sequence(der.identifier(IDENTIFIERS[hash_name]), parameters), der.element(4, digest))


@dataclass(frozen=True)
class Pss:
    """EMSA-PSS-ENCODE (RFC 8017 §9.1.1), with each of its parts as it is given."""

    bits: int
    hash_name: str
    mgf_hash: str
    salt: bytes
    before: bytes = bytes(8)
    padding: bytes | None = None
    """What stands before the salt; zeros and a one where it is None."""
    trailer: bytes = b"\xbc"
    top: int = 0
    """Bits of the first byte that must not be set."""
    flip: int = 0
    """A bit of the hash that is another one."""

    def encode(self, message: bytes) -> bytes:
        digest = hashlib.new(self.hash_name, message).digest()
        return self.encode_hash(digest)

    def encode_hash(self, digest: bytes) -> bytes:
        length, unused = (self.bits + 7) // 8, -self.bits % 8
        own = hashlib.new(self.hash_name, self.before + digest + self.salt).digest()
        size = length - len(own) - len(self.trailer)
        zeros = size - len(self.salt) - 1
        block = (bytes(zeros) + b"\1" if self.padding is None else self.padding) + self.salt
        block = block[-size:].rjust(size, b"\0")
        masked = int.from_bytes(block) ^ int.from_bytes(mgf1(self.mgf_hash, own, size))
        masked = masked & (1 << 8 * size - unused) - 1 | self.top << 8 * size - 8
        own = (int.from_bytes(own) ^ self.flip).to_bytes(len(own))
        return masked.to_bytes(size) + own + self.trailer


class Rsa:
    """The families of both schemes, with each of the three hashes."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer, self.chance = issuer, issuer.chance

    def make(self) -> None:
        self.own = self.private(2048)
        self.key = self.publish(self.own)
        for bits in HASHES:
            self.pkcs1(f"RS{bits}")
            self.pss(f"PS{bits}")
        self.lengths()
        self.keys()

    def private(self, bits: int, exponent: int = EXPONENT) -> Private:
        return Private.make(self.chance, bits, exponent)

    def publish(self, private: Private) -> Published:
        modulus, exponent = private.modulus, private.exponent
        openssl = RSAPublicNumbers(exponent, modulus).public_key()

        def algorithm(message: bytes) -> str:
            return tokens.decode(message.decode() + ".")[0]["alg"]

        def by_the_standards(message: bytes, signature: bytes) -> bool:
            name = algorithm(message)
            judge = is_pkcs1 if name[:2] == "RS" else is_pss
            return judge(modulus, exponent, HASHES[name[2:]][0], message, signature)

        def by_openssl(message: bytes, signature: bytes) -> bool:
            name = algorithm(message)
            own = HASHES[name[2:]][1]
            scheme = padding.PKCS1v15() if name[:2] == "RS" else padding.PSS(padding.MGF1(own), own.digest_size)
            try:
                openssl.verify(signature, message, scheme, own)
            except InvalidSignature:
                return False
            return True

        return self.issuer.publish(private.jwk, by_the_standards, by_openssl)

    def pkcs1(self, algorithm: str) -> None:
        name = HASHES[algorithm[2:]][0]
        own, length = self.own, self.own.length
        message = self.issuer.input(algorithm, self.key.kid)
        digest = hashlib.new(name, message).digest()
        info = DIGEST_INFO[name] + digest
        assert info == digest_info(name, digest)

        def add(what: str, signature: bytes, *, right: bool = False) -> None:
            self.issuer.add(algorithm, what, self.key, message, signature, right=right)

        def padded(content: bytes, *, start: bytes = b"\0\1", fill: bytes = b"\xff", end: bytes = b"\0", behind: bytes = b"") -> bytes:
            count = length - len(start) - len(end) - len(content) - len(behind)
            return start + fill * count + end + content + behind

        right = own.sign(padded(info))
        add("a signature", right, right=True)
        for what, content in self.infos(name, message, digest):
            add(f"DigestInfo: {what}", own.sign(padded(content)))
        for what, encoded in [
            ("block type 2", padded(info, start=b"\0\2")), ("block type 0", padded(info, start=b"\0\0", fill=b"\0")),
            ("block type 0 and ff", padded(info, start=b"\0\0")), ("a first byte that is 1", padded(info, start=b"\1\1")),
            ("no zero before the block type", padded(info, start=b"\1")), ("padding of zeros", padded(info, fill=b"\0")), ("padding of ones", padded(info, fill=b"\1")),
            ("padding of fe", padded(info, fill=b"\xfe")), ("no zero behind the padding", padded(info, end=b"\xff")),
            ("one more zero behind the padding", padded(info, end=b"\0\0")), ("a zero within the padding", padded(info, start=b"\0\1\xff\xff\xff\xff\0")),
            ("another last byte of the padding", padded(info, end=b"\xfe\0")), ("another first byte of the padding", padded(info, start=b"\0\1\xfe")),
            ("a byte behind the hash", padded(info, behind=b"\0")), ("all bytes but eight of the padding behind the hash", self.shifted(length, info, 8)),
            ("no padding, and all behind the hash", self.shifted(length, info, 0)), ("one byte of padding", self.shifted(length, info, 1)),
            ("two DigestInfo", padded(info + info)), ("garbage before the DigestInfo", padded(b"\x30\x03\2\1\0" + info)),
            ("PSS", Pss(own.modulus.bit_length() - 1, name, name, bytes(len(digest))).encode(message).rjust(length, b"\0")),
        ]:  # fmt: skip
            add(f"padding: {what}", own.sign(encoded))
        self.numbers(algorithm, message, right, padded(info))

    def infos(self, name: str, message: bytes, digest: bytes) -> Iterator[tuple[str, bytes]]:
        """What is not the DER of RFC 8017 §9.2, note 1."""
        identifier, octets = der.identifier(IDENTIFIERS[name]), der.element(4, digest)
        null = b"\5\0"
        algorithm = der.sequence(identifier, null)
        yield "the hash alone", digest
        yield "the octet string alone", octets
        yield "no NULL", digest_info(name, digest, b"")
        yield "a NULL with a long length", digest_info(name, digest, b"\5\x81\0")
        yield "a NULL with a content", digest_info(name, digest, b"\5\1\0")
        yield "an octet string in place of NULL", digest_info(name, digest, b"\4\0")
        yield "two NULL", digest_info(name, digest, null * 2)
        yield "garbage in the parameters", digest_info(name, digest, der.element(4, bytes(20)))
        yield "a long length of the whole", b"\x30\x81" + der.sequence(algorithm, octets)[1:]
        yield "a long length of the algorithm", der.sequence(b"\x30\x81" + algorithm[1:], octets)
        yield "a long length of the hash", der.sequence(algorithm, b"\4\x81" + octets[1:])
        yield "an indefinite length of the whole", b"\x30\x80" + algorithm + octets + b"\0\0"
        yield "an indefinite length of the algorithm", der.sequence(b"\x30\x80" + algorithm[2:] + b"\0\0", octets)
        yield "a hash in pieces", der.sequence(algorithm, der.element(0x24, der.element(4, digest[:8]), der.element(4, digest[8:])))
        yield "a SET in place of the SEQUENCE", b"\x31" + der.sequence(algorithm, octets)[1:]
        yield "a bit string in place of the octet string", der.sequence(algorithm, der.bit_string(digest))
        yield "a byte behind the hash, inside", der.sequence(algorithm, octets, b"\0")
        yield "a NULL behind the hash, inside", der.sequence(algorithm, octets, null)
        yield "a byte more in the hash", digest_info(name, digest + b"\0")
        yield "half of the hash", digest_info(name, digest[: len(digest) // 2])
        yield "no hash", digest_info(name, b"")
        yield "an identifier with a needless byte", der.sequence(der.sequence(der.element(6, b"\x60\x80" + identifier[3:]), null), octets)
        yield "the identifier of RSA", der.sequence(der.sequence(der.identifier("1.2.840.113549.1.1.1"), null), octets)
        yield "no identifier", der.sequence(der.sequence(null), octets)
        yield "the hash of the hash", digest_info(name, hashlib.new(name, digest).digest())
        yield "the hash of nothing", digest_info(name, hashlib.new(name).digest())
        yield "the hash of the payload", digest_info(name, hashlib.new(name, message.partition(b".")[2]).digest())
        for other in IDENTIFIERS:
            if other != name:
                yield f"{other}", digest_info(other, hashlib.new(other, message).digest())
                yield f"{other} by its name alone", digest_info(other, digest)
                yield f"{other} by its hash alone", digest_info(name, hashlib.new(other, message).digest())

    def shifted(self, length: int, info: bytes, count: int) -> bytes:
        start = b"\0\1" + b"\xff" * count + b"\0" + info
        return start + self.chance.randbytes(length - len(start))

    def numbers(self, algorithm: str, message: bytes, right: bytes, encoded: bytes) -> None:
        """What is no signature, whatever is encoded (RFC 8017 §8.2.2, steps 1 and 2)."""
        own, length, modulus = self.own, self.own.length, self.own.modulus
        number = int.from_bytes(right)
        wrong = [
            ("nothing", b""), ("zeros", bytes(length)), ("1", (1).to_bytes(length)), ("n - 1", (modulus - 1).to_bytes(length)), ("n", modulus.to_bytes(length)),
            ("n + 1", (modulus + 1).to_bytes(length)), ("ff ff ...", b"\xff" * length), ("n - s", (modulus - number).to_bytes(length)),
            ("s + n, one byte longer", (number + modulus).to_bytes(length + 1)), ("a zero before it", b"\0" + right), ("a zero behind it", right + b"\0"),
            ("one byte less", right[:-1]), ("one byte less at the beginning", right[1:]), ("half of it", right[: length // 2]), ("twice", right * 2),
            ("backwards", right[::-1]), ("what is encoded, and not signed", encoded.rjust(length, b"\0")), ("in hexadecimal", right.hex().encode()),
            ("s + 1", (number + 1).to_bytes(length)), ("s^2", (number * number % modulus).to_bytes(length)), ("an octet string", der.element(4, right)),
            ("a bit string", der.bit_string(right)), ("by another exponent", replace(own, exponent=3 if self.fits_three else 257).sign(encoded)),
        ]  # fmt: skip
        if number + modulus < 1 << 8 * length:
            wrong.append(("s + n", (number + modulus).to_bytes(length)))
        for what, signature in wrong:
            self.issuer.add(algorithm, what, self.key, message, signature, right=False)

    @property
    def fits_three(self) -> bool:
        return all(each % 3 == 2 for each in self.own.primes)

    def pss(self, algorithm: str) -> None:
        name = HASHES[algorithm[2:]][0]
        own = self.own
        message = self.issuer.input(algorithm, self.key.kid)
        size, bits = hashlib.new(name).digest_size, own.modulus.bit_length() - 1
        most = (bits + 7) // 8 - size - 2
        good = Pss(bits, name, name, self.chance.randbytes(size))

        def add(what: str, encoded: bytes, *, right: bool = False) -> None:
            self.issuer.add(algorithm, what, self.key, message, own.sign(encoded), right=right)

        add("a signature", good.encode(message), right=True)
        for what, salt in [("zeros", bytes(size)), ("ones", b"\xff" * size), ("a one and zeros", b"\1" + bytes(size - 1))]:
            add(f"a salt of {what}", replace(good, salt=salt).encode(message), right=True)
        for length in sorted({0, 1, 8, 20, 28, 32, 48, 64, size - 1, size + 1, most - 1, most} - {size}):
            add(f"a salt of {length} bytes", replace(good, salt=self.chance.randbytes(length)).encode(message))
        for other in ("sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256"):
            if other != name:
                add(f"a mask by {other}", replace(good, mgf_hash=other).encode(message))
                add(f"{other}, and a mask by {name}", replace(good, hash_name=other).encode(message))
                add(f"{other}, and a mask by it", replace(good, hash_name=other, mgf_hash=other).encode(message))
        for trailer in (b"\0", b"\xbb", b"\xbd", b"\xcc", b"\x3c", b"\xff", b"\x34\xcc", b"\x33\xcc", b"\xbc\0", b""):
            add(f"the trailer {trailer.hex(' ') or 'missing'}", replace(good, trailer=trailer).encode(message))
        padding_length = most - size + 1
        for what, content in [
            ("no 1 before the salt", bytes(padding_length)), ("2 before the salt", bytes(padding_length - 1) + b"\2"), ("81 before the salt", bytes(padding_length - 1) + b"\x81"),
            ("a bit of the padding", bytes(padding_length - 2) + b"\1\1"), ("a bit far in the padding", bytes(20) + b"\x80" + bytes(padding_length - 22) + b"\1"),
            ("the 1 a byte earlier", bytes(padding_length - 2) + b"\1\0"), ("padding of ff", b"\x7f" + b"\xff" * (padding_length - 2) + b"\1"),
            ("a bit in the first byte of the padding", b"\1" + bytes(padding_length - 2) + b"\1"), ("ff before the salt", bytes(padding_length - 1) + b"\xff"),
        ]:  # fmt: skip
            add(what, replace(good, padding=content).encode(message))
        for what, before in [("seven zeros", bytes(7)), ("nine zeros", bytes(9)), ("nothing", b""), ("a one", bytes(7) + b"\1"), ("ff", b"\xff" * 8)]:
            add(f"{what} before the hash of the message", replace(good, before=before).encode(message))
        add("a bit of the hash", replace(good, flip=1).encode(message))
        add("another bit of the hash", replace(good, flip=1 << 8 * size - 1).encode(message))
        add("the message in place of its hash", good.encode_hash(message))
        add("the hash of the hash", good.encode(hashlib.new(name, message).digest()))
        add("PKCS #1", b"\0\1" + b"\xff" * (own.length - 3 - len(DIGEST_INFO[name]) - size) + b"\0" + DIGEST_INFO[name] + hashlib.new(name, message).digest())
        self.bits_above(algorithm, message, good)
        encoded = good.encode(message)
        self.numbers(algorithm, message, own.sign(encoded), encoded)

    def bits_above(self, algorithm: str, message: bytes, good: Pss) -> None:
        """Bits beyond the representative's (RFC 8017 §9.1.2, step 6), in numbers below the modulus."""
        for top in (0x80, 0xC0):
            for _ in range(1000):
                encoded = replace(good, salt=self.chance.randbytes(len(good.salt)), top=top).encode(message)
                if int.from_bytes(encoded) < self.own.modulus:
                    self.issuer.add(algorithm, f"bits above ({top:x})", self.key, message, self.own.sign(encoded), right=False)
                    break

    def lengths(self) -> None:
        """A representative may be a byte shorter than the modulus, and begins with up to seven bits that are not set."""
        for bits in (2049, 2050, 2055, 2056, 3072, 4096):
            private = self.private(bits)
            key = self.publish(private)
            for algorithm in ("RS256", "PS256", "RS512", "PS512") if bits in (2049, 4096) else ("RS256", "PS256"):
                self.of_length(algorithm, bits, private, key)

    def of_length(self, algorithm: str, bits: int, private: Private, key: Published) -> None:
        name = HASHES[algorithm[2:]][0]
        message = self.issuer.input(algorithm, key.kid)
        digest = hashlib.new(name, message).digest()
        if algorithm[:2] == "RS":
            info = DIGEST_INFO[name] + digest
            whole = (b"\0\1" + b"\xff" * (private.length - len(info) - 3) + b"\0" + info).rjust(private.length, b"\0")
            wrong = [("one byte of padding less", b"\0\0\1" + whole[3:])]
        else:
            good = Pss(bits - 1, name, name, self.chance.randbytes(len(digest)))
            whole, wrong = good.encode(message), []
            for off in (-8, -1, 1, 8):
                encoded = replace(good, bits=bits - 1 + off).encode(message)
                if int.from_bytes(encoded) < private.modulus and encoded.lstrip(b"\0") != whole.lstrip(b"\0"):
                    wrong.append((f"encoded for {off:+} bits", encoded))
            if bits % 8 == 1:
                wrong.append(("1 before the representative", b"\1" + whole))
        for what, encoded, right in [("a signature", whole, True), *[(*each, False) for each in wrong]]:
            if int.from_bytes(encoded) < private.modulus:
                self.issuer.add(algorithm, f"a key of {bits} bits: {what}", key, message, private.sign(encoded), right=right)

    def keys(self) -> None:
        """Exponents and lengths that no configuration may have, and zeros before a number."""
        modulus = self.own.modulus
        for exponent in (0, 1, 2, 3, 5, 17, 257, 65535, 65536, 65539, (1 << 32) + 1, (1 << 64) + 13, modulus - 2, EXPONENT << 8, EXPONENT + (1 << 24)):
            self.issuer.add_key(f"the exponent {exponent if exponent < 1 << 65 else 'about n'}", jwk(modulus, exponent), loads=False)
        of_three = self.private(2048, 3)
        self.issuer.add_key("a key made for the exponent 3", of_three.jwk, loads=False)
        self.issuer.add_key("a key", self.own.jwk, loads=True)
        self.issuer.add_key("zeros before n and e", jwk(modulus, EXPONENT, zeros=3), loads=True)
        for bits, loads in [(512, False), (1024, False), (2040, False), (2047, False), (4097, False), (8192, False), (4096, True)]:
            odd = self.chance.getrandbits(bits) | 1 << bits - 1 | 1
            self.issuer.add_key(f"a modulus of {bits} bits", jwk(odd, EXPONENT), loads=loads)
        self.issuer.add_key("an even modulus", jwk(modulus - 1, EXPONENT), loads=False)
        self.issuer.add_key("the modulus 0", jwk(0, EXPONENT), loads=False)
        self.issuer.add_key("the modulus 1", jwk(1, EXPONENT), loads=False)
