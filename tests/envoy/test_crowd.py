# SPDX-License-Identifier: Apache-2.0
"""Requests that wait, as many as may, in a real Envoy: each of them is answered rightly, whatever comes of what they wait for,
and nobody beside them notices."""

import contextlib
import json
import os
import re
import resource
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from cases import AUDIENCE, World, envoy_configuration
from rig import shipped, tokens
from rig.certificates import jwk
from rig.client import Client
from rig.crowd import Bystander, Crowd
from rig.envoy import Envoy
from rig.holding_server import RESET, Answer, HoldingServer
from rig.ports import free_port
from rig.process import wait_until
from rig.token_request import FORM
from rig.upstream import Upstream

MOST_WAITING = 1024
"""In one VM."""

MOST_UNDER_WAY = 128
"""Clients whose keys one VM asks for at once, and tokens that it asks about."""

SLOWER = 4
"""How many times as long as a whole crowd that does not wait the slowest answer to a bystander may take."""

TRIES = 4
"""For a crowd of which nobody waits for longer than a second, and that must have come by then."""

PATIENCE = 25
"""Seconds for which answers are waited for. Envoy ends a request that is forgotten before that."""


@dataclass(frozen=True)
class Case:
    """What a crowd waits for, what comes of that, and what awaits it then."""

    kind: Literal["keys", "new-key", "introspection", "client-keys"]
    """An issuer's keys when there are none yet, one that is not among its keys, the word of an authorization server on a
    token, a client's keys."""
    comes: Literal["yes", "no", "500", "reset", "refused", "silence", "nobody"]
    """A response that lets it pass or one that does not, an error, the end of the connection, none to begin with, nothing in
    time; for `nobody` the cluster has no host, and the call fails at once."""
    to: Literal["upstream", "direct", "nobody", "overflow"] = "direct"
    """Where it goes if it passes. All but the first are answers of Envoy's own, at once: 200, and 503 for a cluster that has
    no host and for one with an open circuit breaker."""
    with_body: bool = False
    """A client's request for a token has one anyway."""
    subjects: int = 1
    """How many calls are made for the whole crowd."""
    responses: Literal["", "edited", "read", "withheld"] = ""
    """What the policy of a client does with them."""
    headers: Literal["wait", "leave"] = "wait"
    """Whether the headers of a client's request wait for its body."""

    @property
    def name(self) -> str:
        parts = [self.kind, str(self.subjects) if self.subjects > 1 else "", self.comes, self.to if self.comes == "yes" else ""]
        ways = [self.responses, "body" if self.with_body else "", "leave" if self.headers == "leave" else ""]
        return "-".join(filter(None, parts + ways))

    @property
    def is_held(self) -> bool:
        """Whether the crowd waits until it is let go."""
        return self.comes not in ("silence", "nobody")

    @property
    def issuer(self) -> str:
        return f"https://{self.name}.example.com"

    @property
    def path(self) -> str:
        return f"/{self.name}/{self.to}"

    def subject(self, number: int) -> str:
        """What the authorization server is asked about for the request of this number."""
        return f"/{self.name}/{number % self.subjects}"

    def client_id(self, number: int) -> str:
        return f"client-{number % self.subjects}"

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and reason of one that waits in vain, or that is one too many."""
        return {
            "keys": (503, "keys_unavailable"),
            "new-key": (503, "keys_unavailable"),
            "introspection": (503, "introspection_unavailable"),
            "client-keys": (503, "client_keys_unavailable"),
        }[self.kind]

    @property
    def outcome(self) -> tuple[int, str]:
        """Status and reason."""
        match self.comes:
            case "yes":
                status = 502 if self.responses == "withheld" else 200 if self.to in ("upstream", "direct") else 503
                return status, "client_authenticated" if self.kind == "client-keys" else "token_bound"
            case "no":
                return {
                    "keys": (401, "key_unknown"),
                    "new-key": (401, "key_unknown"),
                    "introspection": (401, "token_inactive"),
                    "client-keys": (400, "client_certificate_mismatch"),
                }[self.kind]
        return self.refusal

    def policy(self) -> dict[str, Any]:
        cluster = {"refused": self.name, "nobody": "nobody"}.get(self.comes, "as")
        timeout = {"silence": 1, "refused": 10}.get(self.comes, 30)
        issuer: dict[str, Any] = {"issuer": self.issuer, "audiences": [AUDIENCE]}
        match self.kind:
            case "client-keys":
                return {"authorization_server": self._authorization_server(cluster)}
            case "introspection":
                issuer["introspection"] = {
                    "endpoint": f"{self.issuer}/introspect",
                    "cluster": cluster,
                    "endpoint_auth_method": "none",
                    "client_id": "api",
                    "tokens": "all",
                    "timeout_seconds": timeout,
                }
            case _:
                keys = {"jwks_uri": f"{self.issuer}{self.subject(0)}", "cluster": cluster}
                issuer["keys"] = {**keys, "cool_down_seconds": 1, "timeout_seconds": timeout}
        return {"resource_server": {"issuers": [issuer], "certificate_binding": "required"}}

    def _authorization_server(self, cluster: str) -> dict[str, Any]:
        clients = [
            {
                "client_id": self.client_id(number),
                "token_endpoint_auth_method": "self_signed_tls_client_auth",
                "jwks_uri": f"{self.issuer}{self.subject(number)}",
            }
            for number in range(self.subjects)
        ]
        server: dict[str, Any] = {
            "forward_certificate": [{"dialect": "rfc9440" if self.responses else "gluu"}],
            "client_certificate": "presented",
            "client_authentication": {
                "clients": clients,
                "client_keys": {self.issuer: cluster},
                "unlisted_clients": "refuse",
                "request_body": f"headers_{self.headers}",
            },
        }
        if self.responses in ("read", "withheld"):
            server["issued_tokens"] = {
                "certificate_binding": "observe" if self.responses == "read" else "required",
                "token_endpoints": [self.path],
                "response_headers": "wait",
            }
        return server


@dataclass(frozen=True)
class Setting:
    """An Envoy, and how a crowd comes to it."""

    protocol: Literal["http/1.1", "h2"]
    workers: int
    headers: Literal["wait", "leave"] = "wait"
    """Whether the plugin has `allow_on_headers_stop_iteration`, without which headers cannot wait for a body."""

    @property
    def name(self) -> str:
        return f"{self.protocol}-{self.workers}-{self.headers}"

    def cases(self) -> Iterator[Case]:
        """All that are told apart. Those whose wait must begin while a fetch is young come first: the pauses between fetches
        that fail grow."""
        bodies, places = (False, True), ("upstream", "direct", "nobody", "overflow")
        for with_body in bodies:
            yield Case("keys", "silence", with_body=with_body)
        for with_body in bodies:
            for kind in ("keys", "new-key", "introspection"):
                for to in places:
                    yield Case(kind, "yes", to, with_body)
                for comes in ("no", "500", "reset"):
                    yield Case(kind, comes, with_body=with_body)
            for kind in ("new-key", "introspection"):
                for comes in ("refused", "silence"):
                    yield Case(kind, comes, with_body=with_body)
            yield Case("introspection", "nobody", with_body=with_body)
        for to in places:
            yield Case("introspection", "yes", to, subjects=MOST_UNDER_WAY)
        for comes in ("no", "500", "reset", "refused", "silence", "nobody"):
            yield Case("introspection", comes, subjects=MOST_UNDER_WAY)
        yield Case("client-keys", "yes", "upstream", headers="leave")
        for comes in ("no", "500", "reset", "refused", "silence", "nobody"):
            yield Case("client-keys", comes, "upstream", headers="leave")
        if self.headers == "leave":
            return
        for subjects in (1, MOST_UNDER_WAY):
            for to in places:
                yield Case("client-keys", "yes", to, subjects=subjects)
            for comes in ("no", "500", "reset", "refused", "silence", "nobody"):
                yield Case("client-keys", comes, subjects=subjects)
        for responses in ("edited", "read"):
            for to in places:
                yield Case("client-keys", "yes", to, responses=responses)
            for comes in ("no", "500", "silence"):
                yield Case("client-keys", comes, responses=responses)
        yield Case("client-keys", "yes", "direct", responses="withheld")


SETTINGS = (
    *(Setting(protocol, workers) for protocol in ("http/1.1", "h2") for workers in (1, 2)),
    Setting("http/1.1", 1, "leave"),
    Setting("h2", 2, "leave"),
)
SHORT = {
    Setting("http/1.1", 1): """
        keys-yes-direct keys-500-body introspection-yes-nobody-body introspection-no introspection-silence
        introspection-128-nobody client-keys-yes-upstream client-keys-128-yes-direct client-keys-128-refused
        client-keys-500-edited client-keys-yes-direct-withheld""",
    Setting("h2", 2, "leave"): """
        keys-yes-overflow-body keys-no new-key-yes-direct new-key-silence introspection-yes-upstream-body
        introspection-500 introspection-128-reset client-keys-no-leave client-keys-silence-leave""",
}
"""What `make test` has of them; `make soak` has them all."""

RUNS = (
    {setting: list(setting.cases()) for setting in SETTINGS}
    if "SOAK" in os.environ
    else {setting: [case for case in setting.cases() if case.name in names.split()] for setting, names in SHORT.items()}
)


class Host:
    """The Envoy of a setting, with a policy for each case, a crowd that fills the places of all its VMs, and two bystanders."""

    def __init__(self, world: World, directory: Path, setting: Setting, cases: Sequence[Case]) -> None:
        self.world, self._directory, self._setting, self._cases = world, directory, setting, cases
        self.size = setting.workers * MOST_WAITING
        self._stack = ExitStack()

    def __enter__(self) -> "Host":
        with self._stack:
            enter = self._stack.enter_context
            self.upstream, self._server = enter(Upstream()), enter(HoldingServer())
            self._servers = {case: enter(HoldingServer()) if case.comes == "refused" else self._server for case in self._cases}
            for case, server in self._servers.items():
                if case.kind == "new-key":
                    server.release(case.subject(0), self._key_set("EdDSA"))
            self._listener = free_port()
            configuration = yaml.safe_dump(self._configuration())
            self.envoy = enter(Envoy(configuration, self._directory, name="crowd", concurrency=self._setting.workers))
            bearer = f"Bearer {tokens.sign(self.world.keys['ES256'], self.world.claims(self.world.client_1))}"
            # First, so that each worker has one: a connection is given to the worker with the fewest.
            self._bystanders = [
                enter(Bystander(self.client, "/open/")),
                enter(Bystander(self.client, "/known/", [("authorization", bearer)])),
            ]
            wait_until(lambda: all(bystander.take() for bystander in self._bystanders), 5, "the bystanders")
            each = 1 if self._setting.protocol == "http/1.1" else 128
            self.crowd = enter(Crowd(self.size // each, each, lambda: self.client(self._setting.protocol)))
            began = time.monotonic()
            self.crowd.begin([("GET", "/known/", [("authorization", bearer)], b"")] * self.size)
            assert {answer and answer.status for answer in self.crowd.finish(PATIENCE)} == {200}
            self.usual = time.monotonic() - began
            """Seconds that a crowd takes which does not wait."""
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def client(self, protocol: str = "http/1.1") -> Client:
        return Client(self._listener, ca_path=self.world.authority.pem_path, certificate=self.world.client_1, protocol=protocol)

    def _configuration(self) -> dict[str, Any]:
        document = envoy_configuration(
            "resource-server", self.world, listener=self._listener, upstream=self.upstream.port, admin=free_port()
        )
        static, manager, plugin = document["static_resources"], shipped.manager(document), shipped.plugin(document)
        (listener,) = static["listeners"]
        listener["connection_balance_config"] = {"exact_balance": {}}
        # A ticket that comes after the handshake looks like the beginning of a response.
        tls = listener["filter_chains"][0]["transport_socket"]["typed_config"]
        tls |= {"disable_stateless_session_resumption": True, "disable_stateful_session_resumption": True}
        manager["stream_idle_timeout"] = f"{PATIENCE - 5}s"
        plugin["allow_on_headers_stop_iteration"] = self._setting.headers == "wait"
        policies = plugin["configuration"]["value"]["policies"]
        policies |= {"known": policies["api"], **{case.name: case.policy() for case in self._cases}}
        manager["route_config"]["virtual_hosts"][0]["routes"] = [
            route("open", "/open/", "direct"),
            route("known", "/known/", "direct"),
            *(route(case.name, case.path, case.to) for case in self._cases),
        ]
        static["clusters"] = [
            cluster("upstream", self.upstream.port, connections=32),
            cluster("overflow", self.upstream.port, pending=0),
            cluster("nobody"),
            cluster("as", self._server.port),
            *(cluster(case.name, server.port) for case, server in self._servers.items() if server is not self._server),
        ]
        return document

    def request(self, case: Case, number: int) -> tuple[str, str, list[tuple[str, str]], bytes]:
        """Method, path, headers and body of a request of the case."""
        match case.kind:
            case "client-keys":
                return "POST", case.path, [FORM], f"grant_type=client_credentials&client_id={case.client_id(number)}".encode()
            case "introspection":
                token = f"{case.subject(number)}.opaque"
            case _:
                claims = self.world.claims(self.world.client_1, iss=case.issuer, jti=str(number))
                token = tokens.sign(self.world.keys["ES256"], claims)
        method, body = ("POST", b"x" * 200) if case.with_body else ("GET", b"")
        return method, case.path, [("authorization", f"Bearer {token}")], body

    def prepare(self, case: Case) -> None:
        """Has what the case waits for begin when the crowd comes, or where that is not to be chosen, now."""
        self.crowd.fill()
        server, subject = self._servers[case], case.subject(0)
        if case.kind == "new-key":
            server.hold(subject)
        if case.kind == "keys":
            # They are fetched whether or not anybody waits, and again after each failure.
            wait_until(lambda: server.holds(subject, at_most=0.1 if case.comes == "silence" else 20), 70, "a fetch")
        if case.comes == "refused":
            server.bar()
        self.upstream.clear()
        self.seen_by_bystanders()

    def let_go(self, case: Case) -> None:
        """Has come what the crowd waits for."""
        server = self._servers[case]
        if case.comes == "refused":
            server.leave()
        elif case.is_held:
            for number in range(case.subjects):
                self.release(case, number)

    def release(self, case: Case, number: int) -> None:
        """Answers what the request of this number waits for."""
        self._servers[case].release(case.subject(number), self._answer(case))

    def _answer(self, case: Case) -> Answer:
        if case.comes == "reset":
            return RESET
        if case.comes == "500":
            return 500, {}, b""
        is_good = case.comes == "yes"
        match case.kind:
            case "introspection":
                return document({"active": is_good, **self.world.claims(self.world.client_1, iss=case.issuer)})
            case "client-keys":
                return document({"keys": [jwk(self.world.client_1 if is_good else self.world.client_2)]})
        return self._key_set("EdDSA", *(["ES256"] if is_good else []))

    def _key_set(self, *names: str) -> Answer:
        return document(tokens.jwks(*(self.world.keys[name] for name in names)))

    def gathers(self, count: int) -> bool:
        """Whether so many requests come to be open at once."""
        try:
            return bool(wait_until(lambda: State.of(self.envoy).ongoing >= count, 10, "a crowd"))
        except TimeoutError:
            return False

    def seen_by_bystanders(self) -> tuple[set[int], float]:
        """The statuses that they got since the last call, and how many seconds the slowest took."""
        seen = [each for bystander in self._bystanders for each in bystander.take()]
        return {status for status, _ in seen}, max((seconds for _, seconds in seen), default=0)


def document(content: Any) -> Answer:
    return 200, {"content-type": "application/json", "cache-control": "max-age=300"}, json.dumps(content).encode()


def route(policy: str, path: str, to: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"route": {"cluster": to}}
    if to == "direct":
        answer = {"direct_response": {"status": 200, "body": {"inline_string": "direct"}}}
    return {"name": policy, "match": {"path": path}, "metadata": {"filter_metadata": {"certbound": {"policy": policy}}}, **answer}


def cluster(name: str, *ports: int, connections: int = 10_000, pending: int = 10_000) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}} for port in ports]
    thresholds = [{"max_connections": connections, "max_pending_requests": pending, "max_requests": 10_000}]
    return {
        "name": name,
        "type": "STATIC",
        # Longer than anybody stands before a closed door.
        "connect_timeout": "20s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "circuit_breakers": {"thresholds": thresholds},
    }


@dataclass(frozen=True)
class State:
    """What an Envoy says of itself."""

    vms: Counter[str]
    """How often VMs were made, and made anew."""
    decisions: Counter[tuple[str, str]]
    """By policy and reason."""
    ongoing: int
    """Requests that have begun and not ended."""
    log_size: int
    """In bytes."""

    @classmethod
    def of(cls, envoy: Envoy) -> "State":
        assert envoy.exit_status is None, f"Envoy itself ended, with {envoy.exit_status}"
        vms: Counter[str] = Counter()
        decisions: Counter[tuple[str, str]] = Counter()
        ongoing = 0
        filters = r"filter=^(wasm\.|wasmcustom\.certbound_decisions|http\.api\.downstream_rq_active)"
        for line in envoy.admin(f"/stats?{filters}").splitlines():
            name, _, value = line.rpartition(": ")
            if re.fullmatch(r"wasm\..*(vm_reload\w*|created)", name):
                vms[name] = int(value)
            elif found := re.search(r"policy\.=\.(.*?);.*reason\.=\.(.*?);", name):
                decisions[found[1], found[2]] += int(value)
            elif name.endswith("downstream_rq_active"):
                ongoing = int(value)
        return cls(vms, decisions, ongoing, envoy.log_path.stat().st_size)

    def since(self, before: "State", policy: str) -> dict[str, Any]:
        """What has come to pass under this policy, and beside it."""
        decisions = self.decisions - before.decisions
        return {
            "decisions": Counter({reason: count for (own, reason), count in decisions.items() if own == policy}),
            "decisions beside": {reason for own, reason in decisions if own != policy},
            "new VMs": self.vms - before.vms,
        }


def failures(log: Path, since: int) -> set[str]:
    """What Envoy logged of the end of a VM."""
    with log.open("rb") as file:
        file.seek(since)
        return {found.decode() for found in re.findall(rb"panicked.*|Function: proxy_.*", file.read())}


class Hosts:
    """One at a time: that of the setting which was asked for last."""

    def __init__(self, world: World, directories: pytest.TempPathFactory) -> None:
        self._world, self._directories = world, directories
        self._setting: Setting | None = None
        self._stack = ExitStack()

    def of(self, setting: Setting) -> Host:
        if setting != self._setting or self._host.envoy.exit_status is not None:
            self.close()
            host = Host(self._world, self._directories.mktemp("crowd"), setting, RUNS[setting])
            self._host, self._setting = self._stack.enter_context(host), setting
        return self._host

    def close(self) -> None:
        self._setting = None
        self._stack.close()


@pytest.fixture(scope="module")
def hosts(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= 10_000, "two thousand connections need more file descriptors, here and in Envoy: ulimit -Hn"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 10_000), hard))
    hosts = Hosts(world, tmp_path_factory)
    yield hosts
    hosts.close()


def came(host: Host, case: Case) -> bool:
    """Has a crowd come, and says whether all of it waited at once. Whether it did or not, each is answered rightly."""
    host.prepare(case)
    before = State.of(host.envoy)
    requests = [host.request(case, number) for number in range(host.size)]
    host.crowd.begin(requests)
    # Who waits for one second alone may be gone before the last one comes; and a call that fails at once holds nobody up.
    gathers = case.comes == "nobody" or host.gathers(host.size if case.is_held else host.size // 2)
    status, reason = case.outcome
    decisions = Counter({reason: host.size})
    if case.is_held and gathers:
        with host.client() as client:
            assert client.request(*host.request(case, 0)).status == case.refusal[0], "one more than may wait"
        decisions[case.refusal[1]] += 1
    host.let_go(case)
    answers = host.crowd.finish(PATIENCE)
    with contextlib.suppress(TimeoutError):
        # What was counted is told with the next tick.
        wait_until(lambda: State.of(host.envoy).since(before, case.name)["decisions"] == decisions, 2, "the counters")
    statuses, slowest = host.seen_by_bystanders()
    assert {
        "answers": Counter(answer and answer.status for answer in answers),
        "answers beside": statuses,
        "arrived": Counter(request.body for request in host.upstream.requests),
        **State.of(host.envoy).since(before, case.name),
        "failures": failures(host.envoy.log_path, before.log_size),
    } == {
        "answers": {status: host.size},
        "answers beside": {200},
        "arrived": Counter(body for *_, body in requests) if case.comes == "yes" and case.to == "upstream" else {},
        "decisions": decisions,
        "decisions beside": {"clean_only", "token_bound"},
        "new VMs": {},
        "failures": set(),
    }
    assert slowest < SLOWER * host.usual
    return gathers


@pytest.mark.parametrize(
    ("case", "setting"),
    [pytest.param(case, setting, id=f"{case.name}-{setting.name}") for setting, cases in RUNS.items() for case in cases],
)
def test_everybody_who_waits_is_answered_and_nobody_else_notices(case: Case, setting: Setting, hosts: Hosts) -> None:
    host = hosts.of(setting)
    # A busy machine may take longer to send a crowd than the second for which it waits.
    assert any(came(host, case) for _ in range(1 if case.is_held else TRIES)), "they never waited all at once"


@pytest.mark.usefixtures("hosts")
def test_a_crowd_that_goes_away_while_it_is_answered_gives_back_its_places(world: World, tmp_path: Path) -> None:
    case = Case("introspection", "yes", "direct", subjects=2)
    with Host(world, tmp_path, Setting("h2", 1), [case]) as host:
        before = State.of(host.envoy)
        for subject in range(case.subjects):
            host.crowd.begin([host.request(case, subject)] * host.size)
            assert host.gathers(host.size)
            host.release(case, subject)
            if subject == 0:
                host.crowd.leave()
                host.crowd.fill()
        assert Counter(answer and answer.status for answer in host.crowd.finish(PATIENCE)) == {200: host.size}
        assert State.of(host.envoy).since(before, case.name)["new VMs"] == {}
        assert failures(host.envoy.log_path, before.log_size) == set()
