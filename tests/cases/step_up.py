# SPDX-License-Identifier: Apache-2.0
"""How the user was authenticated for the token: RFC 9470."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from cases.api import Variants
from cases.case import Case, Refusal, encoded_map, insufficient_scope, invalid_token
from cases.world import LIFETIME, World

AGE = LIFETIME
"""As long as a good token: more than a run of all tests takes."""

GOLD, SILVER = "urn:example:gold", "urn:example:silver"


def variants(world: World) -> dict[str, dict[str, Any] | None]:
    verified = {"keys": {"verified_by": "jwt_authn", "payload_in_metadata": "access_token"}}
    return {
        "acr": {"required_acr": [GOLD, SILVER]},
        "auth-age": {"max_auth_age_seconds": AGE},
        "step-up": {
            "required_acr": [GOLD],
            "max_auth_age_seconds": AGE,
            "required_scopes": ["payments"],
            "leeway_seconds": 0,
            "schemes": ["Bearer", "mtls_pop"],
            "certificate_binding": "observe",
        },
        "step-up-removed": {"required_acr": [GOLD], "max_auth_age_seconds": AGE, "issuer": verified},
    }


def _insufficient(acr_values: str | None = None, max_age: int | None = None) -> Refusal:
    return Refusal(
        "user_authentication_insufficient",
        401,
        "insufficient_user_authentication",
        challenge=True,
        acr_values=acr_values,
        max_age=max_age,
    )


def step_up(world: World) -> Iterator[Case]:
    api = Variants(world)
    carrying, sign = api.carrying, api.sign
    now = world.now

    # acr: one of those that are listed, compared whole.
    acr = _insufficient(acr_values=f"{GOLD} {SILVER}")
    for value in (GOLD, SILVER):
        yield carrying("acr", f"a token with the acr {value} passes", sign(acr=value))
    for name, claims in [
        ("without acr", {}),
        ("with another acr", {"acr": "urn:example:bronze"}),
        ("with an empty acr", {"acr": ""}),
        ("with an acr in capitals", {"acr": GOLD.upper()}),
        ("with two acr in one text", {"acr": f"{GOLD} {SILVER}"}),
        ("with more behind its acr", {"acr": GOLD + "0"}),
        ("with the acr in acr_values", {"acr_values": GOLD}),
    ]:
        yield carrying("acr", f"a token {name} needs another authentication of the user", sign(**claims), refusal=acr)
    for name, value in {"a list": [GOLD], "a number": 1, "true": True}.items():
        yield carrying(
            "acr",
            f"an acr that is {name} is refused as malformed",
            sign(acr=value),
            refusal=invalid_token("claim_malformed"),
        )
        yield carrying(
            "auth-age", f"an acr that is {name} is not looked at where none is required", sign(acr=value, auth_time=now)
        )
    yield carrying(
        "acr", "an auth_time that is a text is not looked at where none is required", sign(acr=GOLD, auth_time="x")
    )

    # auth_time, second by second; the leeway is 10.
    age = _insufficient(max_age=AGE)
    token = sign(auth_time=now, exp=now + 2 * AGE)
    for later in (0, AGE, AGE + 10):
        yield carrying(
            "auth-age", f"a token passes {later} seconds after the user's authentication", token, later=later
        )
    for later in (AGE + 11, AGE + 3600):
        yield carrying(
            "auth-age",
            f"a token is refused {later} seconds after the user's authentication",
            token,
            later=later,
            refusal=age,
        )
        # What was learnt of it earlier ages with it.
        yield carrying(
            "auth-age",
            f"a token that has passed is refused {later} seconds after the user's authentication",
            token,
            later=later,
            before=[token],
            refusal=age,
        )
    for name, value in [("half a second too old", now - AGE - 10.5), ("of 1970", 0), ("of tomorrow", now + 86400)]:
        yield carrying(
            "auth-age",
            f"an auth_time {name} needs another authentication of the user",
            sign(auth_time=value),
            refusal=age,
        )
    # A second later, which no real Envoy plays.
    yield carrying("auth-age", "an auth_time 10 seconds ahead passes", sign(auth_time=now + 11), later=1)
    yield carrying(
        "auth-age",
        "an auth_time 11 seconds ahead needs another authentication of the user",
        sign(auth_time=now + 12),
        later=1,
        refusal=age,
    )
    yield carrying(
        "auth-age", "a token without auth_time needs another authentication of the user", sign(), refusal=age
    )
    for name, value in {
        "a text": str(now),
        "true": True,
        "a list": [now],
        "negative": -1,
        "in milliseconds": now * 1000,
    }.items():
        yield carrying(
            "auth-age",
            f"an auth_time that is {name} is refused as malformed",
            sign(auth_time=value),
            refusal=invalid_token("claim_malformed"),
        )

    # Both, beside everything else.
    both = _insufficient(acr_values=GOLD, max_age=AGE)
    good = {"acr": GOLD, "auth_time": now, "scope": "payments", "exp": now + 2 * AGE}
    yield carrying("step-up", "a token with acr, auth_time and scope passes", sign(**good))
    for name, change, later in [
        ("acr", {"acr": SILVER}, 0),
        ("auth_time", {"auth_time": None}, 0),
        ("fresh auth_time", {}, AGE + 1),
    ]:
        for scheme in ("Bearer", "mtls_pop"):
            yield carrying(
                "step-up",
                f"a token without {name} is told acr_values and max_age under {scheme}",
                sign(**{**good, **change}),
                scheme=scheme,
                later=later,
                refusal=both,
            )
    for sentence, claims, rest in [
        ("a token without scope is told of the authentication first", {"scope": None, "acr": None}, {"refusal": both}),
        (
            "a token with the right authentication is told of its scope",
            {"scope": None},
            {"refusal": insufficient_scope("payments")},
        ),
        (
            "an expired token is refused as such before its authentication",
            {"exp": now - 60, "acr": None},
            {"refusal": invalid_token("token_expired")},
        ),
        (
            "a token on another certificate is refused under mtls_pop before its authentication",
            {"acr": None},
            {"on": world.client_2, "scheme": "mtls_pop", "refusal": invalid_token("certificate_mismatch")},
        ),
        (
            "a token on another certificate needs the authentication under observe",
            {"acr": None},
            {"on": world.client_2, "refusal": both},
        ),
    ]:
        yield carrying("step-up", sentence, sign(**{**good, **claims}), **rest)
    yield carrying(
        "step-up",
        "a gRPC call that needs another authentication of the user gets the gRPC status 16",
        sign(scope="payments"),
        method="POST",
        headers=[("content-type", "application/grpc")],
        refusal=replace(both, grpc_status=16),
    )

    # As jwt_authn left it.
    payload = ("metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "access_token")

    def removed(sentence: str, claims: Mapping[str, Any], refusal: Refusal | None = None, **rest: Any) -> Case:
        facts = {payload: encoded_map(world.claims(world.client_1, **claims))}
        ends: dict[str, Any] = {"refusal": refusal} if refusal else {"forward": {}}
        return api.case("step-up-removed", sentence, facts=facts, **ends, **rest)

    yield removed("a removed token with acr and auth_time passes", {"acr": GOLD, "auth_time": now})
    yield removed("a removed token with another acr is refused", {"acr": SILVER, "auth_time": now}, both)
    yield removed("a removed token without auth_time is refused", {"acr": GOLD}, both)
    yield removed(
        "a removed token with an old auth_time is refused",
        {"acr": GOLD, "auth_time": now, "exp": now + 2 * AGE},
        both,
        later=AGE + 11,
    )
