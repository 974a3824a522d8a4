# SPDX-License-Identifier: Apache-2.0
"""Issuers whose identifier has a claim of the token in it: one server, one set of keys, and an issuer for each tenant. Microsoft
Entra's is https://login.microsoftonline.com/{tid}/v2.0."""

from collections.abc import Iterator
from typing import Any

from cases.api import Variants
from cases.case import Case, encoded_map, invalid_token
from cases.jws import flipped
from cases.world import World

ONE, TWO = "72f988bf-86f1-41af-91ab-2d7cd011db47", "9188040d-6c67-4c5b-b112-36a304b66dad"

_TEMPLATE = "https://login.example.com/{tid}/v2.0"


def variants(world: World) -> dict[str, dict[str, Any] | None]:
    verified = {"keys": {"verified_by": "jwt_authn", "payload_in_metadata": "access_token"}}
    return {
        "tenants": {"issuer": {"issuer": _TEMPLATE}},
        "tenants-listed": {"issuer": {"issuer": _TEMPLATE, "issuer_claims": {"tid": [ONE, "example.com"]}}},
        "tenants-of-realms": {
            "issuer": {"issuer": "https://{region}.example.com/{realm}", "issuer_claims": {"region": ["eu", "us"]}}
        },
        "tenants-removed": {"issuer": {"issuer": _TEMPLATE, "issuer_claims": {"tid": [ONE]}, **verified}},
    }


def _issuer(tenant: str) -> str:
    return f"https://login.example.com/{tenant}/v2.0"


def tenants(world: World) -> Iterator[Case]:
    api = Variants(world)
    carrying, sign = api.carrying, api.sign
    foreign = invalid_token("issuer_not_trusted")

    def of(tenant: str, **claims: Any) -> dict[str, Any]:
        return {"iss": _issuer(tenant), "tid": tenant, **claims}

    for name, tenant in [("one", ONE), ("another", TWO), ("a name", "example.com"), ("every character", "-._aZ09")]:
        yield carrying("tenants", f"a token passes whose tid is {name} and in its iss", sign(**of(tenant)))
    yield carrying("tenants-listed", "a token of the first tenant that issuer_claims lists passes", sign(**of(ONE)))
    yield carrying(
        "tenants-listed", "a token of the last tenant that issuer_claims lists passes", sign(**of("example.com"))
    )
    for name, tenant in [
        ("another tenant", TWO),
        ("a tenant in other capitals", ONE.upper()),
        ("a tenant whose name begins as a listed one", ONE + "0"),
        ("a tenant whose name a listed one begins with", "example"),
    ]:
        yield carrying(
            "tenants-listed",
            f"a token of {name} than issuer_claims lists is refused",
            sign(**of(tenant)),
            refusal=foreign,
        )

    # The whole iss, with this token's own claim in it, and nothing else.
    for name, claims in [
        ("no tid", of(ONE, tid=None)),
        ("another tid than its iss", of(ONE, tid=TWO)),
        ("a tid in other capitals than its iss", of(ONE, tid=ONE.upper())),
        ("the template for its iss", {"iss": _TEMPLATE, "tid": "{tid}"}),
        ("the template for its iss and a good tid", {"iss": _TEMPLATE, "tid": ONE}),
        ("no tid in its iss", {"iss": "https://login.example.com//v2.0", "tid": ONE}),
        ("an empty tid", of("")),
        ("a tid with a slash", of(f"{ONE}/v2.0/{TWO}")),
        ("a tid that leads elsewhere", {"iss": "https://login.example.com/x/v2.0?/v2.0", "tid": "x/v2.0?"}),
        ("a tid with a percent sign", of("a%2fb")),
        ("a tid with an at sign", of("a@b")),
        ("a tid with a colon", of("a:b")),
        ("a tid with a space", of("a b")),
        ("a tid with a NUL", of("a\0")),
        ("a tid beyond ASCII", of("caf\u00e9")),
        ("a tid that is a number", of("1", tid=1)),
        ("a tid that is a list", of(ONE, tid=[ONE])),
        ("a tid that is an object", of(ONE, tid={"tid": ONE})),
        ("more behind its iss", {"iss": _issuer(ONE) + "/", "tid": ONE}),
        ("less behind its iss", {"iss": _issuer(ONE)[:-1], "tid": ONE}),
        ("more before its iss", {"iss": "x" + _issuer(ONE), "tid": ONE}),
        ("its tid twice in its iss", {"iss": _issuer(ONE + ONE), "tid": ONE}),
        ("another path in its iss", {"iss": f"https://login.example.com/{ONE}/v1.0", "tid": ONE}),
        ("another host in its iss", {"iss": f"https://login.example.org/{ONE}/v2.0", "tid": ONE}),
    ]:
        yield carrying("tenants", f"a token with {name} is refused", sign(**claims), refusal=foreign)
    yield carrying(
        "tenants",
        "a token without iss is refused where the issuer is a template",
        sign(iss=None, tid=ONE),
        refusal=invalid_token("claim_missing"),
    )
    yield carrying(
        "tenants",
        "a token of a tenant with a changed signature is refused",
        flipped(sign(**of(ONE))),
        refusal=invalid_token("signature_invalid"),
    )
    yield carrying(
        "tenants",
        "a token of a tenant on another certificate is refused",
        sign(**of(ONE)),
        on=world.client_2,
        refusal=invalid_token("certificate_mismatch"),
    )

    # Two claims, one of them with a list.
    def at(in_host: str, in_path: str, **claims: Any) -> dict[str, Any]:
        return {"iss": f"https://{in_host}.example.com/{in_path}", "region": in_host, "realm": in_path, **claims}

    yield carrying("tenants-of-realms", "a token passes with both claims in its iss", sign(**at("eu", "bank")))
    for name, claims in [
        ("the first of two claims not listed", at("ap", "bank")),
        ("the second of two claims missing", at("eu", "bank", realm=None)),
        ("the first of two claims missing", at("eu", "bank", region=None)),
        ("two claims in each other's place", at("eu", "us", region="us", realm="eu")),
    ]:
        yield carrying("tenants-of-realms", f"a token with {name} is refused", sign(**claims), refusal=foreign)

    # As jwt_authn left it, whose provider has no issuer of its own.
    payload = ("metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "access_token")
    for sentence, claims, refusal in [
        ("a removed token of a listed tenant passes", of(ONE), None),
        ("a removed token of another tenant is refused", of(TWO), foreign),
        ("a removed token with another tid than its iss is refused", of(ONE, tid=TWO), foreign),
        ("a removed token without tid is refused", of(ONE, tid=None), foreign),
        ("a removed token whose tid is a list is refused", of(ONE, tid=[ONE]), foreign),
    ]:
        facts = {payload: encoded_map(world.claims(world.client_1, **claims))}
        ends: dict[str, Any] = {"refusal": refusal} if refusal else {"forward": {}}
        yield api.case("tenants-removed", sentence, facts=facts, **ends)
    for sentence, claims, refusal in [
        ("a token of a listed tenant that jwt_authn verified passes", of(ONE), None),
        ("a token of another tenant that jwt_authn verified is refused", of(TWO), foreign),
    ]:
        facts = {payload: encoded_map(world.claims(world.client_1, **claims))}
        rest: dict[str, Any] = {"refusal": refusal} if refusal else {}
        yield carrying("tenants-removed", sentence, sign(**claims), facts=facts, **rest)
