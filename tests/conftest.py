# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: certificates and keys of the run, and an Envoy on each shipped file."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from cases import CONFIGURATIONS, World, envoy_configuration
from rig.envoy import Envoy, find_envoy, is_before
from rig.ports import free_port
from rig.proxy import WRITES_ITS_ACCESS_LOG_AT_ONCE, Proxy
from rig.upstream import Upstream


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
    """On the Envoy that `make test-hosts` names, what tests/envoy/hosts/differences.yaml says must fail."""
    if "ENVOY_MINIMUM" not in os.environ:
        return
    envoy = find_envoy()
    if envoy.source != "$ENVOY":
        pytest.exit(f"the Envoy that was asked for cannot be used, and {envoy.source} is another", returncode=2)
    for difference in yaml.safe_load((Path(__file__).parent / "envoy" / "hosts" / "differences.yaml").read_text()):
        if is_before(envoy.version, difference["before"]):
            for item in items:
                if f"{item.path.name}::{item.name}".startswith(tuple(difference["tests"])):
                    item.add_marker(pytest.mark.xfail(reason=difference["why"], strict=True))
