# SPDX-License-Identifier: Apache-2.0
"""The image: what a registry gives for its digest is the module. That it has the same bytes each time is in test_listeners.py."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rig.shipped import MODULE, ROOT

from platforms import layout
from platforms.registry import Registry

LAYOUT = ROOT / "target" / "oci"


@dataclass(frozen=True)
class Image:
    """The module's image in a registry that runs."""

    registry: Registry
    digest: str
    """Of the manifest, `sha256:` and 64 digits: what `certbound@...` names."""

    @property
    def reference(self) -> str:
        return f"{self.registry.address}/certbound@{self.digest}"


@contextmanager
def pushed(directory: Path) -> Iterator[Image]:
    """A registry with the image that `make image` wrote."""
    with Registry(directory) as registry:
        yield Image(registry, registry.push(LAYOUT, layout.version()))


def test_the_registry_has_the_digest_that_was_written_down_before_the_push(image: Image) -> None:
    assert image.digest == layout.digest(LAYOUT)


def test_what_the_digest_gives_is_one_layer_with_the_module(image: Image) -> None:
    (layer,) = image.registry.manifest(image.digest)["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    with tarfile.open(fileobj=io.BytesIO(image.registry.blob(layer["digest"])), mode="r:gz") as archive:
        assert archive.getnames() == ["plugin.wasm"]
        assert archive.extractfile("plugin.wasm").read() == MODULE.read_bytes()
