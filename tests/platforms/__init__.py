# SPDX-License-Identifier: Apache-2.0
"""The shipped files on the platforms' own code: Debian's registry, func-e, Envoy Gateway, and Istio's control plane.

`make platforms` runs all of it, outside CI. A file of tests here is named after its platform and not `test_...`, so that
`make test` does not collect it: the platforms have to be built first. What needs none of them is in test_listeners.py.
"""

from pathlib import Path

from rig.shipped import ROOT

HERE = Path(__file__).parent
BUILT = ROOT / "target" / "platforms"
"""What `make platforms` builds."""


def versions() -> dict[str, str]:
    """The pinned versions, by their names in the file `versions`."""
    lines = (line.partition(" := ") for line in (HERE / "versions").read_text().splitlines() if ":=" in line)
    return {name: value for name, _, value in lines}
