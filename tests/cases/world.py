# SPDX-License-Identifier: Apache-2.0
"""The certificates, keys and tokens of one run. They are made anew each time, by software that shares nothing with
certbound."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rig import tokens
from rig.certificates import Authority, Certificate, self_signed
from rig.tokens import SigningKey

ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
OTHER_ISSUER = "https://other-as.example.com"
OTHER_AUDIENCE = "https://other-api.example.com"

LIFETIME = 7200
"""Of a good token, in seconds: more than the slowest run of all tests takes, which all have one time."""

GATEWAY = "spiffe://cluster.local/ns/istio-ingress/sa/istio-ingressgateway"
EDGE = "spiffe://cluster.local/ns/edge/sa/edge-gateway"
NEIGHBOUR = "spiffe://cluster.local/ns/shop/sa/neighbour"
"""Names of workloads in a mesh (SPIFFE)."""

FORGED = "forged-by-the-client"
"""What a client writes where it has no business; no upstream may ever see it."""

SECRET = "0p3n-s3same"
"""The one environment variable of the module in the cases, CERTBOUND_SECRET."""


class World:
    """The certificates and keys of one run."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.server = self.authority.issue("server", subject=[("CN", "localhost")], server=True)
        self.client_1 = self.authority.issue(
            "client-1", subject=[("C", "NL"), ("O", "Example Bank"), ("CN", "client-1")]
        )
        self.client_2 = self.authority.issue(
            "client-2", subject=[("C", "NL"), ("O", "Example Bank"), ("CN", "client-2")]
        )
        self.names = self.authority.issue(
            "names",
            subject=[("C", "NL"), ("CN", 'Zo\u00eb, "client"')],
            dns=["a.example.com", "b.example.com"],
            uri=["https://a.example.com/x,y%20z"],
            ip=["192.0.2.1", "2001:db8::1"],
            email=["client@example.com"],
        )
        self.intermediate = Authority(directory, "Intermediate CA", issuer=self.authority)
        self.chained = self.intermediate.issue("chained")
        """Of an intermediate authority."""
        self.rival = Authority(directory / "rival", "Intermediate CA", issuer=self.authority).issue("rival")
        """Of another intermediate authority, under the same name."""
        self.gateway = self.authority.issue("mesh-gateway", subject=(), uri=[GATEWAY])
        self.gateway_renewed = self.authority.issue("mesh-gateway-renewed", subject=(), uri=[GATEWAY])
        self.edge = self.authority.issue("mesh-edge", subject=(), uri=[EDGE], dns=["Edge.example"])
        self.neighbour = self.authority.issue("mesh-neighbour", subject=(), uri=[NEIGHBOUR])
        self.impostor = self_signed(directory, "impostor", copy_subject_of=self.client_1)
        self.revoked = [self.authority.issue(f"revoked-{number}") for number in (1, 2)]
        self.keys = {name: SigningKey.make(name, f"{name}-1") for name in ("ES256", "RS256", "PS256", "EdDSA")}
        for name in ("RS384", "RS512"):
            # Making an RSA key takes long; that of RS256 does, as a key with another id and algorithm.
            self.keys[name] = SigningKey(name, f"{name}-1", self.keys["RS256"].private_key)
        # With moduli that do not end with a byte, whose encoded messages begin in other bits (RFC 8017 §9.1.1).
        for name, bits in (("PS384", 2049), ("PS512", 2055)):
            self.keys[name] = SigningKey.make(name, f"{name}-1", rsa_bits=bits)
        for name in ("ES384", "ES512"):
            self.keys[name] = SigningKey.make(name, f"{name}-1")
        self.stranger = SigningKey.make("ES256", "ES256-1")
        """A key with the key id of one of the issuer's, and not the issuer's."""
        self.now = int(time.time())
        self._dated: dict[str, Certificate] = {}

    def dated(self, not_before: int, not_after: int) -> Certificate:
        """A client certificate that is valid between these two seconds, counted from the run's own now."""
        name = f"dated-{not_before}-{not_after}"
        if name not in self._dated:
            first, last = (datetime.fromtimestamp(self.now + each, UTC) for each in (not_before, not_after))
            self._dated[name] = self.authority.issue(name, not_before=first, not_after=last)
        return self._dated[name]

    def substitutions(self) -> dict[str, Any]:
        """What the shipped files need to be run here, ports apart."""
        return {
            "jwks": tokens.jwks(*self.keys.values()),
            "server": self.server,
            "client_ca": self.authority.pem_path,
        }

    def claims(self, bound_to: Certificate | None = None, **other: Any) -> dict[str, Any]:
        """The claims of a good access token, bound to a certificate or not; `other` adds, replaces, and where it is
        None removes."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": "client-1",
            "aud": AUDIENCE,
            "iat": self.now,
            "nbf": self.now,
            "exp": self.now + LIFETIME,
            "jti": "1",
        }
        if bound_to:
            claims["cnf"] = {"x5t#S256": bound_to.thumbprint}
        claims.update(other)
        return {name: value for name, value in claims.items() if value is not None}
