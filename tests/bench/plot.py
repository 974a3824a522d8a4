# SPDX-License-Identifier: Apache-2.0
"""The plot of the growth: an SVG of a few kilobytes, a panel for each thing that grows."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log10

from bench.growth import Point, Points

_PANEL = (300, 210)
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 46, 34
_COLUMNS = 3
_COLOURS = ("#0b62a4", "#c2410c", "#3f7d20")
_TITLES = {
    "clients": "µs, by clients, with a connection each",
    "issuers": "µs, by trusted issuers",
    "header KB": "µs, by KB of other headers",
    "workers": "µs, by workers",
}
_Series = Mapping[str, Sequence[tuple[int, float]]]


def svg(points: Points) -> str:
    """Costs over a bare Envoy by size; for tokens also the memory of the proxy, in a panel of its own."""
    panels: list[tuple[str, _Series]] = [
        ("µs, by different tokens", {**_costs(points["tokens"]), **_costs(points["tokens in turn"])}),
        ("MB of the whole proxy, by different tokens", {"": _memories(points["tokens"])}),
        *((title, _costs(points[name])) for name, title in _TITLES.items()),
    ]
    rows = -(-len(panels) // _COLUMNS)
    width, height = _PANEL[0] * _COLUMNS, _PANEL[1] * rows
    drawn = []
    for number, each in enumerate(panels):
        row, column = divmod(number, _COLUMNS)
        drawn.append(f'<g transform="translate({_PANEL[0] * column} {_PANEL[1] * row})">{_panel(*each)}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="11" fill="#222">\n'
        "<title>What certbound adds to a request, and the memory of the proxy, as things grow</title>\n"
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def _costs(points: Sequence[Point]) -> _Series:
    return {title: [(each.size, each.costs[title]) for each in points] for title in points[0].costs}


def _memories(points: Sequence[Point]) -> list[tuple[int, float]]:
    return [(each.size, each.memory) for each in points if each.memory is not None]


def _panel(title: str, series: _Series) -> str:
    # The first series says which sizes are written below.
    sizes = [size for size, _ in next(iter(series.values()))]
    top = _round_up(max(value for of in series.values() for _, value in of))
    right, bottom = _PANEL[0] - _RIGHT, _PANEL[1] - _BOTTOM
    span = log10(max(sizes)) - log10(min(sizes)) or 1

    def x(size: int) -> float:
        return round(_LEFT + (log10(size) - log10(min(sizes))) / span * (right - _LEFT), 1)

    def y(value: float) -> float:
        return round(bottom - value / top * (bottom - _TOP), 1)

    lines = [f'<text x="8" y="16" font-weight="600">{escape(title)}</text>']
    for share in (0, 0.5, 1):
        at = y(top * share)
        lines.append(f'<path d="M{_LEFT} {at}H{right}" stroke="#ddd"/>')
        lines.append(f'<text x="{_LEFT - 5}" y="{at + 4}" text-anchor="end">{top * share:g}</text>')
    for size in sizes:
        anchor = "end" if size == sizes[-1] else "middle"
        lines.append(f'<text x="{x(size)}" y="{bottom + 15}" text-anchor="{anchor}">{_short(size)}</text>')
    for of, colour in zip(series.values(), _COLOURS, strict=False):
        path = " ".join(f"{x(size)},{y(value)}" for size, value in of)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x(size)}" cy="{y(value)}" r="2.5" fill="{colour}"/>' for size, value in of]
    names = [f'<tspan fill="{colour}">{escape(name)}</tspan>' for name, colour in zip(series, _COLOURS, strict=False)]
    lines.append(f'<text x="{right}" y="32" text-anchor="end">{" · ".join(names)}</text>')
    return "".join(lines)


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, ..."""
    power = 10 ** int(log10(value)) if value >= 1 else 1
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value)


def _short(size: int) -> str:
    return f"{size // 10**6}M" if size >= 10**6 else f"{size // 1000}k" if size >= 1000 else str(size)
