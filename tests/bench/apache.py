"""Debian's Apache httpd: mod_oauth2 as a resource server, and `RequestHeader` in front of an authorization server."""

import os
from pathlib import Path
from typing import Self

from rig.key_server import KeyServer, document
from rig.mod_oauth2 import INSTALLED
from rig.ports import free_port
from rig.process import Process, wait_until

from bench.world import AUDIENCE, ISSUER, World

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
ThreadsPerChild 64
MaxRequestWorkers 64
MaxKeepAliveRequests 0
KeepAliveTimeout 600
DocumentRoot "{directory}/documents"
"""

_SITE = """
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
  SSLEngine on
  SSLCertificateFile "{server.certificate_path}"
  SSLCertificateKeyFile "{server.key_path}"
  SSLVerifyClient optional
  SSLCACertificateFile "{client_ca}"
  ProxyPass /echo http://127.0.0.1:{upstream}/echo
  {directives}
</VirtualHost>
"""

_OAUTH2 = """
  <Location "/">
    AuthType oauth2
    AuthName {audience}
    OAuth2TokenVerify jwks_uri {jwks_uri} verify.exp=required&type=mtls&mtls.policy=required
    <RequireAll>
      Require oauth2_claim iss:{issuer}
      Require oauth2_claim aud:{audience}
    </RequireAll>
  </Location>
"""


class Apache:
    """A running Apache on 127.0.0.1, with a site for each subject, from entry to exit of its context.

    What Envoy answers itself is a file of three bytes here.
    """

    def __init__(self, directory: Path, world: World, *, upstream: int) -> None:
        """Says how to start, and does not yet."""
        self._directory = Path(directory)
        self._keys = KeyServer({"/jwks": document(world.jwks, 86400)})
        self.ports = {name: free_port() for name in ("apache", "apache-mod_oauth2", "apache-forwards")}
        (library,) = (INSTALLED / "usr/lib").glob("*-linux-gnu")
        self._environment = {"LD_LIBRARY_PATH": str(library)}
        directives = {
            "apache": "",
            "apache-mod_oauth2": _OAUTH2.format(
                audience=AUDIENCE, issuer=ISSUER, jwks_uri=f"http://127.0.0.1:{self._keys.port}/jwks"
            ),
            "apache-forwards": 'RequestHeader set X-ClientCert "%{SSL_CLIENT_CERT}s"',
        }
        modules = [f'LoadModule {name}_module "{INSTALLED}/usr/lib/apache2/modules/mod_{name}.so"' for name in _MODULES]
        common = _COMMON.format(
            directory=self._directory,
            # Apache does not serve as root.
            user="User nobody\nGroup nogroup" if os.getuid() == 0 else "",
        )
        sites = [
            _SITE.format(
                port=port,
                server=world.server,
                client_ca=world.authority.pem_path,
                upstream=upstream,
                directives=directives[name],
            )
            for name, port in self.ports.items()
        ]
        self._configuration = "\n".join([*modules, common, *sites])

    @property
    def processes(self) -> list[int]:
        """All processes of it."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                # After the name: state, parent, group, session.
                session = int(entry.read_text(errors="replace").rpartition(")")[2].split()[3])
            except (OSError, ValueError):
                continue
            if session == self._process.pid:
                found.append(int(entry.parent.name))
        return found

    def _log(self) -> str:
        written = self._directory / "error.log"
        return self._process.log() + (written.read_text(errors="backslashreplace") if written.exists() else "")

    def __enter__(self) -> Self:
        """Raises RuntimeError with its log when it ends instead of listening."""
        (self._directory / "documents").mkdir(parents=True)
        (self._directory / "documents" / "ok").write_text("ok\n")
        path = self._directory / "apache.conf"
        path.write_text(self._configuration)
        self._keys.__enter__()
        arguments = [INSTALLED / "usr/sbin/apache2", "-f", path, "-DFOREGROUND"]
        self._process = Process(arguments, path.with_suffix(".log"), environment=self._environment)
        try:
            wait_until(self._serves, 20, "Apache to listen")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()
        self._keys.__exit__()

    def _serves(self) -> bool:
        if self._process.exit_status is not None:
            raise RuntimeError(f"Apache ended: {self._log()}")
        return "resuming normal operations" in self._log()
