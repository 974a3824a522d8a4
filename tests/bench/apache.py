# SPDX-License-Identifier: Apache-2.0
"""Debian's Apache httpd: mod_oauth2 as a resource server, and `RequestHeader` in front of an authorization server."""

from pathlib import Path
from typing import Self

from rig import mod_oauth2
from rig.ports import free_port

from bench.world import AUDIENCE, ISSUER, World

_COMMON = """
ThreadsPerChild 64
MaxRequestWorkers 64
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


class Apache(mod_oauth2.Apache):
    """A running Apache on 127.0.0.1, with a site for each subject.

    What Envoy answers itself is a file of three bytes here.
    """

    def __init__(self, directory: Path, world: World, *, upstream: int) -> None:
        """Says how to start, and does not yet."""
        super().__init__(directory, world.jwks, max_age=86400)
        self.ports = {name: free_port() for name in ("apache", "apache-mod_oauth2", "apache-forwards")}
        directives = {
            "apache": "",
            "apache-mod_oauth2": _OAUTH2.format(audience=AUDIENCE, issuer=ISSUER, jwks_uri=self._jwks_uri),
            "apache-forwards": 'RequestHeader set X-ClientCert "%{SSL_CLIENT_CERT}s"',
        }
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
        self._configuration += "\n".join([_COMMON.format(directory=self._directory), *sites])

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

    def __enter__(self) -> Self:
        (self._directory / "documents").mkdir(parents=True)
        (self._directory / "documents" / "ok").write_text("ok\n")
        return super().__enter__()
