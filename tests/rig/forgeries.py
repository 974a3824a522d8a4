# SPDX-License-Identifier: Apache-2.0
"""What a client writes in place of the headers in which certificates are handed over."""

from cases import FORGED

NAMES = (
    # Written by the policy.
    "X-ClientCert",
    "Client-Cert",
    # Known, and not written by it.
    "Client-Cert-Chain",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Tls-Client-Cert",
    "X-Ssl-Cert",
    "X-Ssl-Cert-Chain-0",
    "SSL-Client-Cert",
    "X-SSL-Client-Verify",
    "X-ARR-ClientCert",
    "Client-Certificate",
    "Client-Certificate-Ca-Verified",
    "CName-Api-Key",
    "X-SSL-certificate",
    "WL-Proxy-Client-Cert",
    "MS-ASPNETCORE-CLIENTCERT",
    "$WSCC",
    # A mere fact.
    "ssl_cipher",
)
TWINS = {
    "as it is": lambda name: name,
    "small": str.lower,
    "capital": str.upper,
    "_": lambda name: name.replace("-", "_"),
    ".": lambda name: name.lower().replace("-", "."),
    "one _": lambda name: name.lower().replace("-", "_", 1),
    "_ and .": lambda name: name.lower().replace("-", "_", 1).replace("-", "."),
    "! and |": lambda name: name.lower().replace("-", "!", 1).replace("-", "|"),
}
COPIES = {
    "one": lambda name: [(name, FORGED)],
    "two": lambda name: [(name, FORGED), (name, FORGED)],
    "two in different letters": lambda name: [(name, FORGED), (name.swapcase(), FORGED)],
    "two twins": lambda name: [(name, FORGED), (name.replace("-", "_"), FORGED), (name.replace("-", "."), FORGED)],
    "empty and not": lambda name: [(name, ""), (name, FORGED)],
}
