# SPDX-License-Identifier: Apache-2.0
"""The one list of cases. It is run three times: against the core and against the built module in a fake host
(tests/core/cases.rs and tests/module/cases.rs read it as JSON, which `python -m cases FILE` writes), and against the shipped
files of envoy/ in a real Envoy, over HTTP/1.1 and HTTP/2 (tests/envoy/test_cases.py).

A case is a sentence, a request, and what must become of it. Tokens and certificates are made anew in every run, by
software that shares nothing with certbound.

A topic is a file. Its configurations stand in it, and so do its variants: policies with one key that the shipped file does
not set."""

from dataclasses import replace
from typing import Any

import yaml
from rig import shipped

from cases import (
    api,
    api_certificate,
    authorization_server,
    binding,
    certificates,
    claims,
    client_authentication,
    forms,
    introspection,
    issuers,
    jws,
    pinned_issuers,
    requests,
    routes,
    schemes,
    sidecars,
    step_up,
    tenants,
    terminators,
)
from cases.case import Case, Header
from cases.configuration import Configuration
from cases.forged import forged_headers
from cases.world import AUDIENCE, FORGED, ISSUER, LIFETIME, SECRET, World

__all__ = [
    "AUDIENCE",
    "CONFIGURATIONS",
    "FORGED",
    "ISSUER",
    "LIFETIME",
    "Case",
    "Header",
    "World",
    "cases",
    "envoy_configuration",
    "forged_headers",
]

CONFIGURATIONS: dict[str, Configuration] = {
    **api.CONFIGURATIONS,
    **api_certificate.CONFIGURATIONS,
    **issuers.CONFIGURATIONS,
    **introspection.CONFIGURATIONS,
    **authorization_server.CONFIGURATIONS,
    **forms.CONFIGURATIONS,
    **client_authentication.CONFIGURATIONS,
    **pinned_issuers.CONFIGURATIONS,
    **terminators.CONFIGURATIONS,
    **sidecars.CONFIGURATIONS,
    **routes.CONFIGURATIONS,
}


def cases(world: World) -> list[Case]:
    found = [
        *binding.binding(world),
        *binding.observed(world),
        *binding.dpop(world),
        *schemes.mtls_pop(world),
        *schemes.challenges(world),
        *certificates.revoked_or_out_of_date(world),
        *certificates.digests(world),
        *requests.carriage(world),
        *requests.kinds_of_requests(world),
        *requests.toward_the_upstream(world),
        *api_certificate.api_certificate(world),
        *jws.signatures(world),
        *jws.floods(world),
        *claims.claims(world),
        *claims.type_lifetime_and_scope(world),
        *step_up.step_up(world),
        *issuers.two_issuers(world),
        *tenants.tenants(world),
        *issuers.fetched_keys(world),
        *issuers.verified_by_jwt_authn(world),
        *introspection.introspection(world),
        *authorization_server.authorization_server(world),
        *forms.forms(world),
        *client_authentication.client_authentication(world),
        *pinned_issuers.pinned_issuers(world),
        *terminators.behind_terminators(world),
        *sidecars.sidecars(world),
        *routes.routes(world),
        *routes.routes_of_the_configuration(world),
    ]
    found = [_with_schemes(case, world) for case in found]
    sentences = [case.sentence for case in found]
    assert len(set(sentences)) == len(sentences), "two cases have one sentence"
    # pytest has a number in place of a longer one.
    assert (longest := max(sentences, key=len)) and len(longest) <= 100, f"too long for a test's name: {longest}"
    return found


def _with_schemes(case: Case, world: World) -> Case:
    """The case, with the schemes that its policy accepts."""
    variant = _variants(world).get(case.policy or "") if case.configuration == "variants" else None
    if variant is None or case.refusal is None:
        return case
    accepted = {*variant.get("schemes", ["Bearer"]), *(["DPoP"] if variant.get("dpop") == "verified_upstream" else [])}
    schemes = tuple(scheme for scheme in ("DPoP", "Bearer", "mtls_pop") if scheme in accepted)
    algs = " ".join(variant.get("dpop_algorithms", [])) or None
    return replace(case, refusal=replace(case.refusal, schemes=schemes, algs=algs))


def _variants(world: World) -> dict[str, dict[str, Any] | None]:
    variants: dict[str, dict[str, Any] | None] = {}
    for topic in (binding, certificates, claims, jws, requests, schemes, step_up, tenants):
        variants |= topic.variants(world)
    return variants


def envoy_configuration(name: str, world: World, **ports: int) -> dict[str, Any]:
    """The Envoy configuration of that name."""
    configuration = CONFIGURATIONS[name]
    document = yaml.safe_load(_text_of(configuration.file, world, **ports))
    plugin = shipped.plugin(document)
    if configuration.has_secret:
        plugin["vm_config"]["environment_variables"] = {"key_values": {"CERTBOUND_SECRET": SECRET}}
    # The clients of the cases send the root as well, as OpenSSL completes what it has; tests/peers/test_terminators.py has
    # chains.
    shipped.manager(document).pop("set_current_client_cert_details", None)
    configuration.change(plugin["configuration"]["value"], world)
    return document


def _text_of(file: str, world: World, **ports: int) -> str:
    if file == "variants":
        return shipped.with_variants(_text_of("resource-server", world, **ports), _variants(world))
    return shipped.read(file, **world.substitutions(), **ports)
