# SPDX-License-Identifier: Apache-2.0
"""One soak, from its seed to its result."""

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from cases import World
from rig import tokens
from rig.certificates import jwk
from rig.envoy import EnvoyFailed
from rig.scripted_server import Answer
from rig.upstream import Upstream

from soak.crowds import Crowded
from soak.kind import SECRET_MARK, Maker, kinds
from soak.ledger import Ledger
from soak.load import Load, Worker
from soak.proxy import Proxy
from soak.schedule import NEED_KEYS, Scene
from soak.server import Server, document
from soak.timeline import Timeline

CLIENTS = 10
WARM_VMS = 4
"""How often VMs are made anew within the warm-up: as often as that takes Envoy more memory. It keeps some of what old ones had, and
uses it again."""
CERTAIN = 4.0
"""Seconds after which everybody knows that no keys can be fetched: one until somebody may ask, one until somebody does, one
for the response, and one more."""
SPREADS = 1.0
"""Seconds in which every worker knows that they can be fetched again."""
_RECOVERY = 45
"""Seconds: the longest pause between two fetches, and more."""
_TICK = 0.2


@dataclass
class Memory:
    """What one Envoy has resident, in MB."""

    warm: float
    """After the warm-up."""
    most: float
    end: float


@dataclass
class Result:
    """What a soak came to."""

    seed: int
    seconds: float
    ledger: Ledger
    done: Counter[str] = field(default_factory=Counter)
    """What failed and what the operator did, how often."""
    memory: Memory | None = None
    """None where there was no time to warm up."""
    crowds: Crowded | None = None
    """None where there were none."""


def soak(world: World, directory: Path, seed: int, seconds: float, scenes: Iterable[Scene]) -> Result:
    """Plays scenes for so long, and the last one to its end, with a line for each on standard output. A scene that cannot be played
    is a failure, and the last one. Memory is that of one Envoy, so none is replaced after the first quarter; the first third is
    warm-up."""
    memory: list[float] = []
    vms_made = 0
    with Soak(world, directory, seed) as running:
        began = time.monotonic()
        running.wait(2)
        running.wait_for_keys(began)
        for scene in scenes:
            if (elapsed := time.monotonic() - began) > seconds:
                break
            if elapsed > seconds / 4 and scene.act == "replace_envoy":
                scene = replace(scene, act=None)
            vms_made = 0 if scene.act == "replace_envoy" else vms_made + (scene.act == "make_vms_anew")
            try:
                running.play(scene)
                while elapsed > seconds / 3 and vms_made < WARM_VMS:
                    running.play(Scene(None, None, "make_vms_anew", 0, 0))
                    vms_made += 1
            except (EnvoyFailed, OSError, ValueError) as error:
                running.ledger.complain(f"{scene}: {error}")
                break
            if elapsed > seconds / 3:
                memory.append(running.memory())
            print(running.said(elapsed, scene), flush=True)
        result = running.finish()
    if memory:
        result.memory = Memory(memory[0], max(memory), memory[-1])
    return result


class Soak:
    """The servers, the proxy and the clients, from entry to exit of the context."""

    def __init__(self, world: World, directory: Path, seed: int) -> None:
        self._world, self._directory, self._seed = world, directory, seed
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            enter = self._stack.enter_context
            self._upstream = enter(Upstream())
            self.servers = {"keys": enter(Server(self._publish)), "introspection": enter(Server(self._introspect))}
            ports = {name: server.port for name, server in self.servers.items()}
            self.proxy = enter(Proxy(self._world, self._directory, upstream=self._upstream.port, **ports))
            self.works = {name: Timeline(True) for name in self.servers}
            self.ledger = Ledger(self.works, self.proxy.realm, self.proxy.drains)
            self._logs: dict[Path, int] = {}
            makers = [Maker(self._world, random.Random(self._seed + number)) for number in range(CLIENTS)]
            workers = [
                Worker(f"{number}h{1 + number % 2}", kinds(), maker, self.ledger, self.proxy.client)
                for number, maker in enumerate(makers)
            ]
            self.result = Result(self._seed, 0, self.ledger, self.proxy.done)
            self._began = time.monotonic()
            self._load = enter(Load(workers))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def play(self, scene: Scene) -> None:
        """One scene, until everything works again."""
        began = time.monotonic()
        if scene.server and scene.fault:
            self._fail(scene)
        elif scene.act:
            getattr(self.proxy, scene.act)()
        if scene.act in NEED_KEYS:
            self.wait_for_keys(began)
        self.wait(0.5)

    def wait_for_keys(self, since: float) -> None:
        """Until whatever is new has an issuer's and a client's keys in stock: the latter are fetched when somebody needs them."""
        for path in ("/jwks", "/client"):
            self._wait_for(path, since)
        self.wait(SPREADS)

    def wait(self, seconds: float) -> None:
        """Judges meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(_TICK)
            self._settle()

    def finish(self) -> Result:
        """Ends the load, judges the last requests, and looks for what must not have been."""
        self._load.__exit__()
        self.result.seconds = time.monotonic() - self._began
        deadline = time.monotonic() + _RECOVERY
        while self.ledger.open and time.monotonic() < deadline:
            self.wait(_TICK)
        if self.ledger.open:
            self.ledger.complain(f"{self.ledger.open} requests were never judged")
        for line in self.proxy.crashes():
            self.ledger.complain(f"a VM ended: {line}")
        return self.result

    def said(self, elapsed: float, scene: Scene) -> str:
        """A line about what has come to pass, and the first three complaints."""
        sent = sum(count.sent for count in self.ledger.counts.values())
        wrong = self.ledger.complaints
        line = f"{elapsed:5.0f} s: {scene}: {sent} requests, {len(wrong)} wrong, {self.memory():.0f} MB"
        return "\n  ".join([line, *wrong[:3]])

    def memory(self) -> float:
        """What the last Envoy has resident, in MB."""
        return self.proxy.envoy.memory()

    def _fail(self, scene: Scene) -> None:
        server, works = self.servers[scene.server], self.works[scene.server]
        certain = CERTAIN if scene.server == "keys" else 0
        began = time.monotonic()
        with works.window(True, False, after=certain):
            works.set(False)
            server.fail(scene.fault)
        self.result.done[f"{scene.server} {scene.fault}"] += 1
        self.wait(certain + scene.before)
        if scene.act:
            self._act(scene)
        self.wait(certain + scene.seconds - (time.monotonic() - began))
        with works.window(True, False, after=SPREADS if scene.server == "keys" else 0):
            since = time.monotonic()
            works.set(True)
            server.recover()
            if scene.server == "keys":
                self._wait_for("/jwks", since)

    def _wait_for(self, path: str, since: float) -> None:
        while not self.servers["keys"].has_served(path, since):
            if time.monotonic() > since + _RECOVERY:
                self.ledger.complain(f"{path} was not fetched within {_RECOVERY} s, and the key server works")
                break
            self.wait(_TICK)

    def _act(self, scene: Scene) -> None:
        # A configuration that is new looks for itself whether keys can be fetched.
        if scene.server == "keys" and scene.act in ("change_configuration", "mistake_a_configuration"):
            with self.works["keys"].window(True, False, after=CERTAIN):
                getattr(self.proxy, scene.act)()
        else:
            getattr(self.proxy, scene.act)()

    def _settle(self) -> None:
        self.ledger.settle(time.monotonic(), self._read)

    def _read(self) -> None:
        for line in self._new_lines():
            if line.startswith("soak="):
                self.ledger.read_log(line)
            if SECRET_MARK in line:
                self.ledger.complain(f"a log has a token: {line[:200]}")
        for request in self._upstream.take():
            self.ledger.reach(request)

    def _new_lines(self) -> Iterator[str]:
        for envoy in self.proxy.envoys:
            with envoy.log_path.open("rb") as log:
                log.seek(self._logs.get(envoy.log_path, 0))
                whole, newline, _ = log.read().rpartition(b"\n")
            self._logs[envoy.log_path] = self._logs.get(envoy.log_path, 0) + len(whole) + len(newline)
            yield from whole.decode(errors="backslashreplace").split("\n")

    def _publish(self, path: str, _: dict[str, str]) -> Answer:
        if path == "/client":
            return document({"keys": [jwk(self._world.client_2)]})
        return document(tokens.jwks(*(self._world.keys[name] for name in ("ES256", "RS256", "EdDSA"))))

    def _introspect(self, _: str, form: dict[str, str]) -> Answer:
        if form["token"].startswith(f"{SECRET_MARK}good-"):
            return document({"active": True, **self._world.claims(self._world.client_1)})
        return document({"active": False})
