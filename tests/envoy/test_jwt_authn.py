# SPDX-License-Identifier: Apache-2.0
"""Envoy's own jwt_authn before certbound: nothing is verified twice, and the token judged is the token forwarded."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import AUDIENCE, ISSUER, World, envoy_configuration
from rig import shipped, tokens
from rig.client import Client
from rig.envoy import Envoy
from rig.ports import free_port
from rig.proxy import sleep_until_told
from rig.upstream import Upstream

FILTER = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"


@contextlib.contextmanager
def running(
    world: World,
    directory: Path,
    provider: dict[str, Any],
    requires: dict[str, Any],
    changes: Mapping[str, Any] = {},
    issuer: Mapping[str, Any] = {},
) -> Iterator[tuple]:
    """The shipped file with jwt_authn before certbound, with these keys in the policy and in its issuer; a client of the first
    certificate, the upstream, and the Envoy."""
    listener = free_port()
    with Upstream() as upstream:
        configuration = envoy_configuration(
            "verified-by-jwt-authn", world, listener=listener, upstream=upstream.port, admin=free_port()
        )
        server = shipped.plugin(configuration)["configuration"]["value"]["policies"]["api"]["resource_server"]
        server.update(changes)
        server["issuers"][0].update(issuer)
        manager = shipped.manager(configuration)
        usual = {
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "forward": True,
            "payload_in_metadata": "access_token",
            "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
            "local_jwks": {"inline_string": json.dumps(tokens.jwks(*world.keys.values()))},
        }
        rules = [{"match": {"prefix": "/"}, "requires": requires}]
        filter_configuration = {"@type": FILTER, "providers": {"as": {**usual, **provider}}, "rules": rules}
        manager["http_filters"].insert(0, {"name": "jwt", "typed_config": filter_configuration})
        with (
            Envoy(yaml.safe_dump(configuration), directory, name="jwt") as envoy,
            # Which keeps its connection after a 400 too.
            Client(listener, ca_path=world.authority.pem_path, certificate=world.client_1, protocol="h2") as client,
        ):
            yield client, upstream, envoy


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


def test_a_token_that_jwt_authn_verified_is_held_to_its_certificate(world: World, tmp_path: Path) -> None:
    with running(world, tmp_path, {}, {"provider_name": "as"}) as (client, upstream, envoy):
        for name in ("ES256", "RS256", "PS256", "EdDSA"):
            claims = world.claims(world.client_1, aud=["other", AUDIENCE], roles=[{"a": 1.5}, True], email="x@y")
            token = tokens.sign(world.keys[name], claims)
            assert client.request("GET", "/", headers=bearer(token)).status == 200, name
            assert upstream.requests[-1].header("authorization") == f"Bearer {token}"
        stolen = tokens.sign(world.keys["ES256"], world.claims(world.client_2))
        assert client.request("GET", "/", headers=bearer(stolen)).status == 401
        assert "reason=certificate_mismatch" in envoy.log()


def test_a_token_that_jwt_authn_removed_is_judged_by_what_it_left(world: World, tmp_path: Path) -> None:
    with running(world, tmp_path, {"forward": False}, {"provider_name": "as"}) as (client, upstream, envoy):
        good = tokens.sign(world.keys["ES256"], world.claims(world.client_1))
        assert client.request("GET", "/", headers=bearer(good)).status == 200
        assert upstream.requests[-1].header("authorization") is None
        stolen = tokens.sign(world.keys["ES256"], world.claims(world.client_2))
        assert client.request("GET", "/", headers=bearer(stolen)).status == 401
        assert "reason=certificate_mismatch" in envoy.log()


def test_a_clients_own_header_of_a_claim_is_removed_where_no_provider_runs(world: World, tmp_path: Path) -> None:
    """By Envoy from 1.40 on; what an older one needs, `certbound check` says."""
    provider = {"claim_to_headers": [{"header_name": "x-claimed-sub", "claim_name": "sub"}]}
    with running(world, tmp_path, provider, {"allow_missing": {}}) as (client, upstream, _):
        assert client.request("GET", "/health", headers=[("x-claimed-sub", "made up")]).status == 200
        assert upstream.requests[-1].header("x-claimed-sub") is None


@pytest.mark.parametrize("forward", [True, False])
def test_scopes_that_jwt_authn_splits_count_whole(world: World, tmp_path: Path, forward: bool) -> None:
    """So Istio and Envoy Gateway configure it."""
    normalize = {"space_delimited_claims": ["scope", "scp", "permission"]}
    provider = {"forward": forward, "normalize_payload_in_metadata": normalize}
    scopes = {"required_scopes": ["accounts", "payments:write"]}
    with running(world, tmp_path, provider, {"provider_name": "as"}, scopes) as (client, upstream, envoy):
        for claims, status in [
            ({"scope": "accounts payments:write"}, 200),
            ({"scope": "accounts  payments:write"}, 200),
            ({"scope": "accounts", "scp": ["payments:write"], "permission": "a b"}, 200),
            ({"scp": "payments:write accounts"}, 200),
            ({"scope": "accounts", "permission": "payments:write"}, 403),
            ({"scope": ""}, 403),
        ]:
            token = tokens.sign(world.keys["ES256"], world.claims(world.client_1, **claims))
            # The second time it is known.
            for _ in range(2):
                assert client.request("GET", "/", headers=bearer(token)).status == status, claims
        assert "reason=scope_insufficient" in envoy.log()


def test_other_credentials_beside_the_token_are_refused_unless_jwt_authn_removed_them(
    world: World, tmp_path: Path
) -> None:
    """What jwt_authn removed nobody can count any more: the manual says so. The API gets nothing of it either."""
    own = tokens.sign(world.keys["ES256"], world.claims(world.client_1))
    forged = tokens.sign(world.stranger, world.claims(world.client_1, scope="everything"))
    beside = {
        ("Basic eDp5", f"Bearer {own}"): "authorization_repeated",
        (f"Basic eDp5, Bearer {own}",): "authorization_repeated",
        (f"DPoP {forged}", f"Bearer {own}"): "authorization_repeated",
        (f"bearer {forged}", f"Bearer {own}"): "authorization_repeated",
        (f"Bearer {own} x",): "authorization_malformed",
        (f"xBearer {own}",): "scheme_unsupported",
    }
    for forward in (True, False):
        (directory := tmp_path / str(forward)).mkdir()
        with running(world, directory, {"forward": forward}, {"provider_name": "as"}) as (client, upstream, envoy):
            for values, reason in beside.items():
                arrived, logged = len(upstream.requests), len(envoy.log())
                status = client.request("GET", "/", headers=[("authorization", value) for value in values]).status
                if forward:
                    assert (status, len(upstream.requests)) == (401 if "scheme" in reason else 400, arrived), values
                    assert f"refused: reason={reason} " in envoy.log()[logged:]
                else:
                    assert (status, upstream.requests[-1].header("authorization")) == (200, None), values
            # Two of them jwt_authn cannot read.
            for values in ([own, own], [own, forged], [forged, own]):
                headers = [("authorization", f"Bearer {value}") for value in values]
                assert client.request("GET", "/", headers=headers).status == 401


def test_a_forged_token_beside_a_verified_one_is_refused(world: World, tmp_path: Path) -> None:
    """jwt_authn takes the client's own token from another header; the API would read the forged one."""
    places = [{"name": "authorization", "value_prefix": "Bearer "}, {"name": "x-token"}]
    requires = {"requires_any": {"requirements": [{"provider_name": "as"}, {"allow_missing_or_failed": {}}]}}
    own = tokens.sign(world.keys["ES256"], world.claims(world.client_1))
    forged = tokens.sign(world.stranger, world.claims(world.client_1, scope="everything"))
    with running(world, tmp_path, {"from_headers": places}, requires) as (client, upstream, envoy):
        headers = [*bearer(forged), ("x-token", own)]
        assert client.request("GET", "/", headers=headers).status == 401
        assert client.request("GET", "/", headers=bearer(forged)).status == 401
        assert client.request("GET", "/").status == 401
        assert upstream.requests == []
        assert "reason=token_not_verified" in envoy.log() and "reason=token_missing" in envoy.log()


def test_a_token_seen_before_is_refused_beside_another_that_is_verified(world: World, tmp_path: Path) -> None:
    """What is known of a token counts only while jwt_authn verifies that very token again."""
    # It verifies the tokens from the last place to the first, by the order of their names, and leaves the payload of
    # the first.
    places = [{"name": "a-token"}, {"name": "authorization", "value_prefix": "Bearer "}]
    one, other = ({**world.claims(world.client_1), "jti": jti} for jti in "12")
    for claims in (one, {name: value for name, value in one.items() if name != "jti"}):
        token, beside = (tokens.sign(world.keys["ES256"], each) for each in (claims, other))
        directory = tmp_path / str(len(claims))
        directory.mkdir()
        with running(world, directory, {"from_headers": places}, {"provider_name": "as"}) as (client, _, envoy):
            assert [client.request("GET", "/", headers=bearer(token)).status for _ in range(3)] == [200] * 3
            refused = client.request("GET", "/", headers=[*bearer(token), ("a-token", beside)])
            assert (refused.status, envoy.log().count("reason=token_not_verified")) == (401, 1)
            assert client.request("GET", "/", headers=bearer(token)).status == 200
            sleep_until_told()
            seen_before = 'verdict="forwarded",reason="token_bound",algorithm="ES256",token_cache="hit"} 3\n'
            assert seen_before in envoy.admin("/stats/prometheus")


def test_a_provider_without_an_issuer_leaves_the_tokens_of_every_tenant_and_certbound_takes_those_that_are_listed(
    world: World, tmp_path: Path
) -> None:
    issuer = {"issuer": "https://login.example.com/{tid}/v2.0", "issuer_claims": {"tid": ["one"]}}

    def of(tenant: str, **claims: Any) -> str:
        claims = {"iss": f"https://login.example.com/{tenant}/v2.0", "tid": tenant, **claims}
        return tokens.sign(world.keys["ES256"], world.claims(world.client_1, **claims))

    for forward in (True, False):
        (directory := tmp_path / str(forward)).mkdir()
        provider = {"issuer": "", "forward": forward}
        with running(world, directory, provider, {"provider_name": "as"}, issuer=issuer) as (client, upstream, envoy):
            assert client.request("GET", "/", headers=bearer(of("one"))).status == 200
            for token in (of("two"), of("one", tid="two"), of("two", tid="one"), of("one", tid=None)):
                assert client.request("GET", "/", headers=bearer(token)).status == 401
            assert envoy.log().count("reason=issuer_not_trusted") == 4
            assert len(upstream.requests) == 1


def test_jwt_authn_verifies_what_comes_under_mtls_pop(world: World, tmp_path: Path) -> None:
    """It takes the token from behind each prefix that it is told. Where it removes the token, nobody sees under which it came."""
    prefixes = [{"name": "authorization", "value_prefix": prefix} for prefix in ("Bearer ", "mtls_pop ")]
    bound, unbound = (tokens.sign(world.keys["ES256"], world.claims(to)) for to in (world.client_1, None))
    changes = {"schemes": ["Bearer", "mtls_pop"], "certificate_binding": "if_present"}
    for forward in (True, False):
        (directory := tmp_path / str(forward)).mkdir()
        provider = {"forward": forward, "from_headers": prefixes}
        with running(world, directory, provider, {"provider_name": "as"}, changes) as (client, _, envoy):
            for scheme, token, status in [
                ("mtls_pop", bound, 200),
                ("mtls_pop", unbound, 401),
                ("Bearer", bound, 200),
                ("Bearer", unbound, 200 if forward else 401),
            ]:
                headers = [("authorization", f"{scheme} {token}")]
                assert client.request("GET", "/", headers=headers).status == status, (scheme, forward)
            assert envoy.log().count("reason=confirmation_missing") == (1 if forward else 2)
