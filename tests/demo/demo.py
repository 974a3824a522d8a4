# SPDX-License-Identifier: Apache-2.0
"""The whole path of RFC 8705 through real software: a certified authorization server and an API, each behind an Envoy
with certbound, on the shipped files of envoy/. What must happen is written down first; the exit code is 0 only if all
of it did."""

import argparse
import contextlib
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rig import authorization_server, shipped, tokens
from rig.authorization_server import AuthorizationServer
from rig.certificates import Authority, Certificate, self_signed
from rig.client import Client, Response
from rig.envoy import Envoy, EnvoyFailed, EnvoyUnavailable
from rig.ports import free_port
from rig.tap import Tap
from rig.tokens import SigningKey
from rig.upstream import Upstream

AUDIENCE = "https://api.example.com"
FORM = ("content-type", "application/x-www-form-urlencoded")
TOKEN_REQUEST = b"grant_type=client_credentials&client_id=client-1"


class Servers:
    """Everything that the demo talks to. Clients come to `as_port` and `api_port`."""

    def __init__(self, directory: Path, module: Path) -> None:
        ca = Authority(directory)
        self.ca_path = ca.pem_path
        self.server = ca.issue("server", subject=[("CN", "localhost")], server=True)
        self.client_1 = ca.issue("client-1", subject=[("C", "NL"), ("O", "Example Bank"), ("CN", "client-1")])
        self.client_1_renewed = ca.issue(
            "client-1-renewed", subject=[("C", "NL"), ("O", "Example Bank"), ("CN", "client-1")]
        )
        self.client_2 = ca.issue("client-2", subject=[("C", "NL"), ("O", "Example Bank"), ("CN", "client-2")])
        self.impostor = self_signed(directory, "impostor", copy_subject_of=self.client_1)
        self.as_port, self.api_port = free_port(), free_port()
        self.issuer = f"https://localhost:{self.as_port}"
        self._directory, self._module = directory, module

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        client = {
            "client_id": "client-1",
            "token_endpoint_auth_method": "tls_client_auth",
            "tls_client_auth_subject_dn": self.client_1.subject,
            "tls_client_certificate_bound_access_tokens": True,
        }
        common = {"server": self.server, "client_ca": self.ca_path, "module": self._module}
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(
                AuthorizationServer(
                    self._directory,
                    issuer=self.issuer,
                    audience=AUDIENCE,
                    keys=[SigningKey.make("ES256", "1")],
                    clients=[client],
                )
            )
            self.to_authorization_server = stack.enter_context(Tap(server.port))
            self.api = stack.enter_context(Upstream())
            text = shipped.read(
                "authorization-server",
                **common,
                listener=self.as_port,
                upstream=self.to_authorization_server.port,
                admin=free_port(),
            )
            stack.enter_context(Envoy(text, self._directory, name="authorization-server"))
            # An operator pastes what the authorization server publishes.
            jwks = self.ask(self.as_port, None, "GET", "/jwks").json()
            text = shipped.read(
                "resource-server",
                **common,
                jwks=jwks,
                issuer=self.issuer,
                listener=self.api_port,
                upstream=self.api.port,
                admin=free_port(),
            )
            stack.enter_context(Envoy(text, self._directory, name="resource-server"))
            yield

    def ask(
        self,
        port: int,
        certificate: Certificate | None,
        method: str,
        path: str,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> Response:
        with Client(port, ca_path=self.ca_path, certificate=certificate) as client:
            return client.request(method, path, headers=headers, body=body)


@dataclass(frozen=True)
class Step:
    """One thing that is sent, and what must come back."""

    sent: str
    expected: str
    run: Callable[[], tuple[str, bool]]
    """What came back in words, and whether it is what must come back."""


def steps(servers: Servers) -> Iterator[Step]:
    one, two, impostor = servers.client_1, servers.client_2, servers.impostor
    kept: dict[str, str] = {}

    def discovery() -> tuple[str, bool]:
        answer = servers.ask(servers.as_port, None, "GET", "/.well-known/openid-configuration")
        document = answer.json()
        bound = document.get("tls_client_certificate_bound_access_tokens")
        offered = "tls_client_auth" in document.get("token_endpoint_auth_methods_supported", [])
        words = f"{answer.status}, tls_client_certificate_bound_access_tokens: {json.dumps(bound)}, tls_client_auth: {'yes' if offered else 'no'}"
        return words, answer.status == 200 and bound is True and offered

    yield Step(
        "GET /.well-known/openid-configuration to the authorization server",
        "200, certificate-bound tokens and tls_client_auth are on",
        discovery,
    )

    def token() -> tuple[str, bool]:
        answer = servers.ask(servers.as_port, one, "POST", "/token", (FORM,), TOKEN_REQUEST)
        document = answer.json()
        kept["token"] = document.get("access_token", "")
        return f"{answer.status}, {sorted(document)}", answer.status == 200 and bool(kept["token"])

    yield Step("POST /token with client 1's certificate", "200 and an access token: tls_client_auth worked", token)

    def confirmation() -> tuple[str, bool]:
        cnf = tokens.decode(kept["token"])[1].get("cnf") if kept["token"] else None
        return json.dumps({"cnf": cnf}), cnf == {"x5t#S256": one.thumbprint}

    yield Step("the token's confirmation", f"the SHA-256 of client 1's certificate: {one.thumbprint}", confirmation)

    def call(certificate: Certificate | None) -> Response:
        return servers.ask(
            servers.api_port, certificate, "GET", "/accounts", (("authorization", f"Bearer {kept['token']}"),)
        )

    def owner() -> tuple[str, bool]:
        answer = call(one)
        return f"{answer.status}", answer.status == 200

    yield Step("GET /accounts with the token and client 1's certificate", "200", owner)

    def stolen(certificate: Certificate | None) -> Callable[[], tuple[str, bool]]:
        def run() -> tuple[str, bool]:
            before = len(servers.api.requests)
            answer = call(certificate)
            challenge = answer.header("www-authenticate") or ""
            right = (
                answer.status == 401 and 'error="invalid_token"' in challenge and len(servers.api.requests) == before
            )
            return f"{answer.status} {challenge}", right

        return run

    yield Step(
        "GET /accounts with the same token and client 2's certificate",
        "401 invalid_token, and the API sees nothing",
        stolen(two),
    )
    yield Step(
        "GET /accounts with the same token and no certificate",
        "401 invalid_token, and the API sees nothing",
        stolen(None),
    )

    def refused_client(
        certificate: Certificate | None, headers: tuple[tuple[str, str], ...]
    ) -> Callable[[], tuple[str, bool]]:
        def run() -> tuple[str, bool]:
            servers.to_authorization_server.take()
            answer = servers.ask(servers.as_port, certificate, "POST", "/token", (FORM, *headers), TOKEN_REQUEST)
            arrived = servers.to_authorization_server.take()
            certificates = [
                line.decode() for line in arrived.split(b"\r\n\r\n")[0].split(b"\r\n") if b"cert" in line.lower()
            ]
            error = answer.json().get("error")
            words = f"{answer.status} {error}; certificate headers at the authorization server: {len(certificates)}"
            return words, error == "invalid_client" and b"POST /token" in arrived and not certificates

        return run

    for name, value in (
        ("Client-Cert", one.rfc9440_form),
        ("X_ClientCert", one.apache_form),
        ("X-ClientCert", one.apache_form),
    ):
        yield Step(
            f"POST /token without a certificate, with client 1's in a forged {name}",
            "the header is gone, the authorization server says invalid_client",
            refused_client(None, ((name, value),)),
        )

    def every_path() -> tuple[str, bool]:
        words, right = [], True
        for path in ("/token", "/self-signed/token", "/x/../token", "//token", "/token/"):
            servers.to_authorization_server.take()
            answer = servers.ask(servers.as_port, impostor, "POST", path, (FORM,), TOKEN_REQUEST)
            certificates = b"cert:" in servers.to_authorization_server.take().lower()
            words.append(str(answer.status))
            right &= answer.status != 200 and not certificates
        return f"{' '.join(words)}; certificate headers at the authorization server: none" if right else str(
            words
        ), right

    yield Step(
        "POST /token with a self-signed certificate that copies client 1's subject",
        "the handshake is accepted, the certificate is not handed over: invalid_client",
        refused_client(impostor, ()),
    )
    yield Step(
        "the same at /self-signed/token, /x/../token, //token and /token/",
        "no token and no certificate on any path",
        every_path,
    )

    def renewed() -> tuple[str, bool]:
        certificate = servers.client_1_renewed
        answer = servers.ask(servers.as_port, certificate, "POST", "/token", (FORM,), TOKEN_REQUEST)
        tokens = [f"Bearer {token}" for token in (answer.json().get("access_token", ""), kept["token"])]
        with Client(servers.api_port, ca_path=servers.ca_path, certificate=one) as client:
            client.request("GET", "/accounts", headers=(("authorization", tokens[1]),))
            session = client.tls_session
        with Client(servers.api_port, ca_path=servers.ca_path, certificate=certificate, tls_session=session) as client:
            statuses = [
                client.request("GET", "/accounts", headers=(("authorization", token),)).status for token in tokens
            ]
            words = f"{statuses[0]}, and {statuses[1]} with the old token; TLS session resumed: {'yes' if client.resumed else 'no'}"
            return words, statuses == [200, 401] and not client.resumed

    yield Step(
        "GET /accounts with client 1's renewed certificate and a new token, on a connection that may resume",
        "200, and 401 with the old token: the new certificate is judged",
        renewed,
    )


def transcript(servers: Servers) -> bool:
    wrong = 0
    plan = list(steps(servers))
    for number, step in enumerate(plan, start=1):
        try:
            came, right = step.run()
        except Exception as error:  # whatever broke, the other steps still tell something
            came, right = f"{type(error).__name__}: {error}", False
        wrong += not right
        print(f"{number:2}. {step.sent}")
        print(f"    expected  {step.expected}")
        print(f"    came      {came}")
        print(f"    {'right' if right else 'WRONG'}", flush=True)
    print(f"{len(plan) - wrong} of {len(plan)} as expected")
    return wrong == 0


def keep_up(servers: Servers, directory: Path) -> None:
    curl = f"curl --cacert {servers.ca_path}"
    client = f"--cert {servers.client_1.certificate_path} --key {servers.client_1.key_path}"
    thief = f"--cert {servers.client_2.certificate_path} --key {servers.client_2.key_path}"
    print(
        f"""
The authorization server is at {servers.issuer}, the API at https://localhost:{servers.api_port}. Try:

# client 1 gets a token that is bound to its certificate
TOKEN=$({curl} -s {client} -d grant_type=client_credentials -d client_id=client-1 {servers.issuer}/token | sed 's/.*"access_token":"\\([^"]*\\).*/\\1/')

# 200: the token and its certificate
{curl} -i {client} -H "Authorization: Bearer $TOKEN" https://localhost:{servers.api_port}/accounts

# 401: the token and another certificate
{curl} -i {thief} -H "Authorization: Bearer $TOKEN" https://localhost:{servers.api_port}/accounts

# 401: the token and no certificate
{curl} -i -H "Authorization: Bearer $TOKEN" https://localhost:{servers.api_port}/accounts

The proxies' logs are in {directory}. Ctrl-C stops everything.""",
        flush=True,
    )
    while True:
        time.sleep(3600)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the servers up and print what to try")
    parser.add_argument("--module", type=Path, default=shipped.MODULE, help="the filter to run")
    parser.add_argument(
        "--directory",
        type=Path,
        default=shipped.ROOT / "target" / "demo",
        help="for certificates, configurations and logs; emptied first",
    )
    arguments = parser.parse_args()
    if why := authorization_server.missing():
        sys.exit(why)
    # Set both: a shell that starts this in the background has told it to ignore Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return run(arguments)
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
        return 0 if arguments.keep else 130
    except (EnvoyFailed, EnvoyUnavailable, RuntimeError, TimeoutError) as error:
        print(f"the demo cannot run: {error}", file=sys.stderr)
        return 1


def run(arguments: argparse.Namespace) -> int:
    shutil.rmtree(arguments.directory, ignore_errors=True)
    arguments.directory.mkdir(parents=True)
    print("starting the authorization server, the API and two Envoys", flush=True)
    servers = Servers(arguments.directory, arguments.module.resolve())
    with servers.running():
        if arguments.keep:
            keep_up(servers, arguments.directory)
        return 0 if transcript(servers) else 1


if __name__ == "__main__":
    sys.exit(main())
