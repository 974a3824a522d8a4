# SPDX-License-Identifier: Apache-2.0
"""What `make bench` measures does the work, and what it computes of the measurements is right. No time is looked at."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import measure, report, twelve
from bench.figures import Figures
from bench.growth import Point
from bench.load import Block
from bench.measure import Running
from bench.plot import svg
from bench.subjects import APACHE, LISTENERS, SUBJECTS, TARGETS, beside, chosen
from bench.world import World
from rig import mod_oauth2
from rig.shipped import MODULE


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("bench") / "world")


@pytest.fixture(scope="module")
def servers(bench: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Every way to do the work, each past its twelve cases."""
    directory = tmp_path_factory.mktemp("servers")
    for parent in (directory, *directory.parents[:2]):
        # Apache's children are nobody's.
        parent.chmod(0o755)
    names = [*LISTENERS, *([] if mod_oauth2.missing() else APACHE)]
    with measure.running(bench, names, directory, {"": MODULE}) as running:
        yield running


def test_every_way_to_do_the_work_passes_its_twelve_cases(servers: Running) -> None:
    assert set(LISTENERS) <= set(servers.ports)


@pytest.mark.parametrize(
    ("way", "cases"), [("bare", twelve.resource_server), ("bare-as", LISTENERS["as-pem_apache"].cases)]
)
def test_who_judges_nothing_is_found_out(way: str, cases, servers: Running, bench: World) -> None:
    with pytest.raises(twelve.Failed, match=way):
        twelve.check(way, servers.ports[way], bench, cases(bench))


def test_a_difference_that_is_gone_is_found_out(servers: Running, bench: World) -> None:
    with pytest.raises(twelve.Failed, match="no token .known: of old"):
        twelve.check("rs", servers.ports["rs"], bench, twelve.resource_server(bench), {"no token": "of old"})


def test_a_token_comes_with_its_baseline_and_its_peer() -> None:
    assert [each.name for each in chosen(["rs.new.es256.h2"])] == [
        "bare.es256.h2",
        "rs.new.es256.h2",
        "peer.new.es256.h2",
    ]
    with pytest.raises(ValueError, match="there is no subject rs.none"):
        chosen(["rs.none"])


def test_every_subject_that_is_named_is_there() -> None:
    for each in SUBJECTS.values():
        assert {each.baseline, each.peer or each.baseline} <= SUBJECTS.keys()
        assert each.listener in (*LISTENERS, *APACHE)
        assert SUBJECTS[each.baseline].load.http2 == each.load.http2
    for target in TARGETS:
        assert {target.subject, target.to} <= SUBJECTS.keys()


def blocks(costs: dict[str, float], *, cycles: int = 40, noise: float = 0.1, drift: float = 1) -> list[Block]:
    """What would be measured of subjects with these costs, on a machine that becomes slower by `drift`."""
    chance = random.Random(7)
    return [
        Block(
            cycle, name, 400, round(cost * 400_000 * (1 + drift * cycle / cycles) * chance.gauss(1, noise)), 10**7, 1, 2
        )
        for cycle in range(cycles)
        for name, cost in costs.items()
    ]


COSTS = {"bare": 50.0, "peer.seen": 90.0, **{f"other {number}": 60.0 for number in range(8)}}


def test_a_ratio_is_found_again_though_the_machine_drifts() -> None:
    figures = Figures(blocks({**COSTS, "rs.seen": 70.0}, noise=0.02))
    ratio = figures.added_ratio("rs.seen", "bare", "peer.seen", "bare")
    assert ratio.low < 0.5 < ratio.high and ratio.high - ratio.low < 0.1
    assert ratio.low <= ratio.value <= ratio.high


@pytest.mark.parametrize(
    ("cost", "noise", "met"),
    [(70.0, 0.01, "met, and the aim"), (76.8, 0.005, "met"), (76.0, 0.3, "not met"), (88.0, 0.01, "not met")],
    ids=["far below", "between the two", "below, and who knows", "above"],
)
def test_a_target_is_met_when_its_whole_interval_is(cost: float, noise: float, met: str) -> None:
    (first, *_) = report.outcomes(Figures(blocks({**COSTS, "rs.seen": cost}, noise=noise, drift=0)))
    assert (first.target.subject, first.target.to) == ("rs.seen", "peer.seen")
    assert first.met == met


def test_another_module_is_measured_under_another_name() -> None:
    assert (beside(SUBJECTS["rs.seen"]).name, beside(SUBJECTS["rs.seen"]).listener) == ("rs.seen@beside", "rs@beside")


def test_what_is_not_flat_is_said(tmp_path: Path) -> None:
    flat, steep = (
        [Point(size, {"seen": cost}, 100 + size) for size, cost in sizes]
        for sizes in (
            [(1, 10.0), (2, 11.0)],
            [(1, 10.0), (2, 11.6)],
        )
    )
    said = report.grown({"tokens": flat, "workers": steep})
    assert said[:2] == ["tokens, seen: +10% at 2: flat", "workers, seen: +16% at 2: not flat"]
    assert said[2].startswith("memory of the proxy: 102 MB after 2 tokens, 101")


def test_the_plot_has_a_line_for_each_of_its_series() -> None:
    points = [Point(size, {"seen before": 10.0 * size}, 100.0) for size in (1, 10)]
    drawn = svg({name: points for name in ("tokens", "tokens in turn", "clients", "issuers", "header KB", "workers")})
    assert drawn.count("<polyline") == 6 and "NaN" not in drawn
