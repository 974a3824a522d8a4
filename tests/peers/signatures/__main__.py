# SPDX-License-Identifier: Apache-2.0
"""Tokens whose signatures are right, wrong, and at the edges of what is right, for every algorithm, each with the verdict of the
standards.

A family makes a signature and says whether it is right. Verifiers that follow the standards step by step
(`by_the_standards.py`) must say the same, and OpenSSL (`cryptography`) too: else this program fails. Where the standards leave
a choice, or certbound is stricter than they are, the family says what it does and why (`issuer.Choice`).

`python tests/peers/signatures FILE [SEED]` writes one JSON object a line: the configuration, the keys, the tokens. The
same seed gives the same file. `tests/peers/signatures.rs` runs them through the core and the module, and
`tests/peers/test_signatures.py` through a real Envoy. Whole requests with wrong signatures, keys and headers are in
`tests/peers/differential.py`."""

import json
import random
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from by_the_standards import CURVES
from ecdsa import Ecdsa
from eddsa import EdDsa
from issuer import Issuer
from rsa import Rsa

SEED = 8705


def issuers(seed: int) -> list[Issuer]:
    """One for each kind of key, as a key set has at most 100 keys."""
    made = [Issuer(name, random.Random(f"{seed} {name}")) for name in ("rsa", "ed25519", "p256", "p384", "p521")]
    families = [Rsa(made[0]), EdDsa(made[1]), *map(Ecdsa, made[2:], CURVES)]
    for family in families:
        family.make()
    return made


def main(path: Path, seed: int) -> None:
    started = time.monotonic()
    made = issuers(seed)
    server = {"issuers": [issuer.configuration for issuer in made], "certificate_binding": "if_present"}
    lines = [{"seed": seed, "resource_server": server}]
    lines += [{"key": asdict(key)} for issuer in made for key in issuer.keys]
    tokens = [token for issuer in made for token in issuer.tokens]
    lines += [{"token": asdict(token)} for token in tokens]
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    counts = Counter(f"{token.algorithm} {'right' if token.is_signature else 'wrong'}" for token in tokens)
    print(f"signatures: seed {seed}, {dict(sorted(counts.items()))}, {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else SEED)
