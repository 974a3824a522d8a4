"""The plot of the growth: an SVG of a few kilobytes, a panel for each thing that grows."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log10

from bench.growth import Point, Points

_PANEL = (300, 200)
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 34, 34
_COLUMNS = 3
_COLOURS = ("#0b62a4", "#c2410c", "#3f7d20")
_TITLES = {
    "tokens": ("after so many different tokens", "µs"),
    "tokens in turn": ("different tokens, sent in turn", "µs"),
    "clients": ("clients with a connection each", "µs"),
    "issuers": ("trusted issuers", "µs"),
    "header KB": ("KB of other headers", "µs"),
    "workers": ("workers", "µs"),
}


def svg(points: Points) -> str:
    """Costs over a bare Envoy by size; for tokens also the memory of the proxy, in a panel of its own."""
    panels = [
        (*_TITLES[name], {title: [(each.size, each.costs[title]) for each in of] for title in of[0].costs})
        for name, of in points.items()
    ]
    panels.insert(1, ("after so many different tokens", "MB", {"memory of the proxy": _memories(points["tokens"])}))
    rows = -(-len(panels) // _COLUMNS)
    width, height = _PANEL[0] * _COLUMNS, _PANEL[1] * rows
    drawn = [
        f'<g transform="translate({_PANEL[0] * (number % _COLUMNS)} {_PANEL[1] * (number // _COLUMNS)})">{_panel(*each)}</g>'
        for number, each in enumerate(panels)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="11" fill="#222">\n'
        "<title>What certbound adds to a request, and the memory of the proxy, as things grow</title>\n"
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def _memories(points: Sequence[Point]) -> list[tuple[int, float]]:
    return [(each.size, each.memory) for each in points if each.memory is not None]


def _panel(title: str, unit: str, series: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    sizes = [size for size, _ in next(iter(series.values()))]
    top = _round_up(max(value for of in series.values() for _, value in of))
    right, bottom = _PANEL[0] - _RIGHT, _PANEL[1] - _BOTTOM
    span = log10(max(sizes)) - log10(min(sizes)) or 1

    def x(size: int) -> float:
        return round(_LEFT + (log10(size) - log10(min(sizes))) / span * (right - _LEFT), 1)

    def y(value: float) -> float:
        return round(bottom - value / top * (bottom - _TOP), 1)

    lines = [f'<text x="8" y="14" font-weight="600">{escape(title)}</text>']
    for share in (0, 0.5, 1):
        at = y(top * share)
        lines.append(f'<path d="M{_LEFT} {at}H{right}" stroke="#ddd"/>')
        lines.append(f'<text x="{_LEFT - 5}" y="{at + 4}" text-anchor="end">{top * share:g}{f" {unit}" * (share == 1)}</text>')
    for size in sizes:
        anchor = "end" if size == sizes[-1] else "middle"
        lines.append(f'<text x="{x(size)}" y="{bottom + 15}" text-anchor="{anchor}">{_short(size)}</text>')
    for number, ((name, of), colour) in enumerate(zip(series.items(), _COLOURS, strict=False)):
        path = " ".join(f"{x(size)},{y(value)}" for size, value in of)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x(size)}" cy="{y(value)}" r="2.5" fill="{colour}"/>' for size, value in of]
        place = f'x="{right}" y="{14 + 12 * number}" text-anchor="end" fill="{colour}"'
        lines.append(f"<text {place}>{escape(name)}</text>")
    return "".join(lines)


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, ..."""
    power = 10 ** int(log10(value)) if value >= 1 else 1
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value)


def _short(size: int) -> str:
    return f"{size // 10**6} M" if size >= 10**6 else f"{size // 1000}k" if size >= 1000 else str(size)
