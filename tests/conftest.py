"""What the end-to-end tests share: certificates and keys of the run, and an Envoy on each shipped file."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import CONFIGURATIONS, World, envoy_configuration
from rig.certificates import Certificate
from rig.client import Client
from rig.envoy import Envoy, find_envoy, is_before
from rig.ports import free_port
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


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def proxies(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Proxy]]:
    """By the name of the configuration."""
    directory = tmp_path_factory.mktemp("proxies")
    with ExitStack() as stack:
        yield {name: stack.enter_context(_running(name, world, directory)) for name in CONFIGURATIONS}


class _running(ExitStack):
    def __init__(self, name: str, world: World, directory: Path) -> None:
        super().__init__()
        self._of = (name, world, directory)

    def __enter__(self) -> Proxy:
        name, world, directory = self._of
        upstream = self.enter_context(Upstream())
        listener = free_port()
        document = envoy_configuration(name, world, listener=listener, upstream=upstream.port, admin=free_port())
        envoy = Envoy(yaml.safe_dump(document), directory, name=name, extra_arguments=WRITES_ITS_ACCESS_LOG_AT_ONCE)
        return Proxy(self.enter_context(envoy), listener, upstream, world)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On the Envoy that `make test-hosts` names, what tests/hosts/differences.yaml says must fail."""
    if "ENVOY_MINIMUM" not in os.environ:
        return
    envoy = find_envoy()
    if envoy.source != "$ENVOY":
        pytest.exit(f"the Envoy that was asked for cannot be used, and {envoy.source} is another", returncode=2)
    directory = Path(__file__).parent
    for difference in yaml.safe_load((directory / "hosts" / "differences.yaml").read_text()):
        if is_before(envoy.version, difference["before"]):
            for item in items:
                if f"{item.path.name}::{item.name}".startswith(tuple(difference["tests"])):
                    item.add_marker(pytest.mark.xfail(reason=difference["why"], strict=True))
