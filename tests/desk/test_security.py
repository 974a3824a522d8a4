# SPDX-License-Identifier: Apache-2.0
"""SECURITY.md names for each threat the tests that hold it, and each of them is there."""

import ast
import re
from functools import cache

import pytest

from cases import World, cases
from rig.shipped import ROOT

PAGE = (ROOT / "SECURITY.md").read_text()
THREATS = PAGE.partition("\n## Threats\n")[2].partition("\n## ")[0]

BOUNDARIES = {
    "Clients": "C",
    "Authorization servers": "A",
    "Key servers": "K",
    "Introspection endpoints": "I",
    "TLS terminators in front": "T",
    "Operators": "O",
    "Other plugins": "P",
    "Route owners": "R",
    "Servers behind": "B",
    "Envoy": "E",
}
"""Where somebody else's data or decisions come in, and the letter of the threats there."""

ROW = re.compile(r"^\*\*([A-Z])(\d+)\. ", re.MULTILINE)
REFERENCE = re.compile(r"^\* (case )?`(.+)`$", re.MULTILINE)
RUST_TEST = re.compile(r"^( *)#\[test\]\n(?:\1(?!#\[ignore)(?:#\[|//).*\n)*\1fn (\w+)\(\)", re.MULTILINE)
PATH = re.compile(r"((?:src|tests)/[\w/]+\.(?:rs|py))(?:::| tests::| )(\w+)")


def rows(text: str) -> list[tuple[str, int, str]]:
    """The letter, the number and the text of each threat."""
    parts = ROW.split(text)[1:]
    return [(letter, int(number), row) for letter, number, row in zip(parts[::3], parts[1::3], parts[2::3], strict=True)]


@cache
def declared_in(path: str) -> set[str]:
    """The tests that stand in a file, each as a row names it."""
    text = (ROOT / path).read_text()
    if path.endswith(".py"):
        names = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
        return {f"{path}::{name}" for name in names if name.startswith("test_") and "/test_" in path}
    inside = f"{path} tests::" if path.startswith("src/") else f"{path} "
    return {f"{inside}{name}" for _, name in RUST_TEST.findall(text)}


def wrong(text: str, sentences: set[str]) -> list[str]:
    """The references of a text that lead nowhere."""

    def is_there(kind: str, name: str) -> bool:
        if kind:
            return name in sentences
        path = PATH.fullmatch(name)
        return path is not None and (ROOT / path[1]).is_file() and name in declared_in(path[1])

    return [name for kind, name in REFERENCE.findall(text) if not is_there(kind, name)]


@pytest.fixture(scope="module")
def sentences(world: World) -> set[str]:
    return {case.sentence for case in cases(world)}


def test_every_boundary_has_threats_in_their_order() -> None:
    parts = re.split(r"^### (.+)$", THREATS, flags=re.MULTILINE)
    assert rows(parts[0]) == []
    found = {name: [(letter, number) for letter, number, _ in rows(text)] for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    assert found.keys() == BOUNDARIES.keys()
    for name, ids in found.items():
        assert ids == [(BOUNDARIES[name], number) for number in range(1, len(ids) + 1)], name
        assert ids, name


def test_every_threat_names_tests_and_each_of_them_is_there(sentences: set[str]) -> None:
    every = rows(PAGE)
    assert len(every) > len(rows(THREATS)), "what is never logged has rows too"
    for letter, number, row in every:
        row = row.partition("\n#")[0]
        references = REFERENCE.findall(row)
        assert references, f"{letter}{number} has no test"
        # Nothing else stands in such a list: a reference with a slip in it is none, and would not be looked for.
        assert len(references) == len(re.findall(r"^ *[*-] ", row, re.MULTILINE)), f"{letter}{number}"
        assert len(references) == len(set(references)), f"{letter}{number} names a test twice"
    lines = re.findall(r"^ *[*-] (?:case\b|`(?:src|tests)/).*$", PAGE, re.MULTILINE)
    assert len(lines) == len(REFERENCE.findall(PAGE))
    assert wrong(PAGE, sentences) == []


@pytest.mark.parametrize(
    "line",
    [
        "* case `a stolen token that nobody has heard of is refused`",
        "* `tests/envoy/test_tls.py::test_that_is_gone`",
        "* `tests/envoy/test_gone.py::test_a_resumed_session_still_has_its_certificate`",
        # A function, and no test.
        "* `tests/envoy/test_issuance.py::assert_withheld`",
        "* `tests/core/worker.rs a_test_that_is_gone`",
        "* `tests/core/gone.rs unknown_keys_cause_three_fetches_and_then_one_in_a_cool_down`",
        "* `tests/core/worker.rs by_jwks_uri`",
        "* `src/jose/montgomery.rs tests::random`",
        "* `src/jose/montgomery.rs moduli_of_any_length`",
    ],
)
def test_a_row_that_names_what_is_not_there_is_found(line: str, sentences: set[str]) -> None:
    assert len(REFERENCE.findall(line)) == len(wrong(line, sentences)) == 1
