"""The tables."""

from collections.abc import Sequence

from bench.figures import Estimate, Figures
from bench.subjects import SUBJECTS, TARGETS, Subject, Target


def text(figures: Figures, subjects: Sequence[Subject]) -> str:
    """For the terminal."""
    lines = [f"{'subject':28} {'cpu us':>7} {'added us':>8} {'95 %':>15} {'to peer':>8} {'95 %':>13} {'req/s':>7} {'p50':>6} {'p99':>6}"]
    for each in subjects:
        added = figures.added(each.name, each.baseline) if each.name != each.baseline else None
        to_peer = None
        if each.peer and each.peer in figures.subjects:
            peer = SUBJECTS[each.peer]
            to_peer = figures.added_ratio(each.name, each.baseline, peer.name, peer.baseline)
        lines.append(
            f"{each.name:28} {figures.cost(each.name).value:7.1f} "
            f"{f'{added.value:8.1f} {_interval(added, 1):>15}' if added else ' ' * 24} "
            f"{f'{to_peer.value:8.2f} {_interval(to_peer, 2):>13}' if to_peer else ' ' * 22} "
            f"{figures.throughput(each.name):7.0f} {figures.latency(each.name, 'p50'):6.0f} {figures.latency(each.name, 'p99'):6.0f}"
        )
    lines.append("")
    for target in TARGETS:
        if {target.subject, target.to} <= set(figures.subjects):
            reached, met = outcome(figures, target)
            lines.append(
                f"{target.subject} to {target.to}, {target.of}: {reached.value:.2f} {_interval(reached, 2)}, "
                f"gate {target.gate:.2f}, aim {target.aim or '-'}: {met}"
            )
    return "\n".join(lines)


def outcome(figures: Figures, target: Target) -> tuple[Estimate, str]:
    """What a target's ratio was, and what of it is met: its whole interval lies on the right side."""
    one, other = SUBJECTS[target.subject], SUBJECTS[target.to]
    if target.of == "throughput":
        reached = figures.throughput_ratio(one.name, other.name)
        return reached, "met" if reached.low >= target.gate else "not met"
    reached = figures.added_ratio(one.name, one.baseline, other.name, other.baseline)
    if target.aim and reached.high < target.aim:
        return reached, "gate and aim met"
    return reached, "met" if reached.high < target.gate else "not met"


def _interval(estimate: Estimate, digits: int) -> str:
    return f"[{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
