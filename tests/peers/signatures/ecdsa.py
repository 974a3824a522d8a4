# SPDX-License-Identifier: Apache-2.0
"""ECDSA on the three curves of RFC 7518 §3.4."""

import hashlib
import random
from collections.abc import Callable, Iterator

from by_the_standards import CURVES, Curve, Point, is_ecdsa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from issuer import Issuer, Published
from rig import tokens

_OPENSSL = {
    "ES256": (ec.SECP256R1(), hashes.SHA256()),
    "ES384": (ec.SECP384R1(), hashes.SHA384()),
    "ES512": (ec.SECP521R1(), hashes.SHA512()),
}


class Ecdsa:
    """The families of one curve."""

    def __init__(self, issuer: Issuer, curve: Curve) -> None:
        self.issuer, self.curve, self.algorithm = issuer, curve, curve.algorithm
        self.chance: random.Random = issuer.chance

    def make(self) -> None:
        self.own = self.chance.randrange(1, self.curve.n)
        self.key = self.publish(self.multiple(self.own))
        self.signatures_of_small_and_large_keys()
        self.ranges()
        self.small_numbers()
        self.forms()
        self.hashes()
        self.leading_bytes()
        self.multiples()
        self.points_at_the_edge()
        self.keys()

    def multiple(self, factor: int) -> tuple[int, int]:
        """Of the generator, by OpenSSL: what is made here is judged elsewhere."""
        numbers = ec.derive_private_key(factor % self.curve.n, _OPENSSL[self.algorithm][0]).public_key().public_numbers()
        return numbers.x, numbers.y

    def publish(self, point: Point) -> Published:
        assert point is not None
        key = None
        if self.curve.has(point):
            key = ec.EllipticCurvePublicNumbers(*point, _OPENSSL[self.algorithm][0]).public_key()

        def by_openssl(message: bytes, signature: bytes) -> bool:
            half = len(signature) // 2
            if len(signature) != 2 * self.curve.size or key is None:
                return False
            r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
            try:
                key.verify(encode_dss_signature(r, s), message, ec.ECDSA(_OPENSSL[self.algorithm][1]))
            except InvalidSignature:
                return False
            return True

        return self.issuer.publish(
            self.jwk(*point), lambda message, made: is_ecdsa(self.curve, point, message, made), by_openssl
        )

    def jwk(self, x: int, y: int, size: int | None = None) -> dict[str, str]:
        encoded = [tokens.encode_part(number.to_bytes(size or self.curve.size)) for number in (x, y)]
        return {"kty": "EC", "crv": self.curve.name, "x": encoded[0], "y": encoded[1]}

    def raw(self, r: int, s: int) -> bytes:
        return r.to_bytes(self.curve.size) + s.to_bytes(self.curve.size)

    def signed(self, message: bytes, key: int | None = None, *, k: int | None = None, e: int | None = None) -> tuple[int, int]:
        """r and s by this private key and this secret number; `e` in place of the hash."""
        n = self.curve.n
        k = k or self.chance.randrange(1, n)
        r, e = self.multiple(k)[0] % n, self.curve.hashed(message) if e is None else e
        return r, pow(k, -1, n) * (e + r * (key or self.own)) % n

    def add(self, what: str, signature: bytes, *, right: bool, message: bytes | None = None, key: Published | None = None) -> None:
        message = message or self.message
        self.issuer.add(self.algorithm, what, key or self.key, message, signature, right=right)

    @property
    def new_message(self) -> bytes:
        self.message = self.issuer.input(self.algorithm, self.key.kid)
        return self.message

    def with_private_key(self, what: str, of: Callable[[int], tuple[int, int | None, int | None]]) -> None:
        """A right signature by a key that is made for the hash of its message: `of` gives the private key, k and s of the
        hash. Where there is no s, it is the one that the key and k make."""
        message = self.issuer.input(self.algorithm, self.issuer.next_kid())
        private, k, s = of(self.curve.hashed(message))
        key = self.publish(self.multiple(private))
        r, made = self.signed(message, private, k=k)
        assert s is None or s % self.curve.n == made
        self.add(what, self.raw(r, made), right=True, message=message, key=key)

    def signatures_of_small_and_large_keys(self) -> None:
        self.add("a signature", self.raw(*self.signed(self.new_message)), right=True)
        n = self.curve.n
        for what, private in [
            ("1", 1), ("2", 2), ("3", 3), ("n - 1", n - 1), ("n - 2", n - 2), ("(n - 1) / 2", (n - 1) // 2),
            ("a power of two", 1 << n.bit_length() - 2),
        ]:  # fmt: skip
            self.with_private_key(f"by the private key {what}", lambda _, private=private: (private, None, None))

    def ranges(self) -> None:
        n, p, top = self.curve.n, self.curve.p, (1 << 8 * self.curve.size) - 1
        r, s = self.signed(self.new_message)
        self.add("n - s in place of s, which is as right (FIPS 186-5 §6.4.2)", self.raw(r, n - s), right=True)
        for what, wrong in [("n - r", n - r), ("p - r", abs(p - r)), ("s", s), ("r + 1", r + 1), ("2^k - r", top + 1 - r)]:
            self.add(f"{what} in place of r", self.raw(wrong, s), right=False)
        self.add("s + 1 in place of s", self.raw(r, s + 1), right=False)
        edges = [("0", 0), ("1", 1), ("n - 1", n - 1), ("n", n), ("n + 1", n + 1), ("p", p), ("p - 1", p - 1), ("ff ff ...", top)]
        for what, edge in edges:
            self.add(f"r = {what}", self.raw(edge, s), right=False)
            self.add(f"s = {what}", self.raw(r, edge), right=False)
            self.add(f"r = s = {what}", self.raw(edge, edge), right=False)
        self.add("r = 0, s = n", self.raw(0, n), right=False)
        self.add("r = n, s = 0", self.raw(n, 0), right=False)

    def key_of(self, r_point: tuple[int, int], s: int) -> tuple[bytes, Published]:
        """A message, and the key for which the x of this point is its r beside this s: Q = (R s - G e) / r."""
        n = self.curve.n
        message = self.issuer.input(self.algorithm, self.issuer.next_kid())
        inverse = pow(r_point[0] % n, -1, n)
        point = self.curve.sum((s * inverse, r_point), (-self.curve.hashed(message) * inverse, self.curve.generator))
        return message, self.publish(point)

    def small_numbers(self) -> None:
        n, top = self.curve.n, 1 << 8 * self.curve.size
        small = next(filter(None, map(self.curve.with_x, range(1, 100))))
        large = next(filter(None, (self.curve.with_x(n - distance) for distance in range(1, 100))))
        for what, point, s in [
            ("a small r and s = 1", small, 1), ("a small r and s = 2", small, 2), ("a small r and s = n - 1", small, n - 1),
            ("a large r and s = 1", large, 1), ("a large r and s = n - 2", large, n - 2),
            ("a small r and any s", small, self.chance.randrange(n)),
        ]:  # fmt: skip
            message, key = self.key_of(point, s)
            r = point[0]
            self.add(what, self.raw(r, s), right=True, message=message, key=key)
            for name, wrong in [("r + n", (r + n, s)), ("s + n", (r, s + n)), ("r + 2n", (r + 2 * n, s)), ("n - r", (n - r, s))]:
                if max(wrong) < top:
                    self.add(f"{what}, and {name}", self.raw(*wrong), right=False, message=message, key=key)

    def points_at_the_edge(self) -> None:
        """A point has an x beyond n, and r is what is left of it modulo n (FIPS 186-5 §6.4.1, step 6)."""
        n, p = self.curve.n, self.curve.p
        first = next(filter(None, (self.curve.with_x(x) for x in range(n, n + 100) if x % n)))
        last = next(filter(None, (self.curve.with_x(p - distance) for distance in range(1, 100))))
        for what, point in [("just beyond n", first), ("just below p", last), ("just below p, on the other side", self.curve.negative(last))]:
            s = self.chance.randrange(1, n)
            message, key = self.key_of(point, s)
            self.add(f"an x {what}", self.raw(point[0] - n, s), right=True, message=message, key=key)
            self.add(f"an x {what}, as it is", self.raw(point[0], s), right=False, message=message, key=key)

    def forms(self) -> None:
        size = self.curve.size
        r, s = self.signed(self.new_message)
        made = self.raw(r, s)
        halves = made[:size], made[size:]
        der = encode_dss_signature(r, s)
        for what, form in [
            ("ASN.1 (as in X.509)", der), ("ASN.1, cut to the right length", der[: 2 * size]),
            ("r and s in ASN.1 of one length", der.ljust(2 * size, b"\0")),
            ("nothing", b""), ("r alone", halves[0]), ("s alone", halves[1]), ("one byte less", made[:-1]),
            ("one byte less at the beginning", made[1:]), ("a zero behind it", made + b"\0"), ("a zero before it", b"\0" + made),
            ("a zero before each half", b"\0" + halves[0] + b"\0" + halves[1]),
            ("a zero behind each half", halves[0] + b"\0" + halves[1] + b"\0"),
            ("two zeros between the halves", halves[0] + b"\0\0" + halves[1]),
            ("twice", made * 2), ("s and then r", halves[1] + halves[0]), ("little-endian", halves[0][::-1] + halves[1][::-1]),
            ("backwards", made[::-1]), ("in hexadecimal", made.hex().encode()), ("the sign of R before it", b"\x1b" + made),
            ("an odd length", made + b"\1"), ("1,000 zeros", bytes(1000)), ("r and 1,000 zeros", halves[0] + bytes(1000)),
        ]:  # fmt: skip
            self.add(what, form, right=False)
        for other in (32, 48, 66):
            if other != size:
                cut = [half[-other:].rjust(other, b"\0") for half in halves]
                self.add(f"with halves of {other} bytes", b"".join(cut), right=False)

    def hashes(self) -> None:
        name, algorithm, kid = self.curve.hash_name, self.algorithm, self.key.kid
        bits = self.curve.n.bit_length()
        for what, edge in [
            ("a hash that begins with zeros", {"start": bytes(2 if name == "sha256" else 1)}), ("a hash that ends with a zero", {"end": b"\0"}),
            ("a hash that begins with ff", {"start": b"\xff"}), ("a hash that begins with 80", {"start": b"\x80"}),
        ]:  # fmt: skip
            message = self.issuer.input_with_hash(algorithm, kid, name, **edge)
            self.add(what, self.raw(*self.signed(message)), right=True, message=message)
            if "start" in edge:
                digest = hashlib.new(name, message).digest().lstrip(b"\0")[1:]
                self.add(f"{what}, cut", self.raw(*self.signed(b"", e=int.from_bytes(digest))), right=False, message=message)
        digest = hashlib.new(name, self.new_message).digest()

        def left(content: bytes) -> int:
            return int.from_bytes(content) >> max(0, 8 * len(content) - bits)

        _, _, payload = self.message.partition(b".")
        for what, content in [
            *[(f"of the {other} of the message", hashlib.new(other, self.message).digest())
              for other in ("sha1", "sha224", "sha256", "sha384", "sha512", "sha3_512") if other != name],
            ("of half of the hash", digest[: len(digest) // 2]), ("of the hash without its last byte", digest[:-1]),
            ("of the hash of the hash", hashlib.new(name, digest).digest()), ("of the hash, backwards", digest[::-1]),
            ("of the payload alone", hashlib.new(name, payload).digest()), ("of nothing", hashlib.new(name).digest()),
            ("of the message with a dot behind it", hashlib.new(name, self.message + b".").digest()),
            ("of the hash 0", b"\0"), ("of the hash 1", b"\1"), ("of a hash that is n", self.curve.n.to_bytes(self.curve.size)),
        ]:  # fmt: skip
            self.add(what, self.raw(*self.signed(b"", e=left(content))), right=False)

    def leading_bytes(self) -> None:
        """Halves that begin with zeros, or with a bit that makes an ASN.1 integer negative."""
        size, lead = self.curve.size, 8 * self.curve.size - self.curve.n.bit_length()
        top = 1 << 8 * size - lead - 1

        def search(what: str, fits: Callable[[int, int], bool]) -> None:
            message = self.new_message
            for r, s in self.of_many_secrets(message):
                if fits(r, s):
                    made = self.raw(r, s)
                    self.add(what, made, right=True)
                    cut = b"".join(half.lstrip(b"\0") for half in (made[:size], made[size:]))
                    if len(cut) < len(made):
                        self.add(f"{what}, without them", cut, right=False)
                    return

        zero = 1 << 8 * size - lead - 8
        search("an r that begins with zeros", lambda r, _: r < zero)
        search("an s that begins with zeros", lambda _, s: s < zero)
        search("an r and an s of the most bits", lambda r, s: min(r, s) >= top)
        search("an r and an s of one bit less", lambda r, s: max(r, s) < top)

    def of_many_secrets(self, message: bytes) -> Iterator[tuple[int, int]]:
        """Signatures by the issuer's own key, each of which costs one addition."""
        n, e = self.curve.n, self.curve.hashed(message)
        k = self.chance.randrange(1, n - (1 << 20))
        point = self.multiple(k)
        while True:
            r = point[0] % n
            yield r, pow(k, -1, n) * (e + r * self.own) % n
            k, point = k + 1, affine_sum(self.curve, point, self.curve.generator)

    def multiples(self) -> None:
        """The two multiples of the verification, u1 = e / s of the generator and u2 = r / s of the key, at their edges."""
        n = self.curve.n

        def with_s(s_of: Callable[[int, int], int]) -> Callable[[int], tuple[int, int, int]]:
            def of(e: int) -> tuple[int, int, int]:
                k = self.chance.randrange(1, n)
                r = self.multiple(k)[0] % n
                s = s_of(e, r) % n
                return (s * k - e) * pow(r, -1, n) % n, k, s

            return of

        for what, s_of in [
            ("u1 = 1", lambda e, _: e), ("u1 = n - 1", lambda e, _: -e), ("u1 = 2", lambda e, _: e * pow(2, -1, n)),
            ("u2 = 1", lambda _, r: r), ("u2 = n - 1", lambda _, r: -r), ("u2 = 2", lambda _, r: r * pow(2, -1, n)),
            ("u1 = 2^k", lambda e, _: e * pow(2, -self.curve.n.bit_length() + 2, n)),
            ("u2 = 2^k", lambda _, r: r * pow(2, -self.curve.n.bit_length() + 2, n)),
            ("s = 1", lambda *_: 1), ("s = n - 1", lambda *_: -1), ("s = 1 / 2", lambda *_: pow(2, -1, n)),
        ]:  # fmt: skip
            self.with_private_key(what, with_s(s_of))
        for what, k in [("1", 1), ("2", 2), ("n - 1", n - 1), ("(n + 1) / 2", (n + 1) // 2)]:
            self.with_private_key(f"the secret number {what}", lambda _, k=k: (self.chance.randrange(1, n), k, None))
        k = self.chance.randrange(1, n)
        r = self.multiple(k)[0] % n
        self.with_private_key("both multiples are one point", lambda e: (e * pow(r, -1, n) % n, k, None))
        # One is the other's negative: whatever s is, the sum is the point at infinity.
        message = self.issuer.input(self.algorithm, self.issuer.next_kid())
        key = self.publish(self.multiple(-self.curve.hashed(message) * pow(r, -1, n)))
        for what, s in [("1", 1), ("any", self.chance.randrange(1, n)), ("r", r), ("0", 0)]:
            self.add(f"the point at infinity, s = {what}", self.raw(r, s), right=False, message=message, key=key)
        self.add("the point at infinity, r = 1", self.raw(1, 1), right=False, message=message, key=key)

    def keys(self) -> None:
        """Points that are none, and keys of somebody else."""
        p, size = self.curve.p, self.curve.size
        point = x, y = self.multiple(self.own)
        for what, other in [("the negative of the key", self.curve.negative(point)), ("twice the key", self.multiple(2 * self.own))]:
            self.by_another(f"by {what}", other)
        no_x = next(each for each in range(2, 100) if self.curve.with_x(each) is None)
        wrong = [
            ("a point beside the curve", (x, (y + 1) % p)), ("a point beside the curve, by one bit of x", (x ^ 1, y)),
            ("x and y exchanged", (y, x)), ("0, 0", (0, 0)), ("0, 1", (0, 1)), ("1, 0", (1, 0)), ("an x that no point has", (no_x, 2)),
            ("p, y", (p, y)), ("ff ff ...", ((1 << 8 * size) - 1,) * 2), ("p - x", (p - x, y)),
        ]  # fmt: skip
        if x + p < 1 << 8 * size:
            wrong.append(("x + p", (x + p, y)))
        for what, place in wrong:
            self.issuer.add_key(what, self.jwk(*place), loads=self.curve.name != "P-256")
            if self.curve.name != "P-256":
                # Only the host knows the curve: it refuses what such a key would have signed.
                self.by_another(f"by a key that is no point: {what}", place)
        own = self.jwk(x, y)
        self.issuer.add_key("a point", own, loads=True)
        self.issuer.add_key("a zero before each coordinate", self.jwk(x, y, size + 1), loads=False)
        for what, members in [
            ("x alone, with the form of a compressed point", {"x": tokens.encode_part(b"\2" + x.to_bytes(size))}),
            ("an uncompressed point in x", {"x": tokens.encode_part(b"\4" + x.to_bytes(size) + y.to_bytes(size))}),
            ("x without its last byte", {"x": tokens.encode_part(x.to_bytes(size)[:-1])}), ("no x", {"x": ""}), ("no y", {"y": ""}),
        ]:  # fmt: skip
            self.issuer.add_key(what, own | members, loads=False)
        for other in CURVES:
            if other != self.curve:
                self.issuer.add_key(f"a point of {self.curve.name} that is said to be of {other.name}", own | {"crv": other.name}, loads=False)
        self.with_coordinates_that_begin_with_zeros()

    def by_another(self, what: str, point: Point) -> None:
        key = self.publish(point)
        message = self.issuer.input(self.algorithm, key.kid)
        self.add(what, self.raw(*self.signed(message)), right=False, message=message, key=key)

    def with_coordinates_that_begin_with_zeros(self) -> None:
        size = self.curve.size
        # P-521 has coordinates of 521 bits, in 66 bytes.
        bound = 1 << 8 * size - (8 if size != 66 else 15)
        for axis, name in enumerate("xy"):
            private = self.chance.randrange(1, self.curve.n >> 1)
            point = self.multiple(private)
            while point[axis] >= bound:
                private, point = private + 1, affine_sum(self.curve, point, self.curve.generator)
            self.with_private_key(f"a key whose {name} begins with zeros", lambda _, private=private: (private, None, None))
            short = [tokens.encode_part(number.to_bytes(size).lstrip(b"\0")) for number in point]
            members = {"x": short[0]} if axis == 0 else {"y": short[1]}
            self.issuer.add_key(f"{name} without its zeros (RFC 7518 §6.2.1.2)", self.jwk(*point) | members, loads=False)


def affine_sum(curve: Curve, left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    """Of two points that are neither the same nor each other's negative."""
    slope = (right[1] - left[1]) * pow(right[0] - left[0], -1, curve.p)
    x = (slope * slope - left[0] - right[0]) % curve.p
    return x, (slope * (left[0] - x) - left[1]) % curve.p
