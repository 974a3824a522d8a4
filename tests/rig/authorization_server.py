# SPDX-License-Identifier: Apache-2.0
"""The authorization server of tests/peers/authorization_server: oidc-provider, an OpenID certified implementation."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from rig.process import Process, wait_until
from rig.skipped import skipped
from rig.tokens import SigningKey

INSTALLED = Path(__file__).resolve().parents[2] / "target" / "authorization_server"


def missing() -> str | None:
    """Why the server cannot be run here, or None.

    Raises RuntimeError in CI, where it must be.
    """
    if shutil.which("node") and (INSTALLED / "node_modules").is_dir():
        return None
    return skipped("the authorization server is skipped: Node is not installed")


class AuthorizationServer:
    """A running oidc-provider on 127.0.0.1 without TLS, from entry to exit of its context."""

    def __init__(
        self,
        directory: Path,
        *,
        issuer: str,
        audience: str,
        keys: Sequence[SigningKey],
        clients: Sequence[dict[str, Any]],
        port: int = 0,
        dialect: Literal["gluu", "authlete", "rfc9440"] = "gluu",
        access_token_format: str = "jwt",
    ) -> None:
        """Says how to start, and does not yet. It reads the client's certificate as `dialect` says. `clients` are client metadata of RFC 7591 and RFC 8705. It publishes all
        keys, and signs with the first. Port 0 has a free one chosen."""
        self._directory = Path(directory)
        self._configuration = {
            "port": port,
            "issuer": issuer,
            "audience": audience,
            "certificate_dialect": dialect,
            "clients": list(clients),
            "jwks": {"keys": [key.private_jwk for key in keys]},
            "signing_alg": keys[0].algorithm,
            "access_token_format": access_token_format,
        }
        self.port = 0

    def log(self) -> str:
        """All that it has logged so far."""
        return self._process.log()

    def __enter__(self) -> Self:
        """Raises RuntimeError with its log when it ends instead of listening."""
        path = self._directory / "authorization-server.json"
        path.write_text(json.dumps(self._configuration))
        arguments = ["node", str(INSTALLED / "server.mjs"), str(path)]
        self._process = Process(arguments, path.with_suffix(".log"))
        try:
            self.port = wait_until(self._announced_port, 20, "the authorization server to listen")
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def _announced_port(self) -> int | None:
        if self._process.exit_status is not None:
            raise RuntimeError(f"the authorization server ended: {self.log()}")
        for line in self.log().splitlines():
            if line.startswith('{"port":'):
                return int(json.loads(line)["port"])
        return None
