# SPDX-License-Identifier: Apache-2.0
"""The shipped resource server beside another implementation of RFC 8705 §3, Debian's mod_oauth2 with `type=mtls`: the
same requests with the same tokens, certificates and keys, accepted or refused alike. Where they differ, the difference
stands in mod_oauth2/differences.yaml with its reason; one that does not, and one that is gone, fails."""

import base64
import datetime
import functools
import json
import re
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from cases import AUDIENCE, ISSUER, LIFETIME, Header, World, cases
from rig import mod_oauth2, tokens
from rig.certificates import Authority, Certificate
from rig.client import Client, ConnectionRefusedByPeer, Response
from rig.mod_oauth2 import ModOAuth2
from rig.proxy import Proxy
from rig.upstream import Upstream

pytestmark = pytest.mark.skipif(mod_oauth2.missing() is not None, reason=str(mod_oauth2.missing()))

DIFFERENCES = Path(__file__).parent / "mod_oauth2" / "differences.yaml"
POLICIES = {"required": "/", "if_present": "/migration/"}
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@dataclass(frozen=True)
class Comparison:
    """One request, for both."""

    sentence: str
    certificate: Certificate | None
    headers: Sequence[Header]
    path: str = "/"
    method: str = "GET"
    body: bytes = b""
    resumed: ssl.TLSVersion | None = None
    """Whether the request comes on a connection whose client offers to resume a TLS session, and of which version."""


def comparisons(world: World) -> list[Comparison]:
    """All that mod_oauth2 has a configuration for: not Gluu's x5t#S256 beside the other claims."""
    played = [
        Comparison(case.sentence, case.certificate, case.headers, case.path, case.method)
        for case in cases(world)
        if case.configuration == "resource-server" and case.plays_in_envoy and case.policy in (None, "migration")
    ]
    return [*played, *signatures(world), *claims(world), *confirmations(world), *carriage(world), *connections(world)]


def bearer(token: str) -> list[Header]:
    return [("authorization", f"Bearer {token}")]


def signatures(world: World) -> Iterator[Comparison]:
    one, es256, rs256, eddsa = world.client_1, world.keys["ES256"], world.keys["RS256"], world.keys["EdDSA"]
    good = world.claims(one)

    def case(sentence: str, token: str) -> Comparison:
        return Comparison(sentence, one, bearer(token))

    yield case("PS256 with a key that is for RS256", tokens.sign(rs256, good, algorithm="PS256"))
    yield case("RS512 with a key that is for RS256", tokens.sign(rs256, good, algorithm="RS512"))
    yield case("an ES256 signature that claims to be RS256", tokens.sign(es256, good, header={"alg": "RS256"}))
    yield case("an ES256 signature that claims to be ES384", tokens.sign(es256, good, header={"alg": "ES384"}))
    yield case("an ES256 signature that claims to be es256", tokens.sign(es256, good, header={"alg": "es256"}))
    yield case("an RS256 signature that claims to be PS256", tokens.sign(rs256, good, header={"alg": "PS256"}))
    yield case("EdDSA with the key id of an ES256 key", tokens.sign(eddsa, good, header={"kid": es256.kid}))
    yield case("an empty key id", tokens.sign(es256, good, header={"kid": ""}))
    yield case("no key id, and RS256", without_key_id(rs256, good))
    yield case("no key id, and a key of somebody else", without_key_id(world.stranger, good))
    signed, _, signature = tokens.sign(es256, good).rpartition(".")
    r, s = (int.from_bytes(half, "big") for half in halves(signature))
    der = encode_dss_signature(r, s)
    yield case("an ECDSA signature in the DER of X.509", f"{signed}.{tokens.encode_part(der)}")
    header = tokens.encode_part({"alg": "HS256"})
    secret = json.dumps(es256.jwk).encode()
    yield case(
        "an HMAC with a public EC key for its secret",
        tokens.assemble(header, tokens.encode_part(good), secret, "HS256"),
    )
    for name, header, part in [
        ("a payload with text behind the JSON", {}, json.dumps(good) + "x"),
        ("a payload with a NUL and text behind the JSON", {}, json.dumps(good) + "\0x"),
        ("a payload that begins with a byte order mark", {}, "\ufeff" + json.dumps(good)),
        ("a payload with white space around the JSON", {}, f" {json.dumps(good)}\n"),
        ("a payload that is a list", {}, json.dumps([good])),
        ("a header parameter that nobody knows", {"unheard of": 1}, json.dumps(good)),
        ("a key id beside a certificate chain", {"x5c": ["AAAA"]}, json.dumps(good)),
    ]:
        parts = (tokens.encode_part({"alg": "ES256", "kid": es256.kid, **header}), tokens.encode_part(part))
        yield case(name, tokens.assemble(*parts, es256, "ES256"))


def without_key_id(key: tokens.SigningKey, content: Mapping[str, Any]) -> str:
    header = tokens.encode_part({"alg": key.algorithm})
    return tokens.assemble(header, tokens.encode_part(dict(content)), key, key.algorithm)


def halves(signature: str) -> tuple[bytes, bytes]:
    decoded = base64.urlsafe_b64decode(signature + "==")
    return decoded[:32], decoded[32:]


def claims(world: World) -> Iterator[Comparison]:
    key, now = world.keys["ES256"], world.now
    for sentence, other in [
        ("no issue time", {"iat": None}),
        ("no not-before", {"nbf": None}),
        ("no subject", {"sub": None}),
        ("no token id", {"jti": None}),
        ("an issue time an hour ahead", {"iat": now + 3600}),
        ("an issue time a year ago", {"iat": now - 31536000}),
        ("an issue time that is true", {"iat": True}),
        ("a not-before of zero", {"nbf": 0}),
        ("a not-before before 1970", {"nbf": -1}),
        ("a not-before that is true", {"nbf": True}),
        ("a not-before an hour ahead", {"nbf": now + 3600}),
        ("an expiry of zero", {"exp": 0}),
        ("an expiry that is a list", {"exp": [now + LIFETIME]}),
        ("an expiry that is an object", {"exp": {}}),
        ("an issuer that is a number", {"iss": 1}),
        ("an issuer in upper case", {"iss": ISSUER.upper()}),
        ("an issuer with a space before it", {"iss": " " + ISSUER}),
        ("an empty issuer", {"iss": ""}),
        ("an audience with a space before it", {"aud": " " + AUDIENCE}),
        ("an audience in upper case", {"aud": AUDIENCE.upper()}),
        ("an audience that is the beginning of the right one", {"aud": AUDIENCE[:-1]}),
        ("an audience that is longer than the right one", {"aud": AUDIENCE + ".thief.example"}),
        ("an audience that is an object", {"aud": {AUDIENCE: True}}),
        ("an audience in a list in a list", {"aud": [[AUDIENCE]]}),
    ]:
        yield Comparison(sentence, world.client_1, bearer(tokens.sign(key, world.claims(world.client_1, **other))))
    # A JSON number has many spellings (RFC 8259 §6).
    text = json.dumps(world.claims(world.client_1))
    for sentence, spelling in [
        ("an expiry with a decimal point and a zero", f"{now + LIFETIME}.0"),
        ("an expiry with an exponent", f"{(now + LIFETIME) / 1e9:.9f}e9"),
    ]:
        payload = tokens.encode_part(text.replace(f'"exp": {now + LIFETIME}', f'"exp": {spelling}'))
        header = tokens.encode_part({"alg": "ES256", "kid": key.kid})
        yield Comparison(sentence, world.client_1, bearer(tokens.assemble(header, payload, key, "ES256")))


def confirmations(world: World) -> Iterator[Comparison]:
    one, key = world.client_1, world.keys["ES256"]
    right = one.thumbprint
    for mode, path in POLICIES.items():
        for sentence, cnf in [
            ("a confirmation that is true", True),
            ("a confirmation that is a number", 1),
            ("a confirmation that is an empty list", []),
            ("a thumbprint that is true", {"x5t#S256": True}),
            ("a thumbprint that is an object", {"x5t#S256": {"x5t#S256": right}}),
            ("a thumbprint with a space before it", {"x5t#S256": " " + right}),
            ("a thumbprint with a newline behind it", {"x5t#S256": right + "\n"}),
            ("a thumbprint with a NUL behind it", {"x5t#S256": right + "\0"}),
            ("a thumbprint without its last character", {"x5t#S256": right[:-1]}),
            ("a thumbprint twice over", {"x5t#S256": right + right}),
            ("a thumbprint in standard base64", {"x5t#S256": standard(right)}),
            ("the SHA-1 thumbprint beside the SHA-256 one", {"x5t": "AAAA", "x5t#S256": right}),
            ("a key in the confirmation", {"jwk": key.jwk}),
            ("a key id in the confirmation", {"kid": key.kid}),
            ("a key in the confirmation beside the thumbprint", {"jwk": key.jwk, "x5t#S256": right}),
        ]:
            token = tokens.sign(key, {**world.claims(), "cnf": cnf})
            yield Comparison(f"{sentence}, {mode}", one, bearer(token), path)
        escaped = tokens.encode_part(json.dumps(world.claims(one)).replace("x5t#S256", "x5t\\u0023S256"))
        header = tokens.encode_part({"alg": "ES256", "kid": key.kid})
        token = tokens.assemble(header, escaped, key, "ES256")
        yield Comparison(f"the member's name written with an escape, {mode}", one, bearer(token), path)
        yield Comparison(
            f"the member's name written with an escape, on another certificate, {mode}",
            world.client_2,
            bearer(token),
            path,
        )


def standard(thumbprint: str) -> str:
    """The thumbprint with `+` or `/` in it: where it has none of `-` and `_`, one character is another."""
    changed = thumbprint.replace("-", "+").replace("_", "/")
    return changed if changed != thumbprint else "+" + thumbprint[1:]


def carriage(world: World) -> Iterator[Comparison]:
    one, two = world.client_1, world.client_2
    token = tokens.sign(world.keys["ES256"], world.claims(one))
    value = f"Bearer {token}"
    yield Comparison("a POST with a body", one, bearer(token), method="POST", body=b"a=b")
    yield Comparison("a HEAD", one, bearer(token), method="HEAD")
    yield Comparison("a HEAD on another certificate", two, bearer(token), method="HEAD")
    yield Comparison("a DELETE on another certificate", two, bearer(token), method="DELETE")
    yield Comparison("an OPTIONS without a token", one, [], method="OPTIONS")
    form = ("content-type", "application/x-www-form-urlencoded")
    yield Comparison("a token in a form", one, [form], method="POST", body=f"access_token={token}".encode())
    yield Comparison("a token in a cookie", one, [("cookie", f"access_token={token}")])
    yield Comparison("a token in Proxy-Authorization", one, [("proxy-authorization", value)])
    yield Comparison("the name of the header in upper case", one, [("AUTHORIZATION", value)])
    yield Comparison("an empty Authorization", one, [("authorization", "")])
    yield Comparison("spaces around the value", one, [("authorization", f"  {value}  ")])
    yield Comparison("the token alone, without a scheme", one, [("authorization", token)])
    yield Comparison("the scheme written onto the token", one, [("authorization", f"Bearer{token}")])
    yield Comparison("two schemes before one token", one, [("authorization", f"Bearer Bearer {token}")])
    yield Comparison("a Basic before the Bearer", one, [("authorization", "Basic YTpi"), ("authorization", value)])
    yield Comparison("a Basic behind the Bearer", one, [("authorization", value), ("authorization", "Basic YTpi")])
    yield Comparison("a comma behind the token", one, [("authorization", f"{value},")])
    forged = [
        ("x-clientcert", one.apache_form),
        ("client-cert", one.rfc9440_form),
        ("ssl_client_cert", one.apache_form),
        ("x-forwarded-client-cert", f'Hash={one.digest};Cert="{one.url_encoded}"'),
    ]
    yield Comparison("a stolen token with its owner's certificate in headers", two, [*bearer(token), *forged])
    yield Comparison("the same without a certificate of one's own", None, [*bearer(token), *forged])


def connections(world: World) -> Iterator[Comparison]:
    key = world.keys["ES256"]
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    expired = world.authority.issue("expired", not_before=yesterday, not_after=yesterday)
    namesake = Authority(world.authority.pem_path.parent / "namesake").issue("namesake")
    for sentence, certificate in [
        ("has expired", expired),
        ("is of a namesake of the CA", namesake),
        ("is signed with its own key", world.impostor),
    ]:
        bound = tokens.sign(key, world.claims(certificate))
        yield Comparison(f"a certificate that {sentence}, and a token that is bound to it", certificate, bearer(bound))
    for kind in ("rsa2048", "p384", "p521", "ed25519"):
        certificate = world.authority.issue(kind, key=kind)
        bound = tokens.sign(key, world.claims(certificate))
        yield Comparison(f"a client's key of the kind {kind}", certificate, bearer(bound))
    bound = tokens.sign(key, world.claims(world.client_1))
    for version in VERSIONS:
        for name, certificate in (("its owner", world.client_1), ("a thief", world.client_2)):
            yield Comparison(f"a {version.name} session that {name} offers to resume", certificate, bearer(bound), resumed=version)


class Side:
    """One of the two, with a connection for each certificate, kept as a client would keep it."""

    def __init__(self, connect: Callable[..., Client], *, resumes: bool) -> None:
        self._connect, self._resumes = connect, resumes
        self._opened: dict[str | None, Client] = {}

    def outcome(self, comparison: Comparison) -> str:
        """The status, and with a refusal the error code of its challenge; or that there was no response."""
        try:
            response = self._resumed(comparison) if comparison.resumed else self._ask(comparison)
        except ConnectionRefusedByPeer:
            return "connection refused"
        codes = re.findall(r'\berror="([^"]*)"', " ".join(response.all("www-authenticate")))
        return " ".join([str(response.status), *codes])

    def _ask(self, comparison: Comparison) -> Response:
        name = comparison.certificate and comparison.certificate.name
        client = self._opened.pop(name, None) or self._connect(certificate=comparison.certificate).__enter__()
        try:
            response = self._request(client, comparison)
        except BaseException:
            client.close()
            raise
        if (response.header("connection") or "").lower() == "close":
            client.close()
        else:
            self._opened[name] = client
        return response

    def _resumed(self, comparison: Comparison) -> Response:
        with self._connect(certificate=comparison.certificate, maximum_version=comparison.resumed) as client:
            self._request(client, comparison)
            session = client.tls_session
        with self._connect(certificate=comparison.certificate, tls_session=session) as client:
            response = self._request(client, comparison)
            assert client.resumed == self._resumes
            return response

    @staticmethod
    def _request(client: Client, comparison: Comparison) -> Response:
        return client.request(comparison.method, comparison.path, comparison.headers, comparison.body)

    def close(self) -> None:
        for client in self._opened.values():
            client.close()


@pytest.fixture(scope="module")
def sides(
    world: World, proxies: dict[str, Proxy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Side, Side]]:
    """certbound and mod_oauth2."""
    shipped = world.substitutions()
    with (
        Upstream() as upstream,
        ModOAuth2(
            tmp_path_factory.mktemp("mod_oauth2"),
            server=shipped["server"],
            client_ca=shipped["client_ca"],
            jwks=shipped["jwks"],
            issuer=ISSUER,
            audience=AUDIENCE,
            upstream=upstream.port,
        ) as apache,
    ):
        # The shipped files resume no session.
        certbound = Side(proxies["resource-server"].client, resumes=False)
        peer = Side(functools.partial(Client, apache.port, ca_path=shipped["client_ca"]), resumes=True)
        yield certbound, peer
        certbound.close()
        peer.close()


@functools.cache
def _sentences() -> list[str]:
    with tempfile.TemporaryDirectory() as directory:
        return [comparison.sentence for comparison in comparisons(World(Path(directory)))]


def _listed() -> dict[str, dict[str, str]]:
    """What each of the two makes of the cases in which they differ."""
    return {
        sentence: {side: str(group[side]) for side in ("certbound", "mod_oauth2")}
        for group in yaml.safe_load(DIFFERENCES.read_text())
        for sentence in group["cases"]
    }


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "sentence" in metafunc.fixturenames:
        metafunc.parametrize("sentence", _sentences() if mod_oauth2.missing() is None else [])


@pytest.fixture(scope="module")
def by_sentence(world: World) -> dict[str, Comparison]:
    return {comparison.sentence: comparison for comparison in comparisons(world)}


def test_both_say_the_same_or_the_difference_is_listed(
    sentence: str, by_sentence: dict[str, Comparison], sides: tuple[Side, Side]
) -> None:
    certbound, peer = (side.outcome(by_sentence[sentence]) for side in sides)
    found = {} if certbound == peer else {"certbound": certbound, "mod_oauth2": peer}
    assert found == _listed().get(sentence, {}), f"{DIFFERENCES.name} says otherwise of: {sentence}"


def test_the_list_is_of_cases_that_there_are_and_says_why() -> None:
    groups = yaml.safe_load(DIFFERENCES.read_text())
    sentences = [sentence for group in groups for sentence in group["cases"]]
    assert len(sentences) == len(set(sentences)), "a difference is listed twice"
    assert not set(sentences) - set(_sentences()), "there is no such case"
    for group in groups:
        assert group.keys() == {"follows", "rfc", "reason", "certbound", "mod_oauth2", "cases"}
        assert group["follows"] in ("certbound", "mod_oauth2", "both", "neither")
        assert re.match(r"RFC \d+ §", group["rfc"]) and group["reason"] and group["cases"]


def test_there_are_enough_cases_to_compare() -> None:
    sentences = _sentences()
    assert len(sentences) == len(set(sentences)) >= 60
