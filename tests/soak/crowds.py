# SPDX-License-Identifier: Apache-2.0
"""The crowds of tests/envoy/test_crowd.py, all of them, beside the rest."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rig.process import Process, wait_until
from rig.shipped import ROOT

_SECONDS = 3600


@dataclass(frozen=True)
class Crowded:
    failed: bool
    said: str
    """What pytest says of them all."""


class Crowds:
    """They run from entry to exit of the context, if they are not done before."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> Self:
        arguments = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={self._directory}/pytest"]
        environment = {"SOAK": "1", "PYTHONPATH": str(ROOT / "tests")}
        path = ROOT / "tests" / "envoy" / "test_crowd.py"
        self._process = Process([*arguments, path], self._directory / "crowds.log", environment=environment, directory=ROOT)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def finish(self) -> Crowded:
        """Waits for the last of them."""
        wait_until(lambda: self._process.exit_status is not None, _SECONDS, "the crowds")
        failed = re.findall(r"^FAILED .*", self._process.log(), re.MULTILINE)
        said = self._process.log().splitlines()[-1].strip("= ")
        return Crowded(self._process.exit_status != 0, "; ".join([said, *failed]))
