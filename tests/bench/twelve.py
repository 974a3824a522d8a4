# SPDX-License-Identifier: Apache-2.0
"""The twelve cases that every way to do the work passes before it is measured: what is fast because it does not judge
has no place in the table."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rig import tokens
from rig.certificates import Certificate, self_signed
from rig.client import Client, ConnectionRefusedByPeer, Response

from bench.introspection import IntrospectionServer
from bench.world import World

FORGED = "forged-by-the-client"


Judge = Callable[[Response | None], bool]
"""Whether a response is right; None is a connection that was refused."""


class Failed(Exception):
    """Somebody did not pass; the message says who and what came."""


@dataclass(frozen=True)
class Case:
    sentence: str
    certificate: Certificate | None
    right: Judge
    headers: Sequence[tuple[str, str]] = ()
    method: str = "GET"
    path: str = "/ok"
    body: bytes = b""


def accepted(response: Response | None) -> bool:
    return response is not None and response.status == 200


def refused(response: Response | None) -> bool:
    return response is not None and response.status in (400, 401, 403)


def check(name: str, port: int, world: World, cases: Sequence[Case], differences: Mapping[str, str] = {}) -> None:
    """Plays them. `differences` are those that somebody is known not to pass, with the reason.

    Raises Failed when another one fails, or one of those passes.
    """
    assert len(cases) == 12
    clients: dict[str | None, Client] = {}
    try:
        for case in cases:
            key = case.certificate and case.certificate.name
            response = None
            try:
                client = clients.pop(key, None) or _connect(port, world, case.certificate)
                response = client.request(case.method, case.path, headers=case.headers, body=case.body)
                if (response.header("connection") or "").lower() == "close":
                    client.close()
                else:
                    clients[key] = client
            except ConnectionRefusedByPeer:
                pass
            if case.right(response) != (case.sentence not in differences):
                came = f"{response.status} {response.body[:600]!r}" if response else "no response"
                known = f" (known: {differences[case.sentence]})" if case.sentence in differences else ""
                raise Failed(f"{name}, {case.sentence}{known}: {came}")
    finally:
        for client in clients.values():
            client.close()


def _connect(port: int, world: World, certificate: Certificate | None) -> Client:
    return Client(port, ca_path=world.authority.pem_path, certificate=certificate).__enter__()


def resource_server(world: World, opaque: IntrospectionServer | None = None) -> list[Case]:
    """Access tokens: JWTs, or such as that server is asked about."""
    one, two = world.clients[:2]

    def case(sentence: str, certificate: Certificate | None, right: Judge, token: str | None) -> Case:
        return Case(sentence, certificate, right, [("authorization", f"Bearer {token}")] if token else [])

    def made(key: tokens.SigningKey = world.keys["ES256"], **claims: object) -> str:
        content = world.claims(**{"bound_to": one, **claims})
        if opaque is None:
            return tokens.sign(key, content)
        name = f"opaque-{len(opaque.tokens)}"
        if key is not world.stranger:
            opaque.tokens[name] = content
        else:
            name += "-never-issued"
        return name

    own = made()
    return [
        case("a token on its owner's certificate", one, accepted, own),
        case("the same once more", one, accepted, own),
        case("another client's token on that one's certificate", two, accepted, made(bound_to=two)),
        case("a stolen token on the thief's certificate", two, refused, own),
        case("a stolen token without a certificate", None, refused, own),
        case("no token", one, refused, None),
        case("a token of somebody else's", one, refused, made(world.stranger)),
        case("an expired token", one, refused, made(exp=world.now - 3600)),
        case("a token of another issuer", one, refused, made(iss="https://other-as.example.com")),
        case("a token for another API", one, refused, made(aud="https://other-api.example.com")),
        case("a token that is bound to nothing", one, refused, made(bound_to=None)),
        case("a token that is bound to a DPoP key", one, refused, made(bound_to=None, cnf={"jkt": one.thumbprint})),
    ]


def authorization_server(world: World, header: str, value: Callable[[Certificate], str]) -> list[Case]:
    """The certificate in one header, and nothing that a client made up."""
    one, two = world.clients[:2]
    impostor = self_signed(world.directory, f"impostor-{header}-{next(_numbers)}", copy_subject_of=one)

    def hands_over(certificate: Certificate) -> Judge:
        return lambda response: _seen(response, header) == [value(certificate)] and FORGED not in str(response.json())

    def hands_over_nothing(response: Response | None) -> bool:
        return response is None or (not _seen(response, header) and FORGED not in str(response.json()))

    def case(sentence: str, certificate: Certificate | None, right: Judge, *forged: str) -> Case:
        return Case(sentence, certificate, right, [(name, FORGED) for name in forged], path="/echo")

    twin = header.replace("-", "_") if "-" in header else header.replace("_", "-")
    return [
        case("a certificate", one, hands_over(one)),
        case("the same once more", one, hands_over(one)),
        case("another client's certificate", two, hands_over(two)),
        case("no certificate", None, hands_over_nothing),
        case("a certificate that nobody vouches for", impostor, hands_over_nothing),
        case("a forged header without a certificate", None, hands_over_nothing, header),
        case("a forged header beside a certificate", one, hands_over(one), header),
        case("a forged header twice, in other letters", one, hands_over(one), header.upper(), header.title()),
        case("a forged header with an underscore", one, hands_over(one), twin),
        case("forged headers of RFC 9440", two, hands_over(two), "client-cert", "client-cert-chain"),
        case("a forged X-Forwarded-Client-Cert", None, hands_over_nothing, "x-forwarded-client-cert"),
        case("a forged fact about a certificate", one, hands_over(one), "x-ssl-client-verify"),
    ]


_numbers = itertools.count()


def _seen(response: Response | None, header: str) -> list[str]:
    if response is None or response.status != 200:
        return ["no response"]
    return [value for name, value in json.loads(response.body)["headers"] if name.lower() == header.lower()]


def client_authentication(world: World) -> list[Case]:
    """Clients of `tls_client_auth` at the token endpoint (RFC 8705 §2.1)."""
    one, two = world.clients[:2]
    impostor = self_signed(world.directory, f"impostor-{next(_numbers)}", copy_subject_of=one)

    def case(sentence: str, certificate: Certificate | None, right: Judge, form: str, **other: object) -> Case:
        headers = [("content-type", "application/x-www-form-urlencoded")]
        body = f"grant_type=client_credentials{form}".encode()
        return Case(sentence, certificate, right, headers, "POST", other.get("path", "/token"), body)

    first, second = f"&client_id={one.name}", f"&client_id={two.name}"
    return [
        case("a client with its certificate", one, accepted, first),
        case("the same once more", one, accepted, first),
        case("another client with its own", two, accepted, second),
        case("a client with another client's certificate", two, refused, first),
        case("a client without a certificate", None, refused, first),
        case("a client's name in a certificate that nobody vouches for", impostor, refused, first),
        case("a client that is not registered", one, refused, "&client_id=nobody"),
        case("no client", one, refused, ""),
        case("two clients", one, refused, first + second),
        case("a secret beside the certificate", one, refused, first + "&client_secret=secret"),
        case("another client in the query", one, refused, first, path=f"/token?client_id={two.name}"),
        case("an assertion beside the certificate", one, refused, first + "&client_assertion=e30.e30.e30"),
    ]


def nobody_judges(world: World) -> list[Case]:
    """The control: those that judge nothing let everything pass."""
    return [Case(case.sentence, case.certificate, accepted, case.headers) for case in resource_server(world)]
