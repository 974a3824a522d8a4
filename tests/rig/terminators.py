# SPDX-License-Identifier: Apache-2.0
"""Debian's nginx, HAProxy and Apache as TLS terminators: what each tells a server of a client's certificate, and whom
it lets in. The independent answer to what certbound should do in Envoy."""

import os
import socket
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

from rig.certificates import Certificate
from rig.ports import free_port
from rig.process import Process, wait_until
from rig.skipped import skipped

INSTALLED = Path(__file__).resolve().parents[2] / "target" / "terminators"


def missing() -> str | None:
    """Why they cannot be run here, or None.

    Raises RuntimeError in CI, where they must be.
    """
    if (INSTALLED / ".installed").exists():
        return None
    return skipped("the comparison with nginx, HAProxy and Apache is skipped: it needs Debian 12")


@dataclass(frozen=True)
class Site:
    """A listener of a terminator: whom it lets in, and which fields it sets in requests, by the first part of the
    path."""

    verify: str
    """Directives in the terminator's own words; for HAProxy the options of `bind`."""
    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By path (`/name`), field name and expression, in the terminator's own words."""


class Terminator:
    """A running terminator on 127.0.0.1 in front of the port `upstream`, from entry to exit of its context."""

    name: ClassVar[str]
    program: ClassVar[str]

    def __init__(self, directory: Path, sites: Mapping[str, Site], *, server: Certificate, upstream: int) -> None:
        """Says how to start, and does not yet."""
        self.directory = Path(directory) / self.name
        self.server = server
        self.upstream = upstream
        self.sites = sites
        self.ports = {name: free_port() for name in sites}

    def log(self) -> str:
        """All that it has logged so far."""
        return self._process.log()

    def __enter__(self) -> Self:
        """Raises RuntimeError with its log when it ends instead of listening."""
        self.directory.mkdir()
        path = self.directory / f"{self.name}.conf"
        path.write_text(self.configuration())
        (library,) = (INSTALLED / "usr/lib").glob("*-linux-gnu")
        arguments = [INSTALLED / "usr/sbin" / self.program, *self.arguments(path)]
        self._process = Process(arguments, path.with_suffix(".log"), environment={"LD_LIBRARY_PATH": str(library)})
        try:
            wait_until(self._listens, 20, f"{self.name} to listen")
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def _listens(self) -> bool:
        if self._process.exit_status is not None:
            raise RuntimeError(f"{self.name} ended: {self.log()}")
        for port in self.ports.values():
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    return False
        return True

    @abstractmethod
    def arguments(self, configuration: Path) -> list[str | Path]: ...

    @abstractmethod
    def configuration(self) -> str: ...


class Nginx(Terminator):
    name = program = "nginx"

    def arguments(self, configuration: Path) -> list[str | Path]:
        return ["-p", self.directory, "-e", "stderr", "-c", configuration]

    def configuration(self) -> str:
        temporary = "".join(
            f"{kind}_temp_path {self.directory}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        servers = "".join(self._server(name, site) for name, site in self.sites.items())
        return (
            f"daemon off;\nmaster_process off;\npid {self.directory}/nginx.pid;\nerror_log stderr warn;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{servers}}}\n"
        )

    def _server(self, name: str, site: Site) -> str:
        locations = "".join(
            f"location {path} {{\nproxy_pass http://127.0.0.1:{self.upstream};\n"
            + "".join(f"proxy_set_header {field} {expression};\n" for field, expression in fields.items())
            + "}\n"
            for path, fields in {"/": {}, **site.fields}.items()
        )
        return (
            f"server {{\nlisten 127.0.0.1:{self.ports[name]} ssl;\n"
            f"ssl_certificate {self.server.certificate_path};\nssl_certificate_key {self.server.key_path};\n"
            f"{site.verify}\n{locations}}}\n"
        )


class Apache(Terminator):
    name, program = "apache", "apache2"

    _MODULES: ClassVar = "mpm_event authn_core authz_core headers proxy proxy_http ssl".split()

    def arguments(self, configuration: Path) -> list[str | Path]:
        return ["-f", configuration, "-DFOREGROUND"]

    def configuration(self) -> str:
        modules = "".join(
            f'LoadModule {name}_module "{INSTALLED}/usr/lib/apache2/modules/mod_{name}.so"\n' for name in self._MODULES
        )
        # Apache does not serve as root.
        user = "User nobody\nGroup nogroup\n" if os.getuid() == 0 else ""
        servers = "".join(self._server(name, site) for name, site in self.sites.items())
        return (
            f'{modules}ServerName localhost\nServerRoot "{self.directory}"\nDefaultRuntimeDir "{self.directory}"\n'
            f'PidFile "{self.directory}/apache.pid"\nErrorLog "{self.directory}/error.log"\nLogLevel warn\nMutex pthread\n{user}'
            f"StartServers 1\nServerLimit 1\nThreadsPerChild 25\nMaxRequestWorkers 25\n{servers}"
        )

    def log(self) -> str:
        written = self.directory / "error.log"
        return super().log() + (written.read_text(errors="backslashreplace") if written.exists() else "")

    def _server(self, name: str, site: Site) -> str:
        locations = "".join(
            f"<Location {path}>\n"
            + "".join(f'RequestHeader set {field} "{expression}"\n' for field, expression in fields.items())
            + "</Location>\n"
            for path, fields in site.fields.items()
        )
        return (
            f"Listen 127.0.0.1:{self.ports[name]}\n<VirtualHost 127.0.0.1:{self.ports[name]}>\nSSLEngine on\n"
            f'SSLCertificateFile "{self.server.certificate_path}"\nSSLCertificateKeyFile "{self.server.key_path}"\n'
            f"{site.verify}\nProxyPass / http://127.0.0.1:{self.upstream}/\n{locations}</VirtualHost>\n"
        )


class HAProxy(Terminator):
    name = program = "haproxy"

    def arguments(self, configuration: Path) -> list[str | Path]:
        return ["-db", "-f", configuration]

    def configuration(self) -> str:
        both = self.directory / "server.pem"
        both.write_text(self.server.certificate_path.read_text() + self.server.key_path.read_text())
        sites = "".join(
            f"frontend {name}\n  bind 127.0.0.1:{self.ports[name]} ssl crt {both} {site.verify}\n"
            + "".join(
                f"  http-request set-header {field} {expression} if {{ path_beg {path} }}\n"
                for path, fields in site.fields.items()
                for field, expression in fields.items()
            )
            + "  default_backend upstream\n"
            for name, site in self.sites.items()
        )
        return (
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"
            f"{sites}backend upstream\n  server upstream 127.0.0.1:{self.upstream}\n"
        )
