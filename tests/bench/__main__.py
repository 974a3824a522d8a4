"""`python -m bench`: see `make bench`."""

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

from bench import report
from bench.figures import Figures
from bench.measure import measure
from bench.subjects import BESIDE, beside, chosen
from bench.world import World
from rig.mod_oauth2 import missing
from rig import shipped
from rig.shipped import ROOT


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--subjects", default="", help="names or their beginnings, with commas between; all unless said")
    parser.add_argument("--rounds", type=int, default=100, help="how often each subject has its turn")
    parser.add_argument("--module", type=Path, default=shipped.MODULE, help="certbound, in place of target/certbound.wasm")
    parser.add_argument("--beside", type=Path, help="another certbound, for subjects of its own in the same run")
    parser.add_argument("--json", type=Path, default=ROOT / "target" / "bench.json")
    arguments = parser.parse_args()
    subjects = chosen([name for name in arguments.subjects.split(",") if name])
    if why := missing():
        print(why.replace("comparison", "measurement"))
        subjects = [subject for subject in subjects if not subject.name.startswith("apache")]
    modules = {"": arguments.module.absolute()}
    if arguments.beside:
        modules[BESIDE] = arguments.beside.absolute()
        subjects += [beside(subject) for subject in subjects if subject.name.startswith(("rs.", "as."))]
    (ROOT / "target" / "bench").mkdir(parents=True, exist_ok=True)
    seed = int(time.time())
    with tempfile.TemporaryDirectory(dir=ROOT / "target" / "bench") as directory:
        # Apache's children are nobody's.
        Path(directory).chmod(0o755)
        world = World(Path(directory) / "world")
        blocks = measure(world, subjects, Path(directory), modules, rounds=arguments.rounds, seed=seed)
    figures = Figures(blocks)
    print(report.text(figures, subjects))
    arguments.json.write_text(
        json.dumps({"seed": seed, "blocks": [dataclasses.asdict(block) for block in blocks]}, indent=None) + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
