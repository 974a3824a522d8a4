# SPDX-License-Identifier: Apache-2.0
"""`python -m cases FILE` writes the list of cases as JSON, for the Rust tests."""

import json
import sys
import tempfile
from pathlib import Path

from cases import World
from cases.export import as_json

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        Path(sys.argv[1]).write_text(json.dumps(as_json(World(Path(directory))), indent=1))
