# SPDX-License-Identifier: Apache-2.0
"""The soak itself does not rot, and its oracle bites: whatever is wrong fails the table."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cases import FORGED, World
from rig.process import wait_until
from rig.upstream import Request

from soak import __main__ as command
from soak import report
from soak.crowds import Crowded
from soak.kind import ID, Kind, Outcome, kinds
from soak.ledger import Answer, Attempt, Ledger
from soak.proxy import Proxy
from soak.run import Memory, Result, Soak, soak
from soak.schedule import ACTS, Scene, deck, scenes
from soak.server import FAULTS
from soak.timeline import Timeline

KINDS = {kind.name: kind for kind in kinds()}
GOOD, STOLEN, OPAQUE = KINDS["JWT, new"], KINDS["JWT on another certificate"], KINDS["opaque token"]
CLIENT = KINDS["client with its registered name"]


def test_a_short_soak_is_clean(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = [
        Scene("introspection", "garbage", "replace_envoy", 3, 0.5),
        Scene("keys", "dies", "change_configuration", 0.5, 0),
        Scene("introspection", "hangs", "make_vms_anew", 2, 0.5),
        Scene(None, None, "mistake_a_configuration", 0, 0),
        Scene(None, None, "drain_a_listener", 0, 0),
    ]
    result = soak(world, tmp_path, 1, 600, short)
    print(report.text(result))
    assert report.failures(result) == []
    assert {"Envoys replaced": 1, "VMs made anew": 1, "configurations refused": 1, "listeners drained": 1}.items() <= result.done.items()
    # A kind that is rare may be missing of fifty in twenty seconds; most are not.
    assert len(result.ledger.counts) > 0.8 * len(KINDS)
    assert "| **all** | " in capsys.readouterr().out


def test_a_filter_that_only_observes_is_found_out(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judging = Proxy._policies

    def observing(proxy: Proxy) -> dict:
        policies = judging(proxy)
        policies["jwt"]["resource_server"]["certificate_binding"] = "observe"
        return policies

    monkeypatch.setattr(Proxy, "_policies", observing)
    with Soak(world, tmp_path, 1) as running:
        wait_until(lambda: (running.wait(0.2), running.ledger.complaints)[1], 10, "a complaint")
        result = running.finish()
    assert any("certificate_mismatch" in each or "certificate_not_presented" in each for each in report.failures(result))


class Oracle:
    """A ledger, and requests whose answers are made up."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.works, self.realm, self.drains = Timeline(True), Timeline("now"), Timeline(False)
        self.ledger = Ledger({"introspection": self.works, "keys": Timeline(True)}, self.realm, self.drains)
        self.result = Result(1, 60, self.ledger)

    def ask(
        self,
        kind: Kind,
        got: Outcome | None,
        *,
        reached: int | None = None,
        realm: str | None = None,
        logged: bool = True,
        why: str = "",
        late: float = 0,
        headers: list[tuple[str, bytes]] = [],
    ) -> None:
        now = time.monotonic()
        self.ledger.begin("1", kind, kind.presented(self._world))

        def read() -> None:
            if got and logged:
                self.ledger.read_log(f'soak=1 code={got.status} certbound={{"reason":"{got.reason}"}}')
            for _ in range(reached if reached is not None else bool(got and got.status == 200)):
                self.ledger.reach(Request([(ID, b"1"), *headers], b"", method="GET", path="/"))

        self.ledger.add(Attempt("1", kind, now, now, got and Answer(got.status, got.error, realm), why))
        self.ledger.settle(now + late, read)

    def failures(self) -> list[str]:
        return report.failures(self.result)


REFUSED = STOLEN.outcome
UNAVAILABLE = OPAQUE.outage
WRONG: dict[str, Callable[[Oracle], None]] = {
    "a stolen token passes": lambda oracle: oracle.ask(STOLEN, Outcome(200, None, "token_bound")),
    "a good token is refused": lambda oracle: oracle.ask(GOOD, REFUSED),
    "a crash answers": lambda oracle: oracle.ask(STOLEN, Outcome(503, None, None)),
    "a refusal has another reason": lambda oracle: oracle.ask(STOLEN, Outcome(401, "invalid_token", "token_expired")),
    "a refusal has another error": lambda oracle: oracle.ask(STOLEN, Outcome(401, "invalid_request", REFUSED.reason)),
    "a refusal has no challenge": lambda oracle: oracle.ask(STOLEN, Outcome(401, "no challenge", REFUSED.reason)),
    "a refused request reaches the upstream": lambda oracle: oracle.ask(STOLEN, REFUSED, reached=1),
    "a good request reaches nobody": lambda oracle: oracle.ask(GOOD, GOOD.outcome, reached=0),
    "a good request comes twice": lambda oracle: oracle.ask(GOOD, GOOD.outcome, reached=2),
    "a forged header reaches the upstream": lambda oracle: oracle.ask(GOOD, GOOD.outcome, headers=[("x", FORGED.encode())]),
    "a server gets no certificate": lambda oracle: oracle.ask(CLIENT, CLIENT.outcome),
    "a server gets another certificate": lambda oracle: oracle.ask(CLIENT, CLIENT.outcome, headers=[("client-cert", b":AAAA:")]),
    "a request has no line in the access log": lambda oracle: oracle.ask(GOOD, GOOD.outcome, logged=False, late=60),
    "an answer never comes": lambda oracle: oracle.ask(GOOD, None),
    "a connection ends while nothing drains": lambda oracle: oracle.ask(GOOD, None, why="ended"),
    "a configuration that was refused governs": lambda oracle: oracle.ask(STOLEN, REFUSED, realm="a mistake"),
    "no response of a server that works": lambda oracle: oracle.ask(OPAQUE, UNAVAILABLE),
    "a client that left is let through": lambda oracle: oracle.ask(KINDS["a bad token, and the client leaves"], None, why="left", reached=1),
    "memory grows": lambda oracle: setattr(oracle.result, "memory", Memory(100, 200, 100 + report.MOST_GROWTH + 1)),
    "the crowds fail": lambda oracle: setattr(oracle.result, "crowds", Crowded(True, "1 failed")),
}


@dataclass
class FakeCrowds:
    crowded: Crowded | None

    def finish(self) -> Crowded | None:
        return self.crowded


@pytest.mark.parametrize("wrong", WRONG)
def test_whatever_is_wrong_fails_the_table_and_is_shown(
    wrong: str, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    oracle = Oracle(world)
    oracle.ask(GOOD, GOOD.outcome)
    assert oracle.failures() == []
    WRONG[wrong](oracle)
    (failure,) = oracle.failures()[-1:]
    monkeypatch.setattr(command, "soak", lambda *_: oracle.result)
    monkeypatch.setattr(command, "Crowds", lambda _: contextlib.nullcontext(FakeCrowds(oracle.result.crowds)))
    monkeypatch.setattr("sys.argv", ["soak"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 1
    assert failure in capsys.readouterr().out


def test_a_change_permits_the_answer_before_and_the_one_after_it_and_no_longer(world: World) -> None:
    oracle = Oracle(world)
    with oracle.works.window(True, False):
        oracle.works.set(False)
        oracle.ask(OPAQUE, OPAQUE.outcome)
        oracle.ask(OPAQUE, UNAVAILABLE)
    assert oracle.failures() == []
    assert oracle.ledger.counts[OPAQUE.name].in_windows == 2
    oracle.ask(OPAQUE, UNAVAILABLE)
    assert oracle.failures() == []
    oracle.ask(OPAQUE, OPAQUE.outcome)
    assert oracle.ledger.counts[OPAQUE.name].wrong == 1


def test_a_request_is_sent_again_where_a_listener_drains(world: World) -> None:
    oracle = Oracle(world)
    with oracle.drains.window(True):
        oracle.ask(GOOD, None, why="ended")
        oracle.ask(GOOD, GOOD.outcome)
    assert oracle.failures() == []
    assert (oracle.ledger.counts[GOOD.name].again, oracle.ledger.counts[GOOD.name].sent) == (1, 1)


def test_a_seed_makes_one_order_in_which_everything_happens() -> None:
    first, again, other = ([next(made) for made in [scenes(seed)] * len(deck())] for seed in (1, 1, 2))
    assert first == again != other
    assert {(scene.server, scene.fault) for scene in first} == {(None, None)} | {(server, fault) for server in ("keys", "introspection") for fault in FAULTS}
    assert {scene.act for scene in first} == {None, *ACTS}


def test_a_table_without_a_request_or_without_a_page_is_no_result(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    oracle = Oracle(world)
    assert oracle.failures() == ["no request was judged"]
    monkeypatch.setattr(report, "PAGE", tmp_path / "soak.md")
    report.PAGE.write_text("<!-- soak -->\nold\n<!-- /soak -->\n")
    report.write(oracle.result)
    assert "old" not in report.PAGE.read_text() and "| **all** |" in report.PAGE.read_text()
    report.PAGE.write_text("no marks")
    with pytest.raises(ValueError, match="no place for the table"):
        report.write(oracle.result)
