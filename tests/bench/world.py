# SPDX-License-Identifier: Apache-2.0
"""The certificates, keys and claims of a run."""

import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from rig import tokens
from rig.certificates import Authority, Certificate
from rig.tokens import SigningKey

ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
ALGORITHMS = ("RS256", "ES256", "PS256", "EdDSA")
CLIENTS = 8


class World:
    """Clients with a certificate each, and an authorization server's keys."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self.authority = Authority(self.directory)
        self.server = self.authority.issue("server", subject=[("CN", "localhost")], server=True)
        self.clients = [self.client(number) for number in range(CLIENTS)]
        self.keys = {name: SigningKey.make(name, f"{name}-1") for name in ALGORITHMS}
        self.stranger = SigningKey.make("ES256", "ES256-1")
        """A key with the key id of one of the issuer's, and not the issuer's."""
        self.now = int(time.time())

    @property
    def jwks(self) -> dict[str, Any]:
        return tokens.jwks(*self.keys.values())

    def client(self, number: int) -> Certificate:
        """The certificate of a new client."""
        return self.authority.issue(
            f"client-{number}", subject=[("C", "NL"), ("O", "Bank"), ("CN", f"client-{number}")]
        )

    def key_file(self, key: SigningKey, name: str) -> Path:
        """The private key for the load client: PKCS #8, PEM."""
        path = self.directory / f"token-{name}.key"
        path.write_bytes(
            key.private_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path

    def claims(self, bound_to: Certificate | None = None, **other: Any) -> dict[str, Any]:
        """The claims of a good access token of RFC 9068; `other` adds, replaces, and where it is None removes."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": "5ba552d67",
            "aud": AUDIENCE,
            "iat": self.now,
            "nbf": self.now,
            "exp": self.now + 12 * 3600,
            "client_id": "s6BhdRkqt3",
            "scope": "openid profile accounts payments",
            **({"cnf": {"x5t#S256": bound_to.thumbprint}} if bound_to else {}),
            **other,
        }
        return {name: value for name, value in claims.items() if value is not None}
