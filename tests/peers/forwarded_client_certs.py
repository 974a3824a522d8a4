# SPDX-License-Identifier: Apache-2.0
"""Thousands of values of X-Forwarded-Client-Cert, as Envoys write them one behind the other, and changed at random, each with what
an independent reader (rig.forwarded_client_cert) makes of it.

`python tests/peers/forwarded_client_certs.py FILE [SEED]` writes one JSON object a line. The same seed gives the same values, but for
the certificates, which are made anew."""

import json
import random
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from rig.certificates import Authority, Certificate
from rig.forwarded_client_cert import MALFORMED, read

SEED, COUNT = 8705, 10_000

_PEM = re.compile(r"-----BEGIN%20.*?-----END%20CERTIFICATE-----%0A")

HOPS = ["spiffe://mesh.example/edge", "spiffe://mesh.example/cdn"]
NAMES = [
    "URI=urn:x,y;z", "URI=spiffe://a/b", "DNS=a.example", "DNS=*.a.example", "URI=a,b", "URI=urn:x, y", "By=spiffe://c/d", "",
    'Subject="CN=a,O=\\"b\\";c"', 'Subject=""', 'Subject="CN=a\\\\"', "x", "key=value", 'key="value"', "Subject=CN", "Hash=0", 'Cert="x"',
    'Chain="x"', "chain=x", 'URI="', 'DNS=a"b"', "URI=a,By=b", "URI=a,Hash=0", "URI=a, hash=0", "URI=a,Subject=b", 'URI=a,Subject="b"',
]  # fmt: skip
"""What stands behind a certificate: as Envoy writes it, and as only a client would."""
ODD = ['"', "\\", ",", ";", "=", " ", ",By=", ",Hash=", 'Cert="', "Hash=", ", ", ",by=", "[", "]", 'Subject="', "\t"]


class Maker:
    """The values of one seed."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.chance = random.Random(seed)
        authority = Authority(directory)
        self.clients = [authority.issue(f"client-{number}", uri=[f"urn:client:{number}"]) for number in range(3)]
        self.hops = [authority.issue(f"hop-{number}", subject=[], uri=[uri]) for number, uri in enumerate(HOPS)]
        self.own = authority.issue("own", subject=[], uri=["spiffe://mesh.example/gateway"])

    def element(self, certificate: Certificate, *, whole: bool = True) -> str:
        chance = self.chance
        by = ["By=spiffe://mesh.example/self"] if chance.random() < 0.5 else []
        pairs = [*by, f"Hash={certificate.digest}"]
        if whole:
            pairs.append(f'Cert="{certificate.url_encoded}"')
        usual = NAMES[:11] if chance.random() < 0.9 else NAMES
        pairs += chance.choices(usual, k=chance.choice([0, 1, 1, 2, 3]))
        if chance.random() < 0.03:
            chance.shuffle(pairs)
        return ";".join(pairs)

    def elements(self, hops: int) -> list[str]:
        chance = self.chance
        found = [self.element(chance.choice(self.clients))] if chance.random() < 0.8 else []
        found += [self.element(self.hops[number]) for number in reversed(range(hops))]
        if chance.random() < 0.7:
            found.append(self.element(self.own, whole=chance.random() < 0.3))
        if chance.random() < 0.15:
            found.insert(chance.randrange(len(found) + 1), self.element(chance.choice([*self.clients, *self.hops, self.own])))
        if found and chance.random() < 0.08:
            found.pop(chance.randrange(len(found)))
        return found

    def changed(self, value: str) -> str:
        """With some characters put in, taken away or doubled, outside of certificates."""
        chance = self.chance
        for _ in range(chance.choice([0, 0, 0, 0, 0, 1, 1, 2, 3])):
            place = chance.randrange(len(value) + 1)
            # Readers differ in what they take for white space and padding in a certificate.
            if any(first < place < last for first, last in (match.span() for match in _PEM.finditer(value))):
                place = chance.choice([0, len(value)])
            match chance.randrange(3):
                case 0:
                    value = value[:place] + chance.choice(ODD) + value[place:]
                case 1 if value[place : place + 1] not in ("-", "%"):
                    value = value[:place] + value[place + 1 :]
                case _:
                    value = value[:place] + value[place : place + 1] + value[place:]
        return value

    def line(self) -> dict[str, Any]:
        hops = self.chance.choice([0, 0, 0, 1, 2])
        value = self.changed(self.chance.choice([",", ",", ",", ", "]).join(self.elements(hops)))
        own = self.own.digest if self.chance.random() < 0.9 else None
        return {"value": value, "own": own, "hops": HOPS[:hops], "read": read(value, own, HOPS[:hops])}


def main(path: Path, seed: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        maker = Maker(seed, Path(directory))
        lines = [maker.line() for _ in range(COUNT)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcomes = Counter({None: "none", MALFORMED: MALFORMED}.get(line["read"], "a certificate") for line in lines)
    print(f"forwarded client certificates: seed {seed}, {dict(outcomes)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else SEED)
