# SPDX-License-Identifier: Apache-2.0
"""The scheme mtls_pop, under which Microsoft Entra's clients send tokens that are bound to their certificate, beside Bearer
(RFC 6750) and DPoP (RFC 9449); and the challenges of policies that accept several."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cases.api import Variants
from cases.binding import confirmations
from cases.case import Case, encoded_map, invalid_request, invalid_token, no_token
from cases.world import World

_BOTH = {"schemes": ["Bearer", "mtls_pop"]}


def variants(world: World) -> dict[str, dict[str, Any] | None]:
    return {
        "mtls-pop": _BOTH,
        "mtls-pop-migration": {**_BOTH, "certificate_binding": "if_present"},
        "mtls-pop-observe": {**_BOTH, "certificate_binding": "observe"},
        "mtls-pop-alone": {"schemes": ["mtls_pop"], "certificate_binding": "if_present"},
        "mtls-pop-removed": {
            **_BOTH,
            "certificate_binding": "if_present",
            "issuer": {"keys": {"verified_by": "jwt_authn", "payload_in_metadata": "access_token"}},
        },
        "mtls-pop-dpop": {
            **_BOTH,
            "dpop": "verified_upstream",
            "dpop_algorithms": ["ES256", "EdDSA", "Ed25519"],
            "certificate_binding": "if_present",
        },
    }


def mtls_pop(world: World) -> Iterator[Case]:
    one, two = world.client_1, world.client_2
    api = Variants(world)
    case, carrying, sign, confirmed, bound = api.case, api.carrying, api.sign, api.confirmed, api.bound
    unbound = sign(bound_to=None)

    # A token that comes under this scheme is bound, whatever the policy says of others.
    for policy in ("mtls-pop", "mtls-pop-migration", "mtls-pop-observe", "mtls-pop-alone"):
        yield carrying(
            policy, f"a bound token passes as it came under the scheme mtls_pop in {policy}", bound, scheme="mtls_pop"
        )
        for sentence, token, on, reason in [
            ("an unbound token", unbound, one, "confirmation_missing"),
            ("an unbound token without a certificate", unbound, None, "confirmation_missing"),
            ("a bound token without a certificate", bound, None, "certificate_not_presented"),
            ("a bound token on another certificate", bound, two, "certificate_mismatch"),
        ]:
            yield carrying(
                policy,
                f"{sentence} is refused under the scheme mtls_pop in {policy}",
                token,
                scheme="mtls_pop",
                on=on,
                refusal=invalid_token(reason),
            )
    for name, cnf, reason in confirmations(world):
        yield carrying(
            "mtls-pop-observe",
            f"a confirmation that is {name} is refused under mtls_pop",
            confirmed(cnf),
            scheme="mtls_pop",
            refusal=invalid_token(reason),
        )
    for scheme in ("MTLS_POP", "Mtls_PoP"):
        yield carrying("mtls-pop", f"a bound token passes under the scheme {scheme}", bound, scheme=scheme)
    yield carrying("mtls-pop", "a token behind three spaces passes under mtls_pop", bound, scheme="mtls_pop  ")

    # What a policy says of Bearer stays so beside it.
    yield carrying("mtls-pop", "a bound token passes under Bearer beside mtls_pop", bound)
    yield carrying("mtls-pop-migration", "an unbound token passes under Bearer beside mtls_pop and if_present", unbound)
    yield carrying(
        "mtls-pop-observe",
        "an unbound token is noted under Bearer beside mtls_pop and observe",
        unbound,
        note="confirmation_missing",
    )
    # The same token once more: what was learnt of it under one scheme says nothing of another.
    yield carrying(
        "mtls-pop-migration",
        "an unbound token that has passed under Bearer is refused under mtls_pop",
        unbound,
        scheme="mtls_pop",
        before=[unbound],
        refusal=invalid_token("confirmation_missing"),
    )

    # A scheme that is not named is none.
    for policy, scheme in [
        ("observe", "mtls_pop"),
        ("dpop", "mtls_pop"),
        ("mtls-pop", "DPoP"),
        ("mtls-pop", "mtls-pop"),
        ("mtls-pop", "mtls_pop_"),
        ("mtls-pop", "pop"),
        ("mtls-pop-alone", "Bearer"),
        ("mtls-pop-alone", "DPoP"),
    ]:
        yield carrying(
            policy,
            f"the scheme {scheme} is challenged without an error code in {policy}",
            bound,
            scheme=scheme,
            refusal=no_token("scheme_unsupported"),
        )
    yield case(
        "mtls-pop-alone", "a request without a token is refused under mtls_pop alone", refusal=no_token("token_missing")
    )
    for sentence, value, reason in [
        ("mtls_pop without a token is refused as malformed", "mtls_pop", "authorization_malformed"),
        (
            "a token with a space in it is refused as malformed under mtls_pop",
            f"mtls_pop {bound} x",
            "authorization_malformed",
        ),
        ("two tokens under mtls_pop are refused", f"mtls_pop {bound}, mtls_pop {bound}", "authorization_repeated"),
        (
            "a token under Bearer and one under mtls_pop are refused",
            f"Bearer {bound}, mtls_pop {bound}",
            "authorization_repeated",
        ),
        ("a token under mtls_pop behind Basic is refused", f"Basic eDp5, mtls_pop {bound}", "authorization_repeated"),
    ]:
        yield case("mtls-pop", sentence, headers=[("authorization", value)], refusal=invalid_request(reason))
    yield case(
        "mtls-pop",
        "two Authorization headers with Bearer and mtls_pop are refused",
        headers=[("authorization", f"Bearer {bound}"), ("authorization", f"mtls_pop {bound}")],
        refusal=invalid_request("authorization_repeated"),
    )

    # A DPoP key asks for the scheme DPoP (RFC 9449 §7.2).
    jkt = {"jkt": one.thumbprint}
    both = {**jkt, "x5t#S256": one.thumbprint}
    for name, cnf in [("a DPoP key", jkt), ("jkt and x5t#S256", both)]:
        yield carrying(
            "mtls-pop-dpop",
            f"a token with {name} is refused under mtls_pop",
            confirmed(cnf),
            scheme="mtls_pop",
            refusal=invalid_token("dpop_scheme_missing"),
        )
        yield carrying(
            "mtls-pop-dpop", f"a token with {name} passes under DPoP beside mtls_pop", confirmed(cnf), scheme="DPoP"
        )
    yield carrying("mtls-pop-dpop", "a bound token passes under mtls_pop beside DPoP", bound, scheme="mtls_pop")

    # Where jwt_authn removed the token, its scheme went with it: it may have been this one.
    def removed(sentence: str, claims: dict[str, Any], **rest: Any) -> Case:
        payload = ("metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "access_token")
        if "refusal" not in rest:
            rest["forward"] = {}
        return case("mtls-pop-removed", sentence, facts={payload: encoded_map(claims)}, **rest)

    yield removed(
        "a removed token that is bound passes on its certificate where mtls_pop is accepted", world.claims(one)
    )
    yield removed(
        "a removed token that is bound to nothing is refused where mtls_pop is accepted",
        world.claims(),
        refusal=invalid_token("confirmation_missing"),
    )


def challenges(world: World) -> Iterator[Case]:
    """RFC 9110 §11.6.1: one for each scheme. `Case.challenges` says which, and where an error is told."""
    api = Variants(world)
    case, carrying, sign, bound = api.case, api.carrying, api.sign, api.bound
    everything = "mtls-pop-dpop"
    yield case(everything, "three schemes are offered without a token", refusal=no_token("token_missing"))
    for scheme in ("Bearer", "mtls_pop", "DPoP", "dpop", "MTLS_POP"):
        yield carrying(
            everything,
            f"an error is told in the challenge of the scheme {scheme} and in no other",
            sign(exp=world.now - 3600),
            scheme=scheme,
            refusal=invalid_token("token_expired"),
        )
        yield carrying(
            everything,
            f"an error of the request is told in the challenge of the scheme {scheme}",
            f"{bound} x",
            scheme=scheme,
            refusal=invalid_request("authorization_malformed"),
        )
    for policy in (everything, "mtls-pop-alone", "dpop"):
        yield case(
            policy,
            f"a token in the query is told of in one of the challenges of {policy}",
            path=f"/{policy}/?access_token=x",
            refusal=invalid_request("token_in_query"),
        )
        yield case(
            policy,
            f"Basic is answered with the challenges of {policy}",
            headers=[("authorization", "Basic eDp5")],
            refusal=no_token("scheme_unsupported"),
        )
    # gRPC has them as well.
    yield case(
        everything,
        "a gRPC call without a token is offered three schemes",
        method="POST",
        headers=[("content-type", "application/grpc")],
        refusal=replace(no_token("token_missing"), grpc_status=16),
    )
