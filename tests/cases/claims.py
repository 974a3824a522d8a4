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
        "long-leeway": {"leeway_seconds": 60},
        "at-jwt": {"issuer": {"token_type": "at+jwt"}},
        "short-lived": {"issuer": {"max_lifetime_seconds": LIFETIME}},
        "scopes": {"required_scopes": ["accounts", "payments:write"]},
        "scopes-observe": {"required_scopes": ["accounts"], "certificate_binding": "observe"},
    }


def claims(world: World) -> Iterator[Case]:
    one = world.client_1
    api = Shipped(world)
    passes, refused, sign, raw = api.passes, api.refused, api.sign, api.raw

    # Another token than an access token, signed with the same keys (RFC 8725 §3.12).
    for name, marks in other_tokens():
        yield refused(f"{name} is no access token", sign(**marks), "token_type_unsupported")
        yield refused(
            f"{name} is no access token during a migration without a certificate either",
            sign(bound_to=None, **marks),
            "token_type_unsupported",
            policy="migration",
            on=None,
        )
    for name, marks in access_tokens():
        yield passes(f"a nonce does not matter beside {name}", sign(nonce="n", **marks))
    for kind in ("at+jwt", "application/at+jwt"):
        yield passes(f"a nonce does not matter in a token of the type {kind}", sign({"typ": kind}, nonce="n"))
        yield refused(
            f"an ID token is no access token for its type {kind}", sign({"typ": kind}, typ="ID"), "token_type_unsupported"
        )
    for name, claims in [
        ("a word for its kind that nobody knows", {"typ": "JWT", "token_use": "service", "purpose": "payment"}),
        # RFC 7662 has this member in an answer; in a token no standard does, and some servers have words of their own.
        ("a token_type of its own", {"token_type": "access"}),
        ("a word for its kind that is no text", {"typ": 1, "tokenName": ["id_token"], "token_use": {"id": True}}),
    ]:
        yield passes(f"a token with {name} passes", sign(**claims))
    for name in ("nonce", "at_hash", "events", "typ"):
        yield passes(
            f"a token whose {name} is null passes", raw(payload=json.dumps({**world.claims(one), name: None}))
        )

    # Claims: RFC 7519 §4.1.
    for sentence, token, reason in [
        ("another issuer is refused", sign(iss="https://other.example.com"), "issuer_not_trusted"),
        ("an issuer that differs by a slash is refused", sign(iss=ISSUER + "/"), "issuer_not_trusted"),
        ("an issuer that is a list is malformed", sign(iss=[ISSUER]), "claim_malformed"),
        ("a token without an issuer is refused", sign(iss=None), "claim_missing"),
        ("another audience is refused", sign(aud="https://other.example.com"), "audience_mismatch"),
        ("a list of other audiences is refused", sign(aud=["https://other.example.com"]), "audience_mismatch"),
        ("an empty list of audiences is refused", sign(aud=[]), "audience_mismatch"),
        ("an audience that is a number is malformed", sign(aud=1), "claim_malformed"),
        ("an audience in a list that is a number is malformed", sign(aud=[1, AUDIENCE]), "claim_malformed"),
        ("a token without an audience is refused", sign(aud=None), "claim_missing"),
        ("a token without an expiry is refused", sign(exp=None), "claim_missing"),
        ("an expired token is refused", sign(exp=world.now - 3600), "token_expired"),
        ("a token of tomorrow is refused", sign(nbf=world.now + 86400), "token_not_yet_valid"),
        ("an expiry that is a string is malformed", sign(exp=str(world.now + LIFETIME)), "claim_malformed"),
        ("an expiry that is true is malformed", sign(exp=True), "claim_malformed"),
        (
            "an expiry that is null is malformed",
            raw(payload=json.dumps({**world.claims(one), "exp": None})),
            "claim_malformed",
        ),
        ("a negative expiry is malformed", sign(exp=-1), "claim_malformed"),
        ("an expiry after the year 9999 is malformed", sign(exp=253402300800), "claim_malformed"),
        (
            "an expiry that no number can hold is malformed",
            raw(payload=json.dumps(world.claims(one)).replace(f'"exp": {world.now + LIFETIME}', '"exp": 1e400')),
            "token_malformed",
        ),
        ("a not-before that is a string is malformed", sign(nbf=str(world.now)), "claim_malformed"),
        ("an issue time that is a string is malformed", sign(iat="now"), "claim_malformed"),
        ("a subject that is a number is malformed", sign(sub=1), "claim_malformed"),
        ("a token id that is a number is malformed", sign(jti=1), "claim_malformed"),
    ]:
        yield refused(sentence, token, reason)
    yield passes("one of several audiences passes", sign(aud=["https://other.example.com", AUDIENCE]))
    yield passes("an expiry with a fraction passes", sign(exp=world.now + LIFETIME + 0.5))
    yield passes(
        "an expiry with a fraction passes with PS256 too", sign(key=world.keys["PS256"], exp=world.now + LIFETIME + 0.5)
    )
    for name in ("ES256", "PS256"):
        chain = sign({"x5c": ["M" * 3000] * 3, "salt": "AAAA"}, key=world.keys[name])
        yield passes(f"a long header does not matter to {name}", chain)
    yield refused(
        "an issuer with a line end in it does not end a line of the log",
        sign(iss="https://as\r\nrefused: reason=none policy=\u65e5\u202e"),
        "issuer_not_trusted",
    )
    yield refused(
        "a key id with a line end in it does not end a line of the log", sign({"kid": "1\r\n\x1b[2J"}), "key_unknown"
    )

    yield refused("a token that was issued tomorrow is refused", sign(iat=world.now + 86400), "token_not_yet_valid")

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
        *((f"a token that Keycloak calls {name}", {"typ": name, "scope": "openid"}) for name in keycloak),
        ("a token that is an Id in any case", {"typ": "iD"}),
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
        ("a security event token without a text in it", {"events": 1}),
        ("an ID token with a nonce", {"nonce": "n-0S6_WzA2Mj"}),
        ("a token with a nonce that is a number", {"nonce": 1}),
        ("a token with a nonce and a word that nobody knows", {"nonce": "n", "typ": "JWT", "token_use": "service"}),
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
        yield carrying("at-jwt", f"the type {kind} is an access token's", sign({"typ": kind}))
    for kind in ("JWT", "id+jwt", "logout+jwt", "application/jwt+at", "application/at", "xat+jwt"):
        yield carrying(
            "at-jwt",
            f"the type {kind} is not an access token's",
            sign({"typ": kind}),
            refusal=invalid_token("token_type_unsupported"),
        )
    yield carrying("at-jwt", "no type is not an access token's", bound, refusal=invalid_token("token_type_unsupported"))
    yield carrying("short-lived", "a token of the longest lifetime passes", sign(exp=world.now + LIFETIME))
    for sentence, claims, reason in [
        ("a token that lives a second longer is refused", {"exp": world.now + LIFETIME + 1}, "token_lifetime_too_long"),
        (
            "a token that lives a fraction of a second longer is refused",
            {"exp": world.now + LIFETIME + 0.5},
            "token_lifetime_too_long",
        ),
        ("a token that was issued long ago is refused", {"iat": world.now - 86400}, "token_lifetime_too_long"),
        ("a token without its issue time is refused where lifetimes are bounded", {"iat": None}, "claim_missing"),
    ]:
        yield carrying("short-lived", sentence, sign(**claims), refusal=invalid_token(reason))
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
    yield carrying(
        "scopes",
        "a scope that is a list is malformed",
        sign(scope=["accounts"]),
        refusal=invalid_token("claim_malformed"),
    )
    yield carrying("scopes", "scp is not scope", sign(scp=["accounts", "payments:write"]), refusal=wanted)
    yield carrying(
        "scopes",
        "the binding is judged before the scope",
        bound,
        on=two,
        refusal=invalid_token("certificate_mismatch"),
    )
