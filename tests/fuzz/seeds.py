# SPDX-License-Identifier: Apache-2.0
"""Seeds that the list of cases has: its tokens, key sets, configurations and route metadata; and keys that are made for it.

`python tests/fuzz/seeds.py target/cases.json target/fuzz/seeds` writes them. They are made anew with the certificates
and tokens of the cases, so they are not committed; the ones that are stand in tests/fuzz/seeds."""

import base64
import hashlib
import json
import re
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rig import der
from rig.tokens import SigningKey

LONGEST = 4096
"""A longer input teaches a fuzzer little and slows it down."""

ROOT = Path(__file__).resolve().parents[2]

KEYS = "{ keys: [ { kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo } ] }"
"""RFC 8037 appendix A.2."""


def seeds(cases: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Pairs of a fuzz target and an input for it."""
    for configuration in cases["configurations"].values():
        yield "configuration", configuration["json"].encode()
        yield "configuration", base64.b64decode(configuration["struct"])
        yield "configuration_file", configuration["json"].encode()
        for policy in json.loads(configuration["json"])["policies"].values():
            for issuer in policy.get("resource_server", {}).get("issuers", []):
                if "jwks" in issuer.get("keys", {}):
                    key_set = json.dumps(issuer["keys"]["jwks"]).encode()
                    yield "key_set", key_set
                    yield "shared_keys", shared(1, 0, 300) + key_set
    for path in [*ROOT.glob("envoy/*.yaml"), *ROOT.glob("tests/desk/configurations/*/*.yaml")]:
        yield "configuration_file", uncommented(path.read_text()).replace("{ keys: [] }", KEYS).encode()
    yield from private_keys()
    certificates = bytes(range(64))
    for numbers in ((1, 0, 60), (2, 1_800_000_000_000, 0), (2**64 - 1, 2**64 - 1, 2**64 - 1), (0, 0, 0)):
        yield "shared_keys", shared(*numbers) + certificates
        yield "shared_keys", shared(*numbers) + b'{"keys":[]}'
    deep = b"[" * 1900 + b"]" * 1900
    yield "configuration", b'{"policies":' + deep + b"}"
    yield "key_set", b'{"keys":[],"x":' + deep + b"}"
    yield "token", b'{"alg":"ES256"}\n{"a":' + deep + b"}\n"
    for case in cases["cases"]:
        for name, value in case["headers"]:
            if name.endswith(("-cert", "-cert-chain", "-x5t")):
                yield "certificate_header", base64.b64decode(value)
            if b"Hash=" in base64.b64decode(value):
                yield "xfcc", base64.b64decode(value)
            if name == "authorization":
                yield from token(base64.b64decode(value).rpartition(b" ")[2])
        if case["introspection"] is not None:
            yield "introspection_response", case["introspection"].encode()
        for path, value in case["properties"]:
            if path[0] == "xds":
                yield "route_metadata", base64.b64decode(value)


def shared(version: int, fetched: int, lifetime: int) -> bytes:
    """What stands before the keys that the VMs of a process share."""
    return struct.pack("<3Q", version, fetched, lifetime)


def private_keys() -> Iterator[tuple[str, bytes]]:
    """PKCS #8 with the public key and without, which RFC 5915 allows, and JWKs."""
    key = SigningKey.make("ES256", "one")
    yield "signing_key", key.pem.encode()
    yield "signing_key", json.dumps(key.private_jwk).encode()
    yield "signing_key", json.dumps({**key.private_jwk, "y": "AA"}).encode()
    number = key.private_key.private_numbers().private_value.to_bytes(32)
    algorithm = der.sequence(der.identifier("1.2.840.10045.2.1"), der.identifier("1.2.840.10045.3.1.7"))
    short = der.sequence(der.integer(0), algorithm, der.element(4, der.sequence(der.integer(1), der.element(4, number))))
    yield "signing_key", b"-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----" % base64.b64encode(short)
    yield "signing_key", SigningKey.make("ES384", "two").pem.encode()


def uncommented(text: str) -> str:
    return re.sub(r"(?m)^ *#.*\n| +# .*", "", text)


def token(text: bytes) -> Iterator[tuple[str, bytes]]:
    yield "token", text
    parts = text.split(b".")
    if len(parts) == 3:
        header, payload, signature = (base64.urlsafe_b64decode(part + b"==") for part in parts)
        yield "token", b"\n".join([header, payload, signature])
        yield "confirmation", payload


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    shutil.rmtree(target, ignore_errors=True)
    for name, content in seeds(json.loads(source.read_text())):
        if len(content) <= LONGEST:
            path = target / name / hashlib.sha256(content).hexdigest()[:16]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
