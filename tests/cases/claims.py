# SPDX-License-Identifier: Apache-2.0
"""What a token says: its kind, issuer, audience, times, type, lifetime and scope (RFC 7519, RFC 9068)."""

import json
from collections.abc import Iterator
from typing import Any

from cases.api import Shipped, Variants
from cases.case import Case, insufficient_scope, invalid_token
from cases.world import AUDIENCE, ISSUER, LIFETIME, World


def variants(world: World) -> dict[str, dict[str, Any] | None]:
    return {
        "no-leeway": {"leeway_seconds": 0},
        "any-client": {"issuer": {"audience": "any_client", "confirmation": "top_level"}},
        "long-leeway": {"leeway_seconds": 60},
        "at-jwt": {"issuer": {"token_type": "at+jwt"}},
        "short-lived": {"issuer": {"max_lifetime_seconds": LIFETIME}},
        "scopes": {"required_scopes": ["accounts", "payments:write"]},
        "roles": {"required_scopes": ["admin"], "scope_claims": ["/realm_access/roles", "groups"]},
        "client-and-scopes": {
            "forward_claims": [
                {"claim": "client_id", "header": "x-client"},
                {"claim": "scope", "header": "x-scope"},
                {"claim": "scp", "header": "x-scp"},
            ]
        },
        "scopes-observe": {"required_scopes": ["accounts"], "certificate_binding": "observe"},
    }


def claims(world: World) -> Iterator[Case]:
    one = world.client_1
    api = Shipped(world)
    passes, refused, sign, raw = api.passes, api.refused, api.sign, api.raw

    # Another token than an access token, signed with the same keys (RFC 8725 §3.12).
    for name, marks in other_tokens():
        yield refused(f"{name} is refused as no access token", sign(**marks), "token_type_unsupported")
        yield refused(
            f"{name} is refused under if_present",
            sign(bound_to=None, **marks),
            "token_type_unsupported",
            policy="migration",
            on=None,
        )
    for name, marks in access_tokens():
        yield passes(f"a token with a nonce passes beside {name}", sign(nonce="n", **marks))
    for kind in ("at+jwt", "application/at+jwt"):
        yield passes(f"a token with a nonce passes with typ {kind}", sign({"typ": kind}, nonce="n"))
        yield refused(
            f"a token whose claim typ is ID is refused with the header typ {kind}",
            sign({"typ": kind}, typ="ID"),
            "token_type_unsupported",
        )
    for name, claims in [
        ("unknown words in typ, token_use and purpose", {"typ": "JWT", "token_use": "service", "purpose": "payment"}),
        # RFC 7662 has this member in a response; in a token no standard does, and some servers have words of their own.
        ("an unknown token_type", {"token_type": "access"}),
        (
            "typ, tokenName and token_use that are no text",
            {"typ": 1, "tokenName": ["id_token"], "token_use": {"id": True}},
        ),
    ]:
        yield passes(f"a token with {name} passes", sign(**claims))
    for name in ("nonce", "at_hash", "events", "typ"):
        yield passes(f"a token whose {name} is null passes", raw(payload=json.dumps({**world.claims(one), name: None})))

    # To those who write null it means that there is nothing to say: the claim is absent.
    def null(*names: str) -> str:
        return raw(payload=json.dumps({**world.claims(one), **dict.fromkeys(names)}))

    yield passes("a token whose sub, jti, nbf, iat and scope are null passes", null("sub", "jti", "nbf", "iat", "scope"))
    for name in ("iss", "aud", "exp"):
        yield refused(f"a token whose {name} is null is refused as if it had none", null(name), "claim_missing")
    for name, reason in [("kid", "token_malformed"), ("typ", "token_type_unsupported")]:
        yield refused(f"a token whose header has {name} that is null is refused", sign({name: None}), reason)

    # Claims: RFC 7519 §4.1.
    for sentence, token, reason in [
        ("a token of another issuer is refused", sign(iss="https://other.example.com"), "issuer_not_trusted"),
        ("iss with a slash more at its end is refused", sign(iss=ISSUER + "/"), "issuer_not_trusted"),
        ("iss that is a list is refused as malformed", sign(iss=[ISSUER]), "claim_malformed"),
        ("a token without an issuer is refused", sign(iss=None), "claim_missing"),
        ("a token for another audience is refused", sign(aud="https://other.example.com"), "audience_mismatch"),
        (
            "aud that is a list of other audiences is refused",
            sign(aud=["https://other.example.com"]),
            "audience_mismatch",
        ),
        ("aud that is an empty list is refused", sign(aud=[]), "audience_mismatch"),
        ("aud that is a number is refused as malformed", sign(aud=1), "claim_malformed"),
        ("aud that is a list with a number is refused as malformed", sign(aud=[1, AUDIENCE]), "claim_malformed"),
        ("a token without an audience is refused", sign(aud=None), "claim_missing"),
        ("a token without an expiry is refused", sign(exp=None), "claim_missing"),
        ("an expired token is refused", sign(exp=world.now - 3600), "token_expired"),
        ("nbf of tomorrow is refused", sign(nbf=world.now + 86400), "token_not_yet_valid"),
        ("exp that is a string is refused as malformed", sign(exp=str(world.now + LIFETIME)), "claim_malformed"),
        ("exp that is true is refused as malformed", sign(exp=True), "claim_malformed"),
        ("exp that is negative is refused as malformed", sign(exp=-1), "claim_malformed"),
        ("exp after the year 9999 is refused as malformed", sign(exp=253402300800), "claim_malformed"),
        (
            "exp of 1e400 is refused as malformed",
            raw(payload=json.dumps(world.claims(one)).replace(f'"exp": {world.now + LIFETIME}', '"exp": 1e400')),
            "token_malformed",
        ),
        ("nbf that is a string is refused as malformed", sign(nbf=str(world.now)), "claim_malformed"),
        ("iat that is a string is refused as malformed", sign(iat="now"), "claim_malformed"),
        ("sub that is a number is refused as malformed", sign(sub=1), "claim_malformed"),
        ("jti that is a number is refused as malformed", sign(jti=1), "claim_malformed"),
    ]:
        yield refused(sentence, token, reason)
    yield passes("aud that is a list with the API's audience passes", sign(aud=["https://other.example.com", AUDIENCE]))
    yield passes("exp with a fraction passes with ES256", sign(exp=world.now + LIFETIME + 0.5))
    yield passes("exp with a fraction passes with PS256", sign(key=world.keys["PS256"], exp=world.now + LIFETIME + 0.5))
    for name in ("ES256", "PS256"):
        chain = sign({"x5c": ["M" * 3000] * 3, "salt": "AAAA"}, key=world.keys[name])
        yield passes(f"a header of 9 kB passes with {name}", chain)
    yield refused(
        "iss with a line end is refused and logged in one line",
        sign(iss="https://as\r\nrefused: reason=none policy=\u65e5\u202e"),
        "issuer_not_trusted",
    )
    yield refused("kid with a line end is refused and logged in one line", sign({"kid": "1\r\n\x1b[2J"}), "key_unknown")

    yield refused("iat of tomorrow is refused", sign(iat=world.now + 86400), "token_not_yet_valid")

    # The clock, second by second.
    for policy, leeway in [("no-leeway", 0), ("api", 10), ("long-leeway", 60)]:
        where = {"policy": policy, "configuration": "resource-server" if policy == "api" else "variants"}
        for claim, reason, sign_of_leeway in [
            ("exp", "token_expired", 1),
            ("nbf", "token_not_yet_valid", -1),
            ("iat", "token_not_yet_valid", -1),
        ]:
            token = sign(**{"exp": world.now + 10000, claim: world.now + 200})
            for beyond in (-1, 0, 1):
                later = 200 + sign_of_leeway * leeway + beyond
                name = f"a token is judged {beyond} seconds from where the leeway of {leeway} for its {claim} ends"
                # `exp` is the first second that is too late, `nbf` and `iat` are the first that is not too early.
                if (beyond < 0) == (claim == "exp"):
                    yield passes(name, token, later=later, **where)
                else:
                    yield refused(name, token, reason, later=later, **where)


def other_tokens() -> list[tuple[str, dict[str, Any]]]:
    """What a token has that is no access token."""
    keycloak = ["ID", "Refresh", "Offline", "Logout", "Serialized-ID", "InitialAccessToken", "RegistrationAccessToken"]
    # The links that Keycloak sends by mail, and makes for administrators, are tokens too.
    keycloak += ["execute-actions", "verify-email", "update-email", "reset-credentials", "idp-verify-account-via-email"]
    keycloak += ["ORGIVT", "impersonate"]
    return [
        *((f"a token with Keycloak's typ {name}", {"typ": name, "scope": "openid"}) for name in keycloak),
        ("a token whose typ is iD in mixed case", {"typ": "iD"}),
        ("an ID token of Cognito's", {"token_use": "id", "scope": "openid"}),
        ("a refresh token of Hydra's", {"token_use": "refresh_token", "scope": "openid"}),
        ("a refresh token by its token_use", {"token_use": "refresh"}),
        ("an ID token of ForgeRock's", {"tokenName": "id_token", "scope": "openid"}),
        ("a refresh token of ForgeRock's", {"tokenName": "refresh_token", "scope": "openid"}),
        ("an ID token of Curity's", {"purpose": "id", "scope": "openid"}),
        ("a refresh token by its token_type", {"token_type": "Refresh", "scope": "openid"}),
        ("an ID token with the hash of an access token", {"at_hash": "77QmUPtjPfzWtF2AnpK9RQ", "scope": "openid"}),
        ("an ID token with the hash of a code", {"c_hash": "LDktKdoQak3Pk0cnXxCltA", "scope": "openid"}),
        ("an ID token with the hash of a state", {"s_hash": "76sa5dd", "scope": "openid"}),
        (
            "a logout token",
            {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}, "sid": "1", "scope": "openid"},
        ),
        ("a token whose events is a number", {"events": 1}),
        ("an ID token with a nonce", {"nonce": "n-0S6_WzA2Mj"}),
        ("a token with a nonce that is a number", {"nonce": 1}),
        ("a token with a nonce and an unknown token_use", {"nonce": "n", "typ": "JWT", "token_use": "service"}),
    ]


def access_tokens() -> list[tuple[str, dict[str, Any]]]:
    """What an access token has and no ID token does: some servers write a nonce into both."""
    return [
        ("a scope", {"scope": "accounts"}),
        ("a list of scopes", {"scp": ["accounts"]}),
        ("Keycloak's Bearer", {"typ": "Bearer"}),
        ("Keycloak's DPoP in another case", {"typ": "dpop"}),
        ("Cognito's access", {"token_use": "access"}),
        ("Hydra's access_token", {"token_use": "access_token"}),
        ("ForgeRock's access_token", {"tokenName": "access_token"}),
        ("Curity's access_token", {"purpose": "access_token"}),
        ("a token_type", {"token_type": "Bearer"}),
    ]


def type_lifetime_and_scope(world: World) -> Iterator[Case]:
    two = world.client_2
    api = Variants(world)
    carrying, sign, bound = api.carrying, api.sign, api.bound

    # The type, the lifetime and the scope: RFC 9068.
    for kind in ("at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"):
        yield carrying("at-jwt", f"typ {kind} passes under token_type: at+jwt", sign({"typ": kind}))
    for kind in ("JWT", "id+jwt", "logout+jwt", "application/jwt+at", "application/at", "xat+jwt"):
        yield carrying(
            "at-jwt",
            f"typ {kind} is refused under token_type: at+jwt",
            sign({"typ": kind}),
            refusal=invalid_token("token_type_unsupported"),
        )
    yield carrying(
        "at-jwt",
        "a token without typ is refused under token_type: at+jwt",
        bound,
        refusal=invalid_token("token_type_unsupported"),
    )
    yield carrying("short-lived", "a token of exactly max_lifetime_seconds passes", sign(exp=world.now + LIFETIME))
    for sentence, claims, reason in [
        (
            "a token of a second more than max_lifetime_seconds is refused",
            {"exp": world.now + LIFETIME + 1},
            "token_lifetime_too_long",
        ),
        (
            "a token of half a second more than max_lifetime_seconds is refused",
            {"exp": world.now + LIFETIME + 0.5},
            "token_lifetime_too_long",
        ),
        (
            "a token that was issued a day ago is refused under max_lifetime_seconds",
            {"iat": world.now - 86400},
            "token_lifetime_too_long",
        ),
        ("a token without iat is refused under max_lifetime_seconds", {"iat": None}, "claim_missing"),
    ]:
        yield carrying("short-lived", sentence, sign(**claims), refusal=invalid_token(reason))
    # As oxAuth and Janssen write aud.
    own = {"aud": "client-9", "client_id": "client-9"}
    for name, claims in [
        ("aud is its client", own),
        ("aud is its client by azp", {"aud": ["client-9"], "client_id": None, "azp": "client-9"}),
        ("aud is this API", {}),
    ]:
        yield carrying("any-client", f"a token whose {name} passes under audience: any_client", sign(**claims))
    for name, claims in [
        ("another client", {**own, "aud": "client-8"}),
        ("a client by its second claim", {**own, "aud": "client-8", "azp": "client-8"}),
        ("a client, where it names none", {"aud": "client-9", "client_id": None}),
        ("its subject", {"aud": "user", "sub": "user", "client_id": "client-9"}),
    ]:
        yield carrying(
            "any-client",
            f"a token whose aud is {name} is refused under audience: any_client",
            sign(**claims),
            refusal=invalid_token("audience_mismatch"),
        )
    yield carrying(
        "no-leeway",
        "a token whose aud is its client is refused without audience: any_client",
        sign(**own),
        refusal=invalid_token("audience_mismatch"),
    )
    for scope in ("accounts payments:write", "payments:write other accounts"):
        yield carrying("scopes", f"the scope {scope!r} passes", sign(scope=scope))
    wanted = insufficient_scope("accounts payments:write")
    for scope in (
        None,
        "",
        "accounts",
        "payments:write",
        "accounts payments",
        "Accounts payments:write",
        "accounts,payments:write",
    ):
        yield carrying("scopes", f"the scope {scope!r} is insufficient", sign(scope=scope), refusal=wanted)
    # Spring writes a list into scope, Okta one into scp, Microsoft a text.
    for claims in (
        {"scope": ["accounts", "payments:write"]},
        {"scp": ["payments:write", "other", "accounts"]},
        {"scp": "accounts payments:write"},
        {"scope": "accounts", "scp": ["payments:write"]},
        {"scope": ["accounts"], "scp": "payments:write"},
        {"scope": "  accounts  payments:write "},
    ):
        yield carrying("scopes", f"{json.dumps(claims)} passes", sign(**claims))
    for claims in (
        {"scope": ["accounts payments:write"]},
        {"scp": ["accounts", "Payments:write"]},
        {"scope": []},
        {"permission": "accounts payments:write", "roles": ["accounts", "payments:write"]},
        {"scope": ["accounts"], "realm_access": {"roles": ["payments:write"]}},
    ):
        yield carrying("scopes", f"{json.dumps(claims)} is insufficient", sign(**claims), refusal=wanted)
    for claims in ({"scope": ["accounts", 1]}, {"scope": 1}, {"scope": "accounts payments:write", "scp": {"a": "b"}}):
        yield carrying(
            "scopes",
            f"{json.dumps(claims)} is refused as malformed",
            sign(**claims),
            refusal=invalid_token("claim_malformed"),
        )
    for claims in (
        {"realm_access": {"roles": ["admin"]}},
        {"realm_access": {"roles": "user admin"}},
        {"groups": "admin"},
        {"realm_access": {"roles": []}, "groups": ["admin"]},
        {"realm_access": "admin", "groups": ["admin"]},
    ):
        yield carrying("roles", f"{json.dumps(claims)} passes under scope_claims", sign(**claims))
    for claims in (
        {"scope": "admin", "scp": ["admin"]},
        {"realm_access": ["admin"]},
        {"realm_access": {"roles": {"admin": True}}},
        {"/realm_access/roles": ["admin"]},
        {"roles": ["admin"]},
    ):
        malformed = claims.get("realm_access") == {"roles": {"admin": True}}
        yield carrying(
            "roles",
            f"{json.dumps(claims)} is refused under scope_claims",
            sign(**claims),
            refusal=invalid_token("claim_malformed") if malformed else insufficient_scope("admin"),
        )

    # The client's names in the order in which they count, and scopes in either form.
    for claims, headers in [
        ({"client_id": "a", "azp": "b", "scope": ["x", "y"]}, {"x-client": "a", "x-scope": "x y"}),
        ({"client_id": None, "azp": "b", "appid": "c", "scope": "x y"}, {"x-client": "b", "x-scope": "x y"}),
        ({"client_id": None, "appid": "c", "cid": "d", "scp": ["x"]}, {"x-client": "c", "x-scp": "x"}),
        ({"client_id": None, "cid": "d", "scp": "x y"}, {"x-client": "d", "x-scp": "x y"}),
    ]:
        token = sign(**claims)
        yield carrying(
            "client-and-scopes",
            f"the API gets {json.dumps(headers)} in headers",
            token,
            forward={"authorization": f"Bearer {token}", **headers},
        )
    for scope in (["x y"], [], ["x", 1]):
        yield carrying(
            "client-and-scopes",
            f"the scope {json.dumps(scope)} is refused for a header",
            sign(scope=scope),
            refusal=invalid_token("claim_malformed"),
        )
    yield carrying(
        "scopes",
        "a token on another certificate without the required scope is refused as certificate_mismatch",
        bound,
        on=two,
        refusal=invalid_token("certificate_mismatch"),
    )
