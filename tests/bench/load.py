# SPDX-License-Identifier: Apache-2.0
"""The load client: what it is to do, and what it measured."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rig.certificates import Certificate
from rig.shipped import ROOT

from bench.subjects import Load
from bench.world import World

CLIENT = ROOT / "target" / "bench" / "build" / "release" / "load"
PROXY_CORE, LOAD_CORE = 0, 1
WARM_UP = 4000


@dataclass(frozen=True)
class Aim:
    """A load, and where it goes."""

    name: str
    load: Load
    port: int
    processes: Sequence[int]
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    warm_up: int = WARM_UP


@dataclass(frozen=True)
class Block:
    """What one block of requests cost; times in nanoseconds, of all of them together and of the single ones."""

    cycle: int
    subject: str
    requests: int
    cpu: int
    wall: int
    p50: int
    p99: int


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """What is started inside runs on this processor alone, with all its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(
    world: World,
    aims: Sequence[Aim],
    *,
    cycles: int,
    block: int = 400,
    connections: int = 8,
    seed: int = 1,
    clients: Sequence[Certificate] | None = None,
    opaque: Sequence[str] = (),
) -> list[Block]:
    """Measures, each of them once in a cycle, in an order that alternates. `opaque` are the clients' opaque tokens.

    Raises RuntimeError when a response is not the expected one.
    """
    clients = clients or world.clients
    plan = {
        "ca": str(world.authority.pem_path),
        "keys": {
            name: {"algorithm": name, "kid": key.kid, "path": str(world.key_file(key, name))}
            for name, key in world.keys.items()
        },
        "clients": [
            {
                "certificate": str(client.certificate_path),
                "key": str(client.key_path),
                "thumbprint": client.thumbprint,
            }
            for client in clients
        ],
        "subjects": [_subject(aim, world, clients, opaque) for aim in aims],
        "seed": seed,
        "cycles": cycles,
        "block": block,
        "connections": connections,
        "in_flight": 8,
    }
    path = world.directory / "plan.json"
    path.write_text(json.dumps(plan))
    with pinned(LOAD_CORE):
        done = subprocess.run([CLIENT, path], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the load client ended: {done.stderr.strip()}")
    return [Block(**json.loads(line)) for line in done.stdout.splitlines()]


def _subject(aim: Aim, world: World, clients: Sequence[Certificate], opaque: Sequence[str]) -> dict[str, Any]:
    load = aim.load
    headers = [("user-agent", "load"), ("accept", "*/*"), *aim.headers]
    bodies = []
    if load.form:
        headers.append(("content-type", "application/x-www-form-urlencoded"))
        bodies = [f"grant_type=client_credentials&client_id={client.name}" for client in clients]
    token: Any = "none"
    if load.opaque:
        token = {"given": list(opaque)}
    elif load.key:
        token = {
            "signed": {
                "keys": [load.key],
                "claims": [world.claims()],
                "distinct": load.distinct,
                "owner": int(load.stolen),
            }
        }
    return {
        "name": aim.name,
        "port": aim.port,
        "http2": load.http2,
        "method": load.method,
        "path": load.path,
        "headers": headers,
        "bodies": bodies,
        "token": token,
        "status": aim.status,
        "processes": list(aim.processes),
        "warm_up": aim.warm_up,
    }
