# SPDX-License-Identifier: Apache-2.0
"""Measures what certbound costs a proxy; see `make bench`."""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from rig.mod_oauth2 import missing
from rig.shipped import MODULE, ROOT

from bench import growth, report
from bench.figures import Figures
from bench.measure import measure
from bench.subjects import BESIDE, beside, chosen
from bench.world import World

WORK = ROOT / "target" / "bench"


def main() -> None:
    arguments = _arguments()
    if (os.cpu_count() or 1) < 2 or not Path("/proc/self/schedstat").exists():
        sys.exit("it needs Linux and two processors, one for the proxy and one for the load")
    subjects = chosen([name for name in arguments.subjects.split(",") if name])
    if why := missing():
        print(why.replace("the comparison", "what is measured"))
        subjects = [subject for subject in subjects if not subject.name.startswith("apache")]
    modules = {"": arguments.module.absolute()}
    if arguments.beside:
        modules[BESIDE] = arguments.beside.absolute()
        subjects += [beside(subject) for subject in subjects if subject.name.startswith(("rs.", "as."))]
    whole = arguments.growth or not arguments.subjects
    points = start = None
    seed = int(time.time())
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as name:
        directory = Path(name)
        # Apache's children are nobody's.
        directory.chmod(0o755)
        world = World(directory / "world")
        blocks = measure(world, subjects, directory, modules, rounds=arguments.rounds, seed=seed)
        figures = Figures(blocks)
        rows, outcomes = report.rows(figures, subjects), report.outcomes(figures)
        print(report.text(rows, outcomes), flush=True)
        if whole:
            start = growth.start(world, modules[""], directory, quick=arguments.quick)
            print(*report.started(start), sep="\n", flush=True)
            points = growth.measure(world, modules[""], directory, quick=arguments.quick)
            print(*report.grown(points), sep="\n", flush=True)
    content = {
        "seed": seed,
        **report.summary(rows, outcomes, points, start),
        "blocks": [dataclasses.asdict(block) for block in blocks],
    }
    arguments.json.write_text(json.dumps(content) + "\n")
    print(f"written: {arguments.json}")
    if arguments.write:
        report.write(rows, outcomes, points, start, arguments.rounds)
        print(f"written: {report.RESULTS}, {report.PLOT}, {report.PAGE}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--subjects", default="", help="their names, or how they begin, with commas between; default: all"
    )
    parser.add_argument("--rounds", type=int, default=60, help="how often each subject has its turn")
    parser.add_argument(
        "--growth", action="store_true", help="how cost and memory grow, too, which all subjects include"
    )
    parser.add_argument("--quick", action="store_true", help="a look at the growth, with few rounds and sizes")
    parser.add_argument("--module", type=Path, default=MODULE, help="certbound, in place of target/certbound.wasm")
    parser.add_argument("--beside", type=Path, help="another certbound, for subjects of its own in the same run")
    parser.add_argument("--json", type=Path, default=ROOT / "target" / "bench.json", help="where the result goes")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md, results.md and the plot anew")
    arguments = parser.parse_args()
    if arguments.rounds < 7:
        print("fewer than 7 rounds: for a look, not for a result")
    if arguments.write and (arguments.subjects or arguments.quick or arguments.beside or arguments.rounds < 7):
        parser.error("only a whole run may be written")
    return arguments


if __name__ == "__main__":
    main()
