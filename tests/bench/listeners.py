# SPDX-License-Identifier: Apache-2.0
"""Envoy's listeners, one for each way to do the work: the shipped files of envoy/, less what would not be compared.

All have the TLS and the HTTP settings of the shipped file for that role, no access log, and a route that Envoy answers
itself, so that neither an upstream nor a disk is measured. Only under /echo there is a server, which tells what reached
it.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rig import shipped, tokens

from bench.world import AUDIENCE, ISSUER, World

EMPTY_FILTER = shipped.ROOT / "target" / "bench" / "build" / "wasm32-wasip1" / "release" / "empty_filter.wasm"
_LUA = Path(__file__).parent / "lua"
_TYPES = "type.googleapis.com/envoy.extensions.filters.http."
ANSWER = {"status": 200, "body": {"inline_string": "ok\n"}}


@dataclass(frozen=True)
class Around:
    """What a listener is made of."""

    world: World
    introspection: int = 0
    """The port of the authorization server that is asked about opaque tokens."""
    module: Path = shipped.MODULE
    token_cache_bytes: int | None = None
    """In place of certbound's own default."""


Filters = list[dict[str, Any]]
Make = Callable[[Around], "Listener"]


@dataclass
class Listener:
    """A listener without name and port yet."""

    file: str
    """The shipped file whose listener it is."""
    filters: Filters
    routes: list[dict[str, Any]] | None = None
    """In place of one for everything."""
    keeps_chain: bool = False
    """Whether Envoy hands the filter the client's certificates by its own header."""


def document(listeners: dict[str, tuple[Listener, int]], around: Around, *, admin: int, upstream: int) -> str:
    """The configuration of an Envoy with these listeners on these ports."""
    clusters = [_cluster("echo", upstream), _cluster("authorization-server", around.introspection)]
    return yaml.safe_dump(
        {
            "static_resources": {
                "listeners": [_listener(name, *of, around) for name, of in listeners.items()],
                "clusters": clusters,
            },
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        }
    )


def _cluster(name: str, port: int) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port or 9}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


def _listener(name: str, listener: Listener, port: int, around: Around) -> dict[str, Any]:
    file = _shipped(listener.file, around)
    (made,) = file["static_resources"]["listeners"]
    made["name"] = name
    made["address"]["socket_address"]["port_value"] = port
    manager = shipped.manager(file)
    del manager["access_log"]
    if not listener.keeps_chain:
        for key in ("forward_client_cert_details", "set_current_client_cert_details"):
            manager.pop(key, None)
    manager["max_request_headers_kb"] = 96
    manager["stat_prefix"] = name
    (router,) = [each for each in manager["http_filters"] if each["name"] == "envoy.filters.http.router"]
    manager["http_filters"] = [*listener.filters, router]
    for each in listener.filters:
        if "config" in each["typed_config"]:
            # Plugins with one id share a VM, and with it certbound's caches.
            each["typed_config"]["config"]["vm_config"]["vm_id"] = name
    routes = [{**route, "direct_response": ANSWER} for route in listener.routes or [{"match": {"prefix": "/"}}]]
    for route in routes:
        route.pop("route", None)
    echo = {"match": {"prefix": "/echo"}, "route": {"cluster": "echo"}, **_metadata(routes[-1])}
    (host,) = manager["route_config"]["virtual_hosts"]
    host["routes"] = [echo, *routes]
    return made


def _metadata(route: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": route["metadata"]} if "metadata" in route else {}


def _shipped(file: str, around: Around) -> Any:
    world = around.world
    text = shipped.filled(
        file, server=world.server, client_ca=world.authority.pem_path, jwks=world.jwks, module=around.module
    )
    return yaml.safe_load(text)


def _routes(file: str, around: Around) -> list[dict[str, Any]]:
    return shipped.manager(_shipped(file, around))["route_config"]["virtual_hosts"][0]["routes"]


# The filters.


def empty(around: Around) -> dict[str, Any]:
    config = {
        "name": "empty",
        "root_id": "empty",
        "vm_config": {
            "vm_id": "empty",
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": str(EMPTY_FILTER)}},
        },
    }
    return {"name": "empty", "typed_config": {"@type": _TYPES + "wasm.v3.Wasm", "config": config}}


def certbound(file: str, around: Around, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """The filter of a shipped file; `change` makes its configuration."""
    config = shipped.plugin(_shipped(file, around))
    configuration = change(config["configuration"]["value"])
    if around.token_cache_bytes:
        configuration["token_cache_bytes"] = around.token_cache_bytes
    config["configuration"]["value"] = configuration
    return {"name": "certbound", "typed_config": {"@type": _TYPES + "wasm.v3.Wasm", "config": config}}


def jwt_authn(around: Around, *, cached: bool) -> dict[str, Any]:
    provider = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "forward": True,
        "payload_in_metadata": "access_token",
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "local_jwks": {"inline_string": json.dumps(around.world.jwks)},
        # As large as the tokens of a run are many; its default is 100.
        **({"jwt_cache_config": {"jwt_cache_size": 10000}} if cached else {}),
    }
    rules = [{"match": {"prefix": "/"}, "requires": {"provider_name": "as"}}]
    typed = {"@type": _TYPES + "jwt_authn.v3.JwtAuthentication", "providers": {"as": provider}, "rules": rules}
    return {"name": "jwt_authn", "typed_config": typed}


def lua(script: str, **names: str | bool | dict[str, str]) -> dict[str, Any]:
    """A script of lua/, with these names before it."""
    head = "".join(f"local {name} = {_lua_value(value)}\n" for name, value in names.items())
    source = {"inline_string": head + (_LUA / f"{script}.lua").read_text()}
    return {"name": "lua", "typed_config": {"@type": _TYPES + "lua.v3.Lua", "default_source_code": source}}


def _lua_value(value: str | bool | dict[str, str]) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{_lua_value(name)}] = {_lua_value(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)


# The listeners: a resource server's.


def _one_policy(configuration: dict[str, Any]) -> dict[str, Any]:
    return configuration["policies"]["api"]


def bare_rs(around: Around) -> Listener:
    return Listener("resource-server", [])


def empty_rs(around: Around) -> Listener:
    return Listener("resource-server", [empty(around)])


def rs(around: Around) -> Listener:
    return Listener("resource-server", [certbound("resource-server", around, _one_policy)])


def rs_by_route(around: Around) -> Listener:
    """The shipped file as it is: four policies, and a route that names one in its metadata."""
    filters = [certbound("resource-server", around, lambda configuration: configuration)]
    routes = _routes("resource-server", around)
    for route in routes:
        # One that is governed by `api` says so.
        route.setdefault("metadata", {"filter_metadata": {"certbound": {"policy": "api"}}})
    return Listener("resource-server", filters, routes)


def rs_opaque(around: Around) -> Listener:
    return Listener("opaque-tokens", [certbound("opaque-tokens", around, lambda configuration: configuration)])


def rs_behind_jwt_authn(around: Around) -> Listener:
    def change(configuration: dict[str, Any]) -> dict[str, Any]:
        policy = _one_policy(configuration)
        (issuer,) = policy["resource_server"]["issuers"]
        issuer["keys"] = {"verified_by": "jwt_authn", "payload_in_metadata": "access_token"}
        return policy

    filters = [jwt_authn(around, cached=True), certbound("resource-server", around, change)]
    return Listener("resource-server", filters)


def rs_issuers(number: int) -> Make:
    """Trusts so many issuers; the last of them is the usual one."""

    def make(around: Around) -> Listener:
        def change(configuration: dict[str, Any]) -> dict[str, Any]:
            policy = _one_policy(configuration)
            (issuer,) = policy["resource_server"]["issuers"]
            others = []
            for each in range(1, number):
                other = copy.deepcopy(issuer)
                other["issuer"] = f"https://as-{each}.example.com"
                keys = [tokens.SigningKey.make(name, f"{name}-1") for name in ("ES256", "EdDSA")]
                other["keys"] = {"jwks": tokens.jwks(*keys)}
                others.append(other)
            policy["resource_server"]["issuers"] = [*others, issuer]
            return policy

        return Listener("resource-server", [certbound("resource-server", around, change)])

    return make


def jwt_authn_lua(*, cached: bool, remembers: bool) -> Make:
    return lambda around: Listener(
        "resource-server", [jwt_authn(around, cached=cached), lua("binding", REMEMBERS=remembers)]
    )


# An authorization server's.


def bare_as(around: Around) -> Listener:
    return Listener("authorization-server", [])


def bare_form(around: Around) -> Listener:
    """Envoy's own filter waits for the body: without it the response would come before, and end the connection."""
    typed = {"@type": _TYPES + "buffer.v3.Buffer", "max_request_bytes": 65536}
    return Listener("client-authentication", [{"name": "buffer", "typed_config": typed}])


def as_form(form: dict[str, Any]) -> Make:
    """certbound that hands the certificate over in one form, and does no more."""

    def change(configuration: dict[str, Any]) -> dict[str, Any]:
        server = {"forward_certificate": [form], "client_certificate": "validated"}
        return {"authorization_server": server}

    return lambda around: Listener("authorization-server", [certbound("authorization-server", around, change)])


def as_shipped(around: Around) -> Listener:
    """The shipped file as it is: two forms with the chain, its metadata edited, issued tokens looked at."""
    filters = [certbound("authorization-server", around, lambda configuration: configuration)]
    routes = _routes("authorization-server", around)
    token = next(route for route in routes if route["name"] == "token")
    # The route of /echo has the metadata of the last one.
    return Listener("authorization-server", filters, [token, {**token, "match": {"prefix": "/"}}], keeps_chain=True)


def as_client_authentication(around: Around) -> Listener:
    def change(configuration: dict[str, Any]) -> dict[str, Any]:
        server = configuration["policies"]["clients"]
        server["authorization_server"]["client_authentication"]["clients"] = [
            {
                "client_id": client.name,
                "token_endpoint_auth_method": "tls_client_auth",
                "tls_client_auth_subject_dn": client.subject,
            }
            for client in around.world.clients
        ]
        return server

    return Listener("client-authentication", [certbound("client-authentication", around, change)])


_APACHE = {"DECODED": {"0A": " ", "20": " ", "2B": "+", "2F": "/", "3D": "="}, "BARE": False, "FIRST": "", "LAST": ""}
_RFC9440 = {"DECODED": {"0A": "", "2B": "+", "2F": "/", "3D": "="}, "BARE": True, "FIRST": ":", "LAST": ":"}


def lua_gluu(*, remembers: bool) -> Make:
    return lambda around: Listener(
        "authorization-server", [lua("forward", HEADER="x-clientcert", **_APACHE, REMEMBERS=remembers)]
    )


def lua_rfc9440(*, remembers: bool) -> Make:
    return lambda around: Listener(
        "authorization-server", [lua("forward", HEADER="client-cert", **_RFC9440, REMEMBERS=remembers)]
    )
