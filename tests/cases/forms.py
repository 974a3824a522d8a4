# SPDX-License-Identifier: Apache-2.0
"""The forms in which a certificate is handed over to an authorization server, and what clients make up of them."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cryptography import x509
from rig.certificates import Certificate

from cases.case import Case, Refusal
from cases.configuration import Configuration
from cases.forged import forged_headers, xfcc
from cases.world import FORGED, SECRET, World


def _every_form(configuration: dict[str, Any], world: World) -> None:
    configuration["policies"]["clients"]["authorization_server"]["forward_certificate"] = [
        {"dialect": "auth0", "secret": {"environment": "CERTBOUND_SECRET"}},
        *({"dialect": name} for name in ("janssen", "authlete", "keycloak_nginx", "keycloak_traefik")),
        *({"dialect": name} for name in ("keycloak_envoy", "keycloak_rfc9440", "azure")),
        {"dialect": "connect2id", "header": "Sec-Client-X509-Cert-7PzC1"},
        {"header": "x-apache", "encoding": "pem_apache", "chain": "numbered", "prefix": "X_APACHE_"},
        {"header": "x-haproxy", "encoding": "der_base64", "chain": "concatenated_der", "chain_header": "x-h-chain"},
        {"header": "x-digest", "encoding": "sha256_hex"},
        {"header": "x-thumbprint", "encoding": "x5t_s256"},
    ]
    configuration["additional_headers"] = ["X-Client-Name", "X-Corp-Cert-*", "$CORP"]


def _facts(configuration: dict[str, Any], world: World) -> None:
    clients = configuration["policies"]["clients"]["authorization_server"]
    clients["forward_certificate"] = [{"dialect": "gluu"}]
    clients["client_certificate"] = "presented"
    clients["endpoints"] = ["/token", "/token/par"]
    names = ("subject", "issuer", "serial_number", "not_before", "not_after", "san_dns", "san_uri", "san_ip")
    clients["facts"] = {name: f"x-fact-{name}" for name in (*names, "san_email", "x5t_s256", "sha256", "verified")}


def _keycloak(configuration: dict[str, Any], world: World) -> None:
    """A hundred bytes too few for a chain."""
    configuration["policies"]["clients"]["authorization_server"]["forward_certificate"] = [
        {"dialect": "keycloak_apache", "max_bytes": 1500}
    ]
    configuration["on_forged"] = "refuse"


def _too_small(configuration: dict[str, Any], world: World) -> None:
    clients = configuration["policies"]["clients"]["authorization_server"]
    clients["forward_certificate"] = [{"dialect": "keycloak_haproxy", "max_bytes": 256}]


CONFIGURATIONS = {
    "every-form": Configuration("authorization-server", _every_form, has_secret=True),
    "facts": Configuration("authorization-server", _facts),
    "keycloak": Configuration("authorization-server", _keycloak),
    "too-small": Configuration("authorization-server", _too_small),
}


def forms(world: World) -> Iterator[Case]:
    one, two = world.client_1, world.client_2

    def case(sentence: str, *, configuration: str = "every-form", on: Certificate | None = one, **rest: Any) -> Case:
        rest.setdefault("headers", [])
        return Case(sentence, configuration, "clients", "/token", certificate=on, method="POST", **rest)

    def base64_der(*certificates: Certificate) -> str:
        return base64.b64encode(b"".join(each.der for each in certificates)).decode()

    always = {"cname-api-key": SECRET}
    absent = always | {"client-certificate-ca-verified": "NONE", "ssl-client-verify": "NONE"}
    leaf = {
        **always,
        "client-certificate-ca-verified": "SUCCESS",
        "ssl-client-verify": "SUCCESS",
        "x-clientcert": one.apache_form,
        "client-certificate": one.url_encoded,
        "x-ssl-cert": one.apache_form,
        "ssl-client-cert": one.url_encoded,
        "x-forwarded-tls-client-cert": base64_der(one),
        "x-forwarded-client-cert": f'{xfcc(one)};Chain="{one.url_encoded}"',
        "client-cert": one.rfc9440_form,
        "x-arr-clientcert": base64_der(one),
        "sec-client-x509-cert-7pzc1": one.url_encoded,
        "x-apache": one.apache_form,
        "x-haproxy": base64_der(one),
        "x-digest": one.digest,
        "x-thumbprint": one.thumbprint,
    }
    own = [
        (name, FORGED)
        for name in (
            *leaf,
            "sec_client.x509-cert-7pzc1",
            "x_apache",
            "x-apache-0",
            "x_apache_7",
            "x_h_chain",
            "x.digest",
            "x|digest",
            "x-client_name",
            "x^client_name",
            "x-corp-cert-",
            "x_corp.cert~leaf",
            "!corp",
        )
    ]
    yield case("every form has the certificate alone where there is no chain", forward=leaf)
    yield case(
        "forged headers of the operator's own names are replaced", headers=[*forged_headers(), *own], forward=leaf
    )
    yield case(
        "forged headers of the operator's own names are removed without a client certificate",
        headers=[*forged_headers(), *own],
        on=None,
        forward=absent,
    )
    yield case(
        "a certificate that is not validated is told like none in every form",
        on=world.impostor,
        validated=False,
        forward=absent,
    )
    yield Case(
        "forged headers of the operator's own names are removed under another policy",
        "every-form",
        None,
        "/auth",
        one,
        [*own, *forged_headers()],
        {},
    )

    # What no client can say to an Envoy that hands over no chain: a host's fact keeps these from the real one.
    on_this_host = {"facts": {"connection.peer_certificate_valid": b"\1"}}
    chain = [("x-forwarded-client-cert", f'By=a;{xfcc(one)};Chain="{one.url_encoded}{two.url_encoded}"')]
    yield case(
        "every form has the chain that Envoy hands over",
        headers=chain,
        forward=leaf
        | {
            "x-ssl-cert-chain-1": two.apache_form,
            "x-forwarded-tls-client-cert": f"{base64_der(one)},{base64_der(two)}",
            "x-forwarded-client-cert": f'{xfcc(one)};Chain="{one.url_encoded}{two.url_encoded}"',
            "client-cert-chain": two.rfc9440_form,
            "x_apache_0": two.apache_form,
            "x-h-chain": base64_der(two),
        },
        **on_this_host,
    )
    yield case(
        "the chain of another certificate is left out",
        headers=[("x-forwarded-client-cert", f'{xfcc(two)};Chain="{two.url_encoded}{one.url_encoded}"')],
        forward=leaf,
        **on_this_host,
    )
    facts = {"configuration": "facts"}
    san = world.names
    parsed = x509.load_der_x509_certificate(san.der)
    serial_number = f"{parsed.serial_number:X}"
    told = {
        "x-clientcert": san.apache_form,
        "x-fact-subject": 'CN=Zo\\C3\\AB\\, \\"client\\",C=NL',
        "x-fact-issuer": "CN=Example CA",
        "x-fact-serial_number": serial_number.zfill(len(serial_number) + len(serial_number) % 2),
        "x-fact-not_before": f"{parsed.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "x-fact-not_after": f"{parsed.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "x-fact-san_dns": "a.example.com,b.example.com",
        "x-fact-san_uri": "https://a.example.com/x%2Cy%2520z",
        "x-fact-san_ip": "192.0.2.1,2001:db8::1",
        "x-fact-san_email": "client@example.com",
        "x-fact-x5t_s256": san.thumbprint,
        "x-fact-sha256": san.digest,
        "x-fact-verified": "SUCCESS",
    }
    yield case("facts are written in the headers that the operator names", on=san, forward=told, **facts)
    failed = {"x-fact-verified": "FAILED:the chain of the certificate was not validated"}
    subject = {"x-fact-subject": "CN=client-1,O=Example Bank,C=NL"}
    yield case(
        "the fact verified is FAILED for a certificate that is merely presented",
        on=world.impostor,
        validated=False,
        forward={"x-clientcert": world.impostor.apache_form, **failed, **subject},
        **facts,
    )
    yield case(
        "the fact verified is NONE without a client certificate", on=None, forward={"x-fact-verified": "NONE"}, **facts
    )
    for path in ("/token", "/token/par", "/token?a=b", "/%74oken"):
        gets_it = case(
            f"a certificate is handed over at the endpoint {path}", forward={"x-clientcert": one.apache_form}, **facts
        )
        # Envoy's own routes compare a path as it is.
        yield replace(gets_it, path=path, as_it_came="%" in path)
    nothing = [(name, FORGED) for name in told]
    for path in ("/token/", "/token/revoke", "/token/par/x", "/token/PAR", "/token/%3Bx", "/token/x;y"):
        elsewhere = case(
            f"no certificate is handed over at {path}, which is no endpoint", headers=nothing, forward={}, **facts
        )
        yield replace(elsewhere, path=path)

    keycloak = {"configuration": "keycloak", "forward": {"ssl_client_cert": one.apache_form}}
    yield case("a chain that exceeds max_bytes is left out", headers=chain, **keycloak, **on_this_host)
    yield case(
        "a certificate that exceeds max_bytes is refused",
        configuration="too-small",
        refusal=Refusal("certificate_too_large", 431, "invalid_request", challenge=False),
    )
    yield case(
        "X-Forwarded-Client-Cert is not refused as forged under on_forged: refuse", headers=chain[:1], **keycloak
    )
    for name in ("X-SSL-cipher", "x_ssl_subject", "WL-Proxy-SSL", "ssl!session~id", "$WSCS"):
        # No certificate, and no word that one was verified.
        fact = [(name.lower(), FORGED)]
        yield case(f"a forged {name} is removed under on_forged: refuse", headers=fact, **keycloak)
    for name in ("x-clientcert", "SSL_CLIENT_CERT", "cert.chain_0", "cert_chain_3", "$WSCC", "x^client|verify"):
        refusal = Refusal("header_forged", 400, "invalid_request", challenge=False)
        forged = [(name.lower(), FORGED)]
        yield case(
            f"a forged {name} is refused under on_forged: refuse",
            headers=forged,
            configuration="keycloak",
            refusal=refusal,
        )
        yield Case(
            f"a forged {name} is refused on an open route under on_forged: refuse",
            "keycloak",
            None,
            "/auth",
            None,
            forged,
            refusal=refusal,
        )
