# SPDX-License-Identifier: Apache-2.0
"""What held when: the states of one thing, in time."""

import contextlib
import math
import threading
import time
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

State = TypeVar("State", bound=Hashable)


class Timeline(Generic[State]):
    """Times are monotonic seconds. A state is set before what it tells of begins, so that nobody is judged by an older one."""

    def __init__(self, state: State) -> None:
        self._lock = threading.Lock()
        self._states: list[tuple[float, State]] = [(-math.inf, state)]
        self._windows: list[tuple[float, float, frozenset[State]]] = []

    @property
    def state(self) -> State:
        return self._states[-1][1]

    def set(self, state: State) -> None:
        with self._lock:
            self._states.append((time.monotonic(), state))

    def allow(self, *states: State, seconds: float) -> None:
        """From now on for so long, each of these may be met, whatever is set."""
        with self._lock:
            self._windows.append((now := time.monotonic(), now + seconds, frozenset(states)))

    @contextlib.contextmanager
    def window(self, *states: State, after: float = 0) -> Iterator[None]:
        """Within the context, and for so many seconds `after` it, each of these may be met."""
        with self._lock:
            number = len(self._windows)
            self._windows.append((began := time.monotonic(), math.inf, frozenset(states)))
        yield
        with self._lock:
            self._windows[number] = began, time.monotonic() + after, frozenset(states)

    def during(self, begin: float, end: float) -> frozenset[State]:
        """What might be met by something that took from `begin` to `end`."""
        with self._lock:
            ends = [when for when, _ in self._states[1:]] + [math.inf]
            held = {state for (since, state), until in zip(self._states, ends, strict=True) if since <= end and until >= begin}
            allowed = (states for since, until, states in self._windows if since <= end and until >= begin)
            return frozenset(held).union(*allowed)
