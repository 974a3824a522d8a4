# SPDX-License-Identifier: Apache-2.0
"""Debian's Apache with mod_oauth2 (`type=mtls`): another implementation of RFC 8705 §3, to compare with."""

import os
from pathlib import Path
from typing import Any, Self

from rig.certificates import Certificate
from rig.key_server import KeyServer, document
from rig.ports import free_port
from rig.process import Process, wait_until
from rig.skipped import skipped

INSTALLED = Path(__file__).resolve().parents[2] / "target" / "mod_oauth2"

_MODULES = "mpm_event authn_core authz_core headers proxy proxy_http ssl oauth2".split()

_COMMON = """
ServerName localhost
ServerRoot "{directory}"
DefaultRuntimeDir "{directory}"
PidFile "{directory}/apache.pid"
ErrorLog "{directory}/error.log"
LogLevel warn
Mutex pthread
{user}
StartServers 1
ServerLimit 1
MaxKeepAliveRequests 0
"""

_CONFIGURATION = """
ThreadsPerChild 25
MaxRequestWorkers 25
KeepAliveTimeout 60
# A token that is too long for certbound shall be judged by mod_oauth2, not by Apache's own limit.
LimitRequestFieldSize 65536
LimitRequestLine 65536

Listen 127.0.0.1:{port}
SSLEngine on
SSLCertificateFile "{server.certificate_path}"
SSLCertificateKeyFile "{server.key_path}"
# As Envoy's validation_context with require_client_certificate: false.
SSLVerifyClient optional
SSLCACertificateFile "{client_ca}"

ProxyPass / http://127.0.0.1:{upstream}/

<Location "/">
  AuthType oauth2
  AuthName {audience}
  OAuth2TokenVerify jwks_uri {jwks_uri} verify.exp=required&type=mtls&mtls.policy=required
  # That names neither issuer nor audience; this is how mod_oauth2 wants them checked.
  <RequireAll>
    Require oauth2_claim iss:{issuer}
    Require oauth2_claim aud:{audience}
  </RequireAll>
  # Of a failed Require the module leaves the challenge in this variable, for mod_headers to write.
  Header always append WWW-Authenticate %{{OAUTH2_BEARER_SCOPE_ERROR}}e \
    "expr=(%{{REQUEST_STATUS}} == 401) && (-n reqenv('OAUTH2_BEARER_SCOPE_ERROR'))"
</Location>
<Location "/migration/">
  OAuth2TokenVerify jwks_uri {jwks_uri} verify.exp=required&type=mtls&mtls.policy=optional
</Location>
"""


def missing() -> str | None:
    """Why it cannot be run here, or None.

    Raises RuntimeError in CI, where it must be.
    """
    if (INSTALLED / ".installed").exists():
        return None
    return skipped("the comparison with mod_oauth2 is skipped: it needs Debian 12")


class Apache:
    """A running Apache with mod_oauth2, from entry to exit of its context, and the server of the keys that it asks. What
    it listens to and does its subclasses add to `_configuration`."""

    def __init__(self, directory: Path, jwks: dict[str, Any], *, max_age: int = 300) -> None:
        """Says how to start, and does not yet. The keys are fresh for so many seconds."""
        self._directory = Path(directory)
        self._keys = KeyServer({"/jwks": document(jwks, max_age)})
        self._jwks_uri = f"http://127.0.0.1:{self._keys.port}/jwks"
        (library,) = (INSTALLED / "usr/lib").glob("*-linux-gnu")
        self._environment = {"LD_LIBRARY_PATH": str(library)}
        modules = [f'LoadModule {name}_module "{INSTALLED}/usr/lib/apache2/modules/mod_{name}.so"' for name in _MODULES]
        # Apache does not serve as root.
        user = "User nobody\nGroup nogroup" if os.getuid() == 0 else ""
        self._configuration = "\n".join(modules) + _COMMON.format(directory=self._directory, user=user)

    def log(self) -> str:
        """All that it has logged so far."""
        written = self._directory / "error.log"
        return self._process.log() + (written.read_text(errors="backslashreplace") if written.exists() else "")

    def __enter__(self) -> Self:
        """Raises RuntimeError with its log when it ends instead of listening."""
        path = self._directory / "apache.conf"
        path.write_text(self._configuration)
        self._keys.__enter__()
        arguments = [INSTALLED / "usr/sbin/apache2", "-f", path, "-DFOREGROUND"]
        self._process = Process(arguments, path.with_suffix(".log"), environment=self._environment)
        try:
            wait_until(self._listens, 20, "Apache to listen")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()
        self._keys.__exit__()

    def _listens(self) -> bool:
        if self._process.exit_status is not None:
            raise RuntimeError(f"Apache ended: {self.log()}")
        return "resuming normal operations" in self.log()


class ModOAuth2(Apache):
    """A running Apache on 127.0.0.1 with TLS.

    `/` is for bound tokens alone, `/migration/` for unbound ones as well, as in envoy/resource-server.yaml.
    """

    def __init__(
        self,
        directory: Path,
        *,
        server: Certificate,
        client_ca: Path,
        jwks: dict[str, Any],
        issuer: str,
        audience: str,
        upstream: int,
    ) -> None:
        """Says how to start, and does not yet."""
        super().__init__(directory, jwks)
        self.port = free_port()
        self._configuration += _CONFIGURATION.format(
            port=self.port,
            server=server,
            client_ca=client_ca,
            upstream=upstream,
            jwks_uri=self._jwks_uri,
            issuer=issuer,
            audience=audience,
        )
