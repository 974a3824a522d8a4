# SPDX-License-Identifier: Apache-2.0
"""The demo, run as `make demo` runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from rig import authorization_server, shipped

DEMO = shipped.ROOT / "tests" / "demo" / "demo.py"


def demo(directory: Path, module: Path) -> subprocess.CompletedProcess[str]:
    if why := authorization_server.missing():
        pytest.skip(why)
    command = [sys.executable, DEMO, "--module", module, "--directory", directory]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
