# SPDX-License-Identifier: Apache-2.0
"""Medians, ratios and their intervals, from blocks of one interleaved run.

The machine's speed drifts. All subjects of a cycle have the same drift, so each block is first divided by what its
cycle was slower or faster than the median one. A difference is then taken within a cycle, between a subject and its
baseline, and its median over the cycles is the cost. The intervals are bootstrapped over the cycles: 95 in 100
resampled runs gave a value inside.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.load import Block

RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


class Figures:
    """What a run measured, by subject; costs are microseconds of the proxy's processor time for a request."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.cycles = max(block.cycle for block in blocks) + 1
        self.subjects = list(dict.fromkeys(block.subject for block in blocks))
        raw = {name: [0.0] * self.cycles for name in self.subjects}
        self._walls = {name: [0.0] * self.cycles for name in self.subjects}
        self._latencies: dict[str, dict[str, list[float]]] = {"p50": {}, "p99": {}}
        for block in blocks:
            raw[block.subject][block.cycle] = block.cpu / block.requests / 1000
            self._walls[block.subject][block.cycle] = block.requests / block.wall * 1e9
            for name, values in self._latencies.items():
                values.setdefault(block.subject, []).append(getattr(block, name) / 1000)
        usual = {name: median(values) for name, values in raw.items()}
        drift = [median(raw[name][cycle] / usual[name] for name in self.subjects) for cycle in range(self.cycles)]
        self._costs = {
            name: [cost / slower for cost, slower in zip(values, drift, strict=True)] for name, values in raw.items()
        }

    def cost(self, name: str) -> Estimate:
        return self._interval(lambda cycles: median(self._costs[name][cycle] for cycle in cycles))

    def added(self, name: str, baseline: str) -> Estimate:
        """What a subject costs more than its baseline."""
        return self._interval(lambda cycles: self._added(name, baseline, cycles))

    def added_ratio(self, name: str, baseline: str, peer: str, peer_baseline: str) -> Estimate:
        """The same, in what another one costs more than its own."""
        return self._interval(
            lambda cycles: self._added(name, baseline, cycles) / self._added(peer, peer_baseline, cycles)
        )

    def throughput(self, name: str) -> float:
        """Requests in a second."""
        return median(self._walls[name])

    def throughput_ratio(self, name: str, peer: str) -> Estimate:
        one, other = self._walls[name], self._walls[peer]
        return self._interval(
            lambda cycles: median(one[cycle] for cycle in cycles) / median(other[cycle] for cycle in cycles)
        )

    def latency(self, name: str, rank: str) -> float:
        """`p50` or `p99` of a block, in microseconds: the median over the blocks."""
        return median(self._latencies[rank][name])

    def _added(self, name: str, baseline: str, cycles: Sequence[int]) -> float:
        one, other = self._costs[name], self._costs[baseline]
        return median(one[cycle] - other[cycle] for cycle in cycles)

    def _interval(self, figure: Callable[[Sequence[int]], float]) -> Estimate:
        # The same resamples for every figure, and in every evaluation of one run.
        chance = random.Random(1)
        cycles = range(self.cycles)
        drawn = sorted(figure(chance.choices(cycles, k=self.cycles)) for _ in range(RESAMPLES))
        return Estimate(figure(cycles), drawn[round(0.025 * RESAMPLES)], drawn[round(0.975 * RESAMPLES) - 1])
