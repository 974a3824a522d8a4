# SPDX-License-Identifier: Apache-2.0
"""Every request and what became of it, and the oracle's word on that."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from cases import FORGED
from rig.certificates import Certificate
from rig.client import Response
from rig.upstream import Request

from soak.kind import ID, Kind, Outcome
from soak.timeline import Timeline

_PATIENCE = 5
"""Seconds for which a line of the access log may be late."""


@dataclass(frozen=True)
class Answer:
    """What a client saw."""

    status: int
    error: str | None
    realm: str | None

    @classmethod
    def of(cls, response: Response) -> "Answer":
        challenge = response.header("www-authenticate") or ""
        realm = re.search(r'^Bearer realm="(.*?)"', challenge)
        told = re.search(r'\berror="(.*?)"', challenge)
        try:
            content = response.json()
        except ValueError:
            content = None
        error = content.get("error") if isinstance(content, dict) else None
        if told and told[1] != error:
            error = f"{told[1]} in the challenge, {error} in the body"
        # RFC 9110 §15.5.2: with a 401 there is a challenge.
        if response.status == 401 and not challenge:
            error = "no challenge"
        return cls(response.status, error, realm and realm[1])


@dataclass(frozen=True)
class Attempt:
    """A request on its way."""

    number: str
    kind: Kind
    sent: float
    ended: float
    """Monotonic seconds."""
    answer: Answer | None
    """None where the connection ended, or nothing came in time."""
    came_to_nothing: Literal["", "ended", "left"] = ""
    """Why there is no answer, where that is known: the connection ended, or the client itself left."""


@dataclass
class Count:
    """Of one kind of requests."""

    sent: int = 0
    in_windows: int = 0
    """Of those that were answered rightly, how many might have been answered otherwise too: something changed just then."""
    again: int = 0
    """Sent again because a listener that drained had closed the connection."""
    wrong: int = 0
    unanswered: int = 0


@dataclass
class Ledger:
    """What the log and the upstream say comes later than the answer, and then the request is judged."""

    systems: dict[str, Timeline[bool]]
    """By what a kind `asks`: whether that server works."""
    realm: Timeline[str]
    drains: Timeline[bool]
    counts: dict[str, Count] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    """What was wrong, in the order in which it was seen."""
    refused: Counter[str] = field(default_factory=Counter)
    """By reason."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: dict[str, Attempt] = field(default_factory=dict)
    _reasons: dict[str, str | None] = field(default_factory=dict)
    _reached: Counter[str] = field(default_factory=Counter)
    _begun: dict[str, tuple[Kind, Certificate | None]] = field(default_factory=dict)

    def begin(self, number: str, kind: Kind, certificate: Certificate | None) -> None:
        """Before it is sent, on a connection with this certificate."""
        with self._lock:
            self._begun[number] = kind, certificate

    def add(self, attempt: Attempt) -> None:
        with self._lock:
            self._open[attempt.number] = attempt

    def complain(self, what: str, kind: str | None = None) -> None:
        with self._lock:
            self._complain(what, kind)

    def read_log(self, line: str) -> None:
        found = re.match(r"soak=(\S+) code=\d+ certbound=(\{.*\}|-)$", line)
        if not found or found[1] == "-":
            return
        said = {} if found[2] == "-" else json.loads(found[2])
        self._reasons[found[1]] = said.get("reason")

    def reach(self, request: Request) -> None:
        """A request has come to the upstream."""
        numbers = request.all(ID)
        if len(numbers) != 1:
            self.complain(f"the upstream got a request with {len(numbers)} ids")
            return
        self._reached[numbers[0]] += 1
        kind, certificate = self._begun.get(numbers[0], (None, None))
        name = kind.name if kind else None
        if any(FORGED in name or FORGED.encode() in value for name, value in request.headers):
            self.complain(f"{numbers[0]}: {name}: a forged header came to the upstream", name)
        if kind is None or kind.outcome.status != 200:
            self.complain(f"{numbers[0]}: {name}: it came to the upstream", name)
        elif kind.outcome.reason == "client_authenticated" and request.all("client-cert") != [certificate.rfc9440_form]:
            self.complain(f"{numbers[0]}: {name}: the upstream got another certificate, or none", name)

    def settle(self, now: float, read: Callable[[], None]) -> None:
        """Judges what can be judged, after `read` has read what the log and the upstream say of it."""
        with self._lock:
            attempts = list(self._open.values())
        read()
        for attempt in attempts:
            needs_log = attempt.answer is not None and attempt.kind.is_logged
            if needs_log and attempt.number not in self._reasons and now < attempt.ended + _PATIENCE:
                continue
            with self._lock:
                del self._open[attempt.number]
                self._judge(attempt)
                self._reasons.pop(attempt.number, None)
                # What an attempt that came to nothing left behind may yet reach the upstream.
                if attempt.answer:
                    self._begun.pop(attempt.number, None)
                    self._reached.pop(attempt.number, None)

    @property
    def open(self) -> int:
        return len(self._open)

    def _judge(self, attempt: Attempt) -> None:
        kind = attempt.kind
        count = self.counts.setdefault(kind.name, Count())
        states = self.systems[kind.asks].during(attempt.sent, attempt.ended) if kind.asks else frozenset({True})
        permitted = kind.permitted(states)
        seconds = f"{attempt.ended - attempt.sent:.2f} s"
        if attempt.answer is None:
            self._judge_without_answer(attempt, count, seconds)
            return
        count.sent += 1
        answer = attempt.answer
        reason = self._reasons.get(attempt.number, "not in the access log") if kind.is_logged else None
        got = Outcome(answer.status, answer.error, reason)
        realms = self.realm.during(attempt.sent, attempt.ended)
        reached = self._reached[attempt.number]
        said = f"{attempt.number}: {kind.name}: {got} in {seconds}"
        if got not in permitted:
            self._complain(f"{said}; permitted: {', '.join(sorted(map(str, permitted)))}", kind.name)
        elif answer.realm is not None and answer.realm not in realms:
            self._complain(f"{said}; the realm is {answer.realm!r}; permitted: {sorted(realms)}", kind.name)
        elif reached != (answer.status == 200):
            self._complain(f"{said}; it came to the upstream {reached} times", kind.name)
        else:
            count.in_windows += len(permitted) > 1 or (answer.realm is not None and len(realms) > 1)
            if got.status >= 400:
                self.refused[got.reason or "Envoy's own"] += 1

    def _judge_without_answer(self, attempt: Attempt, count: Count, seconds: str) -> None:
        if attempt.came_to_nothing == "left":
            count.sent += 1
        elif attempt.came_to_nothing == "ended" and True in self.drains.during(attempt.sent, attempt.ended):
            count.again += 1
        else:
            count.sent += 1
            count.unanswered += 1
            how = "the connection ended" if attempt.came_to_nothing else "nothing came"
            self.complaints.append(f"{attempt.number}: {attempt.kind.name}: {how} after {seconds}")

    def _complain(self, what: str, kind: str | None) -> None:
        if kind:
            self.counts.setdefault(kind, Count()).wrong += 1
        self.complaints.append(what)
