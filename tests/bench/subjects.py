# SPDX-License-Identifier: Apache-2.0
"""What is measured."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from bench import listeners, twelve

TOKENS_OF_A_CLIENT = 16


@dataclass(frozen=True)
class Load:
    """What the clients send."""

    key: str | None = None
    """The algorithm of signed tokens."""
    distinct: int = TOKENS_OF_A_CLIENT
    """How many tokens a client has and sends in turn; 0 when each is sent once."""
    stolen: bool = False
    """Whether each client sends the next client's."""
    opaque: bool = False
    method: Literal["GET", "POST"] = "GET"
    path: str = "/ok"
    form: bool = False
    """Whether each client asks for a token in its own name."""
    http2: bool = False


@dataclass(frozen=True)
class Subject:
    name: str
    title: str
    listener: str
    """A key of `LISTENERS`, or of Apache's."""
    load: Load
    baseline: str
    """The subject that gets the same requests and does nothing with them."""
    status: int = 200
    peer: str | None = None
    """The subject that does the same work in another way."""


@dataclass(frozen=True)
class Way:
    """A way to do the work: a listener, and what it has to pass."""

    make: listeners.Make
    cases: Callable[..., list[twelve.Case]]
    """From World; `opaque` takes the introspection server as well."""
    opaque: bool = False


_RS, _NOBODY = twelve.resource_server, twelve.nobody_judges


def _hands_over(header: str, value: Callable[..., str]) -> Callable[..., list[twelve.Case]]:
    return partial(twelve.authorization_server, header=header, value=value)


ENCODINGS = {
    "pem_apache": ({"dialect": "gluu"}, "x-clientcert", lambda certificate: certificate.apache_form),
    "sf_binary": ({"dialect": "rfc9440"}, "client-cert", lambda certificate: certificate.rfc9440_form),
    "pem_url": (
        {"header": "x-client-cert", "encoding": "pem_url"},
        "x-client-cert",
        lambda certificate: certificate.url_encoded,
    ),
    "pem_nginx_escaped": (
        {"dialect": "keycloak_nginx"},
        "ssl-client-cert",
        lambda certificate: certificate.url_encoded,
    ),
    "der_base64": ({"dialect": "azure"}, "x-arr-clientcert", lambda certificate: certificate.rfc9440_form.strip(":")),
    "xfcc": (
        {"dialect": "keycloak_envoy"},
        "x-forwarded-client-cert",
        lambda certificate: (
            f'Hash={certificate.digest};Cert="{certificate.url_encoded}";Chain="{certificate.url_encoded}"'
        ),
    ),
    "sha256_hex": (
        {"header": "x-client-cert-sha256", "encoding": "sha256_hex"},
        "x-client-cert-sha256",
        lambda certificate: certificate.digest,
    ),
    "x5t_s256": (
        {"header": "x-client-cert-x5t", "encoding": "x5t_s256"},
        "x-client-cert-x5t",
        lambda certificate: certificate.thumbprint,
    ),
}
"""Each encoding: a form that has it, its header, and what stands there."""

LISTENERS: dict[str, Way] = {
    "bare": Way(listeners.bare_rs, _NOBODY),
    "empty": Way(listeners.empty_rs, _NOBODY),
    "rs": Way(listeners.rs, _RS),
    # Tokens that come once push those out that come again: a listener of their own.
    "rs-new": Way(listeners.rs, _RS),
    "rs-by-route": Way(listeners.rs_by_route, _RS),
    "rs-opaque": Way(listeners.rs_opaque, _RS, opaque=True),
    "rs-behind-jwt_authn": Way(listeners.rs_behind_jwt_authn, _RS),
    "jwt_authn-lua": Way(listeners.jwt_authn_lua(cached=True, remembers=False), _RS),
    "jwt_authn-lua-remembers": Way(listeners.jwt_authn_lua(cached=True, remembers=True), _RS),
    "jwt_authn-lua-uncached": Way(listeners.jwt_authn_lua(cached=False, remembers=False), _RS),
    "bare-as": Way(listeners.bare_as, _NOBODY),
    "bare-form": Way(listeners.bare_form, _NOBODY),
    "as-shipped": Way(listeners.as_shipped, _hands_over(*ENCODINGS["pem_apache"][1:])),
    "as-client-authentication": Way(listeners.as_client_authentication, twelve.client_authentication),
    **{
        f"as-{name}": Way(listeners.as_form(form), _hands_over(header, value))
        for name, (form, header, value) in ENCODINGS.items()
    },
    **{
        f"lua-{name}{'-remembers' * remembers}": Way(make(remembers=remembers), _hands_over(*ENCODINGS[encoding][1:]))
        for name, make, encoding in (
            ("gluu", listeners.lua_gluu, "pem_apache"),
            ("rfc9440", listeners.lua_rfc9440, "sf_binary"),
        )
        for remembers in (False, True)
    },
}

_ONE_HEADER = "RequestHeader sets one header, and leaves a client's other ones alone"
_NULL = "what is not there is written as (null)"
APACHE: dict[str, tuple[Callable[..., list[twelve.Case]], dict[str, str]]] = {
    "apache": (_NOBODY, {}),
    "apache-mod_oauth2": (_RS, {}),
    "apache-forwards": (
        _hands_over(*ENCODINGS["pem_apache"][1:]),
        {
            "no certificate": _NULL,
            "a forged header without a certificate": _NULL,
            "a forged header with an underscore": _ONE_HEADER,
            "forged headers of RFC 9440": _ONE_HEADER,
            "a forged X-Forwarded-Client-Cert": _ONE_HEADER,
            "a forged fact about a certificate": _ONE_HEADER,
        },
    ),
}
"""Apache's sites: their cases, and those which it is known not to pass, with the reason."""


def _subjects() -> list[Subject]:
    seen, form = {name: Load(name) for name in ("RS256", "ES256")}, Load(method="POST", path="/token", form=True)
    opaque, refused = Load(opaque=True), replace(seen["RS256"], stolen=True)
    nothing = Load()
    made = [
        Subject("bare", "Envoy bare, with an RS256 token", "bare", seen["RS256"], "bare"),
        Subject("bare.es256", "Envoy bare, with an ES256 token", "bare", seen["ES256"], "bare.es256"),
        Subject("bare.opaque", "Envoy bare, with an opaque token", "bare", opaque, "bare.opaque"),
        Subject("bare.as", "Envoy bare, without a token", "bare-as", nothing, "bare.as"),
        Subject("bare.form", "Envoy that waits for the body, with a token request", "bare-form", form, "bare.form"),
        Subject("empty", "an empty Wasm filter: the platform's floor", "empty", seen["RS256"], "bare"),
        Subject("rs.seen", "certbound, token seen before", "rs", seen["RS256"], "bare", peer="peer.seen"),
        Subject(
            "rs.seen.routes",
            "certbound, token seen before, a policy per route",
            "rs-by-route",
            seen["RS256"],
            "bare",
            peer="peer.seen",
        ),
        Subject(
            "rs.jwt_authn",
            "jwt_authn with its cache, then certbound",
            "rs-behind-jwt_authn",
            seen["RS256"],
            "bare",
            peer="peer.seen",
        ),
        Subject("peer.seen", "jwt_authn with its cache, then Lua", "jwt_authn-lua", seen["RS256"], "bare"),
        Subject(
            "peer.seen.remembers",
            "jwt_authn with its cache, then Lua that remembers certificates",
            "jwt_authn-lua-remembers",
            seen["RS256"],
            "bare",
        ),
        Subject("rs.opaque", "certbound, opaque token, cached", "rs-opaque", opaque, "bare.opaque"),
        Subject("rs.refused", "certbound, stolen token refused", "rs", refused, "bare", 401, peer="peer.refused"),
        Subject("peer.refused", "jwt_authn with its cache, then Lua: refused", "jwt_authn-lua", refused, "bare", 401),
    ]
    for algorithm in ("RS256", "ES256", "PS256", "EdDSA"):
        load, name = Load(algorithm, distinct=0), algorithm.lower()
        # The signatures of RS256 and PS256 have one length, and those of ES256 and EdDSA.
        baseline = "bare" if algorithm in ("RS256", "PS256") else "bare.es256"
        peer = f"peer.new.{name}"
        made += [
            Subject(f"rs.new.{name}", f"certbound, every token new, {algorithm}", "rs-new", load, baseline, peer=peer),
            Subject(
                peer, f"jwt_authn without its cache, then Lua, {algorithm}", "jwt_authn-lua-uncached", load, baseline
            ),
        ]
    for encoding, (what, _, _) in ENCODINGS.items():
        form_of = what.get("dialect", encoding)
        peer = f"lua.{form_of}" if form_of in ("gluu", "rfc9440") else None
        title = f"certbound, certificate as {encoding}" + (f" ({form_of})" if peer else "")
        made.append(Subject(f"as.{encoding}", title, f"as-{encoding}", nothing, "bare.as", peer=peer))
    for form_of in ("gluu", "rfc9440"):
        made += [
            Subject(f"lua.{form_of}", f"Lua, certificate for {form_of}", f"lua-{form_of}", nothing, "bare.as"),
            Subject(
                f"lua.{form_of}.remembers",
                f"Lua that remembers certificates, for {form_of}",
                f"lua-{form_of}-remembers",
                nothing,
                "bare.as",
            ),
        ]
    made += [
        Subject("as.shipped", "certbound, envoy/authorization-server.yaml", "as-shipped", nothing, "bare.as"),
        Subject("as.clients", "certbound, client authentication", "as-client-authentication", form, "bare.form"),
    ]
    also_http2 = [each for each in made if each.name in _OVER_HTTP2]
    made += [
        replace(
            each,
            name=f"{each.name}.h2",
            title=f"{each.title}, HTTP/2",
            load=replace(each.load, http2=True),
            baseline=f"{each.baseline}.h2",
            peer=each.peer and f"{each.peer}.h2",
        )
        for each in also_http2
    ]
    made += [
        Subject("apache", "Apache httpd bare, with an RS256 token", "apache", seen["RS256"], "apache"),
        Subject("apache.mod_oauth2", "Apache with mod_oauth2", "apache-mod_oauth2", seen["RS256"], "apache"),
        Subject("apache.as", "Apache httpd bare, without a token", "apache", nothing, "apache.as"),
        Subject("apache.forwards", "Apache, RequestHeader set X-ClientCert", "apache-forwards", nothing, "apache.as"),
    ]
    return made


_OVER_HTTP2 = (
    *("bare", "bare.es256", "bare.as", "empty", "rs.seen", "peer.seen", "rs.new.es256", "peer.new.es256"),
    *("as.pem_apache", "lua.gluu"),
)
SUBJECTS: dict[str, Subject] = {each.name: each for each in _subjects()}


def chosen(names: list[str]) -> list[Subject]:
    """Those that begin so (all when there are no names), with the baselines and peers that they are compared with.

    Raises ValueError for a name that none begins with.
    """
    for name in names:
        if not any(each == name or each.startswith(f"{name}.") for each in SUBJECTS):
            raise ValueError(f"there is no subject {name}; there are {', '.join(SUBJECTS)}")
    found = {
        each for each in SUBJECTS if not names or any(each == name or each.startswith(f"{name}.") for name in names)
    }
    for each in list(found):
        found |= {name for name in (SUBJECTS[each].baseline, SUBJECTS[each].peer) if name}
    return [subject for name, subject in SUBJECTS.items() if name in found]


BESIDE = "@beside"
"""The end of the names of those that run another module."""


def beside(subject: Subject) -> Subject:
    """The same subject with the other module."""
    return replace(
        subject,
        name=subject.name + BESIDE,
        listener=subject.listener + BESIDE,
        title=f"{subject.title}, the other module",
    )


@dataclass(frozen=True)
class Target:
    """What was aimed at: a ratio of two subjects."""

    subject: str
    to: str
    gate: float
    aim: float | None = None
    of: Literal["added", "throughput"] = "added"
    """Processor time over the baseline (to be below), or requests per second (to be above)."""


TARGETS = [
    Target("rs.seen", "peer.seen", 0.70, 0.62),
    Target("rs.seen.routes", "peer.seen", 0.70, 0.62),
    Target("rs.new.rs256", "peer.new.rs256", 0.72, 0.65),
    Target("rs.new.es256", "peer.new.es256", 0.80, 0.74),
    Target("rs.jwt_authn", "peer.seen", 0.95),
    # Beside the best that a script can do, too: nobody aimed at that, and it is not hidden.
    Target("rs.seen", "peer.seen.remembers", 0.70, 0.62),
    Target("as.sf_binary", "lua.rfc9440", 0.80),
    Target("as.pem_apache", "lua.gluu", 0.80),
    Target("as.sf_binary", "lua.rfc9440.remembers", 0.80),
    Target("as.pem_apache", "lua.gluu.remembers", 0.80),
    Target("rs.seen", "apache.mod_oauth2", 4, of="throughput"),
]
