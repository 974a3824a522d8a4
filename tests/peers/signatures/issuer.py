# SPDX-License-Identifier: Apache-2.0
"""Who signs the tokens of a family: its keys, and what each token is."""

import hashlib
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rig import tokens

EXPIRES = 4_102_444_800
"""In the year 2100: a real Envoy judges these tokens too."""
AUDIENCE = "https://api.example.com"

Verifier = Callable[[bytes, bytes], bool]
"""Whether this is a signature of a message by one key: `verifier(message, signature)`."""


@dataclass(frozen=True)
class Choice:
    """Where the RFCs leave a choice, or certbound is stricter: what it does, and why."""

    forwarded: bool
    why: str


@dataclass(frozen=True)
class Token:
    """A token, with the verdict on its signature."""

    algorithm: str
    what: str
    token: str
    is_signature: bool
    """By the standards."""
    forwarded: bool
    """By certbound."""
    why: str


@dataclass(frozen=True)
class Key:
    """A key, and whether a configuration may have it."""

    what: str
    jwk: dict[str, str]
    loads: bool


@dataclass(frozen=True)
class Published:
    """A key by its name, with two verifiers: the standards', and OpenSSL's."""

    kid: str
    by_the_standards: Verifier
    by_openssl: Verifier


class Issuer:
    """One issuer, whose keys fit in one key set."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name, self.chance = f"https://{name}.example.com", chance
        self.jwks: list[dict[str, str]] = []
        self.tokens: list[Token] = []
        self.keys: list[Key] = []
        self._numbers = itertools.count(1)

    def next_kid(self) -> str:
        return f"key-{len(self.jwks)}"

    def publish(self, jwk: dict[str, str], by_the_standards: Verifier, by_openssl: Verifier) -> Published:
        published = Published(self.next_kid(), by_the_standards, by_openssl)
        self.jwks.append({"kid": published.kid, **jwk})
        return published

    def input(self, algorithm: str, kid: str) -> bytes:
        """What is to be signed, and never was before."""
        header = f'{{"alg":"{algorithm}","kid":"{kid}"}}'
        claims = f'{{"iss":"{self.name}","aud":"{AUDIENCE}","exp":{EXPIRES},"jti":"{next(self._numbers)}"}}'
        return f"{tokens.encode_part(header)}.{tokens.encode_part(claims)}".encode()

    def input_with_hash(self, algorithm: str, kid: str, hash_name: str, *, start: bytes = b"", end: bytes = b"") -> bytes:
        """The same, with a hash that begins or ends so. For two bytes it takes some 65,536 attempts."""
        while True:
            digest = hashlib.new(hash_name, made := self.input(algorithm, kid)).digest()
            if digest.startswith(start) and digest.endswith(end):
                return made

    def add(
        self, algorithm: str, what: str, key: Published, signed: bytes, signature: bytes, *, right: bool,
        choice: Choice | None = None,
    ) -> None:  # fmt: skip
        """A token with this signature, right or not by how it was made.

        Raises ValueError where the standards say otherwise, or OpenSSL accepts what they refuse."""
        judged, openssl = key.by_the_standards(signed, signature), key.by_openssl(signed, signature)
        if judged != right:
            raise ValueError(f"{algorithm}, {what}: made to be {'right' if right else 'wrong'}, and it is not")
        if openssl != right and (openssl or choice is None):
            raise ValueError(f"{algorithm}, {what}: OpenSSL {'accepts' if openssl else 'refuses'} it")
        token = f"{signed.decode()}.{tokens.encode_part(signature)}"
        forwarded = choice.forwarded if choice else right
        self.tokens.append(Token(algorithm, what, token, right, forwarded, choice.why if choice else ""))

    def add_key(self, what: str, jwk: dict[str, str], *, loads: bool) -> None:
        self.keys.append(Key(what, jwk, loads))

    @property
    def configuration(self) -> dict[str, Any]:
        return {"issuer": self.name, "audiences": [AUDIENCE], "keys": {"jwks": {"keys": self.jwks}}}
