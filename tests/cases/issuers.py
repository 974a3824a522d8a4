# SPDX-License-Identifier: Apache-2.0
"""Where the keys of an API's issuers are: several issuers, keys that are fetched, tokens that jwt_authn has verified."""

from collections.abc import Iterator
from typing import Any

from rig import tokens
from rig.certificates import Certificate
from rig.tokens import SigningKey

from cases.case import Case, Refusal, encoded_map, invalid_token, no_token
from cases.claims import access_tokens, other_tokens
from cases.configuration import Configuration
from cases.world import AUDIENCE, ISSUER, LIFETIME, OTHER_AUDIENCE, OTHER_ISSUER, World


def _two_issuers(configuration: dict[str, Any], world: World) -> None:
    """The first may use ES256 alone; the second has the first one's RS256 key, for PS256 alone, without a key id."""
    server = configuration["policies"]["api"]["resource_server"]
    (first,) = server["issuers"]
    (rsa,) = [key for key in first["keys"]["jwks"]["keys"] if key["kid"] == "RS256-1"]
    unnamed = {**{name: value for name, value in rsa.items() if name != "kid"}, "alg": "PS256"}
    server["issuers"] = [
        {**first, "algorithms": ["ES256"]},
        {"issuer": OTHER_ISSUER, "audiences": [OTHER_AUDIENCE], "keys": {"jwks": {"keys": [unnamed]}}},
    ]
    server["realm"] = "other realm"
    server["leeway_seconds"] = 60


def _fetched_keys(configuration: dict[str, Any], world: World) -> None:
    for issuer in configuration["policies"]["api"]["resource_server"]["issuers"]:
        issuer["keys"] = {"jwks_uri": f"{ISSUER}/jwks", "cluster": "no such cluster"}


def _verified_by_jwt_authn(configuration: dict[str, Any], world: World) -> None:
    (issuer,) = configuration["policies"]["api"]["resource_server"]["issuers"]
    issuer["keys"] = {"verified_by": "jwt_authn", "payload_in_metadata": "access_token"}


def _access_tokens_verified_by_jwt_authn(configuration: dict[str, Any], world: World) -> None:
    _verified_by_jwt_authn(configuration, world)
    (issuer,) = configuration["policies"]["api"]["resource_server"]["issuers"]
    issuer["token_type"] = "at+jwt"


CONFIGURATIONS = {
    "two-issuers": Configuration("resource-server", _two_issuers),
    "fetched-keys": Configuration("resource-server", _fetched_keys),
    "verified-by-jwt-authn": Configuration("resource-server", _verified_by_jwt_authn),
    "access-tokens-verified-by-jwt-authn": Configuration("resource-server", _access_tokens_verified_by_jwt_authn),
}


def two_issuers(world: World) -> Iterator[Case]:
    one = world.client_1
    keys = world.keys
    first = {"iss": ISSUER, "aud": AUDIENCE}
    second = {"iss": OTHER_ISSUER, "aud": OTHER_AUDIENCE}

    def case(sentence: str, token: str, **rest: Any) -> Case:
        headers = [("authorization", f"Bearer {token}")]
        if "refusal" not in rest:
            rest["forward"] = {"authorization": f"Bearer {token}"}
        return Case(sentence, "two-issuers", None, "/", one, headers, **rest)

    def sign(key: SigningKey, names: dict[str, str], algorithm: str | None = None, **header: Any) -> str:
        claims = world.claims(one, **names)
        parts = {"alg": algorithm or key.algorithm, "kid": key.kid, **header}
        parts = {name: value for name, value in parts.items() if value is not None}
        part = tokens.encode_part
        return tokens.assemble(part(parts), part(claims), key, algorithm or key.algorithm)

    rsa = keys["RS256"]
    yield case("a token of the first of two issuers passes", sign(keys["ES256"], first))
    yield case("a token of the second of two issuers passes", sign(rsa, second, "PS256", kid=None))
    yield case(
        "an algorithm that the first issuer's algorithms do not list is refused",
        sign(keys["EdDSA"], first),
        refusal=invalid_token("algorithm_not_allowed"),
    )
    yield case(
        "a key with alg PS256 is not used for RS256",
        sign(rsa, second, "RS256", kid=None),
        refusal=invalid_token("key_unknown"),
    )
    # RFC 7515 §4.1.4: kid is a hint, and here there is nothing that it could be a hint to.
    yield case("a token with kid passes where none of the issuer's keys has one", sign(rsa, second, "PS256"))
    yield case(
        "a token with kid that another key signed is refused where none of the issuer's keys has one",
        sign(world.keys["PS256"], second, "PS256"),
        refusal=invalid_token("signature_invalid"),
    )
    yield case(
        "a token of one issuer that the other's key signed is refused",
        sign(keys["ES256"], second),
        refusal=invalid_token("key_unknown"),
    )
    yield case(
        "a token of one issuer for the other's audience is refused",
        sign(keys["ES256"], {**first, "aud": OTHER_AUDIENCE}),
        refusal=invalid_token("audience_mismatch"),
    )
    yield case(
        "a token passes in the last second of leeway_seconds: 60", sign(keys["ES256"], first), later=LIFETIME + 59
    )
    yield case(
        "a token is refused a second after leeway_seconds: 60",
        sign(keys["ES256"], first),
        later=LIFETIME + 60,
        refusal=invalid_token("token_expired"),
    )


def fetched_keys(world: World) -> Iterator[Case]:
    token = tokens.sign(world.keys["ES256"], world.claims(world.client_1))
    yield Case(
        "a token is refused with 503 while no keys could be fetched",
        "fetched-keys",
        None,
        "/",
        world.client_1,
        [("authorization", f"Bearer {token}")],
        refusal=Refusal("keys_unavailable", 503, "temporarily_unavailable", challenge=False),
    )


def verified_by_jwt_authn(world: World) -> Iterator[Case]:
    """Envoy's jwt_authn verified the token; tests/envoy/test_jwt_authn.py has the real one."""
    one = world.client_1
    payload = ("metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "access_token")

    def case(
        sentence: str,
        claims: Any,
        token: str | None = None,
        on: Certificate | None = one,
        configuration: str = "verified-by-jwt-authn",
        **rest: Any,
    ) -> Case:
        headers = [("authorization", f"Bearer {token}")] if token else []
        if "refusal" not in rest:
            rest["forward"] = dict(headers)
        facts = {payload: encoded_map(claims) if isinstance(claims, dict) else claims}
        return Case(sentence, configuration, None, "/", on, headers, facts=facts, **rest)

    claims = world.claims(one, scope="accounts", roles=["a", {"b": True}])
    # jwt_authn has judged the signature; nobody judges it again.
    token = tokens.sign(world.stranger, claims)
    yield case("a token that jwt_authn verified passes", claims, token)
    yield case("a token that jwt_authn verified and removed passes by its payload", claims)
    typed = {"configuration": "access-tokens-verified-by-jwt-authn"}
    unseen = invalid_token("token_type_unsupported")
    yield case(
        "a token that jwt_authn verified passes with typ at+jwt under token_type: at+jwt",
        claims,
        tokens.sign(world.stranger, claims, header={"typ": "at+jwt"}),
        **typed,
    )
    yield case(
        "a token that jwt_authn verified and removed is refused under token_type: at+jwt",
        claims,
        refusal=unseen,
        **typed,
    )
    # As Istio and Envoy Gateway have it write three claims.
    split = {**claims, "scope": ["accounts", "payments"], "scp": ["a"], "permission": ["b", "c"]}
    whole = {**claims, "scope": "accounts payments", "scp": "a", "permission": "b c"}
    yield case("a token whose scopes jwt_authn has split passes", split, tokens.sign(world.stranger, whole))
    anonymous = {name: value for name, value in claims.items() if name != "jti"}
    without_jti = tokens.sign(world.stranger, anonymous)
    yield case("a token without jti that jwt_authn verified passes", anonymous, without_jti)
    for sentence, verified, own in [
        ("a token is refused where jwt_authn verified one with another jti", world.claims(one, jti="2"), claims),
        ("a token with a claim more than the verified one is refused", claims, {**claims, "admin": True}),
        ("a token with a wider scope than the verified one is refused", claims, {**claims, "scope": "accounts all"}),
        ("a token with another list than the verified one is refused", claims, {**claims, "roles": ["a"]}),
        (
            "a token is refused where jwt_authn has split a wider scope",
            {**claims, "scope": ["accounts", "all"]},
            {**claims, "scope": "accounts"},
        ),
        ("a token is refused where jwt_authn left no payload", None, claims),
        ("a payload of jwt_authn's that cannot be read is refused beside a token", b"\xff", claims),
    ]:
        yield case(sentence, verified, tokens.sign(world.stranger, own), refusal=invalid_token("token_not_verified"))
    # The one that passed above: what was learnt of it then says nothing of what was verified now.
    for sentence, verified in [
        ("a token seen before is refused where jwt_authn verified another", world.claims(one, jti="2")),
        ("a token seen before is refused where jwt_authn left no payload", None),
    ]:
        yield case(sentence, verified, token, refusal=invalid_token("token_not_verified"))
    yield case(
        "a token without jti seen before is refused where jwt_authn verified another",
        {**anonymous, "scope": "accounts all"},
        without_jti,
        refusal=invalid_token("token_not_verified"),
    )
    yield case(
        "a request without a token is refused where jwt_authn left no payload", None, refusal=no_token("token_missing")
    )
    yield case(
        "a payload of jwt_authn's that cannot be read is refused without a token",
        b"\xff",
        refusal=invalid_token("token_not_verified"),
    )
    stolen = invalid_token("certificate_mismatch")
    yield case("a verified token on another certificate is refused", claims, token, world.client_2, refusal=stolen)
    yield case("a removed token on another certificate is refused", claims, None, world.client_2, refusal=stolen)
    for sentence, changed, reason in [
        ("a removed token that is bound to nothing is refused", {"cnf": None}, "confirmation_missing"),
        ("a removed token that is expired is refused", {"exp": world.now - 600}, "token_expired"),
        ("a removed token for another audience is refused", {"aud": ["other"]}, "audience_mismatch"),
        ("a removed token of another issuer is refused", {"iss": "https://other"}, "issuer_not_trusted"),
        ("a removed token with a DPoP key is refused", {"cnf": {"jkt": "x"}}, "confirmation_unsupported"),
    ]:
        yield case(sentence, world.claims(one, **changed), refusal=invalid_token(reason))
    yield case("a removed token for several audiences passes", world.claims(one, aud=["other", AUDIENCE]))
    for name, marks in other_tokens():
        refusal = invalid_token("token_type_unsupported")
        yield case(f"{name} is refused where jwt_authn verified it", world.claims(one, **marks), refusal=refusal)
    marked = world.claims(one, at_hash="77QmUPtjPfzWtF2AnpK9RQ")
    yield case(
        "an ID token that jwt_authn verified and forwarded is refused",
        marked,
        tokens.sign(world.stranger, marked),
        refusal=invalid_token("token_type_unsupported"),
    )
    for name, marks in access_tokens():
        yield case(f"a removed token with a nonce passes beside {name}", world.claims(one, nonce="n", **marks))
