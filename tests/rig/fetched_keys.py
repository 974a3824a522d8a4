# SPDX-License-Identifier: Apache-2.0
"""An API behind the shipped resource server file, whose keys are fetched."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from cases import ISSUER, World, envoy_configuration
from rig import shipped, tokens
from rig.client import Client, Response
from rig.envoy import Envoy
from rig.ports import free_port
from rig.tokens import SigningKey
from rig.upstream import Upstream


class Api:
    """An API behind the shipped resource server file, whose keys come from a key server."""

    def __init__(self, world: World, envoy: Envoy, listener: int) -> None:
        self.world, self.envoy, self._listener = world, envoy, listener

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        with Client(self._listener, ca_path=self.world.authority.pem_path, certificate=self.world.client_1) as client:
            yield client

    def ask(self, token: str) -> Response:
        with self.client() as client:
            return client.request("GET", "/", headers=[("authorization", f"Bearer {token}")])

    def token(self, key: SigningKey, **claims: Any) -> str:
        return tokens.sign(key, self.world.claims(self.world.client_1, **claims))


@contextlib.contextmanager
def running(
    world: World,
    directory: Path,
    key_server_port: int,
    keys: dict[str, Any],
    *,
    concurrency: int = 1,
    change: Callable[[dict[str, Any]], None] = lambda configuration: None,
) -> Iterator[Api]:
    listener = free_port()
    with Upstream() as upstream:
        configuration = envoy_configuration(
            "fetched-keys", world, listener=listener, upstream=upstream.port, admin=free_port()
        )
        plugin = shipped.plugin(configuration)["configuration"]["value"]
        # Every policy has the same issuer here; one is enough.
        plugin["policies"] = {name: plugin["policies"][name] for name in ("api", "open")}
        plugin["policies"]["api"]["resource_server"]["issuers"][0]["keys"] = keys
        configuration["static_resources"]["clusters"].append(cluster_of("as", key_server_port))
        change(configuration)
        with Envoy(yaml.safe_dump(configuration), directory, name="keys", concurrency=concurrency) as envoy:
            yield Api(world, envoy, listener)


def cluster_of(name: str, port: int) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    load_assignment = {"cluster_name": name, "endpoints": endpoints}
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": load_assignment}


JWKS_URI = {"jwks_uri": f"{ISSUER}/jwks", "cluster": "as"}
