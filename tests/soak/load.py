# SPDX-License-Identifier: Apache-2.0
"""The clients: each sends requests of all kinds, in an order that its seed makes."""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal, Self

from rig.certificates import Certificate
from rig.client import Client, ConnectionRefusedByPeer, Response

from soak.kind import ID, Kind, Made, Maker
from soak.ledger import Answer, Attempt, Ledger

TRIES = 6
"""How often a request is sent whose connection ends, which only a drain may do."""
SECONDS = 10
"""For which an answer is waited for."""

Protocol = Literal["http/1.1", "h2"]


class Load:
    """Clients at work from entry to exit of the context."""

    def __init__(self, workers: Sequence["Worker"]) -> None:
        self._workers = workers
        self._threads = [threading.Thread(target=worker.work, daemon=True) for worker in workers]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """May be called twice."""
        for worker in self._workers:
            worker.stopped.set()
        for thread in self._threads:
            thread.join(SECONDS * TRIES)


class Worker:
    """One client, which has one connection at a time."""

    def __init__(
        self,
        name: str,
        kinds: Sequence[Kind],
        maker: Maker,
        ledger: Ledger,
        connect: Callable[[Certificate | None, Protocol], Client],
    ) -> None:
        """`name` is the beginning of its requests' ids; those whose name ends with a 2 speak HTTP/2."""
        self.stopped = threading.Event()
        self._name, self._maker, self._ledger, self._connect = name, maker, ledger, connect
        self._protocol: Protocol = "h2" if name.endswith("2") else "http/1.1"
        self._kinds = [kind for kind in kinds if self._protocol == "http/1.1" or kind.manner == "whole"]
        self._client: Client | None = None
        self._certificate: Certificate | None = None
        self._count = 0
        self.pause = 0.3
        """Seconds, on average."""

    @property
    def _chance(self) -> random.Random:
        return self._maker.chance

    def work(self) -> None:
        try:
            while not self.stopped.wait(self._chance.expovariate(1 / self.pause)):
                self._send_some()
        except Exception as error:
            self._ledger.complain(f"the client {self._name} ended: {error!r}")
            raise
        finally:
            self._leave()

    def _send_some(self) -> None:
        (kind,) = self._chance.choices(self._kinds, [kind.weight for kind in self._kinds])
        if self._chance.random() < 0.05:
            self._leave()
        if kind.manner in ("whole", "slow"):
            # Over HTTP/2 several at once.
            beside = [each for each in self._kinds if each.certificate == kind.certificate and each.manner == "whole"]
            others = self._chance.choices(beside, k=self._chance.randrange(4)) if self._protocol == "h2" else []
            self._send([kind, *others])
        else:
            self._send_oddly(kind)

    def _send(self, kinds: Sequence[Kind]) -> None:
        self._count += len(kinds)
        rest = [(f"{self._name}-{self._count}-{number}", kind, kind.make(self._maker)) for number, kind in enumerate(kinds)]
        for attempt in range(TRIES):
            sent = time.monotonic()
            numbered = [(f"{number}-{attempt}", kind, made) for number, kind, made in rest]
            for number, kind, _ in numbered:
                self._ledger.begin(number, kind, kind.presented(self._maker.world))
            responses = self._exchange(numbered)
            ended = time.monotonic()
            again = []
            for (number, kind, _), request, response in zip(numbered, rest, responses, strict=True):
                answer = Answer.of(response) if response else None
                why = "ended" if not answer and ended < sent + SECONDS else ""
                self._ledger.add(Attempt(number, kind, sent, ended, answer, why))
                again += [] if answer or not why else [request]
            if not again:
                return
            rest = again
            self._leave()
            time.sleep(0.1)

    def _exchange(self, requests: Sequence[tuple[str, Kind, Made]]) -> list[Response | None]:
        """The responses, None in place of those that did not come."""
        try:
            client = self._connected(requests[0][1])
            if requests[0][1].manner == "slow":
                ((number, _, made),) = requests
                responses = [self._drip(client, number, made)]
            else:
                client.begin([(made.method, made.path, [*made.headers, (ID, number)], made.body) for number, _, made in requests])
                responses = client.finish(SECONDS)
        except (ConnectionRefusedByPeer, OSError):
            responses = [None] * len(requests)
        if any(response is None or response.header("connection") == "close" for response in responses):
            self._leave()
        return responses

    def _drip(self, client: Client, number: str, made: Made) -> Response | None:
        """The body in pieces, until there is an answer."""
        client.send(_head(made, number, ("content-length", str(len(made.body)))))
        for start in range(0, len(made.body), 50):
            if client.readable(0.15):
                break
            client.send(made.body[start : start + 50])
        response = client.receive(made.method) if client.readable(SECONDS) else None
        # What was not sent would be taken for the next request.
        self._leave()
        return response

    def _send_oddly(self, kind: Kind) -> None:
        """Bytes that no library would send, or whose sender does not stay for the answer; each on a connection of its own."""
        self._leave()
        self._count += 1
        number, made = f"{self._name}-{self._count}", kind.make(self._maker)
        for attempt in range(TRIES):
            own, sent, answer, why = f"{number}-{attempt}", time.monotonic(), None, "ended"
            self._ledger.begin(own, kind, kind.presented(self._maker.world))
            with contextlib.suppress(ConnectionRefusedByPeer, OSError):
                client = self._connected(kind)
                data = _head(made, own) + made.body
                client.send(data[: self._chance.randrange(len(data))] if kind.manner == "left" and self._chance.random() < 0.5 else data)
                if kind.manner == "left":
                    time.sleep(self._chance.random() * 0.05)
                    why = "left"
                else:
                    answer = Answer.of(client.receive()) if client.readable(SECONDS) else None
                    why = "" if answer or time.monotonic() > sent + SECONDS else "ended"
            self._leave()
            self._ledger.add(Attempt(own, kind, sent, time.monotonic(), answer, why))
            if why != "ended":
                return
            time.sleep(0.1)

    def _connected(self, kind: Kind) -> Client:
        certificate = kind.presented(self._maker.world)
        # Whatever comes unasked is the end of the connection.
        if self._client and (certificate != self._certificate or self._client.readable(0)):
            self._leave()
        if not self._client:
            self._certificate = certificate
            self._client = self._connect(certificate, self._protocol).__enter__()
        return self._client

    def _leave(self) -> None:
        if self._client:
            self._client.close()
            self._client = None


def _head(made: Made, number: str, *more: tuple[str, str]) -> bytes:
    fields = [("host", "localhost"), *made.headers, (ID, number), *more]
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{made.method} {made.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
