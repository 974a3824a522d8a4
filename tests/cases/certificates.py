# SPDX-License-Identifier: Apache-2.0
"""The client's certificate of an API: revoked, out of date, or told by the host in a way that is not expected."""

from collections.abc import Iterator
from typing import Any

from cases.api import Shipped, Variants
from cases.case import Case, cannot_decide, invalid_token
from cases.world import World


def variants(world: World) -> dict[str, dict[str, Any] | None]:
    return {
        "revocation": {"revoked_certificates": [world.revoked[0].thumbprint, world.revoked[1].digest.upper()]},
        "validity": {"certificate_validity": "checked"},
    }


def revoked_or_out_of_date(world: World) -> Iterator[Case]:
    two = world.client_2
    api = Variants(world)
    case, carrying, sign, bound = api.case, api.carrying, api.sign, api.bound

    # Certificates that are revoked or out of date, whatever the token says.
    for number, form in ((0, "as x5t#S256"), (1, "in hexadecimal digits")):
        yield carrying(
            "revocation",
            f"a certificate that revoked_certificates lists {form} is refused with its own token",
            sign(bound_to=world.revoked[number]),
            on=world.revoked[number],
            refusal=invalid_token("certificate_revoked"),
        )
    yield case(
        "revocation",
        "a revoked certificate is refused without a token",
        on=world.revoked[0],
        refusal=invalid_token("certificate_revoked"),
    )
    yield carrying("revocation", "a certificate that revoked_certificates does not list passes", bound)
    yield carrying("validity", "a certificate within its validity passes", bound)
    yield carrying(
        "validity",
        "a request without a client certificate is refused as such where validity is checked",
        bound,
        on=None,
        refusal=invalid_token("certificate_not_presented"),
    )
    for sentence, not_before, not_after, reason in [
        ("a certificate passes in the second of its notBefore", 0, 3600, None),
        ("a certificate passes in the second of its notAfter", -3600, 0, None),
        ("a certificate is refused a second before its notBefore", 1, 3600, "certificate_not_yet_valid"),
        ("a certificate is refused a second after its notAfter", -3600, -1, "certificate_expired"),
    ]:
        dated = world.dated(not_before, not_after)
        # Envoy's own TLS would end the handshake: this stands for a listener that accepts every certificate.
        options: dict[str, Any] = {"on": dated, "facts": {"connection.peer_certificate": dated.pem.encode()}}
        if reason:
            options["refusal"] = invalid_token(reason)
        yield carrying("validity", sentence, sign(bound_to=dated), **options)
        if reason:
            del options["refusal"]
            yield carrying(
                "observe",
                sentence.replace("is refused", "passes unless validity is checked"),
                sign(bound_to=dated),
                **options,
            )
    for sentence, pem, reason in [
        (
            "a request whose certificate the host does not hand over is refused where validity is checked",
            None,
            "certificate_unavailable",
        ),
        (
            "a certificate from the host with another digest is refused where validity is checked",
            two.pem.encode(),
            "certificate_digest_mismatch",
        ),
        (
            "a certificate from the host that cannot be read is refused where validity is checked",
            b"\xff",
            "certificate_malformed",
        ),
    ]:
        yield carrying(
            "validity", sentence, bound, facts={"connection.peer_certificate": pem}, refusal=cannot_decide(reason)
        )


def digests(world: World) -> Iterator[Case]:
    one = world.client_1
    api = Shipped(world)
    case, passes, refused, bound = api.case, api.passes, api.refused, api.bound

    # Hosts that are not as expected.
    yield passes(
        "a peer certificate digest in capitals is taken as the same digest",
        bound,
        facts={"connection.sha256_peer_certificate_digest": one.digest.upper().encode()},
    )
    yield case(
        "a peer certificate digest that is not hexadecimal is refused at an API",
        headers=[("authorization", f"Bearer {bound}")],
        facts={"connection.sha256_peer_certificate_digest": b"\xff" * 64},
        refusal=cannot_decide("peer_digest_malformed"),
    )
    yield refused(
        "an empty peer certificate digest is taken as no client certificate",
        bound,
        "certificate_not_presented",
        facts={"connection.sha256_peer_certificate_digest": b""},
    )
