# SPDX-License-Identifier: Apache-2.0
"""Ed25519 (RFC 8032 §5.1, RFC 8037 §3.1)."""

import hashlib
from dataclasses import dataclass

from by_the_standards import BASE, L25519, NEUTRAL, P25519, Extended, ed_challenge, ed_decoded, ed_encoded, ed_multiple, ed_sum, is_eddsa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519
from issuer import Choice, Issuer, Published
from rig import tokens

SMALL_ORDER = Choice(forwarded=False, why="RFC 8032 §5.1.7 does not ask for the order of R; here none of small order is taken")
WITH_COFACTOR = Choice(forwarded=True, why="the equation of RFC 8032 §5.1.7, step 3; OpenSSL has the one that is sufficient but not required")


def dom2(phflag: int, context: bytes) -> bytes:
    """RFC 8032 §2."""
    return b"SigEd25519 no Ed25519 collisions" + bytes([phflag, len(context)]) + context


def little(number: int) -> bytes:
    return number.to_bytes(32, "little")


@dataclass(frozen=True)
class Private:
    """RFC 8032 §5.1.5, steps 1 to 3."""

    seed: bytes

    @property
    def hashed(self) -> bytes:
        return hashlib.sha512(self.seed).digest()

    @property
    def scalar(self) -> int:
        return int.from_bytes(self.hashed[:32], "little") & (1 << 254) - 8 | 1 << 254

    @property
    def public(self) -> bytes:
        return ed_encoded(ed_multiple(self.scalar, BASE))

    def sign(self, message: bytes, *, r: int | None = None, prefix: bytes = b"", torsion: Extended = NEUTRAL) -> bytes:
        """RFC 8032 §5.1.6; with this r, this before what is hashed, and this point added to R."""
        if r is None:
            r = int.from_bytes(hashlib.sha512(prefix + self.hashed[32:] + message).digest(), "little")
        encoded = ed_encoded(ed_sum(ed_multiple(r % L25519, BASE), torsion))
        return encoded + little((r + ed_challenge(encoded, self.public, message, prefix) * self.scalar) % L25519)

    def sign_with(self, encoded: bytes, r: int, message: bytes) -> bytes:
        """With this encoding of R, whatever r is."""
        return encoded + little((r + ed_challenge(encoded, self.public, message) * self.scalar) % L25519)


def small_order() -> list[Extended]:
    """The eight points whose order divides 8."""
    for y in range(2, 100):
        point = ed_decoded(little(y))
        generator = point and ed_multiple(L25519, point)
        if generator and len({ed_encoded(ed_multiple(factor, generator)) for factor in range(8)}) == 8:
            return [ed_multiple(factor, generator) for factor in range(8)]
    raise RuntimeError("no point has order 8")


class EdDsa:
    """The families of Ed25519."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer, self.small = issuer, small_order()
        self.own = Private(issuer.chance.randbytes(32))

    def make(self) -> None:
        self.key = self.publish(self.own.public)
        self.seeds()
        self.sums()
        self.points()
        self.other_schemes()
        self.forms()
        self.keys()

    def publish(self, public: bytes) -> Published:
        def by_openssl(message: bytes, signature: bytes) -> bool:
            try:
                ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
            except InvalidSignature:
                return False
            return True

        jwk = {"kty": "OKP", "crv": "Ed25519", "x": tokens.encode_part(public)}
        return self.issuer.publish(jwk, lambda message, made: is_eddsa(public, message, made, with_cofactor=True), by_openssl)

    def new_message(self, key: Published | None = None) -> bytes:
        self.message = self.issuer.input("EdDSA", (key or self.key).kid)
        return self.message

    def add(self, what: str, signature: bytes, *, right: bool, key: Published | None = None, choice: Choice | None = None) -> None:
        self.issuer.add("EdDSA", what, key or self.key, self.message, signature, right=right, choice=choice)

    def seeds(self) -> None:
        """RFC 8032 §7.1 with keys of our own."""
        self.add("a signature", self.own.sign(self.new_message()), right=True)
        for what, seed in [("zeros", bytes(32)), ("ones", b"\xff" * 32), ("1", little(1)), ("counted", bytes(range(32)))]:
            private = Private(seed)
            key = self.publish(private.public)
            made = private.sign(self.new_message(key))
            library = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
            assert (library.public_key().public_bytes_raw(), library.sign(self.message)) == (private.public, made)
            self.add(f"by the seed {what}", made, right=True, key=key)
        for what, r in [("1", 1), ("2", 2), ("L - 1", L25519 - 1), ("(L - 1) / 2", (L25519 - 1) // 2), ("8", 8)]:
            self.add(f"with the secret number {what}", self.own.sign(self.new_message(), r=r), right=True)

    def sums(self) -> None:
        """S, which is below L (RFC 8032 §5.1.7, step 1; §8.4)."""
        made = self.own.sign(self.new_message())
        r, s = made[:32], int.from_bytes(made[32:], "little")
        for factor in (1, 2, 3, 7, 8, 14):
            self.add(f"S + {factor} L", r + little(s + factor * L25519), right=False)
        for what, other in [
            ("0", 0), ("1", 1), ("L", L25519), ("L - 1", L25519 - 1), ("L + 1", L25519 + 1), ("8 L", 8 * L25519), ("L - S", L25519 - s),
            ("S + 1", s + 1), ("S + 2^252", s + (1 << 252)), ("S + 2^253", s | 1 << 253), ("S + 2^255", s | 1 << 255), ("p", P25519),
            ("ff ff ...", (1 << 256) - 1), ("2^252", 1 << 252),
        ]:  # fmt: skip
            self.add(f"{what} in place of S", r + little(other), right=False)
            self.add(f"{what} in place of S, beside the neutral element", little(1) + little(other), right=False)
        # The equation holds with S = 0, S = 1 and S = L - 1 for the R that is made for it, if one can be made: here k is the hash of it.
        zero = self.own.sign_with(little(1), 0, self.message)
        self.add("S = k a, and R is the neutral element", zero, right=True, choice=SMALL_ORDER)
        self.add("S = k a + L, and R is the neutral element", little(1) + little(int.from_bytes(zero[32:], "little") + L25519), right=False)

    def points(self) -> None:
        """R: of small order, with a part of small order, and in encodings that are none (RFC 8032 §5.1.3)."""
        for number, torsion in enumerate(self.small):
            message = self.new_message()
            made = self.own.sign_with(ed_encoded(torsion), 0, message)
            self.add(f"R of small order ({number} of 8)", made, right=True, choice=SMALL_ORDER)
            if number:
                self.add(f"R with a part of small order ({number} of 8)", self.own.sign(message, torsion=torsion), right=True, choice=WITH_COFACTOR)
        no_point = next(little(y) for y in range(2, 100) if ed_decoded(little(y)) is None)
        for what, encoded in [
            ("the neutral element, with p added to y", little(P25519 + 1)), ("y = p", little(P25519)), ("y = 2^255 - 1", little((1 << 255) - 1)),
            ("the neutral element, with the sign of x = 0", little(1 | 1 << 255)), ("y = -1, with the sign of x = 0", little(P25519 - 1 | 1 << 255)),
            ("y = p, with a sign", little(P25519 | 1 << 255)), ("no point", no_point), ("ff ff ...", b"\xff" * 32), ("y = p + 18", little(P25519 + 18)),
        ]:  # fmt: skip
            self.add(f"R: {what}", self.own.sign_with(encoded, 0, self.new_message()), right=False)
        made = self.own.sign(self.new_message())
        self.add("the other sign of R", made[:31] + bytes([made[31] ^ 0x80]) + made[32:], right=False)
        self.add("R of another signature", self.own.sign(b"other")[:32] + made[32:], right=False)
        self.add("S of another signature", made[:32] + self.own.sign(b"other")[32:], right=False)
        self.add("the key in place of R", self.own.public + made[32:], right=False)
        y = int.from_bytes(made[:32], "little")
        self.add("R, with another bit", little(y ^ 1) + made[32:], right=False)

    def other_schemes(self) -> None:
        """RFC 8032 §5.1, and what is signed in place of the message."""
        message = self.new_message()
        prehashed = hashlib.sha512(message).digest()
        for what, signature in [
            ("Ed25519ph", self.own.sign(prehashed, prefix=dom2(1, b""))), ("Ed25519ph of the message itself", self.own.sign(message, prefix=dom2(1, b""))),
            ("Ed25519ph with a context", self.own.sign(prehashed, prefix=dom2(1, b"JWT"))),
            ("Ed25519ctx", self.own.sign(message, prefix=dom2(0, b"JWT"))), ("Ed25519ctx without a context", self.own.sign(message, prefix=dom2(0, b""))),
            ("of the SHA-512 of the message", self.own.sign(prehashed)), ("of the SHA-256 of the message", self.own.sign(hashlib.sha256(message).digest())),
            ("of the payload alone", self.own.sign(message.partition(b".")[2])), ("of nothing", self.own.sign(b"")),
            ("of the message and a dot", self.own.sign(message + b".")), ("by another key", Private(bytes(32)).sign(message)),
        ]:  # fmt: skip
            self.add(what, signature, right=False)
        r = int.from_bytes(hashlib.sha512(b"r").digest(), "little") % L25519
        encoded = ed_encoded(ed_multiple(r, BASE))
        for what, k in [
            ("without the key in the hash", ed_challenge(encoded, b"", message)), ("with R and the key exchanged", ed_challenge(self.own.public, encoded, message)),
            ("with k = 0", 0), ("with k = 1", 1), ("with another key in the hash", ed_challenge(encoded, Private(bytes(32)).public, message)),
        ]:  # fmt: skip
            self.add(what, encoded + little((r + k * self.own.scalar) % L25519), right=False)

    def forms(self) -> None:
        made = self.own.sign(self.new_message())
        for what, form in [
            ("nothing", b""), ("R alone", made[:32]), ("S alone", made[32:]), ("one byte less", made[:-1]), ("one byte less at the beginning", made[1:]),
            ("a zero behind it", made + b"\0"), ("a zero before it", b"\0" + made), ("twice", made * 2), ("S and then R", made[32:] + made[:32]),
            ("big-endian", made[:32][::-1] + made[32:][::-1]), ("S big-endian", made[:32] + made[32:][::-1]), ("backwards", made[::-1]),
            ("in hexadecimal", made.hex().encode()), ("64 zeros", bytes(64)), ("the message behind it", made + self.message),
            ("32 bytes more in S", made + bytes(32)), ("ASN.1 of R and S", b"\x30\x44\x02\x20" + made[:32] + b"\x02\x20" + made[32:]),
            ("an octet string", b"\x04\x40" + made), ("50 bytes of Ed448 more", made + bytes(50)),
        ]:  # fmt: skip
            self.add(what, form, right=False)

    def keys(self) -> None:
        a = ed_multiple(self.own.scalar, BASE)
        for number, torsion in enumerate(self.small):
            if number:
                # Whoever has such a key made it so; the equation with the cofactor holds for what it signs.
                mixed = ed_encoded(ed_sum(a, torsion))
                key = self.publish(mixed)
                message = self.new_message(key)
                r = self.issuer.chance.randrange(L25519)
                encoded = ed_encoded(ed_multiple(r, BASE))
                made = encoded + little((r + ed_challenge(encoded, mixed, message) * self.own.scalar) % L25519)
                self.add(f"by a key with a part of small order ({number} of 8)", made, right=True, key=key, choice=WITH_COFACTOR)
            self.add_key(f"of small order ({number} of 8)", ed_encoded(torsion), loads=False)
        no_point = next(y for y in range(2, 100) if ed_decoded(little(y)) is None)
        for what, number in [
            ("y = p", P25519), ("y = p + 1", P25519 + 1), ("2^255 - 1", (1 << 255) - 1), ("ff ff ...", (1 << 256) - 1),
            ("y = p, with a sign", P25519 | 1 << 255), ("y = p + 1, with a sign", P25519 + 1 | 1 << 255),
            ("y = 1, with the sign of x = 0", 1 | 1 << 255), ("y = -1, with the sign of x = 0", P25519 - 1 | 1 << 255), ("no point", no_point),
            *[(f"y = p + {more}", P25519 + more) for more in range(2, 19)],
        ]:  # fmt: skip
            assert ed_decoded(little(number)) is None
            self.add_key(what, little(number), loads=False)
        public = self.own.public
        for what, other in [
            ("31 bytes", public[:-1]), ("33 bytes", public + b"\0"), ("a byte before it", b"\x40" + public), ("no byte", b""), ("57 bytes", public + bytes(25)),
            ("in hexadecimal", public.hex().encode()),
        ]:  # fmt: skip
            self.add_key(what, other, loads=False)
        self.add_key("a key", public, loads=True)

    def add_key(self, what: str, public: bytes, *, loads: bool) -> None:
        self.issuer.add_key(what, {"kty": "OKP", "crv": "Ed25519", "x": tokens.encode_part(public)}, loads=loads)
