# SPDX-License-Identifier: Apache-2.0
"""The files of envoy/ as they are shipped, with the ports, paths and keys of a test run in place of the examples."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rig.certificates import Certificate

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "target" / "certbound.wasm"


PORTS = {
    "resource-server": {"listener": 8443, "upstream": 8080, "admin": 9901},
    "resource-server-http3": {"listener": 8454, "upstream": 8080, "admin": 9911},
    "authorization-server": {"listener": 8444, "upstream": 8081, "admin": 9902},
    "policies-by-metadata": {"listener": 8445, "inside": 8446, "upstream": 8080, "admin": 9903},
    "filters-by-route": {"listener": 8447, "upstream": 8080, "authorization_server": 8081, "admin": 9904},
    "policies-by-ecds": {"listener": 8448, "upstream": 8080, "admin": 9905},
    "opaque-tokens": {"listener": 8450, "upstream": 8080, "admin": 9907, "authorization_server": 443},
    "client-authentication": {"listener": 8450, "upstream": 8081, "admin": 9907},
    "policies-by-path": {"listener": 8449, "upstream": 8080, "admin": 9906},
    "gluu": {"listener": 8450, "upstream": 8480, "admin": 9907},
    "auth0": {"listener": 8451, "upstream": 8481, "admin": 9908},
    "authlete": {"listener": 8452, "upstream": 8482, "admin": 9909},
    "keycloak": {"listener": 8453, "upstream": 8483, "admin": 9910},
}
"""What each file says, by what it is for."""


def read(
    name: str,
    *,
    server: Certificate,
    client_ca: Path,
    jwks: dict[str, Any] | None = None,
    module: Path = MODULE,
    issuer: str | None = None,
    files: Mapping[str, Path] = {},
    **ports: int,
) -> str:
    """The text of envoy/`name`.yaml with these in place of what it says. `files` are by the names that they have in
    /etc/certbound, `ports` by those of `PORTS`; what is not given stays as it is.

    Raises ValueError when the file has no such file, port or issuer.
    """
    text = filled(name, server=server, client_ca=client_ca, jwks=jwks, module=module)
    replaced = {f"/etc/certbound/{file}": str(path) for file, path in files.items()}
    if issuer is not None:
        replaced["issuer: https://as.example.com"] = f"issuer: {issuer}"
    for port, number in ports.items():
        replaced[f"port_value: {PORTS[name][port]} "] = f"port_value: {number} "
    for old, new in replaced.items():
        if old not in text:
            raise ValueError(f"envoy/{name}.yaml does not have {old!r}")
        text = text.replace(old, new)
    return text


def filled(
    name: str, *, server: Certificate, client_ca: Path, jwks: dict[str, Any] | None = None, module: Path = MODULE
) -> str:
    """The text of envoy/`name`.yaml with what it has of these in place of the examples. No file has all of them."""
    text = (ROOT / "envoy" / f"{name}.yaml").read_text()
    replaced = {
        "/etc/certbound/certbound.wasm": str(module),
        "/etc/certbound/server.pem": str(server.certificate_path),
        "/etc/certbound/server.key": str(server.key_path),
        "/etc/certbound/client-ca.pem": str(client_ca),
    }
    if jwks is not None:
        replaced["jwks: { keys: [] }"] = f"jwks: {json.dumps(jwks)}"
    for old, new in replaced.items():
        text = text.replace(old, new)
    return text


def with_variants(text: str, variants: Mapping[str, Mapping[str, Any] | None]) -> str:
    """The text of envoy/resource-server.yaml with more policies, each under the route /NAME/: copies of `api` with
    these keys in place of its own, and those under "issuer" in its one issuer. None is a route to a policy that is not
    there. What the file shows as a comment for `server_name` is live."""
    document = yaml.safe_load(uncommented(text, "listener_filters:", lines=3))
    policies = plugin(document)["configuration"]["value"]["policies"]
    routes = manager(document)["route_config"]["virtual_hosts"][0]["routes"]
    for name, changes in variants.items():
        if changes is not None:
            server = copy.deepcopy(policies["api"]["resource_server"])
            server["issuers"][0].update(changes.get("issuer", {}))
            server.update({key: value for key, value in changes.items() if key != "issuer"})
            policies[name] = {"resource_server": server}
        metadata = {"filter_metadata": {"certbound": {"policy": name}}}
        routes.insert(0, {"match": {"prefix": f"/{name}/"}, "metadata": metadata, "route": {"cluster": "api"}})
    return yaml.safe_dump(document)


def uncommented(text: str, beginning: str, *, lines: int = 1) -> str:
    """The text with a comment made live: the line that begins so, and those that follow.

    Raises ValueError when there is no such comment.
    """
    found = text.splitlines(keepends=True)
    starts = [number for number, line in enumerate(found) if line.lstrip().startswith(f"# {beginning}")]
    if len(starts) != 1:
        raise ValueError(f"{len(starts)} comments begin with {beginning!r}")
    for number in range(starts[0], starts[0] + lines):
        found[number] = found[number].replace("# ", "", 1)
    return "".join(found)


def plugin_configuration(text: str) -> dict[str, Any]:
    """What Envoy hands to the filter, from the text of a whole configuration."""
    return plugin(yaml.safe_load(text))["configuration"]["value"]


def manager(document: Any, listener: int = 0) -> dict[str, Any]:
    """The HTTP connection manager of a listener in an Envoy configuration."""
    return document["static_resources"]["listeners"][listener]["filter_chains"][0]["filters"][0]["typed_config"]


def let_trailers_through(document: Any) -> None:
    """Has an Envoy configuration take trailers over HTTP/1.1 too, and send them to its one cluster."""
    manager(document)["http_protocol_options"] = {"enable_trailers": True}
    (cluster,) = document["static_resources"]["clusters"]
    cluster["typed_extension_protocol_options"] = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
        }
    }


def plugin(document: Any) -> dict[str, Any]:
    """The `PluginConfig` of the one Wasm filter in an Envoy configuration."""
    (wasm,) = [entry for entry in manager(document)["http_filters"] if entry["typed_config"]["@type"].endswith(".Wasm")]
    return wasm["typed_config"]["config"]
