# SPDX-License-Identifier: Apache-2.0
"""Certificates that another terminator of TLS hands over to certbound."""

import base64
import hashlib
import re
import ssl
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

from rig import tokens
from rig.certificates import Certificate

from cases.binding import NO_BYTES
from cases.case import Case, Header, Refusal, cannot_decide, invalid_request, invalid_token
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
        "digest": api("X-Edge-Digest", "sha256_hex", secret),
        "xfcc": api("X-Edge-Cert", "xfcc", secret),
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
        **{
            f"chain-{encoding}": {
                "authorization_server": {
                    "forward_certificate": [{"dialect": "rfc9440"}],
                    "client_certificate": "validated_by_listener",
                    "client_certificate_source": {"header": "X-Edge-Cert", "encoding": encoding, "proof": secret},
                }
            }
            for encoding in ("pem_url", "pem_apache", "der_base64")
        },
        "one-piece": {
            "authorization_server": {
                "forward_certificate": [{"dialect": "rfc9440"}],
                "client_certificate": "validated_by_listener",
                "client_certificate_source": {
                    "header": "X-Edge-Cert",
                    "chain_header": "X-Edge-Chain",
                    "encoding": "der_base64",
                    "proof": secret,
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
    malformed = Refusal("forwarded_certificate_malformed", 400, "invalid_request", challenge=False)

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
        "/name", named, [own, token], facts={"connection.peer_certificate_valid": b"\0"},
        refusal=invalid_token("terminator_not_validated"),
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
    undated = without_dates(one.der)
    thumbprint_of_undated = base64.urlsafe_b64encode(hashlib.sha256(undated).digest()).rstrip(b"=").decode()
    bound_to_undated = world.claims(cnf={"x5t#S256": thumbprint_of_undated})
    yield case(
        "a certificate in a terminator's header whose dates cannot be read is refused where they are checked",
        "/name", named,
        [("x-client-cert", base64.b64encode(undated).decode()), ("authorization", "Bearer " + tokens.sign(world.keys["ES256"], bound_to_undated))],
        refusal=invalid_request("forwarded_certificate_malformed"),
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
    for word in ["", "::", "{client_cert_chain}"]:
        yield case(
            f"a terminator's header for the chain with `{word}` in it is no chain",
            "/rfc9440", None, [secret, cert, ("client-cert-chain", word), verified],
            forward={**gluu, "client-cert": one.rfc9440_form, **said},
        )  # fmt: skip
    yield case(
        "forged headers beside the terminator's are removed",
        "/apache", None, [*((name, value) for name, value in forged_headers() if "edge" not in name), secret, ("x-edge-cert", one.apache_form)],
        forward={**gluu, "client-cert": one.rfc9440_form, **said},
    )  # fmt: skip
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
    yield from _words_for_none(world, case, secret, token, none)
    yield from _forms(world, case, secret, token, malformed)
    yield from _chains(world, case, secret, malformed)


_VARIABLES = {
    "Caddy": "{http.request.tls.client.certificate_der_base64}",
    "Apache": "%{SSL_CLIENT_CERT}s",
    "nginx": "$ssl_client_escaped_cert",
    "HAProxy": "%[ssl_c_der,base64]",
    "Envoy": "%DOWNSTREAM_PEER_CERT%",
    "Azure": "{var_client_certificate}",
}
"""What a terminator writes that does not know its own variable."""


def _words_for_none(world: World, case: Any, secret: Header, token: Header, none: Refusal) -> Iterator[Case]:
    """What terminators write where there is no certificate, in every encoding; and what only looks like it."""
    headers = {
        "/chain-pem_url": "x-edge-cert", "/chain-pem_apache": "x-edge-cert", "/chain-der_base64": "x-edge-cert",
        "/rfc9440": "client-cert", "/xfcc": "x-edge-cert", "/digest": "x-edge-digest", "/secret": "x-edge-x5t",
    }  # fmt: skip
    of_nothing = base64.urlsafe_b64decode(NO_BYTES + "=")
    hexadecimal = [of_nothing.hex(), of_nothing.hex(":").upper()]
    words = ["", "(null)", "<nil>", "NONE", "nil", "null", "undefined", "-", "${ssl_client_cert}", *_VARIABLES.values()]
    own = {
        "/rfc9440": ["::", ":(null):", ":%[ssl_c_der,base64]:"],
        "/chain-pem_apache": ["-----BEGIN CERTIFICATE-----  -----END CERTIFICATE-----"],
        "/digest": hexadecimal,
        "/secret": [NO_BYTES, base64.b64encode(of_nothing).decode()],
    }
    for path, name in headers.items():
        is_api = path in ("/digest", "/secret", "/xfcc")
        outcome = {"refusal": none} if is_api else {"forward": {"x-fact-verified": "NONE"} if path == "/rfc9440" else {}}
        for word in [*words, *own.get(path, [])]:
            yield case(
                f"`{word[:26]}` in a terminator's header means no certificate under {path[1:]}",
                path, None, [secret, (name, word), *([token] if is_api else [])], **outcome,
            )  # fmt: skip
    bound = world.claims(cnf={"x5t#S256": NO_BYTES})
    bound_to_nothing = ("authorization", "Bearer " + tokens.sign(world.keys["ES256"], bound))
    for path, value in [("/digest", hexadecimal[0]), ("/digest", hexadecimal[1]), ("/secret", NO_BYTES), ("/secret", own["/secret"][1])]:
        yield case(
            f"a token that is bound to no bytes is refused beside their digest `{value[-8:]}` under {path[1:]}",
            path, None, [secret, (headers[path], value), bound_to_nothing], refusal=invalid_token("confirmation_malformed"),
        )  # fmt: skip


def _forms(world: World, case: Any, secret: Header, token: Header, malformed: Refusal) -> Iterator[Case]:
    """What is the same certificate, each as a terminator writes it, and what is almost so."""
    one = world.client_1
    digest = bytes.fromhex(one.digest)
    base64_digest, passes = base64.b64encode(digest).decode(), {"forward": dict([token])}
    for what, path, name, value in [
        ("a digest in capitals with colons", "/digest", "x-edge-digest", digest.hex(":").upper()),
        ("a digest in small letters with colons", "/digest", "x-edge-digest", digest.hex(":")),
        ("Google's digest, padded base64,", "/secret", "x-edge-x5t", base64_digest),
    ]:
        yield case(f"{what} in a terminator's header counts", path, None, [secret, (name, value), token], **passes)
    for what, path, name, value in [
        ("a digest with hyphens", "/digest", "x-edge-digest", digest.hex("-")),
        ("a digest with a colon too many", "/digest", "x-edge-digest", digest.hex(":") + ":"),
        ("a SHA-1", "/digest", "x-edge-digest", digest[:20].hex()),
        ("a digest that is padded twice", "/secret", "x-edge-x5t", base64_digest[:-2] + "=="),
        ("base64 of 33 bytes", "/secret", "x-edge-x5t", "A" * 44),
        ("a variable with a space in it", "/digest", "x-edge-digest", "{no variable}"),
        ("a variable with text behind it", "/digest", "x-edge-digest", "$ssl_client_cert; x"),
    ]:
        yield case(f"{what} in a terminator's header is refused", path, None, [secret, (name, value), token], refusal=malformed)


def _chains(world: World, case: Any, secret: Header, malformed: Refusal) -> Iterator[Case]:
    """A certificate with its chain in one header, as AWS, Traefik and others write it."""
    leaf, one, root = world.chained, world.client_1, world.authority.pem_path.read_text()
    intermediate = pem(leaf.chain[0])
    of_root = base64.b64encode(der_of(root)).decode()
    base64s = [base64.b64encode(der).decode() for der in (leaf.der, *leaf.chain)]

    def aws(text: str) -> str:
        return urllib.parse.quote(text, safe="+=/")

    def folded(text: str) -> str:
        return text.replace("\n", " \t").rstrip()

    chain = {"client-cert": leaf.rfc9440_form, "client-cert-chain": f":{base64s[1]}:"}
    with_root = {**chain, "client-cert-chain": f":{base64s[1]}:, :{of_root}:"}
    alone = {"client-cert": one.rfc9440_form}
    both = leaf.pem + intermediate
    for what, encoding, value, forward in [
        ("a chain as AWS writes it", "pem_url", aws(both), chain),
        ("a chain with its root as AWS writes it", "pem_url", aws(both + root), with_root),
        ("a chain in percent-encoded PEM", "pem_url", urllib.parse.quote(both, safe=""), chain),
        ("a chain in PEM that is encoded as a form", "pem_url", urllib.parse.quote_plus(both), chain),
        ("a certificate in PEM that is encoded as a form", "pem_url", urllib.parse.quote_plus(one.pem), alone),
        ("a certificate in PEM as AWS writes it", "pem_url", aws(one.pem), alone),
        ("a chain in PEM with spaces", "pem_apache", both.replace("\n", " ").rstrip(), chain),
        ("a certificate in PEM that was folded", "pem_apache", folded(one.pem), alone),
        ("a chain as Traefik writes it", "der_base64", ",".join(base64s), chain),
        ("a chain with its root as Traefik writes it", "der_base64", ",".join([*base64s, of_root]), with_root),
        ("a chain as Traefik before 2.9.4 writes it", "der_base64", ",".join(map(urllib.parse.quote_plus, base64s)), chain),
        ("a certificate as Fastly writes it", "der_base64", base64.b64encode(one.pem.encode()).decode(), alone),
    ]:
        yield case(f"{what} is read under {encoding}", f"/chain-{encoding}", None, [secret, ("x-edge-cert", value)], forward=forward)
    in_one_piece = base64.b64encode(b"".join([*leaf.chain, der_of(root)])).decode()
    for what, headers, forward in [
        ("a chain as HAProxy writes it", [("x-edge-chain", in_one_piece)], with_root),
        ("an empty chain as HAProxy writes it", [("x-edge-chain", "")], {"client-cert": leaf.rfc9440_form}),
        ("no chain beside a certificate", [], {"client-cert": leaf.rfc9440_form}),
    ]:
        yield case(f"{what} is read", "/one-piece", None, [secret, ("x-edge-cert", base64s[0]), *headers], forward=forward)
    for what, value in [
        ("a piece of a chain", in_one_piece[: len(in_one_piece) // 8 * 4]),
        ("a chain with something behind it", base64.b64encode(leaf.chain[0] + b"\0").decode()),
        ("a chain with something else in it", "MAEB"),
        ("a chain in PEM", intermediate.replace("\n", " ").rstrip()),
    ]:
        headers = [secret, ("x-edge-cert", base64s[0]), ("x-edge-chain", value)]
        yield case(f"{what} in a header of its own is refused", "/one-piece", None, headers, refusal=malformed)
    other = base64.b64encode(one.der).decode()
    for what, encoding, value in [
        ("a pair of certificates that is no chain", "der_base64", f"{base64s[0]},{other}"),
        ("a pair of certificates that is no chain", "pem_apache", f"{leaf.apache_form} {one.apache_form}"),
        ("a pair of certificates that is no chain", "pem_url", aws(leaf.pem + one.pem)),
        ("one certificate twice", "der_base64", f"{base64s[0]},{base64s[0]}"),
        ("a chain in two headers that were joined", "der_base64", ", ".join(base64s)),
        ("a chain in PEM with a comma", "pem_url", f"{aws(leaf.pem)},{aws(intermediate)}"),
        ("a chain from the wrong end", "der_base64", ",".join([base64s[1], base64s[0]])),
        ("a chain with something else in it", "der_base64", f"{base64s[0]},{base64s[1]},MAEB"),
        ("a chain that ends with a comma", "der_base64", ",".join(base64s) + ","),
        ("base64 in PEM's place", "pem_url", base64s[0]),
    ]:
        yield case(f"{what} is refused under {encoding}", f"/chain-{encoding}", None, [secret, ("x-edge-cert", value)], refusal=malformed)


def without_dates(der: bytes) -> bytes:
    """The certificate with letters for the digits of its dates: a form that some handshake may let pass."""
    return re.sub(rb"\x17\x0d\d{12}Z", b"\x17\x0dxxxxxxxxxxxxZ", der)


def pem(der: bytes) -> str:
    return ssl.DER_cert_to_PEM_cert(der)


def der_of(pem: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem)
