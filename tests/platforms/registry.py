# SPDX-License-Identifier: Apache-2.0
"""Debian's docker-registry on 127.0.0.1, and skopeo, which pushes to it."""

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Self

from rig.ports import free_port
from rig.process import Process, wait_until
from rig.shipped import ROOT

INSTALLED = ROOT / "target" / "registry"
_TYPES = "application/vnd.oci.image.manifest.v1+json"


class Registry:
    """A running registry, over HTTP, from entry to exit of its context."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "registry"
        self._directory.mkdir()
        self.address = f"127.0.0.1:{free_port()}"
        (library,) = (INSTALLED / "usr/lib").glob("*-linux-gnu")
        self._environment = {"LD_LIBRARY_PATH": str(library)}

    def __enter__(self) -> Self:
        path = self._directory / "registry.yml"
        path.write_text(
            "version: 0.1\nlog: { level: warn, accesslog: { disabled: false } }\n"
            f"storage: {{ filesystem: {{ rootdirectory: {self._directory}/blobs }} }}\nhttp: {{ addr: {self.address} }}\n"
        )
        program = INSTALLED / "usr/bin/docker-registry"
        self._process = Process(
            [program, "serve", path], self._directory / "registry.log", environment=self._environment
        )
        try:
            wait_until(self._answers, 20, "the registry to answer")
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def _answers(self) -> bool:
        if self._process.exit_status is not None:
            raise RuntimeError(f"the registry ended: {self.log()}")
        try:
            with urllib.request.urlopen(f"http://{self.address}/v2/", timeout=5):
                return True
        except OSError:
            return False

    def log(self) -> str:
        """What it has logged: a line for each request."""
        return self._process.log()

    def push(self, layout: Path, tag: str) -> str:
        """Pushes the image of a layout as `certbound:tag`. Returns the digest that the registry then says it has."""
        self._skopeo(
            "copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}:{tag}", f"docker://{self.address}/certbound:{tag}"
        )
        found = self._skopeo("inspect", "--tls-verify=false", f"docker://{self.address}/certbound:{tag}")
        return json.loads(found)["Digest"]

    def manifest(self, reference: str) -> dict[str, Any]:
        """The manifest that the registry gives for a tag or a digest."""
        request = urllib.request.Request(
            f"http://{self.address}/v2/certbound/manifests/{reference}", headers={"accept": _TYPES}
        )
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)

    def blob(self, digest: str) -> bytes:
        """The bytes of a layer or a configuration."""
        with urllib.request.urlopen(f"http://{self.address}/v2/certbound/blobs/{digest}", timeout=5) as response:
            return response.read()

    def _skopeo(self, *arguments: str) -> str:
        command = [INSTALLED / "usr/bin/skopeo", "--insecure-policy", "--tmpdir", self._directory, *arguments]
        run = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=60)
        if run.returncode:
            raise RuntimeError(f"skopeo {arguments[0]} failed: {run.stderr}")
        return run.stdout
