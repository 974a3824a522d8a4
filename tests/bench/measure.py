# SPDX-License-Identifier: Apache-2.0
"""One interleaved run: the servers, their twelve cases, the load."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rig.envoy import Envoy
from rig.ports import free_port
from rig.upstream import Upstream

from bench import listeners, twelve
from bench.apache import Apache
from bench.introspection import IntrospectionServer
from bench.listeners import Around
from bench.load import PROXY_CORE, Aim, Block, pinned, run
from bench.subjects import APACHE, LISTENERS, Subject
from bench.world import World


@dataclass(frozen=True)
class Running:
    """The servers of a run, on one processor."""

    ports: dict[str, int]
    processes: dict[str, list[int]]
    """By listener."""
    opaque: list[str]
    """The clients' opaque tokens."""


@contextlib.contextmanager
def running(world: World, names: Sequence[str], directory: Path, modules: Mapping[str, Path]) -> Iterator[Running]:
    """An Envoy with these listeners, and Apache if one is of its, each past its twelve cases. `modules` are certbound,
    by the ends of the listeners' names.

    Raises twelve.Failed when one is not.
    """
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(Upstream())
        asked = stack.enter_context(IntrospectionServer())
        opaque = [f"opaque-token-of-client-{number:012}" for number in range(len(world.clients))]
        for token, client in zip(opaque, world.clients, strict=True):
            asked.tokens[token] = world.claims(client)
        around = Around(world, introspection=asked.port, module=modules[""])
        ways = {
            name: (LISTENERS[way].make(replace(around, module=modules[end])), free_port())
            for name in names
            for way, end in [_parts(name)]
            if way in LISTENERS
        }
        text = listeners.document(ways, around, admin=free_port(), upstream=upstream.port)
        with pinned(PROXY_CORE):
            envoy = stack.enter_context(Envoy(text, directory, name="bench"))
        ports = {name: port for name, (_, port) in ways.items()}
        processes = dict.fromkeys(ports, [envoy.pid])
        for name in ways:
            way = LISTENERS[_parts(name)[0]]
            cases = way.cases(world, opaque=asked) if way.opaque else way.cases(world)
            twelve.check(name, ports[name], world, cases)
        if sites := [name for name in names if name in APACHE]:
            apache = Apache(directory / "apache", world, upstream=upstream.port)
            with pinned(PROXY_CORE):
                stack.enter_context(apache)
            for name in sites:
                cases, differences = APACHE[name]
                ports[name] = apache.ports[name]
                twelve.check(name, ports[name], world, cases(world), differences)
            processes |= dict.fromkeys(sites, apache.processes)
        yield Running(ports, processes, opaque)


def _parts(listener: str) -> tuple[str, str]:
    """Its name in `LISTENERS`, and the end that says which module."""
    way, at, end = listener.partition("@")
    return way, at + end


def measure(
    world: World, subjects: Sequence[Subject], directory: Path, modules: Mapping[str, Path], *, rounds: int, seed: int
) -> list[Block]:
    """The blocks of these subjects."""
    with running(world, list(dict.fromkeys(subject.listener for subject in subjects)), directory, modules) as servers:
        aims = [
            Aim(each.name, each.load, servers.ports[each.listener], servers.processes[each.listener], each.status)
            for each in subjects
        ]
        return run(world, aims, cycles=rounds, seed=seed, opaque=servers.opaque)
