# SPDX-License-Identifier: Apache-2.0
"""Signature verification as the standards write it, step by step, in Python's integers: RSASSA-PKCS1-v1_5 and RSASSA-PSS (RFC
8017), ECDSA (FIPS 186-5 §6.4.2, with the form of RFC 7518 §3.4) and Ed25519 (RFC 8032 §5.1). No library of cryptography takes
part but for hashes. Nothing here is secret, and nothing takes constant time."""

import hashlib
from dataclasses import dataclass

Point = tuple[int, int] | None
"""A point by its coordinates. None is the point at infinity."""


@dataclass(frozen=True)
class Curve:
    """y² = x³ - 3x + b modulo p (FIPS 186-5, SP 800-186 §3.2.1), with a generator of the prime order n."""

    name: str
    algorithm: str
    hash_name: str
    p: int
    b: int
    n: int
    generator: tuple[int, int]

    @property
    def size(self) -> int:
        """Bytes of a coordinate, and of each half of a signature."""
        return (self.p.bit_length() + 7) // 8

    def has(self, point: tuple[int, int]) -> bool:
        x, y = point
        return 0 <= x < self.p and 0 <= y < self.p and (y * y - x * x * x + 3 * x - self.b) % self.p == 0

    def with_x(self, x: int) -> Point:
        """The point with this x and an even y, if there is one. Every p here is 3 modulo 4."""
        y = pow(x * x * x - 3 * x + self.b, (self.p + 1) // 4, self.p)
        return (x, min(y, self.p - y, key=lambda own: own % 2)) if x < self.p and self.has((x, y)) else None

    def negative(self, point: Point) -> Point:
        return point and (point[0], -point[1] % self.p)

    def sum(self, *terms: tuple[int, Point]) -> Point:
        """The sum of multiples of points."""
        table = [None]
        for factor, point in terms:
            table += [_jacobian_sum(self.p, other, point and (*point, 1)) for other in table]
        factors = [factor % self.n for factor, _ in terms]
        total = None
        for bit in reversed(range(self.n.bit_length())):
            total = _jacobian_double(self.p, total)
            which = sum(1 << place for place, factor in enumerate(factors) if factor >> bit & 1)
            total = _jacobian_sum(self.p, total, table[which])
        if total is None:
            return None
        x, y, z = total
        inverse = pow(z, -1, self.p)
        return x * inverse * inverse % self.p, y * inverse**3 % self.p

    def hashed(self, message: bytes) -> int:
        """The leftmost bits of the hash, as many as n has."""
        digest = hashlib.new(self.hash_name, message).digest()
        return int.from_bytes(digest) >> max(0, 8 * len(digest) - self.n.bit_length())


Jacobian = tuple[int, int, int] | None


def _jacobian_double(p: int, point: Jacobian) -> Jacobian:
    if point is None or point[1] == 0:
        return None
    x, y, z = point
    square, z_square = y * y % p, z * z % p
    beta = x * square % p
    alpha = 3 * (x - z_square) * (x + z_square) % p
    new = (alpha * alpha - 8 * beta) % p
    return new, (alpha * (4 * beta - new) - 8 * square * square) % p, 2 * y * z % p


def _jacobian_sum(p: int, left: Jacobian, right: Jacobian) -> Jacobian:
    if left is None or right is None:
        return left or right
    (x1, y1, z1), (x2, y2, z2) = left, right
    square1, square2 = z1 * z1 % p, z2 * z2 % p
    u1, u2 = x1 * square2 % p, x2 * square1 % p
    s1, s2 = y1 * square2 * z2 % p, y2 * square1 * z1 % p
    if u1 == u2:
        return _jacobian_double(p, left) if s1 == s2 else None
    h, r = (u2 - u1) % p, (s2 - s1) % p
    h_square = h * h % p
    h_cube, v = h * h_square % p, u1 * h_square % p
    x = (r * r - h_cube - 2 * v) % p
    return x, (r * (v - x) - s1 * h_cube) % p, h * z1 * z2 % p


P256 = Curve(
    "P-256",
    "ES256",
    "sha256",
    2**256 - 2**224 + 2**192 + 2**96 - 1,
    0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    (
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    ),
)
P384 = Curve(
    "P-384",
    "ES384",
    "sha384",
    2**384 - 2**128 - 2**96 + 2**32 - 1,
    0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    (
        0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
        0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F,
    ),
)
P521 = Curve(
    "P-521",
    "ES512",
    "sha512",
    2**521 - 1,
    0x0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
    2**521 - 0x5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7,
    (
        0x00C6858E06B70404E9CD9E3ECB662395B4429C648139053FB521F828AF606B4D3DBAA14B5E77EFE75928FE1DC127A2FFA8DE3348B3C1856A429BF97E7E31C2E5BD66,
        0x011839296A789A3BC0045C8A5FB42C7D1BD998F54449579B446817AFBD17273E662C97EE72995EF42640C550B9013FAD0761353C7086A272C24088BE94769FD16650,
    ),
)
CURVES = (P256, P384, P521)


def is_ecdsa(curve: Curve, key: tuple[int, int], message: bytes, signature: bytes) -> bool:
    """FIPS 186-5 §6.4.2, after RFC 7518 §3.4 and the validation of the key (SP 800-56A §5.6.2.3.3)."""
    if len(signature) != 2 * curve.size or not curve.has(key):
        return False
    r, s = int.from_bytes(signature[: curve.size]), int.from_bytes(signature[curve.size :])
    if not (0 < r < curve.n and 0 < s < curve.n):
        return False
    inverse = pow(s, -1, curve.n)
    point = curve.sum((curve.hashed(message) * inverse, curve.generator), (r * inverse, key))
    return point is not None and point[0] % curve.n == r


DIGEST_INFO = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
"""What stands before the hash (RFC 8017 §9.2, note 1)."""


def opened(modulus: int, exponent: int, signature: bytes) -> int | None:
    """RSAVP1 (RFC 8017 §5.2.2) of a signature that is as long as the modulus (§8.1.2 and §8.2.2, step 1)."""
    number = int.from_bytes(signature)
    if len(signature) != (modulus.bit_length() + 7) // 8 or number >= modulus:
        return None
    return pow(number, exponent, modulus)


def is_pkcs1(modulus: int, exponent: int, hash_name: str, message: bytes, signature: bytes) -> bool:
    """RFC 8017 §8.2.2: the one encoding of the message is compared."""
    number = opened(modulus, exponent, signature)
    info = DIGEST_INFO[hash_name] + hashlib.new(hash_name, message).digest()
    padding = b"\xff" * ((modulus.bit_length() + 7) // 8 - len(info) - 3)
    return number == int.from_bytes(b"\0\1" + padding + b"\0" + info)


def mgf1(hash_name: str, seed: bytes, length: int) -> bytes:
    """RFC 8017 §B.2.1."""
    size = hashlib.new(hash_name).digest_size
    blocks = (hashlib.new(hash_name, seed + counter.to_bytes(4)).digest() for counter in range(-(-length // size)))
    return b"".join(blocks)[:length]


def is_pss(modulus: int, exponent: int, hash_name: str, message: bytes, signature: bytes) -> bool:
    """RFC 8017 §8.1.2 and §9.1.2, with the salt of RFC 7518 §3.5: as long as the hash."""
    number = opened(modulus, exponent, signature)
    bits, size = modulus.bit_length() - 1, hashlib.new(hash_name).digest_size
    length = (bits + 7) // 8
    if number is None or number >= 1 << 8 * length:
        return False
    encoded = number.to_bytes(length)
    masked, own, trailer = encoded[: length - size - 1], encoded[length - size - 1 : -1], encoded[-1]
    unused = 8 * length - bits
    if trailer != 0xBC or masked[0] >> (8 - unused):
        return False
    block = int.from_bytes(masked) ^ int.from_bytes(mgf1(hash_name, own, len(masked)))
    block_bytes = (block & ((1 << 8 * len(masked) - unused) - 1)).to_bytes(len(masked))
    padding, salt = block_bytes[:-size], block_bytes[-size:]
    if padding != b"\0" * (len(padding) - 1) + b"\1":
        return False
    digest = hashlib.new(hash_name, message).digest()
    return hashlib.new(hash_name, bytes(8) + digest + salt).digest() == own


P25519 = 2**255 - 19
D25519 = -121665 * pow(121666, -1, P25519) % P25519
L25519 = 2**252 + 27742317777372353535851937790883648493
"""The order of the base point, in the specification L."""

Extended = tuple[int, int, int, int]
NEUTRAL: Extended = (0, 1, 1, 0)


def ed_sum(left: Extended, right: Extended) -> Extended:
    """RFC 8032 §5.1.4."""
    p = P25519
    a, b = (left[1] - left[0]) * (right[1] - right[0]) % p, (left[1] + left[0]) * (right[1] + right[0]) % p
    c, d = 2 * left[3] * right[3] * D25519 % p, 2 * left[2] * right[2] % p
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % p, g * h % p, f * g % p, e * h % p


def ed_multiple(factor: int, point: Extended) -> Extended:
    total = NEUTRAL
    while factor:
        if factor & 1:
            total = ed_sum(total, point)
        point = ed_sum(point, point)
        factor >>= 1
    return total


def ed_same(left: Extended, right: Extended) -> bool:
    return not any((left[axis] * right[2] - right[axis] * left[2]) % P25519 for axis in (0, 1))


def ed_encoded(point: Extended) -> bytes:
    """RFC 8032 §5.1.2."""
    inverse = pow(point[2], -1, P25519)
    x, y = point[0] * inverse % P25519, point[1] * inverse % P25519
    return (y | (x & 1) << 255).to_bytes(32, "little")


def ed_decoded(encoded: bytes) -> Extended | None:
    """RFC 8032 §5.1.3."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if len(encoded) != 32 or y >= P25519:
        return None
    p = P25519
    square = (y * y - 1) * pow(D25519 * y * y + 1, -1, p) % p
    x = pow(square, (p + 3) // 8, p)
    if (x * x - square) % p:
        x = x * pow(2, (p - 1) // 4, p) % p
    if (x * x - square) % p or (x == 0 and sign):
        return None
    x = x if x & 1 == sign else p - x
    return x, y, 1, x * y % p


BASE = ed_decoded((4 * pow(5, -1, P25519) % P25519).to_bytes(32, "little")) or NEUTRAL


def ed_challenge(r: bytes, a: bytes, message: bytes, prefix: bytes = b"") -> int:
    return int.from_bytes(hashlib.sha512(prefix + r + a + message).digest(), "little") % L25519


def is_eddsa(key: bytes, message: bytes, signature: bytes, *, with_cofactor: bool) -> bool:
    """RFC 8032 §5.1.7. Step 3 has the equation with the cofactor, and leaves it to the verifier to ask for the one without."""
    a, r, s = ed_decoded(key), ed_decoded(signature[:32]), int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or r is None or s >= L25519:
        return False
    k = ed_challenge(signature[:32], key, message)
    left, right = ed_multiple(s, BASE), ed_sum(r, ed_multiple(k, a))
    factor = 8 if with_cofactor else 1
    return ed_same(ed_multiple(factor, left), ed_multiple(factor, right))


