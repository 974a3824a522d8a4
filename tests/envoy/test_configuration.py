# SPDX-License-Identifier: Apache-2.0
"""Configurations in a real Envoy: the two forms, mistakes that keep it from starting, and routes that name policies."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import World, envoy_configuration, forged_headers
from rig import shipped, tokens
from rig.client import Client
from rig.envoy import Envoy, refuses
from rig.ports import free_port
from rig.upstream import Upstream

STRING_VALUE = "type.googleapis.com/google.protobuf.StringValue"


def document(world: World, **ports: int) -> dict[str, Any]:
    text = shipped.read(
        "resource-server", **world.substitutions(), **{"listener": free_port(), "admin": free_port(), **ports}
    )
    return yaml.safe_load(text)


def routes(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    return shipped.manager(configuration)["route_config"]["virtual_hosts"][0]["routes"]


def with_mistake(plugin_configuration: dict[str, Any]) -> None:
    issuer = plugin_configuration["policies"]["api"]["resource_server"]["issuers"][0]
    issuer["keys"] = {"jwk": issuer["keys"].pop("jwks")}


def test_json_text_is_a_configuration_too(world: World, tmp_path: Path) -> None:
    listener = free_port()
    with Upstream() as upstream:
        configuration = document(world, listener=listener, upstream=upstream.port)
        plugin = shipped.plugin(configuration)
        plugin["configuration"] = {"@type": STRING_VALUE, "value": json.dumps(plugin["configuration"]["value"])}
        with (
            Envoy(yaml.safe_dump(configuration), tmp_path, name="json"),
            Client(listener, ca_path=world.authority.pem_path, certificate=world.client_1) as client,
        ):
            token = tokens.sign(world.keys["ES256"], world.claims(world.client_1))
            assert client.request("GET", "/", headers=[("authorization", f"Bearer {token}")]).status == 200
            assert client.request("GET", "/").status == 401


def test_a_mistake_in_a_struct_keeps_envoy_from_starting_and_names_the_path(world: World, tmp_path: Path) -> None:
    configuration = document(world)
    with_mistake(shipped.plugin(configuration)["configuration"]["value"])
    log = refuses(yaml.safe_dump(configuration), tmp_path, name="struct")
    assert 'policies.api.resource_server.issuers[0].keys.jwk: unknown key "jwk"; did you mean "jwks"?' in log


def test_a_mistake_in_json_text_is_named_with_line_and_column(world: World, tmp_path: Path) -> None:
    configuration = document(world)
    plugin = shipped.plugin(configuration)
    with_mistake(plugin["configuration"]["value"])
    text = json.dumps(plugin["configuration"]["value"], indent=2)
    plugin["configuration"] = {"@type": STRING_VALUE, "value": text}
    log = refuses(yaml.safe_dump(configuration), tmp_path, name="text")
    (line,) = [number for number, line in enumerate(text.splitlines(), start=1) if '"jwk"' in line]
    column = text.splitlines()[line - 1].index('"jwk"') + 1
    assert f'keys.jwk: unknown key "jwk"; did you mean "jwks"? (line {line}, column {column})' in log


@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_no_configuration_does_not_load(world: World, tmp_path: Path, value: str | None) -> None:
    configuration = document(world)
    plugin = shipped.plugin(configuration)
    if value is None:
        del plugin["configuration"]
    else:
        plugin["configuration"] = {"@type": STRING_VALUE, "value": value}
    assert "the plugin configuration is empty" in refuses(yaml.safe_dump(configuration), tmp_path, name="empty")


def test_a_shipped_file_without_the_operators_keys_does_not_start(world: World, tmp_path: Path) -> None:
    substitutions = {name: value for name, value in world.substitutions().items() if name != "jwks"}
    text = shipped.read("resource-server", **substitutions, listener=free_port(), admin=free_port())
    assert "the key set is empty: paste the authorization server's own" in refuses(text, tmp_path, name="keyless")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"policy": "opne"}, "unknown_policy"),
        ({"policy": 1}, "unknown_policy"),
        ({"policy": True}, "unknown_policy"),
        ({"policy": ["open"]}, "unknown_policy"),
        ({"policy": None}, "route_metadata_malformed"),
        ({"polcy": "open"}, "route_metadata_malformed"),
        ({"policy": "open", "mode": "off"}, "route_metadata_malformed"),
    ],
    ids=["a misspelt name", "a number", "a boolean", "a list", "null", "a misspelt key", "two keys"],
)
def test_a_route_that_names_no_policy_of_ours_is_refused(
    world: World, tmp_path: Path, metadata: dict[str, Any], reason: str
) -> None:
    listener = free_port()
    with Upstream() as upstream:
        configuration = document(world, listener=listener, upstream=upstream.port)
        (health,) = [route for route in routes(configuration) if route["match"] == {"path": "/health"}]
        health["metadata"]["filter_metadata"]["certbound"] = metadata
        with (
            Envoy(yaml.safe_dump(configuration), tmp_path, name="route") as envoy,
            Client(listener, ca_path=world.authority.pem_path) as client,
        ):
            assert client.request("GET", "/health").status == 500
            assert f"reason={reason} " in envoy.log().replace("\n", " \n")
            assert upstream.requests == []


def test_a_route_without_metadata_and_a_request_without_a_route_have_the_default_policy(
    world: World, tmp_path: Path
) -> None:
    listener = free_port()
    with Upstream() as upstream:
        configuration = document(world, listener=listener, upstream=upstream.port)
        kept = [route for route in routes(configuration) if route["match"] == {"path": "/health"}]
        routes(configuration)[:] = kept
        with (
            Envoy(yaml.safe_dump(configuration), tmp_path, name="default"),
            Client(listener, ca_path=world.authority.pem_path) as client,
        ):
            assert client.request("GET", "/nowhere").status == 401
            assert client.request("GET", "/health").status == 200


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_forged_trailers_are_removed(world: World, tmp_path: Path, protocol: str) -> None:
    listener = free_port()
    with Upstream() as upstream:
        configuration = envoy_configuration(
            "authorization-server", world, listener=listener, upstream=upstream.port, admin=free_port()
        )
        shipped.let_trailers_through(configuration)
        with (
            Envoy(yaml.safe_dump(configuration), tmp_path, name="trailers"),
            Client(listener, ca_path=world.authority.pem_path, protocol=protocol) as client,
        ):
            trailers = [*forged_headers(), ("x-checksum", "1")]
            assert client.request("POST", "/token", body=b"a=b", trailers=trailers).status == 200
            (request,) = upstream.requests
            assert [name.lower() for name, _ in request.trailers] == ["x-checksum"]
