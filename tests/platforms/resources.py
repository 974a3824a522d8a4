# SPDX-License-Identifier: Apache-2.0
"""Kubernetes resources: the shipped files with nothing but their CHANGE lines changed, and secrets."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import yaml

from rig.shipped import ROOT


def changed(name: str, changes: dict[str, str], jwks: dict[str, Any]) -> str:
    """The text of envoy/`name`.yaml with these in place of its own, patterns of regular expressions, and keys.

    Raises ValueError when a pattern is not found, or matches in a line that the file does not mark CHANGE.
    """
    lines = (ROOT / "envoy" / f"{name}.yaml").read_text().splitlines(keepends=True)
    for pattern, value in {**changes, r"jwks: \{ keys: \[\] \}": f"jwks: {json.dumps(jwks)}"}.items():
        found = [number for number, line in enumerate(lines) if re.search(pattern, line)]
        unmarked = [number + 1 for number in found if "# CHANGE" not in lines[number]]
        if not found or unmarked:
            raise ValueError(f"envoy/{name}.yaml: {pattern} is found {len(found)} times, without a mark in lines {unmarked}")
        for number in found:
            lines[number] = re.sub(pattern, lambda _, value=value: value, lines[number])
    return "".join(lines)


def of_kinds(text: str, *kinds: str) -> str:
    """The documents of these kinds, as they stand, comments and all."""
    parts = [part for part in re.split(r"^---\n", text, flags=re.MULTILINE) if yaml.safe_load(part)["kind"] in kinds]
    return "---\n".join(parts)


def secret(name: str, namespace: str, **files: Path) -> dict[str, Any]:
    """A Secret with these files; `tls_crt` stands for `tls.crt`."""
    data = {key.replace("_", "."): base64.b64encode(path.read_bytes()).decode() for key, path in files.items()}
    kind = "kubernetes.io/tls" if "tls.key" in data else "Opaque"
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": kind,
        "data": data,
    }


def text_of(*documents: dict[str, Any]) -> str:
    """The documents in one YAML text, each as JSON: Kubernetes takes the key `y` of a JWK for a boolean, unless it is quoted."""
    return "---\n".join(f"{json.dumps(document)}\n" for document in documents)
