"""Whose certificate an authorization server is told, and in which dialect."""

from collections.abc import Iterator
from typing import Any

from rig.certificates import Certificate

from cases.case import Case, cannot_decide
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
    yield case("a validated certificate replaces what a client made up", headers=forged_headers(), forward=both)
    yield case("without a certificate nothing is handed over", on=None, forward={})
    yield case(
        "without a certificate nothing that a client made up is handed over",
        on=None,
        headers=forged_headers(),
        forward={},
    )
    yield case(
        "a copy of a subject on a self-signed certificate is not handed over", on=impostor, validated=False, forward={}
    )
    yield case(
        "a copy of a subject does not let forged headers through",
        on=impostor,
        validated=False,
        headers=forged_headers(),
        forward={},
    )
    self_signed_form = {"x-clientcert": impostor.apache_form, "x-forwarded-client-cert": xfcc(impostor)}
    unvalidated = {"on": impostor, "validated": False, "configuration": "self-signed-clients"}
    yield case(
        "a self-signed certificate is handed over where the policy says so", forward=self_signed_form, **unvalidated
    )
    yield case(
        "what is rebuilt replaces what a client made up",
        headers=forged_headers(),
        forward=self_signed_form,
        **unvalidated,
    )
    yield case(
        "without a certificate nothing is rebuilt",
        on=None,
        configuration="self-signed-clients",
        headers=forged_headers(),
        forward={},
    )
    by_listener = {"configuration": "validated-by-listener", "forward": both}
    yield case("a certificate is handed over where the listener has validated it", **by_listener)
    yield case(
        "the listener's validation counts in a resumed session too",
        validated=False,
        facts={"connection.peer_certificate_valid": b"\0"},
        **by_listener,
    )
    yield case(
        "the listener's validation counts on a host that says nothing of it",
        facts={"connection.peer_certificate_valid": None},
        **by_listener,
    )
    yield case("a nested path of the token endpoint is governed like it", path="/token/introspection", forward=both)

    percent_encoded = one.url_encoded.encode()
    yield case(
        "a certificate that the host percent-encodes is the same certificate",
        facts={"connection.peer_certificate": percent_encoded},
        forward=both,
    )
    yield case(
        "a host that does not say whether the chain is valid is refused",
        facts=unavailable,
        refusal=cannot_decide("chain_validation_unavailable"),
    )
    yield case(
        "a word for validity that is none is refused",
        facts={"connection.peer_certificate_valid": b"yes"},
        refusal=cannot_decide("chain_validation_unavailable"),
    )
    # On a certificate that has not been handed over before: what was written for one is kept.
    yield case(
        "a host that does not hand over the certificate is refused",
        on=world.client_2,
        facts={"connection.peer_certificate": None},
        refusal=cannot_decide("certificate_unavailable"),
    )
    by_header = {"facts": {"connection.peer_certificate": None}, "on": world.revoked[0]}
    forwarded = [("x-forwarded-client-cert", f"{xfcc(one)},By=a;{xfcc(world.revoked[0])};URI=b")]
    yield case(
        "where the host does not hand it over, Envoy's own header has the certificate",
        headers=forwarded,
        forward={"x-clientcert": world.revoked[0].apache_form, "client-cert": world.revoked[0].rfc9440_form},
        **by_header,
    )
    yield case(
        "another certificate in that header is none",
        headers=[("x-forwarded-client-cert", xfcc(one))],
        refusal=cannot_decide("certificate_unavailable"),
        **by_header | {"on": world.client_2},
    )
    yield case(
        "a certificate that is none is refused",
        on=world.client_2,
        facts={"connection.peer_certificate": b"\xff"},
        refusal=cannot_decide("certificate_malformed"),
    )
    yield case(
        "two certificates are refused",
        on=world.client_2,
        facts={"connection.peer_certificate": world.client_2.pem.encode() * 2},
        refusal=cannot_decide("certificate_malformed"),
    )
    yield case(
        "another certificate than the connection's is refused",
        on=world.client_2,
        facts={"connection.peer_certificate": one.pem.encode()},
        refusal=cannot_decide("certificate_digest_mismatch"),
    )
    yield case(
        "a digest that is none is refused",
        facts={"connection.sha256_peer_certificate_digest": b"abc"},
        refusal=cannot_decide("peer_digest_malformed"),
    )

    yield Case(
        "a browser's endpoint gets no certificate",
        "authorization-server",
        None,
        "/auth",
        one,
        forged_headers(),
        forward={},
    )
