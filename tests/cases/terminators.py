# SPDX-License-Identifier: Apache-2.0
"""Certificates that another terminator of TLS hands over to certbound."""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from rig import tokens
from rig.certificates import Certificate

from cases.case import Case, Header, cannot_decide, invalid_token
from cases.configuration import Configuration
from cases.forged import forged_headers, xfcc
from cases.world import AUDIENCE, FORGED, ISSUER, SECRET, World


def _policies(world: World) -> dict[str, Any]:
    """A policy for each proof, under /NAME."""
    issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "keys": {"jwks": tokens.jwks(*world.keys.values())}}

    def api(header: str, encoding: str, proof: dict[str, Any], **rest: Any) -> dict[str, Any]:
        source = {"header": header, "encoding": encoding, "proof": proof}
        return {"resource_server": {"issuers": [issuer], "client_certificate_source": source, **rest}}

    secret = {"secret_header": "X-Edge-Secret", "secret": {"environment": "CERTBOUND_SECRET"}}
    verified = {"header": "X-Edge-Verify", "value": "SUCCESS"}
    by_secret = {"header": "X-Edge-Cert", "encoding": "pem_apache", "proof": secret}
    handed_over = {
        "forward_certificate": [{"dialect": "rfc9440"}, {"dialect": "gluu"}],
        "facts": {"verified": "x-fact-verified"},
    }
    policies = {
        "certificate": api("X-Edge-Cert", "pem_url", {"terminator_certificates": [world.client_2.digest]}),
        "name": api(
            "X-Client-Cert",
            "der_base64",
            {"terminator_san": {"dns": "A.example.com"}},
            certificate_validity="checked",
            forward_thumbprint="x-thumbprint",
        ),
        "stated": api(
            "X-Edge-Cert",
            "der_base64",
            {"terminator_san": {"uri": "https://a.example.com/x,y%20z", "chain": "validated_by_listener"}},
        ),
        "secret": api("X-Edge-X5t", "x5t_s256", secret),
        "behind": api(
            "X-Edge-Cert",
            "pem_apache",
            secret,
            forward_certificate=[{"dialect": "tomcat"}, {"dialect": "rfc9440"}],
            facts={"verified": "x-fact-verified"},
            x_forwarded_client_cert="rebuild",
            certificate_binding="if_present",
        ),
        "rfc9440": {
            "authorization_server": {
                **handed_over,
                "client_certificate_source": {
                    "header": "Client-Cert",
                    "chain_header": "Client-Cert-Chain",
                    "encoding": "sf_binary",
                    "proof": secret,
                    "verified": verified,
                },
            }
        },
        "apache": {
            "authorization_server": {
                **handed_over,
                "client_certificate": "validated_by_listener",
                "client_certificate_source": by_secret,
            }
        },
        "presented": {
            "authorization_server": {
                **handed_over,
                "client_certificate": "presented",
                "client_certificate_source": {**by_secret, "verified": verified},
            }
        },
        "elsewhere": {"clean_only": {}},
    }
    routes = [{"path_prefix": f"/{name}", "policy": name} for name in policies]
    return {"policies": policies, "routes": routes}


def _behind_terminators(configuration: dict[str, Any], world: World) -> None:
    configuration.clear()
    configuration.update(_policies(world))


CONFIGURATIONS = {
    "behind-terminators": Configuration("authorization-server", _behind_terminators, has_secret=True),
}


def behind_terminators(world: World) -> Iterator[Case]:
    """The certificate in the header of another terminator, which is `edge`, or `named`, or knows the secret."""
    one, edge, named = world.client_1, world.client_2, world.names
    token = ("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims(one)))
    of_edge = ("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims(edge)))
    none = invalid_token("certificate_not_presented")
    malformed = bad_request("forwarded_certificate_malformed")

    def case(sentence: str, path: str, on: Certificate | None, headers: Sequence[Header], **rest: Any) -> Case:
        return Case(sentence, "behind-terminators", None, path, on, headers, **rest)

    escaped, der = ("x-edge-cert", one.url_encoded), base64.b64encode(one.der).decode()
    passes = {"forward": dict([token])}
    yield case("a terminator's header counts on the terminator's certificate", "/certificate", edge, [escaped, token], **passes)
    yield case("a terminator's header does not count on another certificate", "/certificate", named, [escaped, token], refusal=none)
    yield case("a terminator's header does not count without a certificate", "/certificate", None, [escaped, token], refusal=none)
    yield case("a terminator's header does not count on the client's own certificate", "/certificate", one, [escaped, token], refusal=none)
    yield case("the client's own certificate does not count without a terminator's header", "/certificate", one, [token], refusal=none)
    yield case("a token that is bound to the terminator's certificate is refused without a header", "/certificate", edge, [of_edge], refusal=none)
    yield case(
        "a token that is bound to the terminator's certificate is refused beside a client's in the header",
        "/certificate", edge, [escaped, of_edge], refusal=invalid_token("certificate_mismatch"),
    )  # fmt: skip
    yield case("an empty terminator's header is taken as no client certificate", "/certificate", edge, [("x-edge-cert", ""), token], refusal=none)
    yield case("a terminator's header that is repeated is refused", "/certificate", edge, [escaped, escaped, token], refusal=malformed)
    for what, value in {
        "has no certificate": FORGED,
        "has two certificates": one.url_encoded + one.url_encoded,
        "has another encoding": der,
        "is too long": "A" * 33000,
    }.items():
        yield case(f"a terminator's header that {what} is refused", "/certificate", edge, [("x-edge-cert", value), token], refusal=malformed)
    yield case(
        "a forged twin of a terminator's header is removed and not read",
        "/certificate", edge, [("x_edge_cert", FORGED), ("x-edge.cert", FORGED), ("x`edge`cert", FORGED), escaped, token], **passes,
    )  # fmt: skip

    own = ("x-client-cert", der)
    thumbprint = {**passes["forward"], "x-thumbprint": one.thumbprint}
    yield case("a terminator proves itself by a name in a validated certificate", "/name", named, [own, token], forward=thumbprint)
    yield case("a certificate without the terminator's name proves nothing", "/name", edge, [own, token], refusal=none)
    yield case(
        "a name in a certificate that is not validated proves nothing",
        "/name", named, [own, token], facts={"connection.peer_certificate_valid": b"\0"}, refusal=none,
    )  # fmt: skip
    yield case(
        "a name proves nothing on a host that does not say which are validated",
        "/name", named, [own, token], facts={"connection.peer_certificate_valid": None},
        refusal=cannot_decide("chain_validation_unavailable"),
    )  # fmt: skip
    yield case(
        "a name proves nothing on a host that does not hand over certificates",
        "/name", named, [own, token], facts={"connection.peer_certificate": None},
        refusal=cannot_decide("certificate_unavailable"),
    )  # fmt: skip
    yield case(
        "a name in another certificate than the connection's proves nothing",
        "/name", edge, [own, token], facts={"connection.peer_certificate": named.pem.encode()},
        refusal=cannot_decide("certificate_digest_mismatch"),
    )  # fmt: skip
    expired = world.dated(-7200, -3600)
    old = ("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims(expired)))
    yield case(
        "an expired certificate in a terminator's header is refused where validity is checked",
        "/name", named, [("x-client-cert", base64.b64encode(expired.der).decode()), old],
        refusal=invalid_token("certificate_expired"),
    )  # fmt: skip
    stated = ("x-edge-cert", der)
    yield case("a terminator's name counts under chain: validated_by_listener", "/stated", named, [stated, token], **passes)
    yield case(
        "a terminator's name counts under validated_by_listener on a host that does not tell validity",
        "/stated", named, [stated, token], facts={"connection.peer_certificate_valid": None}, **passes,
    )  # fmt: skip

    secret = ("x-edge-secret", SECRET)
    known = ("x-edge-x5t", one.thumbprint)
    yield case("a thumbprint in a terminator's header counts with the secret", "/secret", None, [secret, known, token], **passes)
    for what, headers in {
        "a thumbprint without a secret": [],
        "another secret": [("x-edge-secret", FORGED)],
        "half of the secret": [("x-edge-secret", SECRET[:-1])],
        "an empty secret": [("x-edge-secret", "")],
        "the secret and another one": [secret, ("x-edge-secret", FORGED)],
        "the secret under another name": [("x_edge_secret", SECRET)],
    }.items():
        yield case(f"{what} proves nothing", "/secret", None, [*headers, known, token], refusal=none)
    yield case("a thumbprint in hexadecimal digits is refused where base64url is configured", "/secret", None, [secret, ("x-edge-x5t", one.digest), token], refusal=malformed)

    behind = {"ssl_client_cert": one.apache_form, "client-cert": one.rfc9440_form, "x-forwarded-client-cert": xfcc(one)}
    said_nothing = {"x-fact-verified": "FAILED:the chain of the certificate was not validated"}
    from_behind = [*((name, FORGED) for name, _ in forged_headers() if "edge" not in name), secret, ("x-edge-cert", one.apache_form), token]
    yield case("an API behind a terminator gets the certificate in the terminator's header", "/behind", None, from_behind, forward={**behind, **said_nothing})
    yield case("an API behind a terminator does not get the terminator's own certificate", "/behind", edge, from_behind, forward={**behind, **said_nothing})
    unbound = ("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims()))
    yield case(
        "an API behind a terminator gets no certificate of a sender that does not prove to be it",
        "/behind", one, [("x-edge-cert", one.apache_form), *forged_headers(), unbound], forward={"x-fact-verified": "NONE"},
    )  # fmt: skip

    gluu, cert = {"x-clientcert": one.apache_form}, ("client-cert", one.rfc9440_form)
    chain = ", ".join([edge.rfc9440_form, named.rfc9440_form])
    both = {**gluu, "client-cert": one.rfc9440_form, "client-cert-chain": chain}
    verified, said = ("x-edge-verify", "SUCCESS"), {"x-fact-verified": "SUCCESS"}
    from_edge = [secret, cert, ("client-cert-chain", chain)]
    yield case("a validated certificate and its chain are handed on", "/rfc9440", None, [*from_edge, verified], forward={**both, **said})
    yield case("the certificate in the header is handed on, not the connection's own", "/rfc9440", edge, [*from_edge, verified], forward={**both, **said})
    nothing = {"forward": {"x-fact-verified": "NONE"}}
    yield case("a certificate with the terminator's word FAILED is not handed on", "/rfc9440", None, [*from_edge, ("x-edge-verify", "FAILED:x")], **nothing)
    yield case("a certificate without the terminator's word is not handed on", "/rfc9440", None, from_edge, **nothing)
    yield case("a certificate with two words of the terminator is not handed on", "/rfc9440", None, [*from_edge, verified, ("x-edge-verify", "NONE")], **nothing)
    yield case("a certificate without the secret is not handed on", "/rfc9440", None, [*from_edge[1:], verified], **nothing)
    yield case("the connection's own certificate is not handed on without the secret", "/rfc9440", one, [*from_edge[1:], verified], **nothing)
    yield case("a terminator's chain that cannot be read is refused", "/rfc9440", None, [secret, cert, ("client-cert-chain", FORGED), verified], refusal=malformed)
    yield case(
        "forged headers beside the terminator's are removed",
        "/apache", None, [*((name, value) for name, value in forged_headers() if "edge" not in name), secret, ("x-edge-cert", one.apache_form)],
        forward={**gluu, "client-cert": one.rfc9440_form, **said},
    )  # fmt: skip
    yield case("Apache's (null) is taken as no client certificate", "/apache", None, [secret, ("x-edge-cert", "(null)")], **nothing)
    presented = {**gluu, "client-cert": one.rfc9440_form}
    for value, word in {"SUCCESS": "SUCCESS", "NONE": "FAILED:the chain of the certificate was not validated"}.items():
        yield case(
            f"a presented certificate is handed on with the terminator's word {value}",
            "/presented", None, [secret, ("x-edge-cert", one.apache_form), ("x-edge-verify", value)],
            forward={**presented, "x-fact-verified": word},
        )  # fmt: skip
    yield case(
        "a terminator's headers are removed under every policy",
        "/elsewhere", edge, [(name, FORGED) for name in ("x-edge-cert", "x-edge-x5t", "x-edge-secret", "x'edge+secret", "X_Edge.Verify".lower())],
        forward={},
    )  # fmt: skip
