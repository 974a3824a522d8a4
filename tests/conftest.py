"""What the end-to-end tests share: certificates and keys of the run, and an Envoy on each shipped file."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cases import CONFIGURATIONS, World, envoy_configuration
from rig.certificates import Certificate
from rig.client import Client
from rig.envoy import Envoy
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

    def refusals(self) -> list[str]:
        """The log lines of the refusals so far, and of what would have been one."""
        return [line for line in self.envoy.log().splitlines() if "refused: reason=" in line]

    def next_refusal(self, before: int) -> str:
        """The one line that was logged after `before` others, notes of what would have been refused among them. Envoy
        writes its log as it goes."""
        (line,) = wait_until(lambda: self.refusals()[before:], 5, "the refusal to be logged")
        return line


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
        envoy = self.enter_context(Envoy(yaml.safe_dump(document), directory, name=name))
        return Proxy(envoy, listener, upstream, world)
