# SPDX-License-Identifier: Apache-2.0
"""Child processes that end when they are told to, and at the latest when this process ends."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

_Value = TypeVar("_Value")

# Runs in the child before the program does, and becomes it. The kernel keeps the parent-death signal over exec, but not
# for children of the child. This is a program and not a preexec_fn, because that one runs Python code in a fork of
# a process that may have threads, which can deadlock and is warned about since Python 3.12.
_LAUNCHER = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that started this one has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Process:
    """A running child process in a session of its own, its standard output and error in one file.

    As a context manager it is stopped on the way out. On Linux the kernel kills it when the thread that made it ends,
    by whatever cause; so make it in a thread that lives as long as it should, as the main thread does.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        log_path: Path,
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        """Starts `arguments[0]`, a path or a name on PATH, with the rest as its arguments.

        `environment` is added to this process's own; `directory` is the working directory. `log_path` is overwritten.

        Raises FileNotFoundError when there is no such program.
        """
        program = shutil.which(arguments[0])
        if program is None:
            raise FileNotFoundError(f"{arguments[0]} is not a program that can be run")
        command = [os.path.abspath(program), *map(str, arguments[1:])]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]
        self.log_path = Path(log_path)
        with self.log_path.open("wb") as log:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its session."""
        return self._child.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; then what it exited with, or minus the number of the signal that ended it."""
        return self._child.poll()

    def log(self) -> str:
        """All that it has written so far; bytes that are not UTF-8 appear as escapes."""
        return self.log_path.read_text(encoding="utf-8", errors="backslashreplace")

    def stop(self, seconds: float = 5) -> None:
        """Ends the process and whatever it started in its session; returns when all of them are gone.

        They are asked (SIGTERM) and, those which are left after `seconds`, killed. To stop twice is no error. Where
        there is no /proc to look in (macOS), only the process itself is ended.
        """
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            self._signal(signal_number)
            try:
                wait_until(lambda: not self._alive(), seconds, f"the end of process {self.pid}")
                return
            except TimeoutError:
                if signal_number == signal.SIGKILL:
                    raise

    def _signal(self, signal_number: int) -> None:
        for pid in self._alive():
            try:
                os.kill(pid, signal_number)
            except ProcessLookupError:
                pass

    def _alive(self) -> list[int]:
        """The processes of the session that have not ended, the first one among them."""
        # A child may have made itself a process group of its own (func-e gives Envoy one), which a signal to the group
        # would miss; the session holds them all.
        alive = [] if self._child.poll() is not None else [self.pid]
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                # After the name, which may itself hold spaces and parentheses: state, parent, group, session.
                state, _, _, session = entry.read_text(errors="replace").rpartition(")")[2].split()[:4]
            except (OSError, ValueError):
                continue
            pid = int(entry.parent.name)
            if int(session) == self.pid and state not in "ZX" and pid != self.pid:
                alive.append(pid)
        return alive

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def wait_until(predicate: Callable[[], _Value], seconds: float, what: str) -> _Value:
    """Asks `predicate` until it answers something true, which is returned, or until `seconds` have passed.

    Raises TimeoutError, which names `what` was waited for. An exception of `predicate` is not caught.
    """
    deadline = time.monotonic() + seconds
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)
    return value
