# SPDX-License-Identifier: Apache-2.0
"""What ran: platform, version, rows and seconds, for the terminal and for docs/platforms.md."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from rig.envoy import find_envoy
from rig.shipped import ROOT

from platforms import HERE, versions

PAGE = ROOT / "docs" / "platforms.md"


def _names() -> dict[str, tuple[str, str]]:
    """By file: the platform, and its version."""
    pinned = versions()
    istio = "istio.io/istio " + pinned["ISTIO"].removeprefix("v0.0.0-")
    return {
        "image.py": ("OCI image, in Debian 12's docker-registry by skopeo", "2.8.2, 1.9.3"),
        "func_e.py": ("func-e", pinned["FUNC_E"].removeprefix("v")),
        "envoy_gateway.py": ("Envoy Gateway, standalone", pinned["ENVOY_GATEWAY"].removeprefix("v")),
        "istio.py": ("Istio, a gateway", istio),
        "sidecar.py": ("Istio, sidecars", istio),
    }


def of(passed: Iterable[pytest.TestReport], others: Iterable[pytest.TestReport]) -> list[str]:
    """The table's lines, none where no platform ran. `others` came before and after the tests; their time counts too."""
    rows: dict[str, int] = {}
    seconds: dict[str, float] = {}
    passed = [*passed]
    for report in passed:
        rows[_file(report)] = rows.get(_file(report), 0) + 1
    for report in [*passed, *others]:
        seconds[_file(report)] = seconds.get(_file(report), 0) + report.duration
    if not rows.keys() & _names().keys():
        return []
    return [
        f"With Envoy {find_envoy().version}:",
        "",
        "| platform | version | rows | seconds |",
        "| --- | --- | --- | --- |",
        *(
            f"| {platform} | {version} | {rows[file]} | {seconds[file]:.0f} |"
            for file, (platform, version) in _names().items()
            if file in rows
        ),
    ]


def write(lines: list[str]) -> None:
    """Writes the table between its marks in docs/platforms.md.

    Raises ValueError when a platform is missing, or the page has no such marks.
    """
    if len(lines) != 4 + len(_names()):
        raise ValueError("the table is written when all platforms ran")
    text, count = re.subn(
        r"(?<=<!-- platforms -->\n).*?(?=<!-- /platforms -->)",
        lambda _: "\n".join([*lines, ""]),
        PAGE.read_text(),
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueError(f"{PAGE} has no place for the table, <!-- platforms --> and <!-- /platforms -->")
    PAGE.write_text(text)


def _file(report: pytest.TestReport) -> str:
    path = Path(report.fspath)
    return path.name if path.parent.name == HERE.name else ""
