# SPDX-License-Identifier: Apache-2.0
"""The list of cases for the Rust tests, as JSON."""

import base64
import json
from typing import Any

from google.protobuf.struct_pb2 import Struct
from rig import shipped

from cases import CONFIGURATIONS, cases, envoy_configuration
from cases.case import Case
from cases.world import FORGED, World


def as_json(world: World) -> dict[str, Any]:
    """Everything that the Rust tests need, with bytes in base64."""

    def text(value: str | bytes) -> str:
        return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()

    def one(case: Case) -> dict[str, Any]:
        pseudo = [
            (":method", case.method),
            (":path", case.path),
            (":authority", case.authority),
            (":scheme", "https"),
        ]
        return {
            "sentence": case.sentence,
            "configuration": case.configuration,
            "headers": [[name, text(value)] for name, value in [*pseudo, *case.headers]],
            "body": text(case.body),
            "properties": [[list(path), text(value)] for path, value in case.properties().items()],
            "now": world.now + case.later,
            "before": [text(f"Bearer {token}") for token in case.before],
            "without_host_cryptography": case.without_host_cryptography,
            "introspection": case.introspection,
            "forward": case.forward,
            "note": case.note,
            "refusal": case.refusal and {**vars(case.refusal), "challenges": case.challenges},
        }

    def configuration(name: str) -> dict[str, str]:
        value = shipped.plugin(envoy_configuration(name, world))["configuration"]["value"]
        struct = Struct()
        struct.update(value)
        return {"json": json.dumps(value, indent=2), "struct": text(struct.SerializeToString())}

    return {
        "forged": FORGED,
        "configurations": {name: configuration(name) for name in CONFIGURATIONS},
        "cases": [one(case) for case in cases(world)],
    }
