# SPDX-License-Identifier: Apache-2.0
"""Ever-new tokens that nobody signed, and what a good client waits beside them; see `make bench-flood`.

The good client's token was seen before. The others are sent at a share of the rate at which the proxy has time for nothing
else. The good client is measured in turns, without them and with them. A token that names its key costs one signature,
whatever is done here; one that does not should cost the good client no more than that."""

import argparse
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig import tokens
from rig.envoy import Envoy
from rig.ports import free_port
from rig.shipped import MODULE, ROOT
from rig.tokens import SigningKey
from rig.upstream import Upstream

from bench import listeners
from bench.listeners import Around, Listener
from bench.load import CLIENT, LOAD_CORE, PROXY_CORE, pinned
from bench.world import World

WORK = ROOT / "target" / "bench"
KEYS = 4


@dataclass(frozen=True)
class Kind:
    """Made-up tokens."""

    algorithm: str
    made_for: str
    """The algorithm for which the issuer's keys are made; they may be used with any that fits."""
    named: bool
    """Whether the tokens name a key."""
    signature: int
    """In bytes."""
    rsa_bits: int = 4096

    @property
    def name(self) -> str:
        return self.algorithm.lower() + ".kid" * self.named

    @property
    def title(self) -> str:
        size = f"RSA-{self.rsa_bits}" if self.made_for == "RS256" else self.algorithm
        return f"{self.algorithm}, {KEYS} {size} keys, {'a kid' if self.named else 'no kid'}"


KINDS = [
    Kind("RS256", "RS256", named=False, signature=512),
    Kind("PS512", "RS256", named=False, signature=512),
    Kind("EdDSA", "EdDSA", named=False, signature=64),
    Kind("ES256", "ES256", named=False, signature=64),
    Kind("RS256", "RS256", named=True, signature=512),
    Kind("PS512", "RS256", named=True, signature=512),
    Kind("EdDSA", "EdDSA", named=True, signature=64),
]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.flood", description=__doc__)
    parser.add_argument("--module", type=Path, default=MODULE, help="certbound, in place of target/certbound.wasm")
    parser.add_argument("--turns", type=int, default=10, help="how often the good client is measured with and without")
    parser.add_argument("--seconds", type=float, default=2, help="for each turn")
    parser.add_argument("--share", type=float, default=0.5, help="of the rate that leaves the proxy no time")
    parser.add_argument(
        "--kinds", default="", help="their names (ps512, eddsa.kid), with commas between; default: all"
    )
    parser.add_argument("--json", type=Path, default=WORK / "flood.json", help="where the result goes")
    arguments = parser.parse_args()
    names = [name for name in arguments.kinds.split(",") if name] or [kind.name for kind in KINDS]
    WORK.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    print(f"{'':36} {'at most':>8} {'sent':>8} {'quiet p50':>10} {'p99':>8} {'flood p50':>10} {'p99':>8} {'p99 ratio':>10}")
    with tempfile.TemporaryDirectory(dir=WORK) as name:
        world = World(Path(name) / "world")
        keys = _keys()
        for kind in [each for each in KINDS if each.name in names]:
            came = found[kind.title] = _measured(world, Path(name), kind, keys[kind.made_for], arguments)
            ratio = came["flooded"]["p99"] / came["quiet"]["p99"]
            micro = {f"{turn} {rank}": came[turn][rank] / 1000 for turn in ("quiet", "flooded") for rank in ("p50", "p99")}
            print(
                f"{kind.title:36} {came['saturation']:6.0f}/s {came['rate']:6.0f}/s {micro['quiet p50']:7.0f} us"
                f" {micro['quiet p99']:5.0f} us {micro['flooded p50']:7.0f} us {micro['flooded p99']:5.0f} us"
                f" {ratio:6.2f}  {came['statuses']}",
                flush=True,
            )
    arguments.json.write_text(json.dumps(found) + "\n")
    print(f"written: {arguments.json}")


def _keys() -> dict[str, list[SigningKey]]:
    return {
        algorithm: [SigningKey.make(algorithm, f"{algorithm}-{number}", rsa_bits=4096) for number in range(KEYS)]
        for algorithm in ("RS256", "EdDSA", "ES256")
    }


def _measured(
    world: World, directory: Path, kind: Kind, keys: list[SigningKey], arguments: argparse.Namespace
) -> dict[str, Any]:
    client, good = world.clients[0], world.keys["ES256"]
    jwks = [{name: value for name, value in key.jwk.items() if name != "alg"} for key in keys]

    def change(configuration: dict[str, Any]) -> dict[str, Any]:
        policy = configuration["policies"]["api"]
        (issuer,) = policy["resource_server"]["issuers"]
        issuer["keys"] = {"jwks": {"keys": [*jwks, good.jwk]}}
        del issuer["algorithms"]
        return policy

    around = Around(world, module=arguments.module.absolute())
    listener = Listener("resource-server", [listeners.certbound("resource-server", around, change)])
    port = free_port()
    header = {"alg": kind.algorithm, "typ": "at+jwt", **({"kid": keys[-1].kid} if kind.named else {})}
    plan = {
        "ca": str(world.authority.pem_path),
        "client": {
            "certificate": str(client.certificate_path),
            "key": str(client.key_path),
            "thumbprint": client.thumbprint,
        },
        "port": port,
        "good": tokens.sign(good, world.claims(client)),
        "header": header,
        "claims": world.claims(client),
        "signature": kind.signature,
        "share": arguments.share,
        "turns": arguments.turns,
        "seconds": arguments.seconds,
        "connections": 16,
    }
    path = directory / "flood.json"
    path.write_text(json.dumps(plan))
    with Upstream() as upstream:
        text = listeners.document({"flood": (listener, port)}, around, admin=free_port(), upstream=upstream.port)
        with pinned(PROXY_CORE):
            envoy = Envoy(text, directory, name=f"flood-{len(list(directory.iterdir()))}")
            with envoy, pinned(LOAD_CORE):
                done = subprocess.run([CLIENT, "flood", path], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the load client ended: {done.stderr.strip()}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
