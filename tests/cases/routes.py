# SPDX-License-Identifier: Apache-2.0
"""Which policy governs a request: metadata of routes, internal redirects, and routes of the configuration."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rig import tokens

from cases.case import (
    Case,
    Header,
    ambiguous,
    cannot_decide,
    encoded_map,
    insufficient_scope,
    invalid_token,
    no_route,
    no_token,
)
from cases.configuration import Configuration
from cases.forged import forged_headers
from cases.world import World


CONFIGURATIONS = {
    "policies-by-path": Configuration("policies-by-path"),
}


def routes(world: World) -> Iterator[Case]:
    one = world.client_1
    metadata = "xds.route_metadata.filter_metadata.certbound"

    def case(sentence: str, facts: Mapping[str, bytes], reason: str) -> Case:
        return Case(sentence, "resource-server", None, "/", one, [], facts=facts, refusal=cannot_decide(reason))

    unbound = [("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims()))]
    for path in (
        *("/migration/../accounts", "/migration/%2e%2e/accounts", "/migration//../../accounts", "/./accounts"),
        *("/migration/..;/accounts", "/migration/.%2E;x=1/accounts", "/migration/..%3b/accounts"),
        *("/migration/%252e%252e/accounts", "/migration\\..\\accounts", "/migration/..%5caccounts"),
    ):
        sentence = f"the path {path} does not take one route's policy to another's resource"
        yield Case(sentence, "resource-server", None, path, None, unbound, as_it_came=True, refusal=ambiguous())
    for path in ("//accounts", "/accounts;a=b/c;d", "/accounts%3Bx", "/100%25", "/a...b/..."):
        sentence = f"the path {path} asks for a bound token as every path of its route does"
        missing = invalid_token("confirmation_missing")
        yield Case(sentence, "resource-server", None, path, None, unbound, refusal=missing)
    yield Case(
        "a request without a token passes an open route, which removes forged headers",
        "resource-server",
        "open",
        "/health",
        None,
        forged_headers(),
        forward={},
    )
    yield case(
        "a route with a name that no policy has is refused",
        {metadata: encoded_map({"policy": "off"})},
        "unknown_policy",
    )
    yield case(
        "a policy's name in another case is refused as unknown",
        {metadata: encoded_map({"policy": "Open"})},
        "unknown_policy",
    )
    yield case("a route with an empty name is refused", {metadata: encoded_map({"policy": ""})}, "unknown_policy")
    yield case(
        "a misspelt key in the route's metadata is refused",
        {metadata: encoded_map({"polcy": "open"})},
        "route_metadata_malformed",
    )
    yield case(
        "a second key in the route's metadata is refused",
        {metadata: encoded_map({"mode": "off", "policy": "open"})},
        "route_metadata_malformed",
    )
    yield case("route metadata that is no map is refused", {metadata: b"open"}, "route_metadata_malformed")

    # Envoy has redirected the request internally, and says so in a header that it takes from no client at its edge.
    token = ("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims(one)))
    redirected = ("x-envoy-original-url", "https://localhost/before")

    def told(policy: str | None) -> dict[tuple[str, ...], bytes]:
        line = json.dumps({"verdict": "forwarded", "reason": "token_bound", "policy": policy})
        return {("filter_state", "wasm.certbound"): line.encode()}

    yield Case(
        "a good token passes after an internal redirect under the same policy",
        "resource-server",
        None,
        "/",
        one,
        [token, redirected],
        facts=told("api"),
        forward={"authorization": token[1]},
    )
    yield Case(
        "an internal redirect that leads to another policy is refused",
        "resource-server",
        "open",
        "/health",
        one,
        [token, redirected],
        facts=told("api"),
        refusal=cannot_decide("policy_changed"),
    )
    yield Case(
        "an internal redirect from an open route to the API is refused",
        "resource-server",
        None,
        "/",
        one,
        [token, redirected],
        facts=told("open"),
        refusal=cannot_decide("policy_changed"),
    )
    yield Case(
        "a good token passes after an internal redirect from a route without a policy",
        "resource-server",
        None,
        "/",
        one,
        [token, redirected],
        facts=told(None),
        forward={"authorization": token[1]},
    )
    yield Case(
        "a policy in the filter state is ignored without an internal redirect",
        "resource-server",
        None,
        "/",
        one,
        [token],
        facts=told("open"),
        forward={"authorization": token[1]},
    )
    yield Case(
        "a header of the filter's own is not refused as forged after an internal redirect",
        "keycloak",
        "clients",
        "/token",
        one,
        [("SSL_CLIENT_CERT", "written before the redirect"), redirected],
        method="POST",
        facts=told("clients"),
        forward={"ssl_client_cert": one.apache_form},
    )

    for level in ("virtual_host", "listener"):
        further = f"xds.{level}_metadata.filter_metadata.certbound"
        name = level.replace("_", " ")

        def open_by(sentence: str, facts: Mapping[str, bytes]) -> Case:
            return Case(sentence, "resource-server", None, "/", one, forged_headers(), facts=facts, forward={})

        opens = {further: encoded_map({"policy": "open"})}
        yield open_by(f"a {name}'s metadata sets the policy of its routes", opens)
        yield open_by(
            f"a route's metadata overrides its {name}'s",
            {further: encoded_map({"policy": "api"}), metadata: encoded_map({"policy": "open"})},
        )
        yield open_by(
            f"a route's empty metadata leaves the policy to its {name}'s", {**opens, metadata: encoded_map({})}
        )
        yield case(
            f"a route's malformed metadata is refused beside its {name}'s",
            {**opens, metadata: encoded_map({"polcy": "api"})},
            "route_metadata_malformed",
        )
        yield case(f"a {name}'s metadata that is no map is refused", {further: b"open"}, "route_metadata_malformed")
        yield case(
            f"a {name}'s metadata with a name that no policy has is refused",
            {further: encoded_map({"policy": "opne"})},
            "unknown_policy",
        )


def routes_of_the_configuration(world: World) -> Iterator[Case]:
    """envoy/policies-by-path.yaml."""
    one = world.client_1

    def bearer(**claims: Any) -> list[Header]:
        return [("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims(one, **claims)))]

    def case(
        sentence: str, path: str, headers: Sequence[Header], authority: str = "api.example.com", **rest: Any
    ) -> Case:
        return Case(sentence, "policies-by-path", None, path, one, headers, authority=authority, **rest)

    scoped, plain, lacking = bearer(scope="payments"), bearer(), insufficient_scope("payments")
    for path in ("/payments", "/payments/1", "/%70ayments", "/payments?/../health"):
        yield case(f"the path {path} is refused without the scope of /payments", path, plain, refusal=lacking)
        yield case(f"the path {path} passes with the scope of /payments", path, scoped, forward=dict(scoped))
    for authority in (
        *("api.example.com:8443", "API.Example.com", "api.example.com."),
        *("eu.api.example.com", "a.b.api.example.com"),
    ):
        yield case(
            f"the host {authority} is taken for the route of its name", "/payments", plain, authority, refusal=lacking
        )
    for path in ("/", "/payments-2", "/Payments", "/caf%C3%A9%20au%20lait", "/health/", "/health2"):
        yield case(f"the path {path} is taken for the route /", path, plain, forward=dict(plain))
        yield case(f"the path {path} is refused without a token", path, [], refusal=no_token("token_missing"))
    yield case(
        "a route without hosts is taken for any host", "/health", forged_headers(), "other.example.org", forward={}
    )
    for authority in ("other.example.org", "example.com", "badapi.example.com", "api.example.com.example.org"):
        yield case(f"the host {authority} is refused as route_unknown", "/", plain, authority, refusal=no_route())
    yield case(
        "a gRPC call without a route gets the gRPC status 12",
        "/accounts.Accounts/List",
        [("content-type", "application/grpc"), ("te", "trailers")],
        "other.example.org",
        refusal=replace(no_route(), grpc_status=12),
    )
    for path in ("/health;x", "/health%3Bx", "/%25", "/a%0ab", "/%ff"):
        yield case(f"the path {path} is refused as target_ambiguous", path, plain, refusal=ambiguous())
    for authority in ("api.example.com..", "api..example.com"):
        yield case(f"the host {authority} is refused as target_ambiguous", "/", plain, authority, refusal=ambiguous())
    for path in (
        *("//payments", "/health/../payments", "/./payments", "/health/.", "/%2e%2e/payments", "/payments%2f1"),
        *("/%5cpayments", "/payments%00", "/health#/payments", "/health\\payments", "/health/..;/payments"),
    ):
        yield case(f"the path {path} is refused as target_ambiguous", path, plain, as_it_came=True, refusal=ambiguous())
    for level in ("route", "virtual_host", "listener"):
        for name in ("open", "api", "nobody"):
            yield case(
                f"a {level} whose metadata names the policy {name} beside routes is refused",
                "/health",
                plain,
                facts={f"xds.{level}_metadata.filter_metadata.certbound": encoded_map({"policy": name})},
                refusal=cannot_decide("route_metadata_malformed"),
            )
