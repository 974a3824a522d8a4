# SPDX-License-Identifier: Apache-2.0
"""Good and hostile requests at once, while servers fail and an operator changes things; see `make soak`."""

import argparse
import contextlib
import resource
import sys
import tempfile
import time
from pathlib import Path

from cases import World
from rig.shipped import ROOT

from soak import report
from soak.crowds import Crowds
from soak.run import soak
from soak.schedule import scenes

WORK = ROOT / "target" / "soak"
_FILES = 10_000


def main() -> None:
    arguments = _arguments()
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    print(f"seed {seed}: SEED={seed} repeats the order of events", flush=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, _FILES), hard), hard))
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        crowds = None if arguments.without_crowds else stack.enter_context(Crowds(directory))
        world = World(directory / "world")
        result = soak(world, directory / "proxy", seed, 60 * arguments.minutes, scenes(seed))
        result.crowds = crowds and crowds.finish()
    print(report.text(result))
    if arguments.write:
        report.write(result)
        print(f"written: {report.PAGE}")
    if report.failures(result):
        sys.exit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, help="that of an earlier run, for the same order of events")
    parser.add_argument("--without-crowds", action="store_true", help="without those of tests/envoy/test_crowd.py")
    parser.add_argument("--write", action="store_true", help="write docs/soak.md anew")
    arguments = parser.parse_args()
    if arguments.write and (arguments.minutes < 30 or arguments.without_crowds):
        parser.error("only a whole run may be written")
    return arguments


if __name__ == "__main__":
    main()
