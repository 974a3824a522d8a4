# SPDX-License-Identifier: Apache-2.0
"""Signing keys and JSON Web Tokens, well formed or malformed in any way a caller can think of."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_CURVES: dict[str, Callable[[], ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1,
    "ES384": ec.SECP384R1,
    "ES512": ec.SECP521R1,
}
_CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}

_PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class SigningKey:
    """A private key, the algorithm that it is meant for (RFC 7518 name) and its key id."""

    algorithm: str
    kid: str
    private_key: _PrivateKey

    @classmethod
    def make(cls, algorithm: str, kid: str, *, rsa_bits: int = 2048) -> Self:
        """A new key for RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA (Ed25519).

        Raises ValueError for any other algorithm.
        """
        if algorithm[:2] in ("RS", "PS") and algorithm[2:] in _HASHES:
            return cls(algorithm, kid, rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits))
        if algorithm in _CURVES:
            return cls(algorithm, kid, ec.generate_private_key(_CURVES[algorithm]()))
        if algorithm == "EdDSA":
            return cls(algorithm, kid, ed25519.Ed25519PrivateKey.generate())
        raise ValueError(f"no key can be made for the algorithm {algorithm}")

    @property
    def jwk(self) -> dict[str, str]:
        """The public key as a JWK, with `kid`, `alg` and `use`."""
        common = {"kid": self.kid, "alg": self.algorithm, "use": "sig"}
        match self.private_key:
            case rsa.RSAPrivateKey() as key:
                numbers = key.public_key().public_numbers()
                return {"kty": "RSA", **common, "n": _integer(numbers.n), "e": _integer(numbers.e)}
            case ec.EllipticCurvePrivateKey() as key:
                point, size = key.public_key().public_numbers(), _coordinate_size(key)
                x, y = _integer(point.x, size), _integer(point.y, size)
                return {"kty": "EC", **common, "crv": _CURVE_NAMES[key.curve.name], "x": x, "y": y}
            case ed25519.Ed25519PrivateKey() as key:
                return {"kty": "OKP", **common, "crv": "Ed25519", "x": encode_part(key.public_key().public_bytes_raw())}

    @property
    def private_jwk(self) -> dict[str, str]:
        """The private key as a JWK: `jwk` and the secret members."""
        match self.private_key:
            case rsa.RSAPrivateKey() as key:
                numbers = key.private_numbers()
                secret = {
                    "d": _integer(numbers.d),
                    "p": _integer(numbers.p),
                    "q": _integer(numbers.q),
                    "dp": _integer(numbers.dmp1),
                    "dq": _integer(numbers.dmq1),
                    "qi": _integer(numbers.iqmp),
                }
            case ec.EllipticCurvePrivateKey() as key:
                secret = {"d": _integer(key.private_numbers().private_value, _coordinate_size(key))}
            case ed25519.Ed25519PrivateKey() as key:
                secret = {"d": encode_part(key.private_bytes_raw())}
        return {**self.jwk, **secret}

    @property
    def pem(self) -> str:
        """The private key as PEM of PKCS #8."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()


def jwks(*keys: SigningKey) -> dict[str, list[dict[str, str]]]:
    """The JWK Set of the public keys."""
    return {"keys": [key.jwk for key in keys]}


def sign(
    key: SigningKey, claims: Mapping[str, Any], *, header: Mapping[str, Any] = {}, algorithm: str | None = None
) -> str:
    """A signed token. Its header has `alg` and the key's `kid`, and what `header` adds to or puts in place of them.

    `algorithm` signs with, and announces, another algorithm than the key's own; an `alg` in `header` only announces it.

    Raises ValueError as `assemble` does.
    """
    algorithm = algorithm or key.algorithm
    return assemble(
        encode_part({"alg": algorithm, "kid": key.kid, **header}), encode_part(dict(claims)), key, algorithm
    )


def encode_part(content: object) -> str:
    """base64url without padding, of bytes as they are, of a str as UTF-8, and of all else as compact JSON."""
    if isinstance(content, str):
        content = content.encode()
    elif not isinstance(content, bytes):
        content = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def assemble(header_part: str, payload_part: str, key: SigningKey | bytes | None, algorithm: str) -> str:
    """A token of two parts, which are neither read nor changed, with a right signature of exactly these two.

    `algorithm` says how to sign, whatever the header says: any of `SigningKey.make`; HS256, HS384 or HS512, where `key`
    is the secret in bytes; or none, where the signature is empty and `key` is not looked at.

    Raises ValueError when the algorithm does not go with the key.
    """
    signed = f"{header_part}.{payload_part}"
    return f"{signed}.{encode_part(_signature(signed.encode(), key, algorithm))}"


def encrypted(header: Mapping[str, Any], encrypted_key: bytes = b"\x01" * 256) -> str:
    """What has the form of an encrypted token (RFC 7516 §3.1); nobody can decrypt it."""
    parts = (header, encrypted_key, bytes(12), b"\x02" * 300, b"\x03" * 16)
    return ".".join(map(encode_part, parts))


def decode(token: str) -> tuple[Any, Any]:
    """Header and claims of a token, whose signature is not looked at.

    Raises ValueError when it is not made of three parts, base64url and JSON.
    """
    header_part, payload_part, _ = token.split(".")
    return _decode_part(header_part), _decode_part(payload_part)


def _signature(message: bytes, key: SigningKey | bytes | None, algorithm: str) -> bytes:
    if algorithm == "none":
        return b""
    family, chosen_hash = algorithm[:2], _HASHES.get(algorithm[2:])
    private_key = key.private_key if isinstance(key, SigningKey) else key
    match family, private_key:
        case "HS", bytes() if chosen_hash:
            return hmac.digest(private_key, message, chosen_hash.name)
        case "RS", rsa.RSAPrivateKey() if chosen_hash:
            return private_key.sign(message, padding.PKCS1v15(), chosen_hash)
        case "PS", rsa.RSAPrivateKey() if chosen_hash:
            # RFC 7518, 3.5: the salt is as long as the hash.
            salted = padding.PSS(padding.MGF1(chosen_hash), salt_length=chosen_hash.digest_size)
            return private_key.sign(message, salted, chosen_hash)
        case "ES", ec.EllipticCurvePrivateKey() if chosen_hash:
            # RFC 7518, 3.4: not the DER of X.509, but both integers at full length, one after the other.
            r, s = decode_dss_signature(private_key.sign(message, ec.ECDSA(chosen_hash)))
            size = _coordinate_size(private_key)
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        case "Ed", ed25519.Ed25519PrivateKey():
            return private_key.sign(message)
    raise ValueError(f"{type(private_key).__name__} cannot sign with {algorithm}")


def _decode_part(part: str) -> Any:
    return json.loads(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))


def _integer(value: int, size: int | None = None) -> str:
    """Base64urlUInt of RFC 7518: big-endian in `size` bytes, or in as few as it takes."""
    return encode_part(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def _coordinate_size(key: ec.EllipticCurvePrivateKey) -> int:
    return (key.curve.key_size + 7) // 8
