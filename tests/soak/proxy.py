# SPDX-License-Identifier: Apache-2.0
"""The Envoy that is soaked, and what its operator does with it while it serves."""

import contextlib
import copy
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import yaml
from cases import AUDIENCE, ISSUER, World, envoy_configuration
from rig import shipped
from rig.certificates import Certificate
from rig.client import Client
from rig.envoy import Envoy
from rig.fetched_keys import cluster_of
from rig.ports import free_port
from rig.process import wait_until

from soak.kind import FETCHED_CLIENT, ID
from soak.timeline import Timeline

WORKERS = 2
DRAIN_SECONDS = 2
"""After which a drained listener's connections are closed."""
TOKEN_CACHE_BYTES = 1_048_576
"""Of each worker: full within the warm-up."""

_SETTLED = 0.5
"""Seconds after Envoy counts a configuration in which every worker takes it up."""
_MISTAKEN = 1.0
"""Seconds until the operator puts a mistake right."""
_LIMIT = 20
_ARGUMENTS = ("--file-flush-interval-msec", "50", "--drain-time-s", str(DRAIN_SECONDS), "--drain-strategy", "immediate")
_LOG = f"soak=%REQ({ID})% code=%RESPONSE_CODE% certbound=%FILTER_STATE(wasm.certbound:PLAIN)%\n"
_ECDS = "extension_config_discovery.http_filter.certbound"


class Proxy:
    """From entry to exit of the context there is an Envoy, and there may be two."""

    def __init__(self, world: World, directory: Path, *, upstream: int, keys: int, introspection: int) -> None:
        self._world, self._directory = world, directory
        self._clusters = [cluster_of("api", upstream), cluster_of("keys", keys), cluster_of("introspection", introspection)]
        self._port = free_port()
        self._number = self._vm = self._listener_version = 0
        self.realm = Timeline(self._realm())
        """What the challenges say: it changes with each configuration of the filter."""
        self.drains = Timeline(False)
        """Whether a listener goes away, and connections with it."""
        self.done: Counter[str] = Counter()
        """What the operator did, how often."""
        self.envoys: list[Envoy] = []
        self._filter, self._listener = self._documents()
        for name in ("filter", "listener"):
            (directory / name).mkdir(parents=True)

    def __enter__(self) -> Self:
        self._write("filter", self._filter)
        self._write("listener", self._listener)
        with contextlib.ExitStack() as stack:
            stack.callback(self.stop)
            self._start()
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        for envoy in self.envoys:
            envoy.stop()

    @property
    def envoy(self) -> Envoy:
        return self.envoys[-1]

    def client(self, certificate: Certificate | None, protocol: str) -> Client:
        return Client(self._port, ca_path=self._world.authority.pem_path, certificate=certificate, protocol=protocol)

    def change_configuration(self) -> None:
        """A good one: the next requests have its realm."""
        self._change("configurations changed")

    def make_vms_anew(self) -> None:
        """A configuration with another vm_id: it gets VMs of its own, which know no keys yet."""
        self._vm += 1
        self._plugin["vm_config"]["vm_id"] = f"certbound-{self._vm}"
        self._change("VMs made anew")

    def mistake_a_configuration(self) -> None:
        """It is refused, and changes nothing: nobody ever sees its realm. Then it is put right: while the last one is a mistake,
        Envoy refuses new listeners that have this filter too, and goes on with the old ones."""
        before = self._counted("config_fail")
        wrong = copy.deepcopy(self._filter)
        policies = _plugin(wrong)["configuration"]["value"]["policies"]
        policies["jwt"]["resource_server"]["certificate_binding"] = "reqired"
        _name(policies, "a mistake")
        self._write("filter", wrong)
        wait_until(lambda: self._counted("config_fail") > before, _LIMIT, "the mistake to be counted")
        self.done["configurations refused"] += 1
        time.sleep(_MISTAKEN)
        self._change("configurations changed")

    def drain_a_listener(self) -> None:
        """The listener changes: a new one takes its place, or one of its filter chains does, and the old one drains."""
        self._listener_version += 1
        place = self._listener if self._listener_version % 2 else self._listener["filter_chains"][0]
        place["metadata"] = {"filter_metadata": {"soak": {"version": self._listener_version}}}
        changed = ("listener_modified", "listener_in_place_updated")
        before = [self._stat(f"listener_manager.{name}") for name in changed]
        with self._draining():
            self._write("listener", self._listener)
            wait_until(lambda: [self._stat(f"listener_manager.{name}") for name in changed] != before, _LIMIT, "the listener")
            time.sleep(DRAIN_SECONDS)
            idle = ("total_listeners_draining", "total_filter_chains_draining")
            wait_until(lambda: not any(self._stat(f"listener_manager.{name}") for name in idle), _LIMIT, "the drain")
        self.done["listeners drained"] += 1

    def replace_envoy(self) -> None:
        """A new Envoy listens beside the old one, which drains and ends."""
        old = self.envoy
        self._start()
        with self._draining():
            old.admin("/drain_listeners?graceful", method="POST")
            time.sleep(DRAIN_SECONDS)

            def is_left() -> bool:
                stats = old.admin("/stats?filter=^(listener_manager.listener_stopped|http.api.downstream_cx_active)$")
                return "listener_stopped: 0" not in stats and "downstream_cx_active: 0" in stats

            with contextlib.suppress(TimeoutError):
                wait_until(is_left, _LIMIT, "the old Envoy to be left")
            old.stop()
        self.done["Envoys replaced"] += 1

    def crashes(self) -> list[str]:
        """What was logged of the end of a VM, by any Envoy, or counted of it by the last one."""
        found = [line for envoy in self.envoys for line in re.findall(r"panicked.*|Function: proxy_.*", envoy.log())]
        return found + [line for line in self.envoy.admin("/stats?filter=vm_reload").splitlines() if not line.endswith(": 0")]

    @contextlib.contextmanager
    def _draining(self) -> Iterator[None]:
        with self.drains.window(True, after=_SETTLED):
            yield

    def _change(self, what: str) -> None:
        self._number += 1
        before, old = self._counted("config_reload"), self.realm.state
        _name(self._plugin["configuration"]["value"]["policies"], self._realm())
        with self.realm.window(old, self._realm(), after=_SETTLED):
            self.realm.set(self._realm())
            self._write("filter", self._filter)
            wait_until(lambda: self._counted("config_reload") > before, _LIMIT, "the new configuration")
        self.done[what] += 1

    def _realm(self) -> str:
        return f"soak {self._number}"

    def _start(self) -> None:
        document = copy.deepcopy(self._bootstrap)
        document["admin"]["address"]["socket_address"]["port_value"] = free_port()
        name = f"envoy-{len(self.envoys) + 1}"
        envoy = Envoy(yaml.safe_dump(document), self._directory, name=name, concurrency=WORKERS, extra_arguments=_ARGUMENTS)
        envoy.start()
        self.envoys.append(envoy)

    def _counted(self, name: str) -> int:
        return self._stat(f"{_ECDS}.{name}")

    def _stat(self, name: str) -> int:
        found = [line for line in self.envoy.admin(f"/stats?filter={name}$").splitlines() if line.startswith(f"{name}: ")]
        return int(found[0].rpartition(" ")[2]) if found else 0

    @property
    def _plugin(self) -> dict[str, Any]:
        return _plugin(self._filter)

    def _path(self, name: str) -> Path:
        return self._directory / name / f"{name}.yaml"

    def _write(self, name: str, resource: dict[str, Any]) -> None:
        """Envoy looks at renames alone."""
        new = self._path(name).with_suffix(".new")
        new.write_text(yaml.safe_dump({"resources": [resource]}))
        new.rename(self._path(name))

    def _documents(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The filter and the listener, each for a file that Envoy watches; and the bootstrap, which names both."""
        (extension,) = yaml.safe_load(shipped.filled("certbound.ecds", **self._world.substitutions()))["resources"]
        plugin = _plugin(extension)
        plugin["allow_on_headers_stop_iteration"] = True
        plugin["configuration"]["value"] = {
            "policies": self._policies(),
            "default_policy": "jwt",
            "token_cache_bytes": TOKEN_CACHE_BYTES,
        }
        _name(plugin["configuration"]["value"]["policies"], self._realm())
        text = shipped.read(
            "policies-by-ecds",
            server=self._world.server,
            client_ca=self._world.authority.pem_path,
            files={"certbound.ecds.yaml": self._path("filter")},
            listener=self._port,
        )
        document = yaml.safe_load(text)
        static, manager = document["static_resources"], shipped.manager(document)
        manager["access_log"][0]["typed_config"]["log_format"]["text_format_source"]["inline_string"] = _LOG
        paths = {"jwt": "/jwt/", "opaque": "/opaque/", "clients": "/token", "open": "/open/"}
        manager["route_config"]["virtual_hosts"][0]["routes"] = [
            {"match": {"prefix": path}, "metadata": {"filter_metadata": {"certbound": {"policy": policy}}}, "route": {"cluster": "api"}}
            for policy, path in paths.items()
        ]
        (listener,) = static.pop("listeners")
        tls = listener["filter_chains"][0]["transport_socket"]["typed_config"]
        # As in client-authentication.yaml.
        tls |= {"disable_stateless_session_resumption": True, "disable_stateful_session_resumption": True}
        tls["common_tls_context"]["validation_context"]["trust_chain_verification"] = "ACCEPT_UNTRUSTED"
        static["clusters"] = self._clusters
        source = {"resource_api_version": "V3", "path_config_source": {"path": str(self._path("listener"))}}
        self._bootstrap = {**document, "dynamic_resources": {"lds_config": source}}
        return extension, {"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", **listener}

    def _policies(self) -> dict[str, Any]:
        keys = {"jwks_uri": f"{ISSUER}/jwks", "cluster": "keys", "cool_down_seconds": 1, "timeout_seconds": 1}
        introspection = {
            "endpoint": f"{ISSUER}/introspect",
            "cluster": "introspection",
            "endpoint_auth_method": "none",
            "client_id": "api",
            "tokens": "all",
            "timeout_seconds": 1,
        }
        issuer = {"issuer": ISSUER, "audiences": [AUDIENCE]}
        required = {"certificate_binding": "required"}
        clients = shipped.plugin(envoy_configuration("client-authentication", self._world))["configuration"]["value"]["policies"]["clients"]
        authentication = clients["authorization_server"]["client_authentication"]
        authentication["clients"].append(
            {
                "client_id": FETCHED_CLIENT,
                "token_endpoint_auth_method": "self_signed_tls_client_auth",
                "jwks_uri": "https://client.example.org/client",
            }
        )
        authentication["client_keys"] = {"https://client.example.org": "keys"}
        return {
            "jwt": {"resource_server": {"issuers": [{**issuer, "keys": keys}], **required}},
            "opaque": {"resource_server": {"issuers": [{**issuer, "introspection": introspection}], **required}},
            "clients": clients,
            "open": {"clean_only": {}},
        }


def _plugin(extension: dict[str, Any]) -> dict[str, Any]:
    return extension["typed_config"]["config"]


def _name(policies: dict[str, Any], realm: str) -> None:
    """Has the challenges of resource servers say so."""
    for name in ("jwt", "opaque"):
        policies[name]["resource_server"]["realm"] = realm
