# SPDX-License-Identifier: Apache-2.0
"""Whose certificate an authorization server is told, and in which dialect."""

from collections.abc import Iterator
from typing import Any

from rig.certificates import Certificate

from cases.case import Case, cannot_decide, too_early
from cases.configuration import Configuration
from cases.forged import forged_headers, xfcc
from cases.world import World


def _presented(configuration: dict[str, Any], world: World) -> None:
    configuration["policies"]["clients"] = {
        "authorization_server": {
            "forward_certificate": [{"dialect": "gluu"}],
            "client_certificate": "presented",
            "x_forwarded_client_cert": "rebuild",
        }
    }


def _validated_by_listener(configuration: dict[str, Any], world: World) -> None:
    configuration["policies"]["clients"]["authorization_server"]["client_certificate"] = "validated_by_listener"


CONFIGURATIONS = {
    "authorization-server": Configuration("authorization-server"),
    "self-signed-clients": Configuration("authorization-server", _presented),
    "validated-by-listener": Configuration("authorization-server", _validated_by_listener),
}


def authorization_server(world: World) -> Iterator[Case]:
    one, impostor = world.client_1, world.impostor
    gluu = {"x-clientcert": one.apache_form}
    both = {**gluu, "client-cert": one.rfc9440_form}
    unavailable = {"connection.peer_certificate_valid": None}

    def case(
        sentence: str, *, on: Certificate | None = one, configuration: str = "authorization-server", **rest: Any
    ) -> Case:
        rest.setdefault("headers", [])
        rest.setdefault("path", "/token")
        return Case(sentence, configuration, "clients", certificate=on, method="POST", **rest)

    yield case("a validated certificate is handed over in every dialect", forward=both)
    yield case("a validated certificate replaces forged headers", headers=forged_headers(), forward=both)
    for value in ("1", "0"):
        yield case(
            f"a token request with Early-Data: {value} is refused", headers=[("early-data", value)], refusal=too_early()
        )
    yield case("no header is written without a client certificate", on=None, forward={})
    yield case(
        "forged headers are removed without a client certificate",
        on=None,
        headers=forged_headers(),
        forward={},
    )
    yield case(
        "a self-signed certificate with a client's subject is not handed over", on=impostor, validated=False, forward={}
    )
    yield case(
        "forged headers are removed beside a self-signed certificate",
        on=impostor,
        validated=False,
        headers=forged_headers(),
        forward={},
    )
    self_signed_form = {"x-clientcert": impostor.apache_form, "x-forwarded-client-cert": xfcc(impostor)}
    unvalidated = {"on": impostor, "validated": False, "configuration": "self-signed-clients"}
    yield case(
        "a self-signed certificate is handed over under client_certificate: presented",
        forward=self_signed_form,
        **unvalidated,
    )
    yield case(
        "a rebuilt X-Forwarded-Client-Cert replaces the forged one",
        headers=forged_headers(),
        forward=self_signed_form,
        **unvalidated,
    )
    yield case(
        "X-Forwarded-Client-Cert is removed and not rebuilt without a client certificate",
        on=None,
        configuration="self-signed-clients",
        headers=forged_headers(),
        forward={},
    )
    by_listener = {"configuration": "validated-by-listener", "forward": both}
    yield case("a certificate is handed over under validated_by_listener", **by_listener)
    yield case(
        "a certificate of a resumed session is handed over under validated_by_listener",
        validated=False,
        facts={"connection.peer_certificate_valid": b"\0"},
        **by_listener,
    )
    yield case(
        "a certificate is handed over under validated_by_listener on a host that does not tell validity",
        facts={"connection.peer_certificate_valid": None},
        **by_listener,
    )
    yield case(
        "a certificate is handed over at a path below the token endpoint", path="/token/introspection", forward=both
    )

    percent_encoded = one.url_encoded.encode()
    yield case(
        "a certificate that the host percent-encodes is handed over",
        facts={"connection.peer_certificate": percent_encoded},
        forward=both,
    )
    yield case(
        "a host that does not tell validity is refused under client_certificate: validated",
        facts=unavailable,
        refusal=cannot_decide("chain_validation_unavailable"),
    )
    yield case(
        "a host's validity that is no boolean is refused",
        facts={"connection.peer_certificate_valid": b"yes"},
        refusal=cannot_decide("chain_validation_unavailable"),
    )
    # On a certificate that has not been handed over before: what was written for one is kept.
    yield case(
        "a host that does not hand over the certificate is refused at a token endpoint",
        on=world.client_2,
        facts={"connection.peer_certificate": None},
        refusal=cannot_decide("certificate_unavailable"),
    )
    by_header = {"facts": {"connection.peer_certificate": None}, "on": world.revoked[0]}
    forwarded = [("x-forwarded-client-cert", f"{xfcc(one)},By=a;{xfcc(world.revoked[0])};URI=b")]
    yield case(
        "the certificate in Envoy's X-Forwarded-Client-Cert is handed over where the host has none",
        headers=forwarded,
        forward={"x-clientcert": world.revoked[0].apache_form, "client-cert": world.revoked[0].rfc9440_form},
        **by_header,
    )
    yield case(
        "another certificate in X-Forwarded-Client-Cert is refused where the host has none",
        headers=[("x-forwarded-client-cert", xfcc(one))],
        refusal=cannot_decide("certificate_unavailable"),
        **by_header | {"on": world.client_2},
    )
    yield case(
        "a certificate from the host that cannot be read is refused at a token endpoint",
        on=world.client_2,
        facts={"connection.peer_certificate": b"\xff"},
        refusal=cannot_decide("certificate_malformed"),
    )
    yield case(
        "two certificates from the host are refused at a token endpoint",
        on=world.client_2,
        facts={"connection.peer_certificate": world.client_2.pem.encode() * 2},
        refusal=cannot_decide("certificate_malformed"),
    )
    yield case(
        "a certificate from the host with another digest is refused at a token endpoint",
        on=world.client_2,
        facts={"connection.peer_certificate": one.pem.encode()},
        refusal=cannot_decide("certificate_digest_mismatch"),
    )
    yield case(
        "a certificate in the filter state with another digest is refused at a token endpoint",
        on=world.client_2,
        facts={"connection.peer_certificate": None, ("filter_state", "certbound.peer_certificate"): one.pem.encode()},
        refusal=cannot_decide("certificate_digest_mismatch"),
    )
    yield case(
        "a peer certificate digest that is not hexadecimal is refused at a token endpoint",
        facts={"connection.sha256_peer_certificate_digest": b"abc"},
        refusal=cannot_decide("peer_digest_malformed"),
    )

    yield Case(
        "forged headers are removed and no certificate is written at a path for browsers",
        "authorization-server",
        None,
        "/auth",
        one,
        forged_headers(),
        forward={},
    )
