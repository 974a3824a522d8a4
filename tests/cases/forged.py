# SPDX-License-Identifier: Apache-2.0
"""What clients write in the names of those who hand over certificates."""

from rig.certificates import Certificate

from cases.case import Header
from cases.world import FORGED


def forged_headers() -> list[Header]:
    """Names of the field, and the spellings that servers behind CGI-like interfaces take for one of them."""
    names = (
        "Client-Cert Client-Cert-Chain X-Forwarded-Client-Cert X-ClientCert X-Forwarded-Tls-Client-Cert "
        "X-Forwarded-Tls-Client-Cert-Info X-Ssl-Cert X-Ssl-Cert-Chain-0 client-certificate "
        "client-certificate-ca-verified cname-api-key ssl-client-cert ssl-client-verify X-SSL-Client-Cert "
        "X-SSL-Client-SAN-DNS X-Amzn-Mtls-Clientcert-Leaf X-ARR-ClientCert Cf-Client-Cert-Der-Base64 "
        "X-Client-Cert x-wso2-mtls-cert WL-Proxy-Client-Cert WL-Proxy-SSL $WSCC $WSSI MS-ASPNETCORE-CLIENTCERT "
        "X-SSL-certificate X-SSL-Subject X-SSL-cipher CloudFront-Viewer-Cert-Pem X-Client-DN X-Client-Verify "
        "Akamai-CC-DER l5d-client-id ssl_cipher ssl_session_id Proxy-auth-cert Proxy-user-dn"
    ).split()
    twins = [
        "X_ClientCert",
        "x.clientcert",
        "X_Client_Cert",
        "CLIENT_CERT",
        "client.cert",
        "x-forwarded_client-cert",
        "SSL_CLIENT_CERT",
        "X_SSL_CLIENT_VERIFY",
        # RFC 9110 §5.6.2: what else a name may have in it that is no letter or digit.
        *(f"x{character}clientcert" for character in "!#$%&'*+^`|~"),
    ]
    # HTTP/2 has lower-case names alone, and Envoy makes them so.
    found = [(name.lower(), FORGED) for name in [*names, *twins]]
    return [*found, ("client-cert", FORGED), ("x-clientcert", FORGED)]


def xfcc(certificate: Certificate) -> str:
    return f'Hash={certificate.digest};Cert="{certificate.url_encoded}"'
