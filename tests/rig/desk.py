# SPDX-License-Identifier: Apache-2.0
"""The command `certbound`."""

import subprocess
from pathlib import Path

from rig.shipped import ROOT

COMMAND = ROOT / "target" / "debug" / "certbound"


def certbound(
    *arguments: object, stdin: bytes = b"", directory: Path = ROOT
) -> subprocess.CompletedProcess[bytes]:
    """Runs it with these arguments, whatever comes of it."""
    command = [COMMAND, *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60, cwd=directory)
