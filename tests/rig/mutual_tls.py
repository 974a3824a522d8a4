# SPDX-License-Identifier: Apache-2.0
"""Connections of one proxy to another on which both present a certificate."""

from pathlib import Path
from typing import Any

from rig.certificates import Certificate


def cluster(name: str, port: int, own: Certificate, trusted: Path) -> dict[str, Any]:
    """Envoy's cluster of the server `localhost` at this port, which presents this certificate, and trusts these CAs."""
    files = {"certificate_chain": {"filename": str(own.certificate_path)}, "private_key": {"filename": str(own.key_path)}}
    context = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "localhost",
        "common_tls_context": {
            "tls_certificates": [files],
            "validation_context": {"trusted_ca": {"filename": str(trusted)}},
        },
    }
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "transport_socket": {"name": "tls", "typed_config": context},
    }
