# SPDX-License-Identifier: Apache-2.0
"""The image in a registry, which every platform pulls by digest; and the table of what ran."""

from collections.abc import Iterator

import pytest

from platforms import table
from platforms.image import Image, pushed


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    with pushed(tmp_path_factory.mktemp("image")) as found:
        yield found


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write", action="store_true", help="write the table of docs/platforms.md anew")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = table.of(terminalreporter.stats.get("passed", []), terminalreporter.stats.get("", []))
    for line in ["", *lines] if lines else []:
        terminalreporter.write_line(line)
    if config.getoption("--write", default=False):
        if any(terminalreporter.stats.get(other) for other in ("failed", "error", "skipped")):
            terminalreporter.write_line("docs/platforms.md is as it was: not everything passed")
        else:
            table.write(lines)
