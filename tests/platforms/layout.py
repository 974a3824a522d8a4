# SPDX-License-Identifier: Apache-2.0
"""The module as an OCI image, in an image layout: `python -m platforms.layout MODULE DIRECTORY`.

One layer with `plugin.wasm`, in the one form that Istio's agent and Envoy Gateway both take. The same module gives the same
bytes each time: nothing in them is a time, a user or a place.
"""

import hashlib
import io
import json
import shutil
import struct
import sys
import tarfile
import tomllib
import zlib
from pathlib import Path
from typing import Any

from rig.shipped import ROOT

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def version() -> str:
    """certbound's own, as Cargo.toml has it; also the image's tag."""
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]


def write(module: Path, directory: Path) -> str:
    """Writes the layout, over an older one, and returns the digest of the manifest: what `oci://...@sha256:` names."""
    shutil.rmtree(directory, ignore_errors=True)
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(media_type: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    archive = _archive(module.read_bytes())
    config = {
        "architecture": "wasm",
        "os": "wasip1",
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(archive).hexdigest()]},
    }
    annotations = {
        "org.opencontainers.image.title": "certbound",
        "org.opencontainers.image.version": version(),
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": blob(_CONFIG, _json(config)),
        "layers": [blob(_LAYER, _compressed(archive))],
        "annotations": annotations,
    }
    entry = blob(_MANIFEST, _json(manifest)) | {"annotations": {"org.opencontainers.image.ref.name": version()}}
    (directory / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    (directory / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [entry]}))
    return entry["digest"]


def digest(directory: Path) -> str:
    """The digest of the manifest of a layout that is there."""
    (entry,) = json.loads((directory / "index.json").read_bytes())["manifests"]
    return entry["digest"]


def _archive(module: bytes) -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("plugin.wasm")
        member.size, member.mode, member.mtime = len(module), 0o644, 0
        archive.addfile(member, io.BytesIO(module))
    return found.getvalue()


def _compressed(content: bytes) -> bytes:
    # RFC 1952, without time and name, and with an unknown system: what Python's own writer says of it differs by release.
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = deflate.compress(content) + deflate.flush()
    return b"\x1f\x8b\x08\0\0\0\0\0\x02\xff" + body + struct.pack("<II", zlib.crc32(content), len(content))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


if __name__ == "__main__":
    of, to = map(Path, sys.argv[1:])
    print(f"{to}: certbound {version()}, {write(of, to)}")
    print(f"push it: skopeo copy oci:{to}:{version()} docker://REGISTRY/certbound:{version()}")
