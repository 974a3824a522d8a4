# SPDX-License-Identifier: Apache-2.0
"""Tomcat with its SSLValve: what the valve makes of the headers of a request, behind the proxy."""

import shutil
from pathlib import Path
from typing import Self

from rig.process import Process, wait_until
from rig.skipped import skipped

INSTALLED = Path(__file__).resolve().parents[2] / "target" / "tomcat"

ONE_HEADER = "9.0.46"
"""The last of its line whose valve reads `ssl_client_cert` alone."""
BOTH_HEADERS = "10.1.60"
"""One whose valve reads `ssl_client_escaped_cert` too, and before the other."""


def missing() -> str | None:
    """Why it cannot be run here, or None.

    Raises RuntimeError in CI, where it must be.
    """
    if shutil.which("java") and (INSTALLED / ".installed").exists():
        return None
    return skipped("the comparison with Tomcat is skipped: it needs Java 17 and Maven")


class Tomcat:
    """A running Tomcat on 127.0.0.1, from entry to exit of its context. It answers every request with the SHA-256, in hexadecimal,
    of each certificate that SSLValve gives to applications, a line for each, or with `none`."""

    def __init__(self, directory: Path, version: str) -> None:
        """Says how to start, and does not yet."""
        self._directory = Path(directory) / f"tomcat-{version}"
        self._version = version
        self.port = 0

    def log(self) -> str:
        """All that it has logged so far."""
        return self._process.log()

    def __enter__(self) -> Self:
        """Raises RuntimeError with its log when it ends instead of listening."""
        self._directory.mkdir()
        jar = INSTALLED / f"tomcat-embed-core-{self._version}.jar"
        # It compiles its one source: a small compiler is quicker than a good one.
        options = ["-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp", str(jar)]
        arguments = ["java", *options, str(INSTALLED / "Server.java"), str(self._directory)]
        self._process = Process(arguments, self._directory / "tomcat.log")
        try:
            self.port = wait_until(self._announced_port, 60, f"Tomcat {self._version} to listen")
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def _announced_port(self) -> int | None:
        if self._process.exit_status is not None:
            raise RuntimeError(f"Tomcat ended: {self.log()}")
        ports = [line.removeprefix("port ") for line in self.log().splitlines() if line.startswith("port ")]
        return int(ports[0]) if ports else None
