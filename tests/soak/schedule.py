# SPDX-License-Identifier: Apache-2.0
"""In which order what fails, and what the operator does meanwhile. A seed makes it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from soak.server import FAULTS, Fault

Act = Literal["change_configuration", "mistake_a_configuration", "make_vms_anew", "drain_a_listener", "replace_envoy"]
"""A method of `Proxy`."""
ACTS: tuple[Act, ...] = (
    "change_configuration",
    "mistake_a_configuration",
    "make_vms_anew",
    "drain_a_listener",
    "replace_envoy",
)
NEED_KEYS: tuple[Act, ...] = ("make_vms_anew", "replace_envoy")
"""What is new knows no keys, and is not begun while none can be had."""


@dataclass(frozen=True)
class Scene:
    """A server fails, and the operator does something meanwhile; either may be absent."""

    server: Literal["keys", "introspection"] | None
    fault: Fault | None
    act: Act | None
    seconds: float
    """How long the fault lasts, and longer where the operator is not done."""
    before: float
    """Seconds from the beginning of the fault to the operator's act."""

    def __str__(self) -> str:
        fails = self.server and f"{self.server} {self.fault}"
        return ", ".join(filter(None, (fails, self.act and self.act.replace("_", " ")))) or "nothing"


def deck() -> list[tuple[Literal["keys", "introspection"] | None, Fault | None, Act | None]]:
    """Every fault beside every act that may be begun then."""
    whole = [(server, fault, act) for server in ("keys", "introspection") for fault in FAULTS for act in (None, *ACTS)]
    whole += [(None, None, act) for act in ACTS]
    return [(server, fault, act) for server, fault, act in whole if not (server == "keys" and act in NEED_KEYS)]


def scenes(seed: int, *, scale: float = 1) -> Iterator[Scene]:
    """For ever: a deck after the other, each in an order of its own. `scale` is of all times."""
    chance = random.Random(seed)
    while True:
        cards = deck()
        chance.shuffle(cards)
        for server, fault, act in cards:
            yield Scene(server, fault, act, chance.uniform(5, 10) * scale, chance.uniform(0, 3) * scale)
