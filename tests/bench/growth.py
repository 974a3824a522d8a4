# SPDX-License-Identifier: Apache-2.0
"""How cost and memory grow with tokens, clients, issuers, headers and workers; and what the start costs."""

import contextlib
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from rig.envoy import Envoy
from rig.ports import free_port

from bench import listeners
from bench.figures import Figures
from bench.listeners import Around
from bench.load import PROXY_CORE, Aim, Block, pinned, run
from bench.subjects import LISTENERS, Load
from bench.world import World

CACHE_OF_MANY = 64 * 2**20
SEEN, NEW, NOTHING = Load("ES256"), Load("ES256", distinct=0), Load()


@dataclass(frozen=True)
class Point:
    """What was measured at one size; costs are microseconds of processor time for a request, over a bare Envoy."""

    size: int
    costs: dict[str, float]
    memory: float | None = None
    """Of the whole proxy, in MB (2^20 bytes)."""


Points = dict[str, list[Point]]
"""By what grows."""


def measure(world: World, module: Path, directory: Path, *, quick: bool) -> Points:
    """All of it; `quick` for a look, with less of everything."""
    return {
        "tokens": tokens(
            world, module, directory, (1, 100, 10_000) if quick else tuple(10**n for n in range(7)), quick
        ),
        "tokens in turn": in_turn(world, module, directory, (8, 1000) if quick else (8, 100, 1000, 10_000), quick),
        "clients": clients(world, module, directory, (10, 100) if quick else (10, 100, 1000, 10_000), quick),
        "issuers": issuers(world, module, directory, (1, 16) if quick else (1, 2, 4, 8, 16), quick),
        "header KB": header_bytes(world, module, directory, (1, 60) if quick else (1, 4, 15, 30, 60), quick),
        "workers": workers(world, module, directory, (1, 2), quick),
    }


@dataclass(frozen=True)
class Proxy:
    """An Envoy with some listeners, by what they were called."""

    envoy: Envoy
    ports: Mapping[str, int]
    world: World

    def aim(self, name: str, load: Load, **other: Any) -> Aim:
        listener = name.partition(" ")[0]
        return Aim(name, load, self.ports[listener], [self.envoy.pid], **other)

    def memory(self) -> float:
        """Resident, in MB."""
        return self.envoy.memory()


@contextlib.contextmanager
def proxy(
    world: World,
    module: Path,
    directory: Path,
    made: Mapping[str, listeners.Make],
    *,
    workers: int = 1,
    name: str = "growth",
    token_cache_bytes: int | None = None,
) -> Iterator[Proxy]:
    around = Around(world, module=module, token_cache_bytes=token_cache_bytes)
    ways = {name: (make(around), free_port()) for name, make in made.items()}
    text = listeners.document(ways, around, admin=free_port(), upstream=0)
    with pinned(PROXY_CORE):
        envoy = Envoy(text, directory, name=name, concurrency=workers)
        envoy.__enter__()
    try:
        yield Proxy(envoy, {name: port for name, (_, port) in ways.items()}, world)
    finally:
        envoy.stop()


def over(figures: Figures, pairs: Mapping[str, tuple[str, str]]) -> dict[str, float]:
    """What each costs over its baseline."""
    return {name: figures.added(*pair).value for name, pair in pairs.items()}


class Drift:
    """The machine's speed between runs, told by a baseline that costs the same in all of them."""

    def __init__(self) -> None:
        self._first: float | None = None

    def levelled(self, figures: Figures, baseline: str, costs: dict[str, float]) -> dict[str, float]:
        """The costs of a run, had the machine been as fast as in the first one."""
        now = figures.cost(baseline).value
        self._first = self._first or now
        return {name: cost * self._first / now for name, cost in costs.items()}


def tokens(world: World, module: Path, directory: Path, sizes: Sequence[int], quick: bool) -> list[Point]:
    """After so many different tokens: one seen before, a new one, and the proxy's memory."""
    points, sent, drift = [], 0, Drift()
    with proxy(world, module, directory, {"bare": LISTENERS["bare"].make, "rs": LISTENERS["rs"].make}) as envoy:
        for size in sizes:
            left = max(0, size - sent)
            run(world, [envoy.aim("rs", NEW, warm_up=left)], cycles=0, block=4000, seed=size)
            aims = [
                envoy.aim("bare", SEEN, warm_up=400),
                # As few as fit beside those that come in between.
                envoy.aim("rs seen", replace(SEEN, distinct=1), warm_up=400),
                envoy.aim("rs new", NEW, warm_up=400),
            ]
            cycles = _cycles(quick)
            figures = Figures(run(world, aims, cycles=cycles, seed=size + 1))
            sent = max(sent, size) + 400 * (cycles + 1)
            costs = over(figures, {"seen before": ("rs seen", "bare"), "new": ("rs new", "bare")})
            points.append(Point(size, drift.levelled(figures, "bare", costs), envoy.memory()))
    return points


def in_turn(world: World, module: Path, directory: Path, sizes: Sequence[int], quick: bool) -> list[Point]:
    """So many different tokens, sent in turn again and again."""
    points, drift = [], Drift()
    with proxy(world, module, directory, {"bare": LISTENERS["bare"].make, "rs": LISTENERS["rs"].make}) as envoy:
        for size in sizes:
            load = replace(SEEN, distinct=-(-size // len(world.clients)))
            aims = [envoy.aim("bare", load, warm_up=400), envoy.aim("rs", load, warm_up=2 * size)]
            # Each token comes at least once more.
            cycles = max(_cycles(quick), -(-size // 400))
            figures = Figures(run(world, aims, cycles=cycles, seed=size))
            costs = over(figures, {"in turn": ("rs", "bare")})
            points.append(Point(size, drift.levelled(figures, "bare", costs), envoy.memory()))
    return points


def clients(world: World, module: Path, directory: Path, sizes: Sequence[int], quick: bool) -> list[Point]:
    """So many clients, each with a certificate, a token and a connection of its own, all open at once. The cache has
    room for their tokens: what happens without is measured as `tokens in turn`."""
    issued = [*world.clients, *(world.client(number) for number in range(len(world.clients), max(sizes)))]
    made = {name: LISTENERS[name].make for name in ("bare", "rs", "bare-as", "as-pem_apache")}
    points = []
    for size in sizes:
        costs = {}
        for title, baseline, listener, load in (
            ("resource server", "bare", "rs", replace(SEEN, distinct=1)),
            ("authorization server", "bare-as", "as-pem_apache", NOTHING),
        ):
            blocks: list[Block] = []
            # Connections that are over are forgotten with their proxy.
            with proxy(world, module, directory, made, token_cache_bytes=CACHE_OF_MANY) as envoy:
                aims = [envoy.aim(each, load, warm_up=2 * size) for each in (baseline, listener)]
                if _allow_files(2 * size + 1000):
                    turns = [(0, aims)]
                else:
                    # As many as can be open: one after the other, by turns.
                    turns = [(turn, [aim]) for turn in range(3) for aim in aims]
                block = max(400, size // 2)
                cycles = max(4, _cycles(quick) * 400 // block)
                for turn, together in turns:
                    measured = run(
                        world,
                        together,
                        cycles=cycles,
                        block=block,
                        connections=size,
                        seed=size,
                        clients=issued[:size],
                    )
                    blocks += [replace(block, cycle=block.cycle + turn * cycles) for block in measured]
                costs |= over(Figures(blocks), {title: (listener, baseline)})
        points.append(Point(size, costs))
    return points


def issuers(world: World, module: Path, directory: Path, sizes: Sequence[int], quick: bool) -> list[Point]:
    """So many trusted issuers, of which the last one's tokens come."""
    made = {"bare": LISTENERS["bare"].make, **{f"rs-{size}": listeners.rs_issuers(size) for size in sizes}}
    with proxy(world, module, directory, made) as envoy:
        aims = [envoy.aim("bare", SEEN)]
        for size in sizes:
            aims += [envoy.aim(f"rs-{size} seen", replace(SEEN, distinct=1)), envoy.aim(f"rs-{size} new", NEW)]
        figures = Figures(run(world, aims, cycles=_cycles(quick), seed=1))
    names = {"seen before": "seen", "new": "new"}
    return [
        Point(size, over(figures, {title: (f"rs-{size} {name}", "bare") for title, name in names.items()}))
        for size in sizes
    ]


def header_bytes(world: World, module: Path, directory: Path, sizes: Sequence[int], quick: bool) -> list[Point]:
    """So many KB of other headers, of 1 KB each."""
    made = {name: LISTENERS[name].make for name in ("bare", "rs", "bare-as", "as-pem_apache")}
    ways = {
        "resource server": ("rs", "bare", replace(SEEN, distinct=1)),
        "authorization server": ("as-pem_apache", "bare-as", NOTHING),
    }
    with proxy(world, module, directory, made) as envoy:
        aims = []
        for size in sizes:
            headers = [(f"x-filler-{number:02}", "x" * 1000) for number in range(size)]
            for listener, baseline, load in ways.values():
                aims += [envoy.aim(f"{each} {size}", load, headers=headers) for each in (listener, baseline)]
        figures = Figures(run(world, aims, cycles=_cycles(quick), seed=1))
    return [
        Point(size, over(figures, {t: (f"{one} {size}", f"{base} {size}") for t, (one, base, _) in ways.items()}))
        for size in sizes
    ]


def workers(world: World, module: Path, directory: Path, sizes: Sequence[int], quick: bool) -> list[Point]:
    """So many workers of one proxy, on one processor still: what a request costs, and the memory."""
    points, drift = [], Drift()
    for size in sizes:
        made = {"bare": LISTENERS["bare"].make, "rs": LISTENERS["rs"].make}
        with proxy(world, module, directory, made, workers=size) as envoy:
            aims = [envoy.aim("bare", SEEN), envoy.aim("rs", SEEN)]
            figures = Figures(run(world, aims, cycles=_cycles(quick), seed=size))
            costs = over(figures, {"seen before": ("rs", "bare")})
            points.append(Point(size, drift.levelled(figures, "bare", costs), envoy.memory()))
    return points


@dataclass(frozen=True)
class Start:
    """Medians of several starts: the module, and what it adds to a bare Envoy's."""

    module_bytes: int
    bare_seconds: float
    seconds: float
    """Until the proxy is live."""
    bare_memory: float
    memory: float
    """In MB, after a first request."""


def start(world: World, module: Path, directory: Path, *, quick: bool) -> Start:
    """Starts by turns an Envoy that is bare and one with the filter of envoy/resource-server.yaml."""
    seconds: dict[str, list[float]] = {"bare": [], "rs-by-route": []}
    memories: dict[str, list[float]] = {"bare": [], "rs-by-route": []}
    for _ in range(3 if quick else 7):
        for name in seconds:
            begin = time.monotonic()
            with proxy(world, module, directory, {name: LISTENERS[name].make}, name="start") as envoy:
                seconds[name].append(time.monotonic() - begin)
                run(world, [envoy.aim(name, SEEN, warm_up=8)], cycles=0)
                memories[name].append(envoy.memory())
    return Start(
        module.stat().st_size,
        median(seconds["bare"]),
        median(seconds["rs-by-route"]),
        median(memories["bare"]),
        median(memories["rs-by-route"]),
    )


def _cycles(quick: bool) -> int:
    return 4 if quick else 25


def _allow_files(number: int) -> bool:
    """Allows as many open files to what is started from here on; whether that may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (number, max(hard, number)))
        except (OSError, ValueError):
            return False
    return True
