# SPDX-License-Identifier: Apache-2.0
"""Tokens that the authorization server is asked about (RFC 7662, RFC 9701)."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from rig import tokens
from rig.certificates import Certificate
from rig.tokens import SigningKey

from cases.binding import confirmations
from cases.case import Case, Refusal, invalid_token
from cases.claims import access_tokens, other_tokens
from cases.configuration import Configuration
from cases.world import ISSUER, OTHER_AUDIENCE, OTHER_ISSUER, World


def _introspection(configuration: dict[str, Any], world: World) -> None:
    """`api` has opaque tokens introspected, `migration` all, and `gluu` has signed responses."""
    policies = configuration["policies"]
    introspection = {
        "endpoint": f"{ISSUER}/introspect",
        "cluster": "no such cluster",
        "endpoint_auth_method": "none",
        "client_id": "api",
    }
    for name, more in {
        "api": {},
        "migration": {"tokens": "all", "audience": "if_present", "token_types": ["Own-Word"]},
        "gluu": {"tokens": "all", "answer": "jwt"},
    }.items():
        (issuer,) = policies[name]["resource_server"]["issuers"]
        issuer["introspection"] = {**introspection, **more}
        if name == "migration":
            del issuer["keys"]


CONFIGURATIONS = {
    "introspection": Configuration("resource-server", _introspection),
}


def introspection(world: World) -> Iterator[Case]:
    one, two, es256 = world.client_1, world.client_2, world.keys["ES256"]
    opaque = "2YotnFZFEjr1zCsicMWpAA"  # The token of RFC 6749 §5.1.
    unavailable = Refusal("introspection_unavailable", 503, "temporarily_unavailable", challenge=False)
    paths = {"api": "/", "migration": "/migration/", "gluu": "/gluu/"}

    def case(
        sentence: str, answer: Any, *, token: str = opaque, policy: str = "api", on: Certificate = one, **rest: Any
    ) -> Case:
        text = answer if answer is None or isinstance(answer, str) else json.dumps(answer)
        name = None if policy == "api" else policy
        headers = [("authorization", f"Bearer {token}")]
        if "refusal" not in rest:
            rest["forward"] = {"authorization": f"Bearer {token}"}
        return Case(sentence, "introspection", name, paths[policy], on, headers, introspection=text, **rest)

    def refused(sentence: str, answer: Any, reason: str, **rest: Any) -> Case:
        return case(sentence, answer, refusal=invalid_token(reason), **rest)

    def active(bound_to: Certificate | None = one, **other: Any) -> dict[str, Any]:
        return {"active": True, **world.claims(bound_to, **other)}

    def signed(answer: Any, header: Mapping[str, Any] = {}, key: SigningKey = es256, **other: Any) -> str:
        """RFC 9701 §5."""
        claims = {"iss": ISSUER, "aud": "api", "iat": world.now, "token_introspection": answer, **other}
        claims = {name: value for name, value in claims.items() if value is not None}
        return tokens.sign(key, claims, header={"typ": "token-introspection+jwt", **header})

    yield case(
        "an opaque token is refused with 503 while the authorization server cannot be asked", None, refusal=unavailable
    )
    yield case("an active token on the certificate that it is bound to passes", active())
    yield refused("an active token on another certificate is refused", active(), "certificate_mismatch", on=two)
    yield refused("an active token that is bound to nothing is refused", active(None), "confirmation_missing")
    yield refused("an inactive token is refused", {"active": False}, "token_inactive")
    yield refused(
        "an inactive token is refused whatever else the response says", {**active(), "active": False}, "token_inactive"
    )
    for name, answer in [
        ("true as a text", {**active(), "active": "true"}),
        ("1", {**active(), "active": 1}),
        ("null", {**active(), "active": None}),
        ("missing", world.claims(one)),
        ("a list", {**active(), "active": [True]}),
        ("there twice", '{"active": false, ' + json.dumps(active())[1:]),
    ]:
        yield case(f"a response whose active is {name} is refused with 503", answer, refusal=unavailable)
    for name, text in [
        ("empty", ""),
        ("HTML", "<html>Please sign in</html>"),
        ("a list", "[" + json.dumps(active()) + "]"),
        ("true", "true"),
        ("cut off", json.dumps(active())[:-1]),
        ("followed by another", json.dumps(active()) + json.dumps(active())),
        ("too long", json.dumps(active()) + " " * 65536),
        ("a signed one where none is asked for", signed(active())),
    ]:
        yield case(f"a response that is {name} is refused with 503", text, refusal=unavailable)
    yield refused("an active token for another API is refused", active(aud=OTHER_AUDIENCE), "audience_mismatch")
    yield refused("an active token without aud is refused", active(aud=None), "claim_missing")
    yield refused("an active token of another issuer is refused", active(iss=OTHER_ISSUER), "issuer_not_trusted")
    yield case("an active token without iss and exp passes", active(iss=None, exp=None))
    # oxAuth writes "jti": null into every response, and older Janssen nbf and cnf.
    for names in (("jti",), ("nbf",), ("iss", "exp", "sub", "iat", "scope", "client_id", "username", "token_type")):
        yield case(f"an active token whose {', '.join(names)} are null passes", {**active(), **dict.fromkeys(names)})
    yield refused(
        "an active token whose cnf is null is refused as bound to nothing",
        {**active(), "cnf": None},
        "confirmation_missing",
    )
    yield refused("an active token that has expired is refused", active(exp=world.now - 60), "token_expired")
    yield refused(
        "an active token that is not valid yet is refused", active(nbf=world.now + 86400), "token_not_yet_valid"
    )
    yield refused("an active token whose exp is a word is refused", active(exp="soon"), "claim_malformed")
    yield refused(
        "an active token with x5t#S256 at the top level is refused without confirmation: top_level",
        active(None, **{"x5t#S256": one.thumbprint}),
        "confirmation_at_top_level",
    )
    for name, cnf, reason in confirmations(world):
        yield refused(f"an active token whose confirmation is {name} is refused", {**active(None), "cnf": cnf}, reason)
    yield case(
        "a JWT is verified with the issuer's keys and not introspected",
        None,
        token=tokens.sign(es256, world.claims(one)),
    )
    yield refused(
        "a token with a JWT's header and no JSON behind it is refused and not introspected",
        active(),
        "token_malformed",
        token=tokens.encode_part({"alg": "ES256"}) + ".xx.yy",
    )
    # RFC 4648 §4 and §5 spell this differently. What is behind the proxy might read any of these, and other claims than
    # those that the authorization server vouches for.
    header = json.dumps({"alg": "ES256", "kid": es256.kid, "x": "\u00fb\u00ff\u00fe??>>"}, ensure_ascii=False)
    for spelling, part in {
        "in another alphabet": base64.b64encode(header.encode()).decode().rstrip("="),
        "with a byte order mark": tokens.encode_part("\ufeff" + header),
        "with a name twice": tokens.encode_part('{"alg": "none", ' + header[1:]),
        "with bits behind its last byte": tokens.encode_part("{} ")[:-1] + "B",
        "with a letter too many": tokens.encode_part("{}") + "A",
    }.items():
        yield refused(
            f"a token with a JWT's header {spelling} is refused and not introspected",
            active(),
            "token_malformed",
            token=f"{part}.{tokens.encode_part(world.claims(one))}.AAAA",
        )
    # RFC 7516 §3.1 and §4: nobody here can decrypt it, so it is as good as opaque.
    encrypted = tokens.encrypted({"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "JWT"})
    direct = tokens.encrypted({"alg": "dir", "enc": "A256GCM", "typ": "at+jwt", "zip": "DEF"}, encrypted_key=b"")
    for name, token in [("", encrypted), (" without an encrypted key", direct)]:
        yield case(f"an encrypted token{name} is introspected", active(), token=token)
    yield refused("an encrypted token that is inactive is refused", {"active": False}, "token_inactive", token=encrypted)
    rest = encrypted.partition(".")[2]
    for name, token in [
        ("has no enc", tokens.encrypted({"alg": "RSA-OAEP-256"})),
        ("has an enc that is no text", tokens.encrypted({"alg": "RSA-OAEP-256", "enc": 1})),
        ("has a name twice", tokens.encode_part('{"alg": "dir", "alg": "dir", "enc": "A256GCM"}') + "." + rest),
        ("has six parts", f"{encrypted}.AAAA"),
        ("has four parts", encrypted.rpartition(".")[0]),
        ("has a part with a letter too many", f"{encrypted}AAA"),
    ]:
        yield refused(
            f"a token that seems encrypted and {name} is refused and not introspected",
            active(),
            "token_malformed" if name == "has a name twice" else "algorithm_not_allowed",
            token=token,
        )
    yield case("an opaque token in three parts is introspected", active(), token="e_-Aex.yy.zz")
    yield refused("an opaque token of 8,193 bytes is refused", active(), "token_too_long", token="x" * 8193)

    yield case("a JWT is introspected under tokens: all", active(), token=tokens.sign(es256, {}), policy="migration")
    yield case(
        "a response with token_type and without aud passes under audience: if_present",
        active(aud=None, token_type="Bearer"),
        policy="migration",
    )
    # A list of nobody says nothing.
    yield refused("an active token whose aud is an empty list is refused", active(aud=[]), "claim_missing")
    yield case(
        "a response with token_type whose aud is an empty list passes under audience: if_present",
        active(aud=[], token_type="Bearer"),
        policy="migration",
    )
    for name, audience in [("that has an empty text", [""]), ("that has an empty list", [[]]), ("that is an object", {})]:
        yield refused(
            f"a response with an aud {name} is refused under audience: if_present",
            active(aud=audience, token_type="Bearer"),
            "audience_mismatch" if audience == [""] else "claim_malformed",
            policy="migration",
        )
    yield refused(
        "a response without token_type whose aud is an empty list is refused under audience: if_present",
        active(aud=[]),
        "claim_missing",
        policy="migration",
    )
    yield refused(
        "a response without token_type and aud is refused under audience: if_present",
        active(aud=None),
        "claim_missing",
        policy="migration",
    )
    yield refused(
        "a response whose token_type is null and without aud is refused under audience: if_present",
        {**active(aud=None), "token_type": None},
        "claim_missing",
        policy="migration",
    )
    yield refused(
        "a response whose aud and token_type are null is refused under audience: if_present",
        {**active(), "aud": None, "token_type": None},
        "claim_missing",
        policy="migration",
    )
    yield refused(
        "a response with another aud is refused under audience: if_present",
        active(aud=OTHER_AUDIENCE),
        "audience_mismatch",
        policy="migration",
    )

    # RFC 7662 §2.2: the type of the token, as RFC 6749 §5.1 has it.
    for kind in ("Bearer", "bearer", "BEARER", "DPoP", "mtls_pop", "access_token"):
        yield case(f"an active token of the type {kind} passes", active(token_type=kind))
    for kind in ("Refresh", "ID", "N_A", "mac", "access", "", " Bearer", "Own-Word", 1, ["Bearer"]):
        yield refused(
            f"an active token of the type {kind!r} is refused", active(token_type=kind), "token_type_unsupported"
        )
    for kind in ("Own-Word", "own-WORD", "bearer"):
        yield case(
            f"an active token of the type {kind} passes where token_types names Own-Word",
            active(token_type=kind),
            policy="migration",
        )
    yield refused(
        "an active token of the type Own is refused where token_types names Own-Word",
        active(token_type="Own"),
        "token_type_unsupported",
        policy="migration",
    )
    yield refused(
        "an active refresh token that is bound to nothing is refused under if_present",
        active(None, token_type="Refresh", typ="Refresh"),
        "token_type_unsupported",
        policy="migration",
    )
    for name, marks in other_tokens():
        yield refused(f"{name} is refused where it is active", active(**marks), "token_type_unsupported")
    for name, marks in access_tokens():
        yield case(f"an active token with a nonce passes beside {name}", active(nonce="n", **marks))

    top = {**active(None), "x5t#S256": one.thumbprint}
    yield case(
        "a signed response with x5t#S256 at the top level passes under confirmation: top_level",
        signed(top),
        policy="gluu",
    )
    # Whoever signs what it says has meant it.
    yield refused(
        "a token whose aud is an empty list is refused by a signed response",
        signed({**top, "aud": []}),
        "audience_mismatch",
        policy="gluu",
    )
    yield refused(
        "an inactive token is refused by a signed response", signed({"active": False}), "token_inactive", policy="gluu"
    )
    for name, more in [
        ("token_type", {"token_type": "Refresh"}),
        ("typ", {"typ": "Refresh"}),
        ("hash", {"at_hash": "x"}),
    ]:
        yield refused(
            f"a token that is no access token by its {name} is refused by a signed response",
            signed({**top, **more}),
            "token_type_unsupported",
            policy="gluu",
        )
    for name, text in [
        ("unsigned where it must be signed", json.dumps(active())),
        ("of another type", signed(active(), {"typ": "JWT"})),
        (
            "of no type",
            tokens.sign(es256, {"iss": ISSUER, "aud": "api", "iat": world.now, "token_introspection": active()}),
        ),
        ("signed by a stranger", signed(active(), key=world.stranger)),
        ("signed with an unknown key", signed(active(), {"kid": "unheard of"})),
        ("from another issuer", signed(active(), iss=OTHER_ISSUER)),
        ("for another client", signed(active(), aud="another")),
        ("for nobody", signed(active(), aud=None)),
        ("without its time", signed(active(), iat=None)),
        ("without its content", signed(None)),
    ]:
        yield case(
            f"a response that is {name} is refused with 503 under answer: jwt", text, policy="gluu", refusal=unavailable
        )
