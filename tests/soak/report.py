# SPDX-License-Identifier: Apache-2.0
"""What a soak says: for the terminal, and for docs/soak.md."""

import re
from dataclasses import fields

from rig.shipped import ROOT

from bench.report import machine

from soak.kind import kinds
from soak.ledger import Count
from soak.run import Result

PAGE = ROOT / "docs" / "soak.md"
MOST_GROWTH = 12
"""MB that an Envoy may have more at the end than after the warm-up: what the caches of its workers may hold, each a mebibyte of
tokens (TOKEN_CACHE_BYTES) and four of certificates in the form in which they are handed over, and two for the allocator."""
_COMPLAINTS = 20


def failures(result: Result) -> list[str]:
    """What is wrong with a soak; nothing where it is clean."""
    found = list(result.ledger.complaints)
    counts = result.ledger.counts.values()
    # Whatever is counted as wrong has a complaint, but a table that says so must not pass without one.
    if not found and any(count.wrong or count.unanswered for count in counts):
        found.append("the table has wrong answers, or requests without one")
    if not any(count.sent for count in counts):
        found.append("no request was judged")
    if result.memory and result.memory.end > result.memory.warm + MOST_GROWTH:
        found.append(f"memory grew from {result.memory.warm:.0f} to {result.memory.end:.0f} MB; {MOST_GROWTH} MB more are allowed")
    if result.crowds is not None and result.crowds.failed:
        found.append(f"the crowds failed: {result.crowds.said}")
    return found


def text(result: Result) -> str:
    """For the terminal: the tables, and the first failures."""
    found = failures(result)
    shown = [f"{len(found)} failures, the first of them:", *found[:_COMPLAINTS]] if found else ["clean"]
    return "\n".join([*tables(result), "", *shown])


def tables(result: Result) -> list[str]:
    """In Markdown."""
    counts = {kind.name: result.ledger.counts[kind.name] for kind in kinds() if kind.name in result.ledger.counts}
    total = Count(*(sum(getattr(count, each.name) for count in counts.values()) for each in fields(Count)))
    rows = [[kind, *_cells(count)] for kind, count in [*counts.items(), ("**all**", total)]]
    where = ", ".join(f"{name} {value}" for name, value in machine().items() if name in ("Envoy", "processor"))
    return [
        f"{result.seconds / 60:.0f} minutes, seed {result.seed}, {total.sent / max(result.seconds, 1):.0f} requests a second. {where}.",
        "",
        *_table(["requests", "sent", "in a window", "sent again", "wrong", "unanswered"], rows),
        "",
        *_table(["what happened", "times"], [[what, f"{times:,}"] for what, times in sorted(result.done.items())]),
        "",
        *_table(["memory of Envoy", "MB"], _memory(result)),
        *([] if result.crowds is None else ["", f"Crowds: {result.crowds.said}."]),
    ]


def write(result: Result) -> None:
    """Writes what docs/soak.md shows between its marks.

    Raises ValueError when the page has no such marks.
    """
    shown = "\n".join(tables(result)) + "\n"
    page, count = re.subn(r"(?<=<!-- soak -->\n).*?(?=<!-- /soak -->)", lambda _: shown, PAGE.read_text(), flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{PAGE} has no place for the table, <!-- soak --> and <!-- /soak -->")
    PAGE.write_text(page)


def _cells(count: Count) -> list[str]:
    return [f"{value:,}" for value in (count.sent, count.in_windows, count.again, count.wrong, count.unanswered)]


def _memory(result: Result) -> list[list[str]]:
    if not result.memory:
        return [["too short to tell", ""]]
    memory = result.memory
    return [["after the warm-up", f"{memory.warm:.0f}"], ["at the end", f"{memory.end:.0f}"], ["at most between", f"{memory.most:.0f}"]]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
