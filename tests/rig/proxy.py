# SPDX-License-Identifier: Apache-2.0
"""An Envoy on a shipped file, and what it tells of its requests."""

import json
import re
import time
from dataclasses import dataclass
from typing import Any

from cases import World
from rig.certificates import Certificate
from rig.client import Client
from rig.envoy import Envoy
from rig.process import wait_until
from rig.upstream import Upstream


@dataclass
class Proxy:
    """An Envoy on a shipped file, with an upstream that tells what reached it."""

    envoy: Envoy
    listener: int
    upstream: Upstream
    world: World

    def client(self, certificate: Certificate | None, protocol: str = "http/1.1", **options) -> Client:
        return Client(
            self.listener, ca_path=self.world.authority.pem_path, certificate=certificate, protocol=protocol, **options
        )

    def told(self) -> list[dict[str, Any]]:
        """What the access log says of the requests so far."""
        return told(self.envoy.log())

    def refusals(self) -> list[dict[str, Any]]:
        """What the access log tells of the refusals so far, and of what would have been one: not each of them has a line
        of its own elsewhere."""
        return [told for told in self.told() if told["verdict"] != "forwarded"]

    def counted(self, series: str) -> int:
        """What a counter stands at, with its labels as Prometheus has them."""
        sleep_until_told()
        lines = self.envoy.admin("/stats/prometheus").splitlines()
        return next((int(line.removeprefix(f"{series} ")) for line in lines if line.startswith(f"{series} ")), 0)

    def next_refusal(self, before: int) -> dict[str, Any]:
        """What is told of the one refusal, or of what would have been one, that came after `before` others."""
        (refusal,) = wait_until(lambda: self.refusals()[before:], 5, "the refusal to be logged")
        return refusal


def sleep_until_told() -> None:
    """What was counted is told with the next tick, which comes within a tenth of a second."""
    time.sleep(0.3)


def told(log: str) -> list[dict[str, Any]]:
    """What a log with the shipped format for text says of each request."""
    return [json.loads(told) for told in re.findall(r"^\[\S+\] .*? certbound=(\{.*\})$", log, re.MULTILINE)]


WRITES_ITS_ACCESS_LOG_AT_ONCE = ("--file-flush-interval-msec", "5")
