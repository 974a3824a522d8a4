# SPDX-License-Identifier: Apache-2.0
"""What a run says: for the terminal, for target/bench.json, and for docs/performance.md."""

import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rig.envoy import find_envoy
from rig.shipped import ROOT

from bench.figures import Estimate, Figures
from bench.growth import Point, Points, Start
from bench.plot import svg
from bench.subjects import SUBJECTS, TARGETS, Subject, Target

HERE = Path(__file__).parent
RESULTS, PLOT, PAGE = HERE / "results.md", HERE / "growth.svg", ROOT / "docs" / "performance.md"
START_TARGETS = {"module KB": 600, "start s": 0.8, "memory MB": 45}
FLAT = 0.15
"""What costs may differ from those at the smallest size."""


@dataclass(frozen=True)
class Row:
    """One subject."""

    subject: Subject
    cost: Estimate
    added: Estimate | None
    """Over its baseline; None for a baseline itself."""
    to_peer: Estimate | None
    throughput: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Outcome:
    """A target, and what was reached."""

    target: Target
    reached: Estimate
    met: str


def rows(figures: Figures, subjects: Sequence[Subject]) -> list[Row]:
    def row(each: Subject) -> Row:
        added = to_peer = None
        if each.name != each.baseline:
            added = figures.added(each.name, each.baseline)
        if peer := SUBJECTS.get(each.peer or ""):
            to_peer = figures.added_ratio(each.name, each.baseline, peer.name, peer.baseline)
        p50, p99 = (figures.latency(each.name, rank) for rank in ("p50", "p99"))
        return Row(each, figures.cost(each.name), added, to_peer, figures.throughput(each.name), p50, p99)

    return [row(each) for each in subjects]


def outcomes(figures: Figures) -> list[Outcome]:
    """Of the targets whose subjects were measured."""
    measured = set(figures.subjects)
    return [_outcome(figures, target) for target in TARGETS if {target.subject, target.to} <= measured]


def _outcome(figures: Figures, target: Target) -> Outcome:
    """What a target's ratio was, and what of it is met: its whole interval lies on the right side."""
    one, other = SUBJECTS[target.subject], SUBJECTS[target.to]
    if target.of == "throughput":
        reached = figures.throughput_ratio(one.name, other.name)
        return Outcome(target, reached, "met" if reached.low >= target.gate else "not met")
    reached = figures.added_ratio(one.name, one.baseline, other.name, other.baseline)
    if target.aim and reached.high < target.aim:
        return Outcome(target, reached, "met, and the aim")
    return Outcome(target, reached, "met" if reached.high < target.gate else "not met")


def text(made: Sequence[Row], reached: Sequence[Outcome]) -> str:
    """For the terminal."""
    head = ("subject", "cpu us", "added us", "95 %", "to peer", "95 %", "req/s", "p50", "p99")
    lines = ["{:24} {:>7} {:>8} {:>16} {:>8} {:>14} {:>7} {:>6} {:>6}".format(*head)]
    for row in made:
        added = (f"{row.added.value:.1f}", _interval(row.added, 1)) if row.added else ("", "")
        to_peer = (f"{row.to_peer.value:.2f}", _interval(row.to_peer, 2)) if row.to_peer else ("", "")
        lines.append(
            f"{row.subject.name:24} {row.cost.value:7.1f} {added[0]:>8} {added[1]:>16} "
            f"{to_peer[0]:>8} {to_peer[1]:>14} {row.throughput:7.0f} {row.p50:6.0f} {row.p99:6.0f}"
        )
    for each in reached:
        target, aim = each.target, f", aim {each.target.aim:.2f}" if each.target.aim else ""
        lines.append(
            f"{target.subject} / {target.to}, {target.of}: {each.reached.value:.2f} {_interval(each.reached, 2)}, "
            f"gate {target.gate:.2f}{aim}: {each.met}"
        )
    return "\n".join(lines)


def started(start: Start) -> list[str]:
    """The module, and what it adds to a bare Envoy's start and memory, each beside its target."""
    values = {
        "module KB": start.module_bytes / 1000,
        "start s": start.seconds - start.bare_seconds,
        "memory MB": start.memory - start.bare_memory,
    }
    return [
        f"{name}: {values[name]:.{2 if name == 'start s' else 0}f}, target {most}: "
        f"{'met' if values[name] <= most else 'not met'}"
        for name, most in START_TARGETS.items()
    ]


def grown(points: Points) -> list[str]:
    """How far the costs are from those at the smallest size, and what the memory came to."""
    said = []
    for name, of in points.items():
        if name == "tokens in turn":
            # Those that are more than the cache holds are new each time.
            continue
        for title in of[0].costs:
            first = of[0].costs[title]
            worst = max(of, key=lambda point: abs(point.costs[title] / first - 1))
            off = worst.costs[title] / first - 1
            flat = "flat" if abs(off) <= FLAT else "not flat"
            said.append(f"{name}, {title}: {off:+.0%} at {worst.size:,}: {flat}")
    first, *_, last = points["tokens"]
    said.append(
        f"memory of the proxy: {last.memory:.0f} MB after {last.size:,} tokens, {first.memory:.0f} after the first"
    )
    return said


def machine() -> dict[str, str]:
    """Where this ran, and with what."""
    processor = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.split()
    return {
        "processor": processor[1] if processor else platform.machine(),
        "kernel": platform.release(),
        "Envoy": find_envoy().version,
        "Rust": rustc[1] if len(rustc) > 1 else "unknown",
        "Python": platform.python_version(),
    }


def summary(
    made: Sequence[Row], reached: Sequence[Outcome], points: Points | None, start: Start | None
) -> dict[str, Any]:
    """For target/bench.json."""
    return {
        "machine": machine(),
        "subjects": [asdict(row) for row in made],
        "targets": [asdict(each) for each in reached],
        "growth": points and {name: [asdict(each) for each in of] for name, of in points.items()},
        "start": start and asdict(start),
    }


def write(made: Sequence[Row], reached: Sequence[Outcome], points: Points, start: Start, rounds: int) -> None:
    """Writes the results, the plot, and what docs/performance.md shows between its marks.

    Raises ValueError when the page has no such marks.
    """
    PLOT.write_text(svg(points))
    RESULTS.write_text(_results(made, reached, points, start, rounds))
    shown, count = re.subn(
        r"(?<=<!-- bench -->\n).*?(?=<!-- /bench -->)",
        lambda _: _short(reached, {row.subject.name: row for row in made}, start),
        PAGE.read_text(),
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueError(f"{PAGE} has no place for the table, <!-- bench --> and <!-- /bench -->")
    PAGE.write_text(shown)


def _short(reached: Sequence[Outcome], made: Mapping[str, Row], start: Start) -> str:
    where = machine()
    lines = [
        f"Envoy {where['Envoy']}, {where['processor']}, one core: the proxy's processor time for a request, "
        "over a bare one's.",
        "",
        "| | certbound | the same work otherwise | ratio, 95 % | target |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in reached:
        target, one, other = each.target, made[each.target.subject], made[each.target.to]
        if target.of == "throughput":
            cells = (f"{one.throughput:.0f}/s", f"{other.subject.title}: {other.throughput:.0f}/s")
        else:
            cells = (f"{_micros(one)} µs", f"{other.subject.title}: {_micros(other)} µs")
        bound = f"≥ {target.gate:g}" if target.of == "throughput" else f"≤ {target.gate:g}"
        lines.append(
            f"| {one.subject.title.removeprefix('certbound, ')} | {cells[0]} | {cells[1]} "
            f"| {each.reached.value:.2f} {_interval(each.reached, 2)} | {bound}: {each.met} |"
        )
    sizes = (
        f"{start.module_bytes / 1000:.0f} KB, {start.seconds - start.bare_seconds:.2f} s, "
        f"{start.memory - start.bare_memory:.0f} MB"
    )
    module, seconds, megabytes = START_TARGETS.values()
    bounds = f"≤ {module} KB, {seconds} s, {megabytes} MB: " + ", ".join(
        each.rpartition(": ")[2] for each in started(start)
    )
    lines.append(f"| the module; what it adds to the start and to the memory | {sizes} | | | {bounds} |")
    return "\n".join([*lines, ""])


def _micros(row: Row) -> str:
    return f"{row.added.value:.1f}" if row.added else "0"


def _results(made: Sequence[Row], reached: Sequence[Outcome], points: Points, start: Start, rounds: int) -> str:
    where = "; ".join(f"{name} {value}" for name, value in machine().items())
    lines = [
        "# What certbound costs",
        "",
        f"Written by `make bench WRITE=1`. {where}.",
        "",
        f"One run of {rounds} rounds, in each of which every subject has one block of 400 requests; the order is",
        "shuffled, and every second round runs it backwards. The proxy is pinned to one core and the load to another;",
        "eight clients have a kept connection each, TLS 1.3 with a client certificate, and one request under way.",
        "Costs are microseconds of the proxy's processor time for a request, from the kernel's counters, medians with",
        "their 95 % intervals (bootstrapped over the rounds). *Added* is the difference to a bare Envoy or Apache that",
        "gets the same requests in the same round; *ratio* is what one added, divided by what another one added.",
        "Throughput and latencies are a block's, with eight requests under way; the load client needs time of its own",
        "for each. Every subject first passed twelve cases of what must be accepted and what refused (`twelve.py`).",
        "Nothing is logged, and Envoy answers itself.",
        "",
        "| subject | cost | added | ratio | requests/s | p50 µs | p99 µs |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in made:
        added = f"{row.added.value:.1f} {_interval(row.added, 1)}" if row.added else ""
        ratio = f"{row.to_peer.value:.2f} {_interval(row.to_peer, 2)} of {row.subject.peer}" if row.to_peer else ""
        lines.append(
            f"| `{row.subject.name}` {row.subject.title} | {row.cost.value:.1f} | {added} | {ratio} "
            f"| {row.throughput:.0f} | {row.p50:.0f} | {row.p99:.0f} |"
        )
    lines += ["", "## Targets", "", "| | ratio | gate | aim | |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{each.target.subject}` / `{each.target.to}`, {each.target.of} | {each.reached.value:.2f} "
        f"{_interval(each.reached, 2)} | {each.target.gate:g} | {each.target.aim or ''} | {each.met} |"
        for each in reached
    ]
    lines += ["", *(f"* {each}" for each in started(start)), "", "## Growth", "", "![growth](growth.svg)", ""]
    lines += [f"* {each}" for each in grown(points)]
    for name, of in points.items():
        lines += ["", *_table(name, of)]
    return "\n".join(lines) + "\n"


def _table(name: str, points: Sequence[Point]) -> list[str]:
    titles = list(points[0].costs)
    with_memory = points[0].memory is not None
    cells = [[f"{each.costs[title]:.1f}" for title in titles] for each in points]
    for row, each in zip(cells, points, strict=True):
        row += [f"{each.memory:.0f}"] if with_memory else []
    head = [name, *(f"{title}, µs" for title in titles), *(["memory of the proxy, MB"] if with_memory else [])]
    body = [[f"{each.size:,}", *row] for each, row in zip(points, cells, strict=True)]
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body)]


def _interval(estimate: Estimate, digits: int) -> str:
    return f"[{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
