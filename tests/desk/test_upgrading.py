# SPDX-License-Identifier: Apache-2.0
"""The manual lists what changed in Envoy, each with the test that shows it; and the list of what fails on older ones is true."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from desk.test_security import declared_in
from rig.shipped import ROOT

PAGE = (ROOT / "docs" / "upgrading.md").read_text()
ROW = re.compile(r"^\| (1\.\d+(?:\.\d+)?) \| (.+) \| `([^`]+)` \|$", re.MULTILINE)
DIFFERENCES = yaml.safe_load((ROOT / "tests" / "envoy" / "hosts" / "differences.yaml").read_text())

FOLDERS = ("tests/envoy", "tests/demo", "tests/desk/test_readme.py", "tests/platforms/test_sidecars.py")
"""Where tests are that `make test-hosts` runs and that may fail on an older Envoy."""


def is_there(reference: str) -> bool:
    path = re.split(r"::| ", reference, maxsplit=1)[0]
    return (ROOT / path).is_file() and reference in declared_in(path)


def test_each_change_of_envoys_names_a_test_that_is_there() -> None:
    table = PAGE.partition("\n## What changed in Envoy\n")[2].partition("\n## ")[0]
    rows = ROW.findall(table)
    assert rows
    # Two lines are the head of the table.
    assert len(rows) == len(re.findall(r"^\|", table, re.MULTILINE)) - 2
    assert [reference for _, _, reference in rows if not is_there(reference)] == []


@pytest.mark.parametrize("reference", ["src/desk/inspect.rs tests::gone", "tests/envoy/test_routes.py::test_gone", "gone.rs a"])
def test_a_row_whose_test_is_gone_is_found(reference: str) -> None:
    assert not is_there(reference)


def collected() -> list[str]:
    """The tests of a real Envoy as pytest names them, without their folder."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", *FOLDERS]
    environment = {**os.environ, "PYTHONPATH": "tests", "PYTHONDONTWRITEBYTECODE": "1"}
    output = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    tests = [line.partition("[") for line in output.splitlines() if "::" in line]
    return [f"{name.rpartition('/')[2]}{bracket}{parameters}" for name, bracket, parameters in tests]


def test_what_fails_on_an_older_envoy_is_there() -> None:
    tests = collected()

    def gone(entries: list[str]) -> list[str]:
        return [entry for entry in entries if not any(test.startswith(entry) for test in tests)]

    entries = [entry for difference in DIFFERENCES for entry in difference["tests"]]
    assert len(entries) == len(set(entries))
    assert gone(entries) == []
    wrong = ["test_cases.py::test_case[no such case-", "test_gone.py::test_case", "test_tls.py::test_gone["]
    assert gone(wrong) == wrong
