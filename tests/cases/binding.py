# SPDX-License-Identifier: Apache-2.0
"""What a token is bound to, and the certificate that it comes with (RFC 8705 §3, RFC 9449)."""

import json
from collections.abc import Iterator
from typing import Any

from cases.api import Shipped, Variants
from cases.case import Case, insufficient_scope, invalid_token, no_token, too_early
from cases.forged import forged_headers
from cases.jws import flipped
from cases.world import World

NO_BYTES = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
"""The base64url of the SHA-256 of nothing, which is no certificate's."""


def variants(world: World) -> dict[str, dict[str, Any] | None]:
    return {
        "observe": {"certificate_binding": "observe"},
        "dpop": {"dpop": "verified_upstream"},
        "dpop-migration": {"dpop": "verified_upstream", "certificate_binding": "if_present"},
        "dpop-observe": {"dpop": "verified_upstream", "certificate_binding": "observe"},
    }


def binding(world: World) -> Iterator[Case]:
    one, two, impostor = world.client_1, world.client_2, world.impostor
    api = Shipped(world)
    passes, refused, sign, raw, bound = api.passes, api.refused, api.sign, api.raw, api.bound

    # The heart of it: RFC 8705 §3.
    yield passes("a token on the certificate that it is bound to passes", bound)
    yield refused(
        "a stolen token on another certificate of the same CA is refused", bound, "certificate_mismatch", on=two
    )
    yield refused(
        "a stolen token on a self-signed certificate with the right subject is refused",
        bound,
        "certificate_mismatch",
        on=impostor,
        validated=False,
        facts={"connection.peer_certificate_valid": b"\0"},
    )
    yield refused("a stolen token without a certificate is refused", bound, "certificate_not_presented", on=None)
    yield refused(
        "a token that is bound to nothing is refused on a client certificate",
        sign(bound_to=None),
        "confirmation_missing",
    )
    yield refused(
        "a token that is bound to nothing is refused without a client certificate as confirmation_missing",
        sign(bound_to=None),
        "confirmation_missing",
        on=None,
    )

    # The confirmation, strictly.
    for name, cnf, reason in confirmations(world):
        payload = json.dumps({**world.claims(), "cnf": cnf})
        yield refused(f"a confirmation that is {name} is refused", raw(payload=payload), reason)
        yield refused(
            f"a confirmation that is {name} is refused under if_present",
            raw(payload=payload),
            reason,
            policy="migration",
        )
    yield passes(
        "a member of cnf that is no confirmation method is ignored beside the right thumbprint",
        sign(cnf={"x5t#S256": one.thumbprint, "proxy-principals#spiffe": ["spiffe://a/b"]}),
    )

    # Other bindings.
    yield passes(
        "a token that is bound to nothing passes on a client certificate under if_present",
        sign(bound_to=None),
        policy="migration",
    )
    yield passes(
        "a token that is bound to nothing passes without a client certificate under if_present",
        sign(bound_to=None),
        policy="migration",
        on=None,
    )
    yield passes("a bound token passes on its certificate under if_present", bound, policy="migration")
    yield refused(
        "a bound token on another certificate is refused under if_present",
        bound,
        "certificate_mismatch",
        policy="migration",
        on=two,
    )
    yield refused(
        "a bound token without a client certificate is refused under if_present",
        bound,
        "certificate_not_presented",
        policy="migration",
        on=None,
    )

    # Gluu and Janssen: x5t#S256 as a claim of its own.
    yield passes(
        "a token with x5t#S256 at the top level passes under confirmation: top_level",
        sign(bound_to=None, **{"x5t#S256": one.thumbprint}),
        policy="gluu",
    )
    yield refused(
        "a token with x5t#S256 at the top level is refused on another certificate",
        sign(bound_to=None, **{"x5t#S256": one.thumbprint}),
        "certificate_mismatch",
        policy="gluu",
        on=two,
    )
    yield passes(
        "a token with the same x5t#S256 at the top level and in cnf passes",
        sign(**{"x5t#S256": one.thumbprint}),
        policy="gluu",
    )
    yield refused(
        "a token with different x5t#S256 at the top level and in cnf is refused",
        sign(**{"x5t#S256": two.thumbprint}),
        "confirmation_conflict",
        policy="gluu",
    )
    yield refused(
        "a token whose x5t#S256 at the top level is a number is refused",
        sign(bound_to=None, **{"x5t#S256": 1}),
        "confirmation_malformed",
        policy="gluu",
    )
    yield refused(
        "a token whose x5t#S256 at the top level is null is refused as bound to nothing",
        raw(payload=json.dumps({**world.claims(), "x5t#S256": None})),
        "confirmation_missing",
        policy="gluu",
    )
    # oxAuth and Janssen write an empty text into the token of a client without a certificate.
    for policy in ("gluu", "api"):
        yield refused(
            f"a token whose x5t#S256 at the top level is empty is refused as bound to nothing by {policy}",
            sign(bound_to=None, **{"x5t#S256": ""}),
            "confirmation_missing",
            policy=policy,
        )
    for name, claims in [("x5t#S256 at the top level is empty", {"x5t#S256": ""}), ("cnf is null", {"cnf": None})]:
        payload = json.dumps({**world.claims(), **claims})
        yield passes(f"a token whose {name} passes under if_present", raw(payload=payload), policy="migration", on=None)
    yield passes(
        "a token whose x5t#S256 at the top level is empty passes by its cnf",
        sign(**{"x5t#S256": ""}),
        policy="gluu",
    )
    yield refused(
        "a token whose cnf is null is refused as bound to nothing",
        raw(payload=json.dumps({**world.claims(), "cnf": None})),
        "confirmation_missing",
    )
    yield passes("a token with x5t#S256 in cnf passes under confirmation: top_level", bound, policy="gluu")
    yield refused(
        "a token with x5t#S256 at the top level is refused without confirmation: top_level",
        sign(bound_to=None, **{"x5t#S256": one.thumbprint}),
        "confirmation_at_top_level",
    )
    yield refused(
        "a token with x5t#S256 at the top level is refused under if_present without confirmation: top_level",
        sign(bound_to=None, **{"x5t#S256": one.thumbprint}),
        "confirmation_at_top_level",
        policy="migration",
    )


def confirmations(world: World) -> list[tuple[str, Any, str]]:
    """Values of `cnf`, as JSON has them, that no token on the first client's certificate passes with, and why."""
    one = world.client_1
    malformed = {
        "true": True,
        "a number": 1,
        "a string": one.thumbprint,
        "a list": [{"x5t#S256": one.thumbprint}],
        "an empty object": {},
        "a number for a thumbprint": {"x5t#S256": 1},
        "true for a thumbprint": {"x5t#S256": True},
        "a list for a thumbprint": {"x5t#S256": [one.thumbprint]},
        "an object for a thumbprint": {"x5t#S256": {"value": one.thumbprint}},
        "null for a thumbprint": {"x5t#S256": None},
        "an empty thumbprint": {"x5t#S256": ""},
        "a padded thumbprint": {"x5t#S256": one.thumbprint + "="},
        "a thumbprint with a space before it": {"x5t#S256": " " + one.thumbprint},
        "a thumbprint with a newline behind it": {"x5t#S256": one.thumbprint + "\n"},
        "a thumbprint that is too short": {"x5t#S256": one.thumbprint[:-1]},
        "a thumbprint that is too long": {"x5t#S256": one.thumbprint + "A"},
        "a thumbprint in standard base64": {"x5t#S256": "+/" + one.thumbprint[2:]},
        "a thumbprint in hexadecimal digits": {"x5t#S256": one.digest},
        "a thumbprint of no bytes": {"x5t#S256": NO_BYTES},
        "RFC 8705's uncanonical thumbprint": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
    }
    unsupported = {
        "another spelling of the member": {"x5t#s256": one.thumbprint},
        "a SHA-1 thumbprint": {"x5t": "bwcK0esc3ACC3DB2Y5_lESsXE8o"},
        "a DPoP key": {"jkt": one.thumbprint},
        "a DPoP key beside the thumbprint": {"jkt": one.thumbprint, "x5t#S256": one.thumbprint},
        "a key beside the thumbprint": {"jwk": world.keys["ES256"].jwk, "x5t#S256": one.thumbprint},
        "a key id beside the thumbprint": {"kid": "1", "x5t#S256": one.thumbprint},
        "an unknown confirmation method": {"unheard of": one.thumbprint},
    }
    mismatch = {
        "a thumbprint with another case": {"x5t#S256": other_case(one.thumbprint)},
        "a thumbprint of another certificate": {"x5t#S256": world.client_2.thumbprint},
    }
    return [
        *((name, cnf, "confirmation_malformed") for name, cnf in malformed.items()),
        *((name, cnf, "confirmation_unsupported") for name, cnf in unsupported.items()),
        *((name, cnf, "certificate_mismatch") for name, cnf in mismatch.items()),
    ]


def other_case(thumbprint: str) -> str:
    """The thumbprint with its first letter in the other case: another thumbprint. The last character stays, since
    there it might not be canonical."""
    index = next(index for index, character in enumerate(thumbprint[:-1]) if character.isalpha())
    return thumbprint[:index] + thumbprint[index].swapcase() + thumbprint[index + 1 :]


def observed(world: World) -> Iterator[Case]:
    one, two = world.client_1, world.client_2
    api = Variants(world)
    case, carrying, sign, confirmed, bound = api.case, api.carrying, api.sign, api.confirmed, api.bound

    # Observing: nothing is refused for its binding.
    for name, cnf, reason in confirmations(world):
        yield carrying(
            "observe",
            f"a confirmation that is {name} is forwarded and noted under observe",
            confirmed(cnf),
            note=reason,
        )
    yield carrying("observe", "a bound token on its certificate is forwarded without a note under observe", bound)
    for sentence, token, on, reason in [
        (
            "a bound token on another certificate is forwarded and noted under observe",
            bound,
            two,
            "certificate_mismatch",
        ),
        (
            "a bound token without a client certificate is forwarded and noted under observe",
            bound,
            None,
            "certificate_not_presented",
        ),
        (
            "a token that is bound to nothing is forwarded and noted under observe",
            sign(bound_to=None),
            one,
            "confirmation_missing",
        ),
        (
            "a token with x5t#S256 at the top level is forwarded and noted under observe",
            sign(bound_to=None, **{"x5t#S256": one.thumbprint}),
            one,
            "confirmation_at_top_level",
        ),
    ]:
        yield carrying("observe", sentence, token, on=on, note=reason)
    yield carrying(
        "observe",
        "a request on another certificate loses its forged headers under observe",
        bound,
        on=two,
        headers=forged_headers(),
        note="certificate_mismatch",
    )
    for sentence, token, reason in [
        ("an expired token is refused under observe", sign(exp=world.now - 3600), "token_expired"),
        ("a token with a changed signature is refused under observe", flipped(bound), "signature_invalid"),
        ("a token for another audience is refused under observe", sign(aud="other"), "audience_mismatch"),
        ("an ID token is refused under observe", sign(bound_to=None, typ="ID"), "token_type_unsupported"),
    ]:
        yield carrying("observe", sentence, token, refusal=invalid_token(reason))
    yield case("observe", "a request without a token is refused under observe", refusal=no_token("token_missing"))
    yield carrying(
        "observe",
        "the scheme DPoP is refused under observe",
        bound,
        scheme="DPoP",
        refusal=no_token("scheme_unsupported"),
    )
    yield carrying(
        "scopes-observe",
        "a token without the required scope is refused under observe",
        bound,
        on=two,
        refusal=insufficient_scope("accounts"),
    )


def dpop(world: World) -> Iterator[Case]:
    one, two = world.client_1, world.client_2
    api = Variants(world)
    carrying, sign, confirmed, bound = api.carrying, api.sign, api.confirmed, api.bound

    # DPoP, verified by the API behind: RFC 9449.
    jkt = {"jkt": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}
    both = {**jkt, "x5t#S256": one.thumbprint}
    dpop: dict[str, Any] = {"scheme": "DPoP"}
    for policy in ("dpop", "dpop-migration", "dpop-observe"):
        yield carrying(
            policy, f"a token with a DPoP key passes on a client certificate under {policy}", confirmed(jkt), **dpop
        )
        yield carrying(
            policy,
            f"a token with a DPoP key passes without a client certificate under {policy}",
            confirmed(jkt),
            on=None,
            **dpop,
        )
        yield carrying(
            policy, f"a token with jkt and x5t#S256 passes on its certificate under {policy}", confirmed(both), **dpop
        )
        yield carrying(policy, f"a token with a thumbprint alone passes under the scheme Bearer under {policy}", bound)
    for policy in ("dpop", "dpop-migration"):
        for value in ("1", "0", ""):
            yield carrying(
                policy,
                f"a request with Early-Data: {value} is refused under {policy}",
                confirmed(jkt),
                headers=[("early-data", value)],
                refusal=too_early(),
                **dpop,
            )
    for sentence, cnf, reason, options in [
        ("with jkt and x5t#S256 on another certificate", both, "certificate_mismatch", {"on": two, **dpop}),
        ("with jkt and x5t#S256 without a client certificate", both, "certificate_not_presented", {"on": None, **dpop}),
        ("with a DPoP key under the scheme Bearer", jkt, "dpop_scheme_missing", {}),
        ("with jkt and x5t#S256 under the scheme Bearer", both, "dpop_scheme_missing", {}),
        ("whose jkt is a number", {"jkt": 1}, "confirmation_malformed", dpop),
        ("with jkt and jwk", {**jkt, "jwk": {}}, "confirmation_unsupported", dpop),
        ("with an unknown confirmation method", {"unheard of": "x"}, "confirmation_unsupported", dpop),
    ]:
        for policy in ("dpop", "dpop-migration"):
            yield carrying(
                policy,
                f"a token {sentence} is refused under {policy}",
                confirmed(cnf),
                refusal=invalid_token(reason),
                **options,
            )
        yield carrying(
            "dpop-observe",
            f"a token {sentence} is forwarded and noted under dpop-observe",
            confirmed(cnf),
            note=reason,
            **options,
        )
    yield carrying(
        "dpop", "a token with a DPoP key passes under the scheme dpop in small letters", confirmed(jkt), scheme="dpop"
    )
    yield carrying(
        "dpop",
        "a token that is bound to nothing is refused under the scheme DPoP",
        sign(bound_to=None),
        refusal=invalid_token("confirmation_missing"),
        **dpop,
    )
