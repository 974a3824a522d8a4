# SPDX-License-Identifier: Apache-2.0
"""Signatures that are right, wrong, and at the edges of what is right (tests/peers/signatures), in a real Envoy: BoringSSL verifies
those of the RS and ES families, and the module the others."""

import json
from pathlib import Path

import yaml

from cases import World, envoy_configuration
from rig import shipped
from rig.client import Client
from rig.envoy import Envoy
from rig.ports import free_port
from rig.upstream import Upstream

MADE = shipped.ROOT / "target" / "signatures.ndjson"
"""`make test` makes it, and so does `make signatures`."""


def test_envoy_takes_the_right_signatures_and_refuses_the_others(world: World, tmp_path: Path) -> None:
    corpus = [json.loads(line) for line in MADE.read_text().splitlines()]
    tokens = [line["token"] for line in corpus if "token" in line]
    assert len(tokens) > 1000
    listener = free_port()
    with Upstream() as upstream:
        ports = {"listener": listener, "upstream": upstream.port, "admin": free_port()}
        document = envoy_configuration("resource-server", world, **ports)
        shipped.plugin(document)["configuration"]["value"] = {"resource_server": corpus[0]["resource_server"]}
        with (
            Envoy(yaml.safe_dump(document), tmp_path, name="signatures"),
            Client(listener, ca_path=world.authority.pem_path, certificate=world.client_1) as client,
        ):
            wrong = []
            for token in tokens:
                response = client.request("GET", "/", headers=[("authorization", f"Bearer {token['token']}")])
                if response.status != (200 if token["forwarded"] else 401):
                    wrong.append((token["algorithm"], token["what"], response.status, token["why"]))
            assert not wrong
