"""The command `certbound`."""

import subprocess

from rig.shipped import ROOT

COMMAND = ROOT / "target" / "debug" / "certbound"


def certbound(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs it with these arguments, whatever comes of it."""
    return subprocess.run([COMMAND, *map(str, arguments)], input=stdin, capture_output=True, timeout=10)
