# SPDX-License-Identifier: Apache-2.0
"""Clients that authenticate by their certificate before the authorization server (RFC 8705 §2)."""

import base64
import json
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

from rig.certificates import Certificate

from cases.case import Case, Header, Refusal
from cases.configuration import Configuration
from cases.world import ISSUER, World


def _registered(configuration: dict[str, Any], world: World) -> None:
    """The certificate of the client that is registered with one."""
    clients = configuration["policies"]["clients"]["authorization_server"]["client_authentication"]["clients"]
    (registered,) = [client for client in clients if "jwks" in client]
    registered["jwks"]["keys"][0]["x5c"] = [base64.b64encode(world.impostor.der).decode()]


def _unlisted_clients_forwarded(configuration: dict[str, Any], world: World) -> None:
    _registered(configuration, world)
    server = configuration["policies"]["clients"]["authorization_server"]
    server["client_certificate"] = "validated_by_listener"
    server["client_authentication"]["unlisted_clients"] = "forward"
    listed = ("a+b", "50%25", "Twin", "tWIN")
    server["client_authentication"]["clients"] += [{"client_id": own, "token_endpoint_auth_method": "none"} for own in listed]


def _client_keys(configuration: dict[str, Any], world: World) -> None:
    """Nobody answers there."""
    _registered(configuration, world)
    authentication = configuration["policies"]["clients"]["authorization_server"]["client_authentication"]
    authentication["client_keys"] = {"https://client.example.org": "nowhere"}
    authentication["clients"].append(
        {
            "client_id": "publishing",
            "token_endpoint_auth_method": "self_signed_tls_client_auth",
            "jwks_uri": "https://client.example.org/jwks",
        }
    )


CONFIGURATIONS = {
    "client-authentication": Configuration("client-authentication", _registered),
    "unlisted-clients-forwarded": Configuration("client-authentication", _unlisted_clients_forwarded),
    "client-keys": Configuration("client-authentication", _client_keys),
}


FORM = ("content-type", "application/x-www-form-urlencoded")


def basic(user: str, password: str = "x") -> Header:
    return "authorization", f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def assertion(client_id: str, **changed: Any) -> str:
    """A client assertion whose signature is the authorization server's to verify."""
    claims = {"iss": client_id, "sub": client_id, "aud": ISSUER} | changed
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in ({"alg": "ES256"}, claims)]
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return "&" + urllib.parse.urlencode({"client_assertion_type": kind, "client_assertion": ".".join([*parts, "AAAA"])})


def client_authentication(world: World) -> Iterator[Case]:
    one, other, self_signed = world.client_1, world.client_2, world.impostor
    pki, registered, bound = "s6BhdRkqt3", "fZ2wYg7Lk0", "d8Vq3mTnRa"

    def invalid_client(reason: str, *, challenge: bool = False) -> Refusal:
        return Refusal(reason, 401 if challenge else 400, "invalid_client", challenge=challenge)

    def wrong(reason: str) -> Refusal:
        return Refusal(reason, 400, "invalid_request", challenge=False)

    def case(sentence: str, body: str, *, on: Certificate | None = one, headers: Sequence[Header] = (FORM,), **rest: Any) -> Case:
        rest = {"path": "/token", "method": "POST", "validated": on is not self_signed, **rest}
        configuration = rest.pop("configuration", "client-authentication")
        path = rest.pop("path")
        return Case(sentence, configuration, "clients", path, on, list(headers), body=body.encode(), **rest)

    grant = "grant_type=client_credentials"
    handed_over = {"forward": {"client-cert": one.rfc9440_form}}
    yield case("a client whose certificate has its registered subject is forwarded", f"{grant}&client_id={pki}", **handed_over)
    yield case("client_id percent-encoded in front of grant_type is read", f"client%5fid=%73{pki[1:]}&{grant}", **handed_over)
    for endpoint in ("/request", "/token/introspection", "/token/revocation", "/device/auth", "/backchannel"):
        yield case(f"a client authenticates by its certificate at {endpoint}", f"client_id={pki}", path=endpoint, **handed_over)
    yield case(
        "a self-signed certificate that a client registered is handed over",
        f"{grant}&client_id={registered}", on=self_signed, forward={"client-cert": self_signed.rfc9440_form},
    )  # fmt: skip
    yield case("a form with a charset in its content type is read", f"client_id={pki}", headers=[("content-type", "Application/x-www-form-urlencoded; charset=UTF-8")], **handed_over)
    for charset in ("us-ascii", "ISO-8859-1", '"windows-1252"'):
        yield case(f"a form with charset={charset} and nothing but ASCII is read", f"client_id=%73{pki[1:]}", headers=[(FORM[0], f"{FORM[1]};charset={charset}")], **handed_over)
    yield case("an empty client_secret beside tls_client_auth is an omitted one", f"client_id={pki}&client_secret=", **handed_over)
    yield case("an empty assertion and type beside tls_client_auth are omitted ones", f"client_assertion=&client_id={pki}&client_assertion_type", **handed_over)
    yield case("a client with an assertion is forwarded with its certificate", grant + assertion(bound), **handed_over)
    yield case("a client with HTTP Basic is forwarded with its certificate", grant, headers=[FORM, basic(bound)], **handed_over)
    yield case("an empty body is forwarded where HTTP Basic names the client", "", headers=[basic(bound)], **handed_over)

    missing = invalid_client("client_certificate_missing")
    yield case("a client with a registered subject is refused without a certificate", f"client_id={pki}", on=None, refusal=missing)
    yield case("a client with a registered certificate is refused without a certificate", f"client_id={registered}", on=None, refusal=missing)
    mismatch = invalid_client("client_certificate_mismatch")
    yield case("a client with a registered subject is refused on another client's certificate", f"client_id={pki}", on=other, refusal=mismatch)
    yield case("a client with a registered certificate is refused on another client's certificate", f"client_id={registered}", refusal=mismatch)
    forged = invalid_client("client_certificate_not_validated")
    yield case("a client with a registered subject is refused on a self-signed certificate with that subject", f"client_id={pki}", on=self_signed, refusal=forged)
    unknown = invalid_client("client_unknown")
    yield case("an unlisted client_id is refused as client_unknown", "client_id=other", refusal=unknown)
    yield case("client_id in another case is refused as client_unknown", f"client_id={pki.lower()}", refusal=unknown)
    yield case("an unlisted client_id in an assertion is refused as client_unknown", grant + assertion("whoever-this-may-be"), refusal=unknown)
    yield case("an unlisted client_id in HTTP Basic is refused with a challenge", "", headers=[basic("other")], refusal=invalid_client("client_unknown", challenge=True))
    nobody = invalid_client("client_id_missing")
    yield case("a token request without client_id is refused as client_id_missing", grant, refusal=nobody)
    yield case("an empty client_id is refused as client_id_missing", "client_id=", refusal=nobody)
    yield case("the scheme Bearer without client_id is refused as client_id_missing", "token=x", headers=[FORM, ("authorization", "Bearer x")], refusal=invalid_client("client_id_missing", challenge=True))
    unbound = wrong("binding_certificate_missing")
    yield case("a client with bound tokens is refused without a certificate", grant + assertion(bound), on=None, refusal=unbound)
    yield case("a client with bound tokens is refused on a certificate that is not handed over", grant + assertion(bound), on=self_signed, refusal=unbound)
    several = wrong("client_authentication_repeated")
    yield case("client_secret beside tls_client_auth is refused", f"client_id={pki}&client_secret=x", refusal=several)
    yield case("HTTP Basic beside tls_client_auth is refused", f"client_id={pki}", headers=[FORM, basic(pki)], refusal=several)
    yield case("an assertion beside tls_client_auth is refused", "a=b" + assertion(pki), refusal=several)
    ambiguous = wrong("client_ambiguous")
    for what, body in {
        "has client_id twice": f"client_id={pki}&client_id={pki}",
        "has client_id twice, once percent-encoded": f"client_id={pki}&client%5Fid=other",
        "has client_id twice, once empty": f"client_id=&client_id={pki}",
        "has client_secret twice, both empty": f"client_id={pki}&client_secret=&client_secret=",
        "has another client_id in its assertion": f"client_id={bound}" + assertion(pki),
        "has another iss than sub in its assertion": assertion(bound, iss="other"),
        "has client.id, which PHP reads as client_id": f"client_id={bound}&client.id={pki}",
        "has client[id, which PHP reads as client_id": f"client_id={bound}&client[id={pki}",
        "has client[id and a NUL, which PHP reads as client_id": f"client_id={bound}&client[id%00x={pki}",
        "has client_id behind a question mark": f"?client_id={pki}&client_id={bound}",
        "has client_id behind a number sign": f"#client_id={pki}&client_id={bound}",
        "has client_secret behind a question mark": f"client_id={bound}&?client_secret=x",
        "has client_id in brackets": f"client_id={bound}&[client_id]={pki}",
        "has client_id behind a dot": f"client_id={bound}&.client_id={pki}",
        "has client_id behind a byte order mark": f"client_id={bound}&%EF%BB%BFclient_id={pki}",
        "has client_id with a dotless i": f"client_id={bound}&cl%C4%B1ent_id={pki}",
        "has client_id[], which some read as a list": f"client_id={bound}&client_id[]={pki}",
        "has Client_ID in capitals": f"Client_ID={pki}",
    }.items():
        yield case(f"a client that {what} is refused as client_ambiguous", body, refusal=ambiguous)
    yield case("a client that has another client_id in HTTP Basic is refused as client_ambiguous", f"client_id={pki}", headers=[FORM, basic(bound)], refusal=ambiguous)
    # Envoy joins the values of repeated headers with a comma before any filter sees them.
    for what, before in {"another scheme": "Bearer x, ", "another scheme and no space": "Bearer x,", "two other schemes": "Bearer x, Digest y,\t", "an empty value": ", "}.items():
        joined = ("authorization", before + basic(bound)[1])
        yield case(f"HTTP Basic of a listed client behind {what} is refused as client_ambiguous", "client_id=other", headers=[FORM, joined], configuration="unlisted-clients-forwarded", refusal=ambiguous)
    capitals = ("authorization", "Bearer x, BASIC" + basic(bound)[1][5:])
    yield case("BASIC in capitals of a listed client behind another scheme is refused as client_ambiguous", "client_id=other", headers=[FORM, capitals], configuration="unlisted-clients-forwarded", refusal=ambiguous)
    lists = ("authorization", 'Digest username="other", basically=x')
    yield case("the scheme Digest with a list of parameters is forwarded under unlisted_clients: forward", "client_id=other", headers=[FORM, lists], configuration="unlisted-clients-forwarded", **handed_over)
    yield case("a percent-encoded client_id in HTTP Basic is decoded", "", headers=[basic(bound.replace("d", "%64"))], **handed_over)
    yield case("client_id in the query is refused as client_ambiguous", f"client_id={pki}", path=f"/token?client_id={pki}", refusal=ambiguous)
    yield case("client_id behind two question marks is refused as client_ambiguous", f"client_id={pki}", path=f"/token??client_id={pki}", refusal=ambiguous)
    malformed = wrong("token_request_malformed")
    for what, body in {
        "has half an escape": f"client_id={pki}&a=%2",
        "has a byte order mark": f"\ufeffclient_id={bound}&client_id={pki}",
        "has a semicolon": f"a=b;client_id={pki}",
        "has an identifier with a newline": "client_id=a%0a",
        "has an assertion that is no JWT": "client_assertion=x&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
        "has an assertion without its type": f"client_id={bound}&client_assertion=a.e30.b",
        "is too large": f"client_id={pki}&a=" + "x" * 65536,
    }.items():  # fmt: skip
        # A name of the form is decoded always, a value only where it counts.
        yield case(f"a form that {what} is refused", body.replace("a=%2", "a%2=b"), refusal=malformed)
    forwarding = {"configuration": "unlisted-clients-forwarded"}
    yield case("an unlisted client_id in HTTP Basic is forwarded under unlisted_clients: forward", "", headers=[basic("other")], **forwarding, **handed_over)
    yield case("an unlisted client_id without a certificate is forwarded under unlisted_clients: forward", "client_id=other", on=None, **forwarding, forward={})
    yield case("a listed client on another certificate is refused under unlisted_clients: forward", f"client_id={pki}", on=other, **forwarding, refusal=mismatch)
    yield case("a listed public client is forwarded under unlisted_clients: forward", "client_id=a%2bb", **forwarding, **handed_over)
    yield case("a token request without client_id is refused under unlisted_clients: forward", grant, **forwarding, refusal=nobody)
    # What the server behind may take for a listed client: the identifiers are those that it gets, decoded once.
    quoted = urllib.parse.quote
    for what, client_id in {
        "in small letters": pki.lower(),
        "in capitals": pki.upper(),
        "behind a space": f" {pki}",
        "before spaces": f"{pki}  ",
        "percent-encoded once more": f"%{ord(pki[0]):02x}{pki[1:]}",
        "percent-encoded twice more": f"%25{ord(pki[0]):02X}{pki[1:]}",
        "before a line end that is percent-encoded once more": f"{pki}%0d%0A",
        "before a NUL that is percent-encoded once more": f"{pki}%00x",
        "before a no-break space that is percent-encoded once more": f"{pki}%c2%a0",
        "with the sign of the kelvin, percent-encoded once more": pki.replace("k", "%E2%84%AA"),
        "in capitals, and percent-encoded once more": quoted(pki.upper()).replace("S", "%73"),
        "but for a plus that is a space": "a b",
        "but for a plus that is percent-encoded once more": "A%2bB",
        "that is percent-encoded, decoded once more": "50%",
        "that is percent-encoded, encoded once more": "50%2525",
        "that two listed ones are in another case": "twin",
    }.items():
        yield case(f"a listed client_id {what} is refused as ambiguous", f"client_id={quoted(client_id, safe='')}", **forwarding, refusal=ambiguous)
    for client_id in (pki.lower(), f"%{ord(pki[0]):02x}{pki[1:]}"):
        named = [basic(quoted(client_id, safe=""))]
        yield case(f"HTTP Basic with {client_id} for a listed client is refused as client_ambiguous", "", headers=named, **forwarding, refusal=ambiguous)
        yield case(f"an assertion with {client_id} for a listed client is refused as client_ambiguous", grant + assertion(client_id), **forwarding, refusal=ambiguous)
    for client_id in ("a+b", "50%25", "Twin", "tWIN"):
        yield case(f"the listed client_id {client_id} is forwarded beside others like it", f"client_id={quoted(client_id)}", **forwarding, **handed_over)
    for client_id in (f"{pki}3", pki[:-1], "s6-BhdRkqt3", "a%b", "%", "60%25", "twins", "a-b"):
        yield case(f"the unlisted client_id {client_id} is forwarded, which no server takes for a listed one", f"client_id={quoted(client_id)}", **forwarding, **handed_over)
    yield case("HTTP Basic with a+b is refused as client_ambiguous where a+b is listed", "", headers=[basic("a+b")], **forwarding, refusal=ambiguous)
    yield case(
        "a client authenticates in a resumed session under validated_by_listener",
        f"client_id={pki}", facts={"connection.peer_certificate_valid": b"\0"}, **forwarding, **handed_over,
    )  # fmt: skip
    yield case("a token request in JSON is refused as malformed", json.dumps({"client_id": pki}), headers=[("content-type", "application/json")], refusal=malformed)
    for charset in ("utf-7", "utf-16", "shift_jis", "ibm037", "iso-8859-1-x", "windows-1252; charset=utf-8", '"utf-8'):
        yield case(f"a token request with charset={charset} is refused as malformed", f"client_id={pki}", headers=[(FORM[0], f"{FORM[1]}; charset={charset}")], refusal=malformed)
    yield case("a form in ISO-8859-1 with an encoded byte that is not ASCII is refused as malformed", f"client_id={pki}&a=%e9", headers=[(FORM[0], f"{FORM[1]}; charset=iso-8859-1")], refusal=malformed)
    yield case("a token request without a content type is refused as malformed", f"client_id={pki}", headers=[], refusal=malformed)
    yield case("a token request with a content encoding is refused as malformed", f"client_id={pki}", headers=[FORM, ("content-encoding", "gzip")], refusal=malformed)
    for what, scheme in {"a tab": "Basic\t", "an equals sign": "bAsIc=", "a comma": "Basic,"}.items():
        credentials = basic("other")[1][6:]
        yield case(f"HTTP Basic with {what} behind the scheme is refused as malformed", "client_id=other", headers=[FORM, ("authorization", scheme + credentials)], **forwarding, refusal=malformed)
    publishing = {"configuration": "client-keys"}
    unavailable = Refusal("client_keys_unavailable", 503, "temporarily_unavailable", challenge=False)
    yield case("a client whose jwks_uri cannot be fetched is refused with 503 on a self-signed certificate", "client_id=publishing", on=self_signed, **publishing, refusal=unavailable)
    yield case("a client whose jwks_uri cannot be fetched is refused with 503 on a validated certificate", "client_id=publishing", **publishing, refusal=unavailable)
    yield case("a client with jwks_uri is refused without a certificate", "client_id=publishing", on=None, **publishing, refusal=missing)
    yield case("client_secret beside jwks_uri is refused", "client_id=publishing&client_secret=x", **publishing, refusal=several)
    yield case("HTTP Basic without a colon is refused as malformed", "", headers=[("authorization", "Basic eA==")], refusal=malformed)
    yield case("a token request with GET is refused as malformed", "", headers=[], method="GET", refusal=malformed)
