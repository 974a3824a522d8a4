# SPDX-License-Identifier: Apache-2.0
"""The policies of istio.yaml and envoy-gateway.yaml at listeners as these platforms write them, in a plain Envoy of any version.

What each platform writes was read in the configuration dump of its own Envoy. `make platforms` has the platforms write it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import World
from rig import shipped
from rig.envoy import Envoy
from rig.ports import free_port
from rig.upstream import Upstream

from platforms import layout
from platforms.requests import ROWS, TWO_SLASHES, Gateway, Row, foreign, refuses_a_foreign_certificate, server

LISTENERS: dict[str, dict[str, Any]] = {
    # istio.io/istio of 27 August 2026.
    "istio": {
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"subject": True, "cert": True, "dns": True, "uri": True},
        "normalize_path": True,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "stream_idle_timeout": "0s",
        "server_name": "istio-envoy",
    },
    # Envoy Gateway 1.9.0, with the ClientTrafficPolicy of envoy-gateway.yaml.
    "envoy-gateway": {
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "server_header_transformation": "PASS_THROUGH",
    },
}
KEPT = ("@type", "stat_prefix", "codec_type", "use_remote_address", "access_log", "http_filters", "route_config")


def _plugin_configuration(name: str, world: World) -> dict[str, Any]:
    for resource in yaml.safe_load_all(shipped.filled(name, **world.substitutions())):
        match resource["kind"]:
            case "TrafficExtension":
                return resource["spec"]["wasm"]["pluginConfig"]
            case "EnvoyExtensionPolicy":
                return resource["spec"]["wasm"][0]["config"]
    raise ValueError(f"envoy/{name}.yaml has no certbound")


def _document(name: str, world: World, **ports: int) -> dict[str, Any]:
    own = {**world.substitutions(), "server": server(world)}
    document = yaml.safe_load(shipped.read("policies-by-path", **own, **ports))
    manager = shipped.manager(document)
    for key in [key for key in manager if key not in KEPT]:
        del manager[key]
    manager.update(LISTENERS[name])
    (chain,) = document["static_resources"]["listeners"][0]["filter_chains"]
    tls = chain["transport_socket"]["typed_config"]
    del tls["common_tls_context"]["tls_params"]
    plugin = shipped.plugin(document)
    del plugin["vm_config"]["vm_id"]
    # Both hand over one line of JSON, its keys in order.
    text = json.dumps(_plugin_configuration(name, world), sort_keys=True, separators=(",", ":"))
    plugin["configuration"] = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text}
    if name == "envoy-gateway":
        tls["disable_stateless_session_resumption"] = tls["disable_stateful_session_resumption"] = True
        del plugin["failure_policy"]
    return document


@pytest.fixture(scope="module", params=LISTENERS)
def gateway(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    listener = free_port()
    with Upstream() as upstream:
        document = _document(request.param, world, listener=listener, upstream=upstream.port, admin=free_port())
        with Envoy(yaml.safe_dump(document), tmp_path_factory.mktemp("listener"), name=request.param):
            yield Gateway(world, listener, upstream, underscores=request.param == "istio")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.sentence)
def test_at_a_listener_as_the_platform_writes_it(gateway: Gateway, row: Row) -> None:
    gateway.check(row)


def test_two_slashes_are_merged_by_envoy_or_refused_by_certbound(gateway: Gateway, request: pytest.FixtureRequest) -> None:
    gateway.check(TWO_SLASHES[request.node.callspec.params["gateway"]])


def test_a_certificate_of_a_foreign_ca_ends_the_handshake(gateway: Gateway, world: World, tmp_path: Path) -> None:
    refuses_a_foreign_certificate(gateway, foreign(world, tmp_path))


def _files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_the_image_of_one_module_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    digests = {layout.write(shipped.MODULE, tmp_path / name) for name in ("one", "two")}
    assert len(digests) == 1
    assert _files(tmp_path / "one") == _files(tmp_path / "two")


def test_another_module_has_another_digest(tmp_path: Path) -> None:
    (tmp_path / "other.wasm").write_bytes(shipped.MODULE.read_bytes() + b"\0")
    assert layout.write(tmp_path / "other.wasm", tmp_path / "other") != layout.write(shipped.MODULE, tmp_path / "one")
