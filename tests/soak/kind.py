# SPDX-License-Identifier: Apache-2.0
"""The kinds of requests: how each is made, and what must come of it."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cases import FORGED, World, forged_headers
from rig import tokens
from rig.certificates import Certificate
from rig.token_request import FORM

Header = tuple[str, str]

ID = "x-soak-id"
SECRET_MARK = "opaque-secret-"
"""How the tokens begin that are introspected. No log may have it."""


@dataclass(frozen=True)
class Outcome:
    """What a client gets, and the reason that the access log has."""

    status: int
    error: str | None
    reason: str | None
    """None where Envoy itself refuses before the filter sees the request, or answers to nobody."""

    def __str__(self) -> str:
        return f"{self.status} {self.error or '-'} ({self.reason or '-'})"


@dataclass(frozen=True)
class Made:
    """What a client sends."""

    path: str
    headers: Sequence[Header]
    method: str = "GET"
    body: bytes = b""


Manner = Literal["whole", "slow", "raw", "left"]
"""At once; the body a little at a time; bytes that are no strict HTTP; and the client goes away before the response."""


@dataclass(frozen=True)
class Kind:
    name: str
    make: Callable[["Maker"], Made]
    outcome: Outcome
    """While everything works."""
    outage: Outcome | None = None
    """While the server that is asked about it does not; None where it is judged without."""
    asks: Literal["keys", "introspection"] | None = None
    certificate: str | None = "client_1"
    """A name of `World`."""
    manner: Manner = "whole"
    weight: int = 2
    is_logged: bool = True
    """Whether the access log can name the request: the HTTP parser refuses some before they have headers."""

    def permitted(self, states: frozenset[bool]) -> set[Outcome]:
        """By whether the server works that is asked."""
        if self.outage is None:
            return {self.outcome}
        return {self.outcome if works else self.outage for works in states}

    def presented(self, world: World) -> Certificate | None:
        return getattr(world, self.certificate) if self.certificate else None


class Maker:
    """Makes what the requests have in them. Whatever must not come twice has a number of its own."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world, self.chance = world, chance
        # A signature takes a millisecond; a few tokens come again, as they do from clients.
        self._few = [self.jwt(jti=f"few-{number}") for number in range(8)]

    def jwt(self, header: dict[str, Any] = {}, *, key: str = "ES256", **claims: Any) -> str:
        claims = {"jti": self.number(), **claims}
        return tokens.sign(self.world.keys[key], self.world.claims(self.world.client_1, **claims), header=header)

    def seen(self) -> str:
        return self.chance.choice(self._few)

    def opaque(self, what: str) -> str:
        return f"{SECRET_MARK}{what}-{self.number()}"

    def number(self) -> str:
        return f"{self.chance.getrandbits(64):016x}"


def bearer(token: str) -> Header:
    return "authorization", f"Bearer {token}"


def _jwt(make: Callable[[Maker], str], path: str = "/jwt/", *more: Header, **rest: Any) -> Callable[[Maker], Made]:
    return lambda maker: Made(path, [bearer(make(maker)), *more], **rest)


def _opaque(what: str) -> Callable[[Maker], Made]:
    return lambda maker: Made("/opaque/", [bearer(maker.opaque(what))])


def _form(client_id: str, *headers: Header, body: str = "") -> Callable[[Maker], Made]:
    form = f"grant_type=client_credentials&client_id={client_id}{body}".encode()
    return lambda _: Made("/token", [FORM, *headers], "POST", form)


def _tampered(maker: Maker) -> str:
    head, _, signature = maker.jwt().rpartition(".")
    changed = "A" if signature[9] != "A" else "B"
    return f"{head}.{signature[:9]}{changed}{signature[10:]}"


def _reclaimed(maker: Maker) -> str:
    header, _, signature = maker.jwt().split(".")
    claims = maker.world.claims(maker.world.client_2, jti=maker.number())
    return f"{header}.{tokens.encode_part(claims)}.{signature}"


def _garbage(maker: Maker) -> str:
    return "".join(maker.chance.choices("abcdefghijklmnopqrstuvwxyz0123456789-_~+/", k=maker.chance.randint(1, 3000)))


def _unheard_of(maker: Maker) -> str:
    return maker.jwt({"kid": maker.number()})


def _passed(reason: str) -> Outcome:
    return Outcome(200, None, reason)


def _invalid_token(reason: str) -> Outcome:
    return Outcome(401, "invalid_token", reason)


def _invalid_request(reason: str) -> Outcome:
    return Outcome(400, "invalid_request", reason)


def _invalid_client(reason: str) -> Outcome:
    return Outcome(400, "invalid_client", reason)


_TOKEN_MISSING = Outcome(401, None, "token_missing")
_UNAVAILABLE = Outcome(503, "temporarily_unavailable", "introspection_unavailable")
_BOUND, _BY_NAME, _REGISTERED, _FETCHED = _passed("token_bound"), "s6BhdRkqt3", "fZ2wYg7Lk0", "soak-fetched"
_CLIENT = _passed("client_authenticated")
_BODY = {"method": "POST", "body": b"x" * 400}
FETCHED_CLIENT = _FETCHED
"""The client whose certificate stands at its jwks_uri: `client_2`."""


def _good() -> list[Kind]:
    return [
        Kind("JWT, seen before", _jwt(Maker.seen), _BOUND, weight=12),
        Kind("JWT, new", _jwt(Maker.jwt), _BOUND, weight=8),
        Kind("JWT, new, RS256", _jwt(lambda maker: maker.jwt(key="RS256")), _BOUND, weight=3),
        Kind("JWT, new, EdDSA", _jwt(lambda maker: maker.jwt(key="EdDSA")), _BOUND, weight=3),
        Kind("JWT, with a body", _jwt(Maker.jwt, **_BODY), _BOUND, weight=3),
        Kind("JWT, with a slow body", _jwt(Maker.jwt, **_BODY), _BOUND, manner="slow"),
        Kind("JWT, beside forged certificate headers", _jwt(Maker.seen, "/jwt/", *forged_headers()), _BOUND, weight=4),
        Kind("opaque token", _opaque("good"), _BOUND, _UNAVAILABLE, "introspection", weight=8),
        Kind("no policy but to clean, with forged headers", lambda _: Made("/open/", forged_headers()), _passed("clean_only"), certificate=None, weight=4),
        Kind("client with its registered name", _form(_BY_NAME), _CLIENT, weight=4),
        Kind("client with its registered name, slowly", _form(_BY_NAME), _CLIENT, manner="slow"),
        Kind("client with its registered certificate", _form(_REGISTERED), _CLIENT, certificate="impostor", weight=3),
        Kind("client with a certificate at its jwks_uri", _form(_FETCHED), _CLIENT, certificate="client_2", weight=3),
    ]  # fmt: skip


def _hostile_tokens() -> list[Kind]:
    mismatch, absent = _invalid_token("certificate_mismatch"), _invalid_token("certificate_not_presented")
    malformed = _invalid_token("token_malformed")
    return [
        Kind("JWT on another certificate", _jwt(Maker.seen), mismatch, certificate="client_2", weight=4),
        Kind("JWT on a self-signed certificate of the same name", _jwt(Maker.seen), mismatch, certificate="impostor"),
        Kind("JWT without a certificate", _jwt(Maker.seen), absent, certificate=None, weight=4),
        Kind("JWT without a certificate, beside forged headers", _jwt(Maker.seen, "/jwt/", *forged_headers()), absent, certificate=None),
        Kind("JWT with a changed signature", _jwt(_tampered), _invalid_token("signature_invalid"), weight=4),
        Kind("JWT with changed claims", _jwt(_reclaimed), _invalid_token("signature_invalid"), certificate="client_2"),
        Kind("JWT of a stranger's key", _jwt(lambda maker: tokens.sign(maker.world.stranger, maker.world.claims(maker.world.client_1, jti=maker.number()))), _invalid_token("signature_invalid")),
        Kind("JWT with an unheard-of key id", _jwt(_unheard_of), _invalid_token("key_unknown"), Outcome(503, "temporarily_unavailable", "keys_unavailable"), "keys", weight=6),
        Kind("JWT with the algorithm none", _jwt(lambda maker: tokens.sign(maker.world.keys["ES256"], maker.world.claims(maker.world.client_1), algorithm="none")), _invalid_token("algorithm_not_allowed")),
        Kind("JWT that has expired", _jwt(lambda maker: maker.jwt(exp=maker.world.now - 60, nbf=None, iat=None)), _invalid_token("token_expired")),
        Kind("JWT for another API", _jwt(lambda maker: maker.jwt(aud="https://other.example.com")), _invalid_token("audience_mismatch")),
        Kind("JWT that is bound to nothing", _jwt(lambda maker: maker.jwt(cnf=None)), _invalid_token("confirmation_missing")),
        Kind("garbage for a token", _jwt(_garbage), malformed, weight=4),
        Kind("token of 17 KiB", _jwt(lambda maker: maker.jwt(padding="x" * 17_000)), _invalid_token("token_too_long")),
        Kind("opaque token on another certificate", _opaque("good"), mismatch, _UNAVAILABLE, "introspection", certificate="client_2", weight=3),
        Kind("opaque token without a certificate", _opaque("good"), absent, _UNAVAILABLE, "introspection", certificate=None),
        Kind("opaque token that is not active", _opaque("inactive"), _invalid_token("token_inactive"), _UNAVAILABLE, "introspection", weight=3),
    ]  # fmt: skip


def _hostile_requests() -> list[Kind]:
    return [
        Kind("no token", lambda _: Made("/jwt/", []), _TOKEN_MISSING),
        Kind("no token, at a path that no route has", lambda _: Made("/nowhere", []), _TOKEN_MISSING),
        Kind("a token in the query", lambda maker: Made(f"/jwt/?access_token={maker.seen()}", []), _invalid_request("token_in_query")),
        Kind("two tokens", _jwt(Maker.seen, "/jwt/", bearer("x")), _invalid_request("authorization_repeated")),
        Kind("a path that climbs: /open/../jwt/", lambda _: Made("/open/../jwt/", []), _TOKEN_MISSING),
        Kind("a path that climbs: /open/%2e%2e/jwt/", lambda _: Made("/open/%2e%2e/jwt/", []), _TOKEN_MISSING),
        Kind("a path with slashes: //jwt//./", lambda _: Made("//jwt//./", []), _TOKEN_MISSING),
        Kind("a path with an escaped slash", _jwt(Maker.seen, "/open%2f..%2fjwt/"), Outcome(400, None, None)),
        Kind("80 KiB of headers", _jwt(Maker.seen, "/jwt/", *[(f"x-{number}", "x" * 8000) for number in range(10)]), Outcome(431, None, None), manner="raw", is_logged=False),
        Kind("two lengths of one body", _jwt(Maker.seen, "/jwt/", ("content-length", "5"), ("transfer-encoding", "chunked")), Outcome(400, None, None), manner="raw", is_logged=False),
        Kind("a bad token, with a slow body", _jwt(_tampered, **_BODY), _invalid_token("signature_invalid"), manner="slow"),
        Kind("a good token, and the client leaves", _opaque("good"), _BOUND, _UNAVAILABLE, "introspection", manner="left", is_logged=False),
        Kind("a bad token, and the client leaves", _jwt(_tampered), _invalid_token("signature_invalid"), manner="left", is_logged=False),
    ]  # fmt: skip


def _hostile_clients() -> list[Kind]:
    mismatch = _invalid_client("client_certificate_mismatch")
    return [
        Kind("client with another name", _form(_BY_NAME), mismatch, certificate="client_2", weight=3),
        Kind("client with a self-signed certificate of its name", _form(_BY_NAME), _invalid_client("client_certificate_not_validated"), certificate="impostor"),
        Kind("client with another certificate", _form(_REGISTERED), mismatch, weight=3),
        Kind("client without a certificate", _form(_BY_NAME, *forged_headers()), _invalid_client("client_certificate_missing"), certificate=None, weight=3),
        Kind("client that nobody knows", _form("nobody"), _invalid_client("client_unknown")),
        Kind("client that nobody knows, by HTTP Basic", lambda _: Made("/token", [FORM, ("authorization", "Basic bm9ib2R5Ong=")], "POST", b"a=b"), Outcome(401, "invalid_client", "client_unknown")),
        Kind("client that names two", _form(_BY_NAME, body=f"&client_id={_REGISTERED}"), _invalid_request("client_ambiguous")),
        Kind("client with a secret beside its certificate", _form(_BY_NAME, body="&client_secret=x"), _invalid_request("client_authentication_repeated")),
    ]  # fmt: skip


def kinds() -> list[Kind]:
    found = [*_good(), *_hostile_tokens(), *_hostile_requests(), *_hostile_clients()]
    assert len({kind.name for kind in found}) == len(found)
    assert all(FORGED not in kind.name for kind in found)
    return found
