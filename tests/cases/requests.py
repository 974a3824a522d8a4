# SPDX-License-Identifier: Apache-2.0
"""How a request to an API comes: the header, the query, preflights, gRPC, the server name; and what goes on to it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from rig import tokens

from cases.api import Shipped, Variants
from cases.case import Case, cannot_decide, insufficient_scope, invalid_request, invalid_token, misdirected, no_token
from cases.forged import forged_headers
from cases.jws import flipped
from cases.world import FORGED, World


def variants(world: World) -> dict[str, dict[str, Any] | None]:
    return {
        "own-parameter": {"access_token_query": "ignore"},
        "browsers": {"cors_preflight": "forward"},
        "upstream": {
            "forward_token": "remove",
            "forward_claims": [
                {"claim": "sub", "header": "x-subject"},
                {"claim": "client_id", "header": "x-client-id"},
                {"claim": "roles", "header": "x-roles", "encoding": "json"},
            ],
            "forward_thumbprint": "x-client-thumbprint",
        },
        "server-name": {"server_name": "must_match"},
        "nowhere": None,
    }


def carriage(world: World) -> Iterator[Case]:
    api = Shipped(world)
    case, passes, bound = api.case, api.passes, api.bound

    # Carriage: RFC 6750 §2.1.
    yield passes("the scheme bEaReR in mixed case passes", bound, scheme="bEaReR ")
    yield passes("a token behind three spaces passes", bound, scheme="Bearer   ")
    yield case("a request without a token is challenged without an error code", refusal=no_token("token_missing"))
    for sentence, value, refusal in [
        (
            "the scheme Basic is challenged without an error code",
            "Basic Y2xpZW50OnNlY3JldA==",
            no_token("scheme_unsupported"),
        ),
        ("the DPoP scheme is challenged without an error code", f"DPoP {bound}", no_token("scheme_unsupported")),
        (
            "the scheme Bearer without a token is refused as malformed",
            "Bearer",
            invalid_request("authorization_malformed"),
        ),
        (
            "a tab between scheme and token is refused as another scheme",
            f"Bearer\t{bound}",
            no_token("scheme_unsupported"),
        ),
        (
            "two Bearer tokens in one Authorization value are refused",
            f"Bearer {bound}, Bearer {bound}",
            invalid_request("authorization_repeated"),
        ),
        (
            "a token with a space in it is refused as malformed",
            f"Bearer {bound} x",
            invalid_request("authorization_malformed"),
        ),
        ("a token in quotes is refused as malformed", f'Bearer "{bound}"', invalid_request("authorization_malformed")),
        (
            "bytes in Authorization that are not UTF-8 are refused as malformed",
            b"Bearer \xff\xfe",
            invalid_request("authorization_malformed"),
        ),
    ]:
        yield case(sentence, headers=[("authorization", value)], refusal=refusal)
    yield case(
        "an Authorization header with Basic and one with Bearer are refused",
        headers=[("authorization", "Basic Y2xpZW50OnNlY3JldA=="), ("authorization", f"Bearer {bound}")],
        refusal=invalid_request("authorization_repeated"),
    )
    yield case(
        "two Authorization headers are refused",
        headers=[("authorization", f"Bearer {bound}")] * 2,
        refusal=invalid_request("authorization_repeated"),
    )
    yield case(
        "bytes in another header that are not UTF-8 pass",
        headers=[("authorization", f"Bearer {bound}"), ("x-note", b"\xff\x80")],
        forward={"authorization": f"Bearer {bound}"},
    )
    for sentence, query in [
        ("a token in the query is refused", f"access_token={bound}"),
        ("an empty token in the query is refused", "access_token="),
        ("a token parameter without a value is refused", "access_token"),
        ("a token behind other parameters is refused", f"a=b&c&access_token={bound}"),
        ("a token behind a semicolon is refused", f"a=b;access_token={bound}"),
        ("a token behind a second question mark is refused", f"a?access_token={bound}"),
        ("a token behind two question marks is refused", f"?access_token={bound}"),
        ("a percent-encoded token parameter is refused", f"access%5ftoken={bound}"),
        ("a token parameter percent-encoded in capitals is refused", f"access%5Ftoken={bound}"),
        (
            "a token parameter that is percent-encoded throughout is refused",
            f"%61%63%63%65%73%73%5f%74%6F%6b%65%6e={bound}",
        ),
        ("a token parameter in capitals is refused", f"ACCESS_TOKEN={bound}"),
        ("a token parameter with a plus is refused, which PHP reads as an underscore", f"access+token={bound}"),
        ("a token parameter with a dot is refused, which PHP reads as an underscore", f"access.token={bound}"),
        ("a token parameter behind a space is refused, which PHP drops", f"%20access_token={bound}"),
        ("a token parameter behind a plus is refused, which PHP drops", f"+access_token={bound}"),
        ("a token parameter before a space is refused, which others drop", f"access_token%20={bound}"),
        ("a token parameter before a line end is refused", f"access_token%0d%0a={bound}"),
        ("a token parameter behind a no-break space is refused", f"%c2%a0access_token={bound}"),
        ("a token parameter behind a byte order mark is refused", f"%EF%BB%BFaccess_token={bound}"),
        ("a token parameter before a NUL is refused, where a name of C ends", f"access_token%00x={bound}"),
        ("a token parameter behind a NUL is refused, which Java trims", f"%00access_token={bound}"),
        ("a token parameter that is a list is refused, as PHP and Rails write it", f"access_token[]={bound}"),
        ("a token parameter that is a map is refused", f"access_token[0][x]={bound}"),
        ("a token parameter that is a list is refused with its brackets encoded", f"access%5Ftoken%5B%5D={bound}"),
        ("a token parameter with a bracket is refused, which PHP reads as an underscore", f"access[token={bound}"),
        ("a token parameter with a bracket before a NUL is refused", f"access[token%00x={bound}"),
        ("a token parameter in brackets is refused, which qs and Rack drop", f"[access_token]={bound}"),
        ("a token parameter in two percent-encoded brackets is refused", f"%5b%5baccess_token%5d%5d={bound}"),
        ("a token parameter behind a dot is refused, which qs drops", f".access_token={bound}"),
        ("a token parameter in the escapes of .NET is refused", f"access%u005Ftoken={bound}"),
        ("a token parameter with a long s is refused, whose capital is S", f"acce%C5%BF%C5%BF_token={bound}"),
        ("a token parameter with a sharp s is refused, whose capitals are SS", f"acce%C3%9F_token={bound}"),
        ("a token parameter with the sign of the kelvin is refused", f"access_to%e2%84%aaen={bound}"),
    ]:
        yield case(sentence, path=f"/?{query}", refusal=invalid_request("token_in_query"))
    yield case(
        "a token in the query beside one in the header is refused",
        path="/?access_token=x",
        headers=[("authorization", f"Bearer {bound}")],
        refusal=invalid_request("token_in_query"),
    )
    for sentence, path in [
        (
            "a parameter whose name goes on behind access_token passes",
            "/?access_token_type=x&my_access_token=y&_access_token=z",
        ),
        (
            "a parameter that has another with access_token in it passes",
            "/?a[access_token]=x&access%5btoken%5d=y&a.access_token=z",
        ),
        ("a parameter whose value is access_token passes", "/?type=access_token&%zz=%4&="),
        ("a path with access_token in it passes", "/access_token"),
    ]:
        yield passes(sentence, bound, path=path)

    # No forged certificate header reaches the API.
    yield case(
        "forged certificate headers are removed from a good request to an API",
        headers=[("authorization", f"Bearer {bound}"), *forged_headers()],
        forward={"authorization": f"Bearer {bound}"},
    )


def kinds_of_requests(world: World) -> Iterator[Case]:
    two = world.client_2
    api = Variants(world)
    case, carrying, sign, bound = api.case, api.carrying, api.sign, api.bound

    # The query, where the API has a parameter of its own.
    yield carrying(
        "own-parameter",
        "access_token in the query passes with a good token under access_token_query: ignore",
        bound,
        path="/own-parameter/?access_token=x",
    )
    yield case(
        "own-parameter",
        "a token in the query alone is refused as missing under access_token_query: ignore",
        path=f"/own-parameter/?access_token={bound}",
        refusal=no_token("token_missing"),
    )

    # CORS: a preflight has no token.
    asking = [("origin", "https://app.example.com"), ("access-control-request-method", "GET")]
    yield case(
        "browsers",
        "a CORS preflight without a token passes under cors_preflight: forward",
        method="OPTIONS",
        headers=asking,
        forward={},
    )
    yield case(
        "browsers",
        "a CORS preflight loses its forged headers under cors_preflight: forward",
        method="OPTIONS",
        headers=[*asking, *forged_headers()],
        forward={},
    )
    for policy, sentence, method, headers in [
        ("browsers", "OPTIONS without Origin needs a token under cors_preflight: forward", "OPTIONS", asking[1:]),
        (
            "browsers",
            "OPTIONS without Access-Control-Request-Method needs a token under cors_preflight: forward",
            "OPTIONS",
            asking[:1],
        ),
        ("browsers", "GET with the headers of a preflight needs a token under cors_preflight: forward", "GET", asking),
        ("scopes", "a CORS preflight needs a token without cors_preflight: forward", "OPTIONS", asking),
    ]:
        yield case(policy, sentence, method=method, headers=headers, refusal=no_token("token_missing"))
    # Fetch §4.8: a browser sends no credentials with it, so what has a token is judged by it.
    of_browser: dict[str, Any] = {"method": "OPTIONS", "headers": asking}
    for sentence, token, outcome in [
        ("its own token passes", bound, {}),
        ("a stolen token is refused", sign(bound_to=two), {"refusal": invalid_token("certificate_mismatch")}),
        ("a made-up token is refused", "made-up", {"refusal": invalid_token("token_malformed")}),
    ]:
        yield carrying("browsers", f"a CORS preflight with {sentence} under cors_preflight: forward", token, **of_browser, **outcome)

    # gRPC: the HTTP status is always 200.
    grpc: dict[str, Any] = {"method": "POST", "headers": [("content-type", "application/grpc")]}
    for policy, sentence, token, refusal, number in [
        ("scopes", "no token", None, no_token("token_missing"), 16),
        ("scopes", "a stolen token", sign(bound_to=two), invalid_token("certificate_mismatch"), 16),
        ("scopes", "too little scope", bound, insufficient_scope("accounts payments:write"), 7),
        ("scopes", "two tokens", f"{bound}, Bearer {bound}", invalid_request("authorization_repeated"), 3),
        ("nowhere", "a route without a policy", bound, cannot_decide("unknown_policy"), 13),
    ]:
        refusal = replace(refusal, grpc_status=number)
        sentence = f"a gRPC call with {sentence} gets the gRPC status {number}"
        yield (
            carrying(policy, sentence, token, refusal=refusal, **grpc)
            if token
            else case(policy, sentence, refusal=refusal, **grpc)
        )
    yield case(
        "scopes",
        "a gRPC call as application/grpc+proto without a token gets the gRPC status 16",
        method="POST",
        headers=[("content-type", "application/grpc+proto")],
        refusal=replace(no_token("token_missing"), grpc_status=16),
    )
    for kind in ("application/grpc-web", "application/grpc; charset=x", "application/grpcs", "application/json"):
        yield case(
            "scopes",
            f"a call as {kind} without a token gets an HTTP status",
            method="POST",
            headers=[("content-type", kind)],
            refusal=no_token("token_missing"),
        )
    yield carrying("observe", "a gRPC call with a bound token passes", bound, **grpc)

    # The server name of the TLS handshake, which is localhost.
    for authority in ("localhost", "LocalHost", "localhost:8443", "localhost."):
        yield carrying(
            "server-name",
            f"the host {authority} passes with the server name localhost under must_match",
            bound,
            authority=authority,
        )
    for authority in ("api.example.com", "localhost.example.com", "localhost..", "127.0.0.1", "[::1]:8443"):
        yield carrying(
            "server-name",
            f"the host {authority} is refused with the server name localhost under must_match",
            bound,
            authority=authority,
            refusal=misdirected(),
        )
        yield carrying(
            "observe",
            f"the host {authority} passes with the server name localhost without must_match",
            bound,
            authority=authority,
        )
    for name, value in (("no server name", None), ("an empty server name", b"")):
        yield carrying(
            "server-name",
            f"a request with {name} is refused under must_match",
            bound,
            facts={"connection.requested_server_name": value},
            refusal=misdirected(),
        )
    yield carrying(
        "server-name",
        "a gRPC call to another host than the server name gets the gRPC status 14",
        bound,
        authority="api.example.com",
        refusal=replace(misdirected(), grpc_status=14),
        **grpc,
    )
    yield carrying(
        "server-name",
        "a token with a changed signature is refused as such under must_match",
        flipped(bound),
        refusal=invalid_token("signature_invalid"),
    )


def toward_the_upstream(world: World) -> Iterator[Case]:
    one, es256 = world.client_1, world.keys["ES256"]
    # HTTP/1.1 and HTTP/2 alike, and as CGI-like servers fold them.
    own = (
        "x-subject",
        "x_subject",
        "x.subject",
        "x!subject",
        "x-client-id",
        "x-roles",
        "x-client-thumbprint",
        "x~client*thumbprint",
    )
    forged = [(name, FORGED) for name in own]

    def case(sentence: str, *, policy: str = "upstream", path: str = "/upstream/", **claims: Any) -> Case:
        token = tokens.sign(es256, world.claims(one, **claims))
        return Case(
            sentence, "variants", policy, path, one, [("authorization", f"Bearer {token}"), *forged], forward={}
        )

    set_here = {"x-subject": "client-1", "x-client-thumbprint": one.thumbprint}
    yield replace(
        case("forward_claims and forward_thumbprint replace what the client wrote in their headers"), forward=set_here
    )
    yield replace(
        case(
            "a claim that is a list is forwarded as JSON in ASCII with encoding: json",
            client_id="a client",
            roles=["caf\u00e9", {"a\r\n": 1.5}],
        ),
        forward={**set_here, "x-client-id": "a client", "x-roles": '["caf\\u00e9",{"a\\r\\n":1.5}]'},
    )
    yield replace(
        case("a header of another policy's forward_claims is removed on an open route", policy="open", path="/health")
    )
    for name, claims in {
        "beyond ASCII": {"sub": "caf\u00e9"},
        "with a line end": {"sub": "a\r\nx-admin: 1"},
        "with a space at its end": {"sub": "a "},
        "of no characters": {"sub": ""},
        "that is a number": {"client_id": 1},
        "that is a list": {"client_id": ["a"]},
        "that is too long": {"client_id": "a" * 4097},
        "that is too long as JSON": {"roles": ["a" * 4096]},
    }.items():
        yield replace(
            case(f"a claim {name} is refused where forward_claims names it", **claims),
            forward=None,
            refusal=invalid_token("claim_malformed"),
        )
