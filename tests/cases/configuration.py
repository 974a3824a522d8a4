# SPDX-License-Identifier: Apache-2.0
"""A configuration of the cases: a file of envoy/, and what a topic changes of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cases.world import World


@dataclass(frozen=True)
class Configuration:
    file: str
    """A file of envoy/, without its ending; or "variants": resource-server with the variants of all topics."""
    change: Callable[[dict[str, Any], World], None] = lambda configuration, world: None
    """What becomes of the plugin configuration."""
    has_secret: bool = False
    """Whether the module has its one environment variable, CERTBOUND_SECRET."""
