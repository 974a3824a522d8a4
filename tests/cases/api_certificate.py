# SPDX-License-Identifier: Apache-2.0
"""The certificate that an API gets beside a token (what an API that binds tokens itself compares it with), and
X-Forwarded-Client-Cert on routes of an API."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rig import tokens
from rig.certificates import Certificate

from cases.case import Case, Header, Refusal, cannot_decide, invalid_token
from cases.configuration import Configuration
from cases.forged import forged_headers, xfcc
from cases.world import FORGED, World


def _certificate_for_the_api(configuration: dict[str, Any], world: World) -> None:
    policies = configuration["policies"]
    policies["api"]["resource_server"] |= {
        "forward_certificate": [{"dialect": "tomcat"}, {"dialect": "tomcat_escaped"}, {"dialect": "rfc9440"}],
        "facts": {"subject": "x-fact-subject", "verified": "x-fact-verified"},
        "x_forwarded_client_cert": "rebuild",
        "forward_thumbprint": "x-client-thumbprint",
        "cors_preflight": "forward",
    }
    policies["migration"]["resource_server"] |= {
        "forward_certificate": [{"dialect": "keycloak_nginx"}],
        "facts": {"sha256": "x-fact-sha256"},
    }
    policies["gluu"]["resource_server"] |= {
        "forward_certificate": [{"dialect": "tomcat", "max_bytes": 256}],
        "certificate_binding": "observe",
    }
    policies["open"]["clean_only"] = {"x_forwarded_client_cert": "rebuild"}


CONFIGURATIONS = {"certificate-for-the-api": Configuration("resource-server", _certificate_for_the_api)}


def api_certificate(world: World) -> Iterator[Case]:
    one, two, impostor = world.client_1, world.client_2, world.impostor
    paths = {None: "/", "migration": "/migration/", "gluu": "/gluu/", "open": "/health"}
    forged = [
        *forged_headers(),
        *((name, FORGED) for name in ("ssl_client_escaped_cert", "x-fact-subject", "x_fact.verified", "x-fact-sha256")),
    ]

    def case(
        sentence: str,
        *,
        on: Certificate | None = one,
        policy: str | None = None,
        headers: Sequence[Header] = (),
        bound_to: Certificate | None = one,
        forward: Mapping[str, str] | None = None,
        **rest: Any,
    ) -> Case:
        value = "Bearer " + tokens.sign(world.keys["ES256"], world.claims(bound_to))
        headers = [("authorization", value), *headers] if rest.pop("token", True) else headers
        rest.setdefault("path", paths[policy])
        return Case(sentence, "certificate-for-the-api", policy, certificate=on, headers=headers, forward=forward, **rest)

    def handed(certificate: Certificate, verified: str = "SUCCESS") -> dict[str, str]:
        return {
            "ssl_client_cert": certificate.apache_form,
            "ssl_client_escaped_cert": certificate.url_encoded,
            "client-cert": certificate.rfc9440_form,
            "x-forwarded-client-cert": xfcc(certificate),
            "x-client-thumbprint": certificate.thumbprint,
            "x-fact-verified": verified,
        }

    told = {**handed(one), "x-fact-subject": "CN=client-1,O=Example Bank,C=NL"}
    none = {"x-fact-verified": "NONE"}
    failed = "FAILED:the chain of the certificate was not validated"
    yield case("an API gets the certificate that the token is bound to, in every form", forward=told)
    yield case("an API gets the certificate in place of forged headers", headers=forged, forward=told)
    yield case(
        "an API gets a certificate that nobody validated, and the word for it",
        on=impostor,
        bound_to=impostor,
        validated=False,
        facts={"connection.peer_certificate_valid": b"\0"},
        forward=handed(impostor, failed),
    )
    yield case(
        "an API gets no certificate for a token that is bound to another",
        on=two,
        headers=forged,
        refusal=invalid_token("certificate_mismatch"),
    )
    preflight = [("origin", "https://app.example.org"), ("access-control-request-method", "PUT")]
    yield case(
        "a CORS preflight without a certificate passes without forged headers",
        on=None,
        token=False,
        method="OPTIONS",
        headers=[*preflight, *forged],
        forward=none,
    )
    yield case(
        "a CORS preflight on a certificate passes with that certificate",
        token=False,
        method="OPTIONS",
        headers=[*preflight, *forged],
        forward=told,
    )
    migration = {"ssl-client-cert": one.url_encoded, "ssl-client-verify": "SUCCESS", "x-fact-sha256": one.digest}
    yield case("an API gets the certificate under if_present", policy="migration", headers=forged, forward=migration)
    yield case(
        "an API gets the certificate beside an unbound token under if_present",
        policy="migration",
        bound_to=None,
        headers=forged,
        forward=migration,
    )
    yield case(
        "an unbound token without a certificate passes without forged headers under if_present",
        policy="migration",
        bound_to=None,
        on=None,
        headers=forged,
        forward={"ssl-client-verify": "NONE"},
    )
    observed = {"policy": "gluu", "headers": forged}
    yield case(
        "a bound token without a certificate passes without forged headers under observe",
        on=None,
        forward={},
        note="certificate_not_presented",
        **observed,
    )
    too_large = world.names
    yield case(
        "a certificate that is too large for its form is refused under observe too",
        on=too_large,
        bound_to=too_large,
        refusal=Refusal("certificate_too_large", 431, "invalid_request", challenge=False),
        **observed,
    )
    unread = {"on": two, "bound_to": two}
    yield case(
        "a host that does not hand over the certificate is refused where the API gets it",
        facts={"connection.peer_certificate": None},
        refusal=cannot_decide("certificate_unavailable"),
        **unread,
    )
    yield case(
        "a certificate with another digest is refused where the API gets it",
        facts={"connection.peer_certificate": one.pem.encode()},
        refusal=cannot_decide("certificate_digest_mismatch"),
        **unread,
    )
    yield case(
        "a host that does not tell validity is refused where the API is told",
        facts={"connection.peer_certificate_valid": None},
        refusal=cannot_decide("chain_validation_unavailable"),
    )
    yield case(
        "a token that is refused has the certificate read by nobody",
        bound_to=two,
        facts={"connection.peer_certificate": None},
        refusal=invalid_token("certificate_mismatch"),
    )

    open_route = {"policy": "open", "token": False, "headers": forged}
    rebuilt = {"x-forwarded-client-cert": xfcc(one)}
    yield case("an open route has X-Forwarded-Client-Cert rebuilt", forward=rebuilt, **open_route)
    yield case("an open route has no X-Forwarded-Client-Cert without a certificate", on=None, forward={}, **open_route)
    yield case(
        "an open route that rebuilds X-Forwarded-Client-Cert is refused on a malformed digest",
        facts={"connection.sha256_peer_certificate_digest": b"abc"},
        refusal=cannot_decide("peer_digest_malformed"),
        **open_route,
    )
    yield case(
        "an open route that rebuilds X-Forwarded-Client-Cert is refused where the host has no certificate",
        on=two,
        facts={"connection.peer_certificate": None},
        refusal=cannot_decide("certificate_unavailable"),
        **open_route,
    )
