# SPDX-License-Identifier: Apache-2.0
"""Depth 3 of the one list of cases: the shipped files in a real Envoy, over HTTP/1.1 and HTTP/2."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cases import FORGED, Case, World, cases
from rig.client import Client, Response
from rig.proxy import Proxy


class Clients:
    """One connection for each configuration, certificate, protocol and host, kept as a client would keep it."""

    def __init__(self, proxies: dict[str, Proxy]) -> None:
        self._proxies = proxies
        self._opened: dict[tuple[str, str | None, str, str], Client] = {}

    def ask(self, case: Case, protocol: str) -> Response:
        key = (case.configuration, case.certificate and case.certificate.name, protocol, case.authority)
        if key not in self._opened:
            proxy = self._proxies[case.configuration]
            client = proxy.client(case.certificate, protocol, authority=case.authority, server_name="localhost")
            self._opened[key] = client.__enter__()
        response = self._opened[key].request(case.method, case.path, headers=case.headers, body=case.body)
        # Envoy ends an HTTP/1.1 connection with every 400 of its own.
        if response.header("connection") == "close":
            self._opened.pop(key).close()
        return response

    def close(self) -> None:
        for client in self._opened.values():
            client.close()


@pytest.fixture(scope="session")
def clients(proxies: dict[str, Proxy]) -> Iterator[Clients]:
    clients = Clients(proxies)
    yield clients
    clients.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "sentence" in metafunc.fixturenames:
        # Sentences need no certificates; the cases themselves are made once, for the run's own.
        metafunc.parametrize("sentence", _sentences())


def _sentences() -> list[str]:
    with tempfile.TemporaryDirectory() as directory:
        return [case.sentence for case in cases(World(Path(directory))) if case.plays_in_envoy]


@pytest.fixture(scope="session")
def by_sentence(world: World) -> dict[str, Case]:
    return {case.sentence: case for case in cases(world)}


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_case(
    sentence: str, protocol: str, by_sentence: dict[str, Case], clients: Clients, proxies: dict[str, Proxy]
) -> None:
    case = by_sentence[sentence]
    proxy = proxies[case.configuration]
    arrived, logged = len(proxy.upstream.requests), len(proxy.refusals())
    response = clients.ask(case, protocol)
    if not case.refusal and response.status != 200:
        # Or it would be told when the next case looks.
        proxy.next_refusal(logged)
    if case.refusal:
        told = proxy.next_refusal(logged)
        check_refusal(case, response)
        assert (told["verdict"], told["reason"]) == ("refused", case.refusal.reason)
        assert len(proxy.upstream.requests) == arrived, "the upstream saw a refused request"
    else:
        assert response.status == 200
        seen = proxy.upstream.requests[-1]
        for name, value in case.forward.items():
            assert seen.all(name) == [value]
        assert FORGED not in str(seen.headers)
        if case.note:
            told = proxy.next_refusal(logged)
            assert (told["verdict"], told["reason"], told["policy"]) == ("observed", case.note, case.policy)
            # Of many in a minute not each has a line.
            assert f"would have refused: reason={case.note} policy={case.policy} " in proxy.envoy.log()
        else:
            assert len(proxy.refusals()) == logged


def check_refusal(case: Case, response: Response) -> None:
    refusal = case.refusal
    if refusal.grpc_status is None:
        assert response.status == refusal.status
        assert response.json().get("error") == refusal.error
        assert response.all("content-type") == ["application/json"]
        assert response.all("cache-control") == ["no-store"]
        assert response.all("grpc-status") == []
    else:
        assert response.status == 200
        assert response.body == b""
        assert response.all("content-type") == ["application/grpc"]
        assert response.all("grpc-status") == [str(refusal.grpc_status)]
        (message,) = response.all("grpc-message")
        assert message and message.isascii()
    challenges = response.all("www-authenticate")
    assert len(challenges) == len(case.challenges)
    for challenge, (start, end) in zip(challenges, case.challenges, strict=True):
        if end is None:
            assert challenge == start
        else:
            assert challenge.startswith(start) and challenge.endswith(end) and len(challenge) > len(start) + len(end)
            assert '"' not in challenge[len(start) : -len(end)]
