# SPDX-License-Identifier: Apache-2.0
"""TCP ports on the loopback interface."""

import random
import socket
import threading
from pathlib import Path

_LOOPBACK = "127.0.0.1"
_LOWEST = 15000
_HIGHEST = 32767

_handed_out: set[int] = set()
_lock = threading.Lock()


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now and that this process has not been given before.

    The port is free, not held: whoever asked for it is expected to listen on it soon.

    Raises OSError when a thousand tries find none.
    """
    for _ in range(1000):
        port = random.randint(_LOWEST, _highest())
        with _lock:
            if port in _handed_out:
                continue
            _handed_out.add(port)
        # Without SO_REUSEADDR and SO_REUSEPORT, so that a port in any use by anyone is passed over.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((_LOOPBACK, port))
            except OSError:
                continue
        return port
    raise OSError(f"no free port on {_LOOPBACK} between {_LOWEST} and {_highest()}")


def _highest() -> int:
    # A port which the kernel may give to an outgoing connection can be taken between the answer and the listening, so
    # the answer lies below those: not what bind() to port 0 would give.
    try:
        first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _HIGHEST
    return first_outgoing - 1 if first_outgoing - 1 >= _LOWEST + 1000 else _HIGHEST
