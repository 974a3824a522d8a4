# SPDX-License-Identifier: Apache-2.0
"""Istio's control plane (the Go program beside this) and plain Envoys that it serves: gateways and sidecars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import yaml

from rig.envoy import Envoy
from rig.ports import free_port
from rig.process import Process, wait_until
from rig.proxy import WRITES_ITS_ACCESS_LOG_AT_ONCE

from platforms import BUILT

_ENVIRONMENT = {
    # Two filters of Istio's own Envoy, which a plain one does not have.
    "PILOT_ENABLE_ALPN_FILTER": "false",
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
}
_HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


@dataclass(frozen=True)
class Workload:
    """A proxy of the mesh, as it says who it is."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    kind: Literal["router", "sidecar"] = "router"
    address: str = "127.0.0.1"
    service_account: str = "default"
    proxy_config: Mapping[str, Any] | None = None
    """What the annotation proxy.istio.io/config says."""

    @property
    def node(self) -> dict[str, Any]:
        metadata = {
            "NAMESPACE": self.namespace,
            "CLUSTER_ID": "Kubernetes",
            "ISTIO_VERSION": "1.32.0",
            "LABELS": dict(self.labels),
            # Without these a Gateway's selector matches nothing.
            "STATIC_LABELS": dict(self.labels),
            "INSTANCE_IPS": self.address,
            "SERVICE_ACCOUNT": self.service_account,
            **({"INTERCEPTION_MODE": "REDIRECT"} if self.kind == "sidecar" else {}),
            **({"PROXY_CONFIG": dict(self.proxy_config)} if self.proxy_config else {}),
        }
        domain = f"{self.namespace}.svc.cluster.local"
        identifier = f"{self.kind}~{self.address}~{self.name}.{self.namespace}~{domain}"
        return {"id": identifier, "cluster": f"{self.name}.{self.namespace}", "metadata": metadata}


class ControlPlane:
    """A running control plane on 127.0.0.1, from entry to exit of its context."""

    def __init__(self, directory: Path, kube: str) -> None:
        """`kube` has Kubernetes' own objects, which stay as they are; Istio's come by `apply`."""
        self._directory = directory
        self.identities = directory / "identities"
        self._resources = directory / "resources"
        for path in (self.identities, self._resources, directory / "modules"):
            path.mkdir()
        self._kube = directory / "kube.yaml"
        self._kube.write_text(kube)
        self._xds, self._secrets = free_port(), free_port()

    def apply(self, name: str, text: str) -> None:
        """Writes a file of resources, at once, over an older one."""
        path = self._resources / f"{name}.yaml"
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").rename(path)

    def remove(self, name: str) -> None:
        """Removes a file of resources."""
        (self._resources / f"{name}.yaml").unlink()

    def __enter__(self) -> Self:
        arguments: list[str | Path] = [
            BUILT / "bin/control_plane",
            *("-config", self._resources, "-kube", self._kube, "-cache", self._directory / "modules"),
            *("-listen", f"127.0.0.1:{self._xds}", "-secrets", f"127.0.0.1:{self._secrets}"),
            *("-identities", self.identities),
        ]
        self._process = Process(arguments, self._directory / "control-plane.log", environment=_ENVIRONMENT)
        try:
            wait_until(self._ready, 30, "the control plane to be ready")
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def _ready(self) -> bool:
        if self._process.exit_status is not None:
            raise RuntimeError(f"the control plane ended: {self.log()}")
        return "READY" in self.log()

    def log(self) -> str:
        """What it has logged so far."""
        return self._process.log()

    def envoy(self, workload: Workload, extra_arguments: Sequence[str] = ()) -> Envoy:
        """An Envoy that gets everything from it, to be started. Its certificate of the mesh, where it needs one, is in the
        folder of `identities` that is named NAME.NAMESPACE."""
        return Envoy(
            yaml.safe_dump(self._bootstrap(workload)),
            self._directory,
            name=f"envoy-{workload.name}",
            extra_arguments=[*WRITES_ITS_ACCESS_LOG_AT_ONCE, *extra_arguments],
        )

    def _bootstrap(self, workload: Workload) -> dict[str, Any]:
        by_ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
        ads = {
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
        }
        return {
            "node": workload.node,
            "dynamic_resources": {"lds_config": by_ads, "cds_config": by_ads, "ads_config": ads},
            "static_resources": {"clusters": [_cluster("xds-grpc", self._xds), _cluster("sds-grpc", self._secrets)]},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": free_port()}}},
        }


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": _HTTP2,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    }
