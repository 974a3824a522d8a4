# SPDX-License-Identifier: Apache-2.0
"""What an operator sees of the shipped files in a real Envoy: metrics at the admin interface, the access log in both of
its formats, and the lines of refusals."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import ISSUER, World
from rig import shipped, tokens
from rig.certificates import Certificate
from rig.client import Client
from rig.envoy import Envoy
from rig.ports import free_port
from rig.process import wait_until
from rig.proxy import WRITES_ITS_ACCESS_LOG_AT_ONCE, sleep_until_told, told
from rig.upstream import Upstream

FILES = ("resource-server", "authorization-server")
JSON_FORMAT = re.compile(r"^( *)# json_format:\n(?:\1#.*\n)+", re.MULTILINE)


class Running:
    """An Envoy of its own on a shipped file: its counters start at nothing."""

    def __init__(self, name: str, text: str, listener: int, upstream: Upstream, world: World, directory: Path) -> None:
        self.envoy = Envoy(text, directory, name=name, extra_arguments=WRITES_ITS_ACCESS_LOG_AT_ONCE, concurrency=2)
        self.upstream = upstream
        self._listener = listener
        self._world = world

    def ask(
        self, certificate: Certificate | None, path: str, token: str | None = None, *headers: tuple[str, str]
    ) -> None:
        """One request on a connection of its own, so that either worker may get it."""
        authorization = [("authorization", f"Bearer {token}")] if token else []
        with self.client(certificate) as client:
            client.request("GET", path, headers=[*authorization, *headers])

    def client(self, certificate: Certificate | None, protocol: str = "http/1.1") -> Client:
        ca_path = self._world.authority.pem_path
        return Client(self._listener, ca_path=ca_path, certificate=certificate, protocol=protocol)

    def counters(self) -> dict[str, int]:
        """Ours, with their labels, as Prometheus reads them."""
        sleep_until_told()
        lines = self.envoy.admin("/stats/prometheus").splitlines()
        return {name: int(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[:9] == "certbound")}

    def told(self, count: int) -> list[dict[str, Any]]:
        """What the access log says of so many requests."""
        return wait_until(lambda: (found := told(self.envoy.log())) and len(found) >= count and found, 5, "access log")

    def lines(self, beginning: str) -> list[str]:
        return [line for line in self.envoy.log().splitlines() if f": {beginning}" in line]


@pytest.fixture
def running(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[Running]:
    name, change = getattr(request, "param", ("resource-server", lambda text: text))
    listener = free_port()
    with Upstream() as upstream:
        text = shipped.read(name, **world.substitutions(), listener=listener, upstream=upstream.port, admin=free_port())
        proxy = Running(name, change(text), listener, upstream, world, tmp_path)
        with proxy.envoy:
            yield proxy


def token(world: World, **claims: Any) -> str:
    return tokens.sign(world.keys["ES256"], world.claims(world.client_1, client_id="s6BhdRkqt3", **claims))


def test_decisions_are_counted_by_policy_and_reason_with_labels(world: World, running: Running) -> None:
    assert running.counters() == {}
    eddsa = tokens.sign(world.keys["EdDSA"], world.claims(world.client_1))
    for _ in range(3):
        running.ask(world.client_1, "/", token(world))
    running.ask(world.client_1, "/", eddsa)
    for _ in range(2):
        running.ask(world.client_2, "/", token(world))
    running.ask(None, "/gluu/")
    running.ask(world.client_1, "/migration/", tokens.sign(world.keys["ES256"], world.claims()))
    # Envoy itself removes what a client sends as X-Forwarded-Client-Cert.
    running.ask(None, "/health", None, ("client-cert", "1"), ("x_clientcert", "2"), ("x-forwarded-client-cert", "3"))
    decisions = "certbound_decisions_total"
    assert running.counters() == {
        f'{decisions}{{policy="api",verdict="forwarded",reason="token_bound",algorithm="ES256",token_cache="miss"}}': 3,
        f'{decisions}{{policy="api",verdict="forwarded",reason="token_bound",algorithm="EdDSA",token_cache="miss"}}': 1,
        f'{decisions}{{policy="api",verdict="refused",reason="certificate_mismatch",token_cache="miss"}}': 2,
        f'{decisions}{{policy="gluu",verdict="refused",reason="token_missing"}}': 1,
        f'{decisions}{{policy="migration",verdict="forwarded",reason="token_unbound",algorithm="ES256",'
        'token_cache="miss"}': 1,
        f'{decisions}{{policy="open",verdict="forwarded",reason="clean_only"}}': 1,
        'certbound_forged_headers_removed_total{policy="open"}': 2,
    }


def test_a_token_seen_before_is_counted_as_such_whatever_becomes_of_its_request(world: World, running: Running) -> None:
    seen = token(world)
    authorization = [("authorization", f"Bearer {seen}")]
    # A connection belongs to one worker, and each worker remembers for itself.
    with running.client(world.client_1) as client:
        for _ in range(3):
            assert client.request("GET", "/", headers=authorization).status == 200
        altered = [("authorization", f"Bearer {seen[:-8]}AAAAAAAA")]
        assert client.request("GET", "/", headers=altered).status == 401
    decisions = "certbound_decisions_total"
    passed = f'{decisions}{{policy="api",verdict="forwarded",reason="token_bound",algorithm="ES256"'
    assert running.counters() == {
        f'{passed},token_cache="miss"}}': 1,
        f'{passed},token_cache="hit"}}': 2,
        f'{decisions}{{policy="api",verdict="refused",reason="signature_invalid",token_cache="miss"}}': 1,
    }


def test_forged_trailers_are_counted_as_forged_headers_are(world: World, running: Running) -> None:
    forged = [("client-cert", "1"), ("x-forwarded-client-cert", "2"), ("harmless", "3")]
    with running.client(None, "h2") as client:
        assert client.request("POST", "/health", body=b"1", trailers=forged).status == 200
    assert running.counters() == {
        'certbound_decisions_total{policy="open",verdict="forwarded",reason="clean_only"}': 1,
        'certbound_forged_headers_removed_total{policy="open"}': 1,
    }


def observing(text: str) -> str:
    """The file with a policy `migration` that refuses no binding."""
    assert text.count("certificate_binding: if_present") == 1
    return text.replace("certificate_binding: if_present", "certificate_binding: observe")


@pytest.mark.parametrize("running", [("resource-server", observing)], indirect=True, ids=["observe"])
def test_what_would_have_been_refused_is_counted_and_told_and_logged_within_the_limit(
    world: World, running: Running
) -> None:
    stolen = [("authorization", f"Bearer {token(world)}")]
    with running.client(world.client_2) as client:
        for _ in range(15):
            assert client.request("GET", "/migration/", headers=stolen).status == 200
    labels = 'policy="migration",verdict="observed",reason="certificate_mismatch",algorithm="ES256"'
    assert running.counters() == {
        f'certbound_decisions_total{{{labels},token_cache="miss"}}': 1,
        f'certbound_decisions_total{{{labels},token_cache="hit"}}': 14,
    }
    assert running.told(15) == 15 * [
        {
            "verdict": "observed",
            "reason": "certificate_mismatch",
            "policy": "migration",
            "thumbprint": world.client_2.thumbprint,
            "client": "s6BhdRkqt3",
            "subject": "client-1",
            "issuer": ISSUER,
        }
    ]
    lines = running.lines("would have refused: ")
    assert len(lines) == 10
    assert (
        f'reason=certificate_mismatch policy=migration route="migration" presented={world.client_2.thumbprint} '
        f'expected={world.client_1.thumbprint} client_id="s6BhdRkqt3" subject="client-1" ' in lines[0]
    )
    assert running.lines("refused: ") == []


def appending_xfcc(text: str) -> str:
    """The file with an Envoy that writes X-Forwarded-Client-Cert itself."""
    document = yaml.safe_load(text)
    manager = shipped.manager(document)
    manager["forward_client_cert_details"] = "APPEND_FORWARD"
    manager["set_current_client_cert_details"] = {"cert": True}
    return yaml.safe_dump(document)


@pytest.mark.parametrize("running", [("authorization-server", appending_xfcc)], indirect=True, ids=["xfcc"])
def test_a_header_that_envoy_wrote_is_not_counted_as_forged(world: World, running: Running) -> None:
    running.ask(world.client_1, "/token")
    running.ask(None, "/token", None, ("client-cert", "1"))
    running.ask(world.impostor, "/token")
    running.ask(world.client_1, "/auth")
    decisions = "certbound_decisions_total"
    assert running.counters() == {
        f'{decisions}{{policy="clients",verdict="forwarded",reason="certificate_handed_over"}}': 1,
        f'{decisions}{{policy="clients",verdict="forwarded",reason="no_certificate"}}': 1,
        f'{decisions}{{policy="clients",verdict="forwarded",reason="certificate_not_validated"}}': 1,
        f'{decisions}{{policy="browsers",verdict="forwarded",reason="clean_only"}}': 1,
        'certbound_forged_headers_removed_total{policy="clients"}': 1,
        'certbound_issued_tokens_total{policy="clients",verdict="forwarded",outcome="no_token"}': 3,
    }
    assert [seen.all("x-forwarded-client-cert") for seen in running.upstream.requests] == [[]] * 4


def test_the_access_log_tells_of_passed_and_refused_requests(world: World, running: Running) -> None:
    running.ask(world.client_1, "/accounts?code=of-the-query", token(world))
    running.ask(world.client_2, "/accounts", token(world))
    running.ask(world.client_1, "/accounts", token(world, sub='a"\n[2026] certbound={}'))
    running.ask(None, "/accounts?access_token=of-the-query")
    running.ask(None, "/accounts")
    nobody = {"client": None, "subject": None, "issuer": None}
    client = {"client": "s6BhdRkqt3", "subject": "client-1", "issuer": ISSUER}
    thumbprint = world.client_1.thumbprint
    assert running.told(5) == [
        {"verdict": "forwarded", "reason": "token_bound", "policy": "api", "thumbprint": thumbprint, **client},
        {
            "verdict": "refused",
            "reason": "certificate_mismatch",
            "policy": "api",
            "thumbprint": world.client_2.thumbprint,
            **client,
        },
        {
            "verdict": "forwarded",
            "reason": "token_bound",
            "policy": "api",
            "thumbprint": thumbprint,
            **client,
            "subject": 'a"\n[2026] certbound={}',
        },
        {"verdict": "refused", "reason": "token_in_query", "policy": "api", "thumbprint": None, **nobody},
        {"verdict": "refused", "reason": "token_missing", "policy": "api", "thumbprint": None, **nobody},
    ]
    log = running.envoy.log()
    assert "of-the-query" not in log and token(world).split(".")[1] not in log


def as_json(text: str) -> str:
    """The file with its other format of the access log, changed as its comment says."""
    (commented,) = JSON_FORMAT.finditer(text)
    text = text.replace(commented[0], re.sub(r"^( *)# ", r"\1", commented[0], flags=re.MULTILINE))
    return re.sub(r"^ *text_format_source:\n *inline_string:.*\n", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("running", [(name, as_json) for name in FILES], indirect=True, ids=FILES)
def test_the_access_log_can_be_json(world: World, running: Running) -> None:
    running.ask(world.client_1, "/token", token(world))
    running.ask(None, "/token")

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in running.envoy.log().splitlines() if line.startswith("{")]

    first, second = wait_until(lambda: len(found := lines()) == 2 and found, 5, "two lines")
    assert set(first) == {"time", "method", "path", "status", "request_id", "certbound"}
    assert (first["method"], first["path"], first["status"]) == ("GET", "/token", 200)
    assert json.loads(first["certbound"])["thumbprint"] == world.client_1.thumbprint
    assert json.loads(second["certbound"])["thumbprint"] is None


def test_a_refusal_is_one_line_with_all_that_is_known(world: World, running: Running) -> None:
    running.ask(world.client_2, "/accounts", token(world))
    (line,) = wait_until(lambda: running.lines("refused: "), 5, "the refusal")
    (told,) = running.told(1)
    (request_id,) = re.findall(r"^\[.*?\] GET /accounts 401 (\S+) certbound=", running.envoy.log(), re.MULTILINE)
    assert told["reason"] == "certificate_mismatch"
    assert line.split(": ", 2)[2].partition("refused: ")[2] == (
        f'reason=certificate_mismatch policy=api route="api" presented={world.client_2.thumbprint} '
        f'expected={world.client_1.thumbprint} client_id="s6BhdRkqt3" subject="client-1" '
        f'issuer="https://as.example.com" request_id="{request_id}" detail=-'
    )
    assert " info " in line


def test_a_flood_gets_ten_lines_and_the_rest_is_counted_in_the_log_when_the_minute_is_over(running: Running) -> None:
    # A connection belongs to one worker, and each worker has its own ten lines a minute.
    with running.client(None) as client:
        for _ in range(1000):
            assert client.request("GET", "/").status == 401
        assert running.lines("refusals not logged: ") == []
        refused = 'certbound_decisions_total{policy="api",verdict="refused",reason="token_missing"}'
        assert running.counters() == {refused: 1000}

        def told() -> list[str]:
            assert client.request("GET", "/health").status == 200
            return running.lines("refusals not logged: ")

        (line,) = wait_until(told, 90, "the minute to end")
        assert line.endswith("refusals not logged: reason=token_missing policy=api count=990")
        assert len(running.lines("refused: ")) == 10
