# SPDX-License-Identifier: Apache-2.0
"""A policy for every route, in a real Envoy: the files of envoy/ that show how."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import FORGED, World, forged_headers
from rig import shipped, tokens
from rig.client import Client, ConnectionRefusedByPeer
from rig.envoy import Envoy
from rig.key_server import KeyServer
from rig.ports import free_port
from rig.process import wait_until
from rig.proxy import WRITES_ITS_ACCESS_LOG_AT_ONCE, told
from rig.upstream import Upstream

PROTOCOLS = pytest.mark.parametrize("protocol", ["http/1.1", "h2"])


@dataclass
class Running:
    """An Envoy on a file of envoy/."""

    envoy: Envoy
    ports: dict[str, int]
    upstream: Upstream
    world: World

    def client(self, authority: str = "api.example.com", *, listener: str = "listener", **options: Any) -> Client:
        options.setdefault("certificate", self.world.client_1)
        ca_path = self.world.authority.pem_path
        return Client(self.ports[listener], ca_path=ca_path, authority=authority, server_name="localhost", **options)

    def token(self, **claims: Any) -> str:
        return tokens.sign(self.world.keys["ES256"], self.world.claims(self.world.client_1, **claims))

    def unbound(self) -> str:
        return tokens.sign(self.world.keys["ES256"], self.world.claims())

    def told(self, count: int) -> list[dict[str, Any]]:
        """What the access log says of so many requests."""
        return wait_until(lambda: (found := told(self.envoy.log())) and len(found) >= count and found, 5, "access log")


def bearer(token: str | None) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")] if token else []


@contextmanager
def running(
    name: str,
    world: World,
    directory: Path,
    change: Any = lambda document: None,
    *,
    upstream_port: int | None = None,
    **options: Any,
) -> Iterator[Running]:
    with Upstream() as upstream:
        ports = {port: free_port() for port in shipped.PORTS[name]}
        behind = upstream_port or upstream.port
        ports.update({port: behind for port in ports if port in ("upstream", "authorization_server")})
        document = yaml.safe_load(shipped.read(name, **world.substitutions(), **ports, **options))
        change(document)
        envoy = Envoy(yaml.safe_dump(document), directory, name=name, extra_arguments=WRITES_ITS_ACCESS_LOG_AT_ONCE)
        with envoy:
            yield Running(envoy, ports, upstream, world)


# Metadata.


@pytest.fixture(scope="module")
def by_metadata(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running("policies-by-metadata", world, tmp_path_factory.mktemp("metadata")) as proxy:
        yield proxy


@PROTOCOLS
@pytest.mark.parametrize(
    ("listener", "host", "path", "policy"),
    [
        ("listener", "api.example.com", "/health", "open"),
        ("listener", "api.example.com", "/", "api"),
        ("listener", "old.example.com", "/", "migration"),
        ("listener", "old.example.com", "/payments/1", "api"),
        ("listener", "nobody.example.com", "/health", "api"),
        ("inside", "api.example.com", "/", "migration"),
        ("inside", "api.example.com", "/payments", "api"),
    ],
    ids=lambda value: value,
)
def test_the_nearest_metadata_names_the_policy(
    by_metadata: Running, listener: str, host: str, path: str, policy: str, protocol: str
) -> None:
    """Without a token, with one that is bound to nothing, and with one that is bound."""
    before = len(told(by_metadata.envoy.log()))
    expected = {"open": [200, 200, 200], "migration": [401, 200, 200], "api": [401, 401, 200]}[policy]
    if host == "nobody.example.com":
        # It has no virtual host. The filter is asked all the same, and then Envoy answers.
        expected = [401, 401, 404]
    for token, status in zip((None, by_metadata.unbound(), by_metadata.token()), expected, strict=True):
        with by_metadata.client(host, listener=listener, protocol=protocol) as client:
            assert client.request("GET", path, headers=bearer(token)).status == status
    assert {each["policy"] for each in by_metadata.told(before + 3)[before:]} == {policy}


def test_two_listeners_share_one_vm(by_metadata: Running) -> None:
    """One on the main thread, one for the worker, and the one that both are copied from, as with a single listener."""
    assert "wasm.envoy.wasm.runtime.v8.active: 3" in by_metadata.envoy.admin("/stats?filter=wasm.*active")


@pytest.mark.parametrize("level", ["virtual host", "listener"])
@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"policy": "opne"}, "unknown_policy"),
        ({"policy": None}, "route_metadata_malformed"),
        ({"polcy": "open"}, "route_metadata_malformed"),
        ({"policy": "open", "mode": "off"}, "route_metadata_malformed"),
        ({}, None),
    ],
    ids=["a misspelt name", "null", "a misspelt key", "two keys", "nothing"],
)
def test_metadata_of_any_level_that_names_no_policy_of_ours_is_refused(
    world: World, tmp_path: Path, level: str, metadata: dict[str, Any], reason: str | None
) -> None:
    def change(document: dict[str, Any]) -> None:
        _, inside = document["static_resources"]["listeners"]
        at = inside if level == "listener" else hosts_of(document)[1]
        at["metadata"]["filter_metadata"]["certbound"] = metadata

    with (
        running("policies-by-metadata", world, tmp_path, change) as proxy,
        proxy.client("old.example.com", listener="inside" if level == "listener" else "listener") as client,
    ):
        assert client.request("GET", "/").status == (500 if reason else 401)
        assert proxy.told(1)[0]["reason"] == (reason or "token_missing")
        # A nearer one is right, and the further one is not looked at.
        assert client.request("GET", "/payments", headers=bearer(proxy.token())).status == 200


def test_a_request_without_a_route_has_the_listeners_policy(world: World, tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        for host in hosts_of(document, 1):
            host["routes"] = [route for route in host["routes"] if route["match"] != {"prefix": "/"}]

    with running("policies-by-metadata", world, tmp_path, change) as proxy, proxy.client(listener="inside") as client:
        assert client.request("GET", "/").status == 401
        # Under this policy it passes, and then Envoy has no route.
        assert client.request("GET", "/", headers=bearer(proxy.unbound())).status == 404
        assert {each["policy"] for each in proxy.told(2)} == {"migration"}


def hosts_of(document: dict[str, Any], listener: int = 0) -> list[dict[str, Any]]:
    return shipped.manager(document, listener)["route_config"]["virtual_hosts"]


# Several instances.


@pytest.fixture(scope="module")
def by_filter(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running("filters-by-route", world, tmp_path_factory.mktemp("filters")) as proxy:
        yield proxy


def test_several_instances_share_one_vm(by_filter: Running) -> None:
    assert "wasm.envoy.wasm.runtime.v8.active: 3" in by_filter.envoy.admin("/stats?filter=wasm.*active")


@PROTOCOLS
def test_an_instance_that_a_virtual_host_switches_on_judges_all_its_routes_but_those_that_switch_it_off(
    by_filter: Running, protocol: str
) -> None:
    with by_filter.client(protocol=protocol) as client:
        for path in ("/", "/health/", "/anything"):
            assert client.request("GET", path).status == 401
            assert client.request("GET", path, headers=bearer(by_filter.token())).status == 200
        assert client.request("GET", "/health").status == 200
    with by_filter.client(protocol=protocol, certificate=by_filter.world.client_2) as client:
        assert client.request("GET", "/", headers=bearer(by_filter.token())).status == 401


@PROTOCOLS
def test_the_certificate_reaches_the_route_of_the_instance_that_hands_it_over_and_no_other(
    by_filter: Running, protocol: str
) -> None:
    thumbprint = by_filter.world.client_1.pem
    with by_filter.client("as.example.com", protocol=protocol) as client:
        assert client.request("POST", "/token", body=b"a=b", headers=forged_headers()).status == 200
        (handed,) = by_filter.upstream.requests[-1].all("x-clientcert")
        assert handed.replace(" ", "") == thumbprint.replace("\n", "").replace(" ", "")
        assert client.request("GET", "/auth", headers=forged_headers()).status == 200
        assert by_filter.upstream.requests[-1].all("x-clientcert") == []


@PROTOCOLS
@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("api.example.com", "/"),
        ("api.example.com", "/health"),
        ("as.example.com", "/token"),
        ("as.example.com", "/auth"),
    ],
)
@pytest.mark.parametrize("with_certificate", [True, False], ids=["certificate", "none"])
def test_no_forged_header_survives_on_any_route(
    by_filter: Running, host: str, path: str, with_certificate: bool, protocol: str
) -> None:
    certificate = by_filter.world.client_1 if with_certificate else None
    token = by_filter.token() if with_certificate else None
    with by_filter.client(host, protocol=protocol, certificate=certificate) as client:
        response = client.request("GET", path, headers=[*bearer(token), *forged_headers()])
    if (host, path, with_certificate) == ("api.example.com", "/", False):
        assert response.status == 401
    else:
        assert response.status == 200
        assert FORGED not in str(by_filter.upstream.requests[-1].headers)


def test_the_access_log_tells_what_the_instance_said_that_judged(world: World, tmp_path: Path) -> None:
    with running("filters-by-route", world, tmp_path) as proxy:
        for path in ("/", "/health"):
            with proxy.client() as client:
                client.request("GET", path, headers=bearer(proxy.token()))
        reasons = [each["reason"] for each in proxy.told(2)]
        assert reasons == ["token_bound", "clean_only"]


# ECDS.


class Ecds:
    """The file of the filter, beside the one that names it."""

    def __init__(self, world: World, directory: Path) -> None:
        self.path = directory / "watched" / "certbound.ecds.yaml"
        self.path.parent.mkdir()
        self._text = shipped.filled("certbound.ecds", **world.substitutions())

    def write(self, binding: str) -> None:
        """A binding that there is not makes a configuration that is refused."""
        new = self.path.with_suffix(".new")
        assert self._text.count("certificate_binding: observe") == 1
        new.write_text(self._text.replace("certificate_binding: observe", f"certificate_binding: {binding}"))
        new.rename(self.path)


ECDS_STATS = "extension_config_discovery.http_filter.certbound"


def counted(proxy: Running, name: str) -> int:
    stats = proxy.envoy.admin(f"/stats?filter={ECDS_STATS}").splitlines()
    (value,) = [line.rpartition(" ")[2] for line in stats if line.startswith(f"{ECDS_STATS}.{name}:")]
    return int(value)


def test_a_configuration_changes_while_a_client_asks(world: World, tmp_path: Path) -> None:
    """A token that is bound always passes; one that is bound to nothing, as the configuration of the moment says. The
    connections stay."""
    ecds = Ecds(world, tmp_path)
    ecds.write("observe")
    with (
        running("policies-by-ecds", world, tmp_path, files={"certbound.ecds.yaml": ecds.path}) as proxy,
        proxy.client() as first,
        proxy.client(protocol="h2") as second,
    ):

        def ask() -> set[int]:
            """The statuses of the token that is bound to nothing, on both connections."""
            statuses = set()
            for client in (first, second):
                assert client.request("GET", "/", headers=bearer(proxy.token())).status == 200
                assert client.request("GET", "/").status == 401
                answer = client.request("GET", "/", headers=[*bearer(proxy.unbound()), *forged_headers()])
                if answer.status == 401:
                    assert "not bound to a certificate" in answer.header("www-authenticate")
                statuses.add(answer.status)
            for each in proxy.upstream.requests:
                assert FORGED not in str(each.headers)
            proxy.upstream.clear()
            assert statuses <= {200, 401}
            return statuses

        assert ask() == {200}
        for binding, status in (("required", 401), ("observe", 200), ("required", 401)):
            ecds.write(binding)
            wait_until(lambda: ask() == {status}, 10, f"{binding} to govern")
            assert set.union(*(ask() for _ in range(10))) == {status}

        refused = counted(proxy, "config_fail")
        ecds.write("reqired")
        wait_until(lambda: ask() != {401} or counted(proxy, "config_fail") > refused, 10, "the mistake to be counted")
        assert set.union(*(ask() for _ in range(20))) == {401}
        assert 'unknown value "reqired"; did you mean "required"?' in proxy.envoy.log()
        # And a good one is taken after it.
        ecds.write("observe")
        wait_until(lambda: ask() == {200}, 10, "observe to govern")


def test_a_first_configuration_that_is_refused_lets_nothing_pass_until_a_good_one_comes(
    world: World, tmp_path: Path
) -> None:
    ecds = Ecds(world, tmp_path)
    ecds.write("reqired")
    with (
        running("policies-by-ecds", world, tmp_path, files={"certbound.ecds.yaml": ecds.path}) as proxy,
        proxy.client() as client,
    ):
        for path in ("/", "/health", "/nowhere"):
            assert client.request("GET", path, headers=bearer(proxy.token())).status == 500
        assert proxy.upstream.requests == []
        assert counted(proxy, "config_fail") > 0
        ecds.write("required")
        wait_until(lambda: counted(proxy, "config_reload") > 0, 10, "the good configuration")

        def status(token: str | None) -> int:
            with proxy.client() as client:
                return client.request("GET", "/", headers=bearer(token)).status

        wait_until(lambda: status(proxy.token()) == 200, 10, "the good configuration to govern")
        assert status(None) == 401


DOTS_BEHIND_HEALTH = (
    *("/health/../accounts", "/health/%2e%2e/accounts", "/health/..;/accounts", "/health/.%2e;x=1/accounts"),
    *("/health/..%3b/accounts", "/health/%252e%252e/accounts", "/health/..\\accounts", "/health//../../accounts"),
)


@pytest.mark.parametrize("as_it_came", [False, True])
def test_no_path_with_dots_leads_from_one_route_to_another_by_metadata(
    world: World, tmp_path: Path, as_it_came: bool
) -> None:
    """Whether Envoy brings them into order, which depends on its release and its settings, or leaves them to certbound."""

    def change(document: dict[str, Any]) -> None:
        shipped.manager(document)["route_config"]["virtual_hosts"][0]["routes"][0]["match"] = {"prefix": "/health"}
        if as_it_came:
            for key in ("normalize_path", "merge_slashes", "path_with_escaped_slashes_action"):
                shipped.manager(document).pop(key)

    with running("policies-by-metadata", world, tmp_path, change) as proxy:
        for path in DOTS_BEHIND_HEALTH:
            with proxy.client() as client:
                status = client.request("GET", path).status
            assert status in ({400} if as_it_came else {400, 401}), path
        assert proxy.upstream.requests == []
        assert "reason=target_ambiguous" in proxy.envoy.log()
        with proxy.client() as client:
            for path in ("/health;a=b", "/health%3Bx", "/health/x;y", "/health/100%25"):
                assert client.request("GET", path).status == 200, path


# Internal redirects.


def redirecting(to: str) -> Any:
    return lambda: (302, {"location": f"https://api.example.com{to}"}, b"")


def follow_redirects(document: dict[str, Any]) -> None:
    for host in shipped.manager(document)["route_config"]["virtual_hosts"]:
        for route in host["routes"]:
            route["route"]["internal_redirect_policy"] = {"max_internal_redirects": 1}


def test_an_internal_redirect_is_judged_again_under_the_same_policy_or_refused(world: World, tmp_path: Path) -> None:
    answers = {"/payments/first": redirecting("/payments/second"), "/payments/open": redirecting("/health")}
    server = KeyServer({**answers, "/payments/second": lambda: (200, {}, b"second"), "/health": lambda: (200, {}, b"open")})
    with server, running("policies-by-metadata", world, tmp_path, follow_redirects, upstream_port=server.port) as proxy:
        with proxy.client() as client:
            same = client.request("GET", "/payments/first", headers=bearer(proxy.token()))
            assert (same.status, same.body) == (200, b"second")
            other = client.request("GET", "/payments/open", headers=bearer(proxy.token()))
            assert (other.status, other.json()["error"]) == (500, "server_error")
            # Who goes there himself is judged there.
            assert client.request("GET", "/health").status == 200
        assert [path for _, path in server.asked] == ["/payments/first", "/payments/second", "/payments/open", "/health"]
        assert "reason=policy_changed policy=open" in proxy.envoy.log()
        assert "an internal redirect leads from the policy api to open" in proxy.envoy.log()


def test_a_token_that_was_removed_is_judged_again_after_an_internal_redirect(world: World, tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        follow_redirects(document)
        for policy in shipped.plugin(document)["configuration"]["value"]["policies"].values():
            if "resource_server" in policy:
                policy["resource_server"] |= {"forward_token": "remove", "forward_thumbprint": "x-thumbprint"}

    server = KeyServer({"/payments/first": redirecting("/payments/second"), "/payments/second": lambda: (200, {}, b"second")})
    with server, running("policies-by-metadata", world, tmp_path, change, upstream_port=server.port) as proxy:
        with proxy.client() as client:
            same = client.request("GET", "/payments/first", headers=bearer(proxy.token()))
            assert (same.status, same.body) == (200, b"second")
            # Nobody is taken for a request that was redirected who says so himself.
            claimed = [("x-envoy-original-url", "https://api.example.com/payments/first")]
            assert client.request("GET", "/payments/second", headers=claimed).status == 401
            stolen = proxy.token(cnf={"x5t#S256": world.client_2.thumbprint})
            assert client.request("GET", "/payments/first", headers=bearer(stolen)).status == 401
        assert [path for _, path in server.asked] == ["/payments/first", "/payments/second"]


# Routes of the configuration.

PLATFORMS = {
    "istio": {"TrafficExtension": ("wasm", "pluginConfig")},
    "istio-wasmplugin": {"WasmPlugin": ("pluginConfig",)},
    "envoy-gateway": {"EnvoyExtensionPolicy": ("wasm", 0, "config")},
}


def configurations_of_platforms(world: World) -> dict[str, dict[str, Any]]:
    """The plugin configurations of the files for Kubernetes, by the kind of their resource."""
    found = {}
    for name, kinds in PLATFORMS.items():
        for resource in yaml.safe_load_all(shipped.filled(name, **world.substitutions())):
            value = resource["spec"]
            for step in kinds.get(resource["kind"], ()):
                value = value[step]
            if resource["kind"] in kinds:
                found[resource["kind"]] = value
    return found


KINDS = [kind for kinds in PLATFORMS.values() for kind in kinds]


@pytest.mark.parametrize("form", ["struct", "json"])
@pytest.mark.parametrize("kind", [*KINDS, None])
def test_the_platforms_files_have_the_plugin_configuration_of_policies_by_path_and_it_works_in_both_forms(
    world: World, tmp_path: Path, kind: str | None, form: str
) -> None:
    def change(document: dict[str, Any]) -> None:
        plugin = shipped.plugin(document)
        value = plugin["configuration"]["value"]
        if kind:
            assert configurations_of_platforms(world)[kind] == value
            value = configurations_of_platforms(world)[kind]
        if form == "json":
            string = "type.googleapis.com/google.protobuf.StringValue"
            plugin["configuration"] = {"@type": string, "value": json.dumps(value)}

    with running("policies-by-path", world, tmp_path, change) as proxy, proxy.client() as client:
        assert client.request("GET", "/health", headers=forged_headers()).status == 200
        assert FORGED not in str(proxy.upstream.requests[-1].headers)
        assert client.request("GET", "/").status == 401
        assert client.request("GET", "/", headers=bearer(proxy.token())).status == 200
        assert client.request("GET", "/payments", headers=bearer(proxy.token())).status == 403
        assert client.request("GET", "/payments", headers=bearer(proxy.token(scope="payments"))).status == 200
        with proxy.client("other.example.org") as other:
            assert other.request("GET", "/", headers=bearer(proxy.token())).status == 404


@pytest.fixture(scope="module", params=["normalized", "as it came"])
def by_path(
    request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    def change(document: dict[str, Any]) -> None:
        if request.param == "as it came":
            manager = shipped.manager(document)
            manager["normalize_path"] = manager["merge_slashes"] = False
            manager["path_with_escaped_slashes_action"] = "KEEP_UNCHANGED"

    with running("policies-by-path", world, tmp_path_factory.mktemp("path"), change) as proxy:
        yield proxy


ANOTHER_WAY_TO_PAYMENTS = [
    *("//payments", "///payments", "/./payments", "/../payments", "/x/../payments", "/health/../payments"),
    *("/payments/../payments", "/health/..//payments", "/%2e/payments", "/x/%2e%2e/payments"),
    *("/health/.%2E/payments", "/%2fpayments", "/%2Fpayments", "/x%2f..%2fpayments", "/health%2f..%2fpayments"),
    *("/payments%2f1", "/payments%2F", "\\payments", "/\\payments", "/x\\..\\payments", "/health\\..\\payments"),
    *("/%5cpayments", "/health%5C..%5cpayments", "/payments%00", "/payments%00/x", "/%00/../payments"),
    *("/payments;x", "/payments;/x", "/;x/payments", "/payments%3Bx", "/health;/../payments"),
    *("/health/..;/payments", "/..;x/payments", "/payments%23", "/payments%3fx", "/payments#", "/payments#x"),
    *("/health#/../payments", "#/payments", "/%70ayments", "/pa%79ments", "/%2570ayments", "/%25%37%30ayments"),
    *("/x/%252e%252e/payments", "/%c0%afpayments", "/x/%c0%ae%c0%ae/payments", "/payments%0a", "/payments%0d%0a"),
    *("/payments%09", "/payments\t", "/payments\x7f", "/payments\x00", "/payments\xff"),
    *("http://api.example.com/payments", "http://other.example.org/payments", "*", ""),
]


@PROTOCOLS
@pytest.mark.parametrize("path", ANOTHER_WAY_TO_PAYMENTS, ids=ascii)
def test_no_other_way_to_write_a_path_leads_to_a_weaker_policy(by_path: Running, path: str, protocol: str) -> None:
    """Neither with the token that all other paths are content with nor, as on /health, without one."""
    by_path.upstream.clear()
    for token in (by_path.token(), None):
        with by_path.client(protocol=protocol) as client:
            try:
                status = client.request("GET", path, headers=bearer(token)).status
            except ConnectionRefusedByPeer:
                # Envoy ends an HTTP/2 stream with bytes that no path has.
                continue
            assert status in {307, 400, 401, 403, 404}
    assert by_path.upstream.requests == []


@PROTOCOLS
@pytest.mark.parametrize(
    ("host", "path", "policy"),
    [
        ("api.example.com", "/payments", "payments"),
        ("API.EXAMPLE.COM", "/payments", "payments"),
        ("api.example.com:8449", "/payments", "payments"),
        ("api.example.com.", "/payments", "payments"),
        ("api.example.com.:443", "/payments/1?x=/../health", "payments"),
        ("eu.api.example.com", "/payments", "payments"),
        ("A.B.API.example.com.:1", "/payments/", "payments"),
        ("api.example.com", "/payments-2", "api"),
        ("api.example.com", "/healthy", "api"),
        ("api.example.com", "/health?x=//", "open"),
        ("other.example.org", "/health", "open"),
        ("other.example.org", "/payments", None),
        ("example.com", "/", None),
        ("api.example.com.example.org", "/", None),
        ("xapi.example.com", "/", None),
    ],
)
def test_host_and_path_choose_the_policy(
    by_path: Running, host: str, path: str, policy: str | None, protocol: str
) -> None:
    for token, expected in (
        (None, {"open": 200}.get(policy, 401)),
        (by_path.token(), {"payments": 403}.get(policy, 200)),
        (by_path.token(scope="payments"), 200),
    ):
        with by_path.client(host, protocol=protocol) as client:
            assert client.request("GET", path, headers=bearer(token)).status == (expected if policy else 404)


@PROTOCOLS
@pytest.mark.parametrize(
    "host", ["api.example.com..", "api..example.com", "api.example.com:443:443", "api_é.example.com"]
)
def test_a_host_with_more_than_one_reading_is_refused(by_path: Running, host: str, protocol: str) -> None:
    by_path.upstream.clear()
    with by_path.client(host, protocol=protocol) as client:
        try:
            assert client.request("GET", "/", headers=bearer(by_path.token())).status == 400
        except ConnectionRefusedByPeer:
            pass  # As above.
    assert by_path.upstream.requests == []


@pytest.mark.parametrize("level", ["route", "virtual host", "listener"])
def test_metadata_beside_routes_is_refused(world: World, tmp_path: Path, level: str) -> None:
    def change(document: dict[str, Any]) -> None:
        (listener,) = document["static_resources"]["listeners"]
        (host,) = hosts_of(document)
        at = {"route": host["routes"][0], "virtual host": host, "listener": listener}[level]
        at["metadata"] = {"filter_metadata": {"certbound": {"policy": "open"}}}

    with running("policies-by-path", world, tmp_path, change) as proxy, proxy.client() as client:
        assert client.request("GET", "/health").status == 500
        assert client.request("GET", "/", headers=bearer(proxy.token())).status == 500
        assert proxy.upstream.requests == []
        assert "metadata names a policy, and the configuration has routes" in proxy.envoy.log()
