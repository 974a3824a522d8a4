# SPDX-License-Identifier: Apache-2.0
"""The client's certificate at a proxy behind other Envoys, as an Istio sidecar behind a gateway: each wrote an element into
X-Forwarded-Client-Cert. Here the header has another name, so that a real Envoy leaves it alone; tests/envoy/test_sidecar.py has the
elements of real Envoys."""

from collections.abc import Iterator, Sequence
from typing import Any

from rig import tokens
from rig.certificates import Certificate

from cases.case import Case, Header, Refusal, cannot_decide, invalid_token
from cases.configuration import Configuration
from cases.forged import xfcc
from cases.world import AUDIENCE, EDGE, FORGED, GATEWAY, ISSUER, World


def _policies(world: World) -> dict[str, Any]:
    issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "keys": {"jwks": tokens.jwks(*world.keys.values())}}
    gateway = {"uri": GATEWAY, "chain": "validated_by_listener"}

    def source(encoding: str = "xfcc", name: Any = gateway, **more: Any) -> dict[str, Any]:
        return {"header": "X-Edge-Cert", "encoding": encoding, "proof": {"terminator_san": name}, **more}

    def api(**more: Any) -> dict[str, Any]:
        return {"resource_server": {"issuers": [issuer], "certificate_binding": "required", **more}}

    authorization_server = {"forward_certificate": [{"dialect": "rfc9440"}], "client_certificate": "presented"}
    policies = {
        "sidecar": api(client_certificate_source=source()),
        "two-gateways": api(client_certificate_source=source(hops=[{"uri": EDGE}])),
        "validated": api(client_certificate_source=source(name=[{"dns": "other.example"}, {"uri": GATEWAY}])),
        "several": api(client_certificate_source=source(name=[gateway, {"uri": EDGE, "chain": "validated_by_listener"}])),
        "digest": api(client_certificate_source=source("sha256_hex")),
        "others": api(client_certificate_source=source(from_others="connection"), not_a_client=[{"uri": EDGE}]),
        "mesh": api(not_a_client=[{"uri": GATEWAY}, {"dns": "edge.example"}]),
        "as": {"authorization_server": {**authorization_server, "client_certificate_source": source()}},
        "mesh-as": {"authorization_server": {**authorization_server, "not_a_client": [{"uri": GATEWAY}]}},
        "handed-on": {"clean_only": {"forward_certificate": [{"dialect": "rfc9440"}], "facts": {"x5t_s256": "x-fact"}}},
    }
    return {"policies": policies, "routes": [{"path_prefix": f"/{name}", "policy": name} for name in policies]}


def _sidecars(configuration: dict[str, Any], world: World) -> None:
    configuration.clear()
    configuration.update(_policies(world))


CONFIGURATIONS = {"sidecars": Configuration("authorization-server", _sidecars)}


def written(certificate: Certificate, *names: str) -> str:
    """An element with the certificate, as a gateway writes it."""
    return ";".join([xfcc(certificate), 'Subject="CN=\\"a\\",;"', *names])


def appended(certificate: Certificate) -> str:
    """The element that a sidecar writes of its neighbour."""
    return f'By=spiffe://cluster.local/ns/shop/sa/accounts;Hash={certificate.digest};Subject="";URI={GATEWAY}'


def sidecars(world: World) -> Iterator[Case]:
    """Requests that come from a gateway, from another one, and from neighbours."""
    one, two, gateway, edge, neighbour = world.client_1, world.client_2, world.gateway, world.edge, world.neighbour
    none, missing = invalid_token("certificate_not_presented"), {"forward": {}}
    malformed = Refusal("forwarded_certificate_malformed", 400, "invalid_request", challenge=False)

    def bound(certificate: Certificate) -> Header:
        return ("authorization", "Bearer " + tokens.sign(world.keys["ES256"], world.claims(certificate)))

    token = bound(one)
    passes, of_neighbour = {"forward": dict([token])}, bound(neighbour)

    def case(sentence: str, path: str, on: Certificate | None, headers: Sequence[Header], **rest: Any) -> Case:
        return Case(sentence, "sidecars", None, path, on, headers, **rest)

    def behind(sentence: str, value: str, path: str = "/sidecar", **rest: Any) -> Case:
        return case(sentence, path, gateway, [("x-edge-cert", value), token], **(rest or passes))

    own = appended(gateway)
    yield behind("an element that a gateway wrote is the client's", written(one))
    yield behind("the element that this proxy appended about the gateway is taken away", f"{written(one)},{own}")
    yield behind("the appended element may have a certificate and a chain", f'{written(one)},{own};Cert="{gateway.url_encoded}";Chain="x"')
    yield behind("without a client's element there is no certificate", own, refusal=none)
    yield behind("commas and semicolons in names begin no element", f"{written(one, 'URI=urn:x,y;z', 'DNS=b.example')},{own}")
    for what, value in {
        "an element that the gateway passed on": f"{written(two)},{written(one)},{own}",
        "an element that a name makes up": f"{written(one, f'URI=urn:x,By=a;{xfcc(two)}')},{own}",
        "a certificate that a name makes up": f'{written(one, "URI=urn:x;" + xfcc(two))},{own}',
        "a quote in a name": f'{written(one, "URI=a,DNS=" + chr(34))},{own}',
        "two quotes in names": f'{written(one, "URI=" + chr(34), "DNS=" + chr(34))},{own}',
        "an element about somebody else behind it": f"{written(one)},{appended(neighbour)}",
        "an element of this proxy that comes twice": f"{written(one)},{own},{own}",
        "a certificate that is not that of its digest": f"{written(one).replace(one.digest, two.digest)},{own}",
        "no certificate in the client's element": f'Hash={one.digest};Subject="",{own}',
    }.items():
        yield behind(f"{what} beside a client's in X-Forwarded-Client-Cert is refused", value, refusal=malformed)
    yield behind(
        "a client's names may be longer than a certificate", f"{written(one, 'DNS=' + 'a.example;DNS=' * 2500 + 'a.example')},{own}"
    )
    for what, value in {"alone": written(gateway), "before the element about it": f"{written(gateway)},{own}"}.items():
        yield case(
            f"the gateway's own certificate in its header is no client's, {what}", "/sidecar", gateway,
            [("x-edge-cert", value), bound(gateway)], refusal=none,
        )  # fmt: skip
    twin = world.gateway_renewed
    yield case(
        "a client's certificate with the gateway's name is the gateway's", "/sidecar", gateway,
        [("x-edge-cert", f"{written(twin)},{own}"), bound(twin)], refusal=none,
    )  # fmt: skip
    yield case(
        "the digest of the gateway's own certificate is no client's", "/digest", gateway,
        [("x-edge-cert", gateway.digest), bound(gateway)], refusal=none,
    )  # fmt: skip

    two_hops = f"{written(one)},{written(edge)},{own}"
    yield behind("the element about the gateway before the gateway is taken away", two_hops, "/two-gateways")
    yield behind("a gateway before the gateway without a client", f"{written(edge)},{own}", "/two-gateways", refusal=none)
    yield behind("neither a client nor the gateway before the gateway", own, "/two-gateways", refusal=none)
    for what, value in {
        "a client in the place of": f"{written(one)},{own}",
        "a neighbour in the place of": f"{written(one)},{written(neighbour)},{own}",
        "no certificate of": f"{written(one)},{appended(edge)},{own}",
        "two elements before": f"{written(two)},{two_hops}",
    }.items():
        yield behind(f"{what} the gateway before the gateway is refused", value, "/two-gateways", refusal=malformed)
    yield case(
        "the certificate of the gateway before the gateway is no client's", "/two-gateways", gateway,
        [("x-edge-cert", f"{written(edge)},{written(edge)},{own}"), bound(edge)], refusal=none,
    )  # fmt: skip
    yield behind("a second gateway that is not configured leaves two elements, and is refused", two_hops, refusal=malformed)

    yield behind("one of several names proves the terminator", written(one), "/several")
    yield case("another of several names proves the terminator", "/several", edge, [("x-edge-cert", written(one)), token], **passes)
    yield behind("a name of several counts where its own chain is validated", written(one), "/validated")
    unproved = invalid_token("terminator_not_validated")
    resumed = {"connection.peer_certificate_valid": b"\0"}
    yield behind("a terminator's name on a resumed session proves nothing, and is told apart", written(one), "/validated", facts=resumed, refusal=unproved)
    yield case("another's name on a resumed session is nobody's", "/validated", edge, [("x-edge-cert", written(one)), token], facts=resumed, refusal=none)
    yield case(
        "a name of several on a host that does not say which are validated", "/validated", gateway, [("x-edge-cert", written(one)), token],
        facts={"connection.peer_certificate_valid": None}, refusal=cannot_decide("chain_validation_unavailable"),
    )  # fmt: skip

    yield behind("a gateway's client counts beside from_others", f"{written(one)},{own}", "/others")
    yield case("a neighbour is held to its own certificate under from_others", "/others", neighbour, [of_neighbour], forward=dict([of_neighbour]))
    yield case(
        "a neighbour's header does not count under from_others", "/others", neighbour, [("x-edge-cert", written(one)), token],
        refusal=invalid_token("certificate_mismatch"),
    )  # fmt: skip
    yield case("nobody has no certificate under from_others", "/others", None, [("x-edge-cert", written(one)), token], refusal=none)
    yield case("the gateway itself is no client under from_others", "/others", gateway, [bound(gateway)], refusal=none)
    yield case("who is named in not_a_client is none under from_others", "/others", edge, [bound(edge)], refusal=none)
    yield behind("who is named in not_a_client is none in a terminator's header either", written(edge), "/others", refusal=none)

    yield case("without a source a neighbour's certificate is its own", "/mesh", neighbour, [of_neighbour], forward=dict([of_neighbour]))
    yield case("a token that is bound to a gateway's certificate is nobody's under not_a_client", "/mesh", gateway, [bound(gateway)], refusal=none)
    yield case("a DNS name in not_a_client counts in any case of letters", "/mesh", edge, [bound(edge)], refusal=none)
    yield case(
        "not_a_client on a host that does not hand over certificates", "/mesh", neighbour, [of_neighbour],
        facts={"connection.peer_certificate": None}, refusal=cannot_decide("certificate_unavailable"),
    )  # fmt: skip
    forged: list[Header] = [("x-edge-cert", FORGED), ("client-cert", FORGED)]
    yield case("an authorization server gets no certificate of not_a_client", "/mesh-as", gateway, forged, **missing)
    yield case("an authorization server gets a neighbour's beside not_a_client", "/mesh-as", neighbour, forged, forward={"client-cert": neighbour.rfc9440_form})
    yield case("an authorization server gets the gateway's client", "/as", gateway, [("x-edge-cert", f"{written(one)},{own}")], forward={"client-cert": one.rfc9440_form})
    yield case("an authorization server never gets the gateway's own certificate", "/as", gateway, [("x-edge-cert", f"{written(gateway)},{own}")], **missing)
    yield case("an authorization server gets no neighbour's certificate behind a gateway", "/as", neighbour, [("x-edge-cert", written(one))], **missing)

    handed = {"client-cert": one.rfc9440_form, "x-fact": one.thumbprint}
    yield case("clean_only hands on the certificate of the connection in any form", "/handed-on", one, forged, forward=handed)
    yield case("clean_only hands on nothing where there is no certificate", "/handed-on", None, forged, **missing)

