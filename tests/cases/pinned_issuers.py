# SPDX-License-Identifier: Apache-2.0
"""Clients whose certificate must be signed by an authority that is pinned by its key: its name is anybody's to write who has an
authority under the same root."""

import base64
import ssl
import urllib.parse
from collections.abc import Iterator
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from rig.certificates import Authority, Certificate

from cases.case import Case, Refusal, cannot_decide
from cases.client_authentication import FORM
from cases.configuration import Configuration
from cases.world import SECRET, World

KINDS: dict[str, dict[str, Any]] = {
    "RSA with PKCS #1 v1.5 and SHA-512": {"key": "rsa2048", "hash_algorithm": hashes.SHA512()},
    "RSA with PSS and SHA-256": {"key": "rsa2048", "pss_salt": 32},
    "RSA with PSS and SHA-384": {"key": "rsa2048", "hash_algorithm": hashes.SHA384(), "pss_salt": 48},
    "RSA with PSS and SHA-512": {"key": "rsa2048", "hash_algorithm": hashes.SHA512(), "pss_salt": 64},
    "P-256 with SHA-512": {"key": "p256", "hash_algorithm": hashes.SHA512()},
    "P-384 with SHA-256": {"key": "p384"},
    "P-521 with SHA-384": {"key": "p521", "hash_algorithm": hashes.SHA384()},
    "Ed25519": {"key": "ed25519"},
}
"""Every kind of key and signature that is verified, beside the P-256 with SHA-256 of the other cases."""

UNKNOWN: dict[str, dict[str, Any]] = {
    "RSA with SHA-224": {"key": "rsa2048", "hash_algorithm": hashes.SHA224()},
    "RSA with PSS and a short salt": {"key": "rsa2048", "pss_salt": 20},
}


@cache
def _issued(world: World) -> dict[str, tuple[Authority, Certificate]]:
    """An authority of each kind, and a certificate of it."""
    made: dict[str, tuple[Authority, Certificate]] = {}
    # Making an RSA key takes long.
    rsa = next(iter(KINDS))
    for number, (kind, options) in enumerate((KINDS | UNKNOWN).items()):
        directory = world.authority.pem_path.parent / f"issuer-{number}"
        authority = Authority(directory, f"Issuer {number}", issuer=world.authority, **(options | ({"key": made[rsa][0]} if "RSA" in kind and made else {})))
        made[kind] = authority, authority.issue(f"issued-{number}")
    return made


def _client(client_id: str, certificate: Certificate, **issuers: Any) -> dict[str, Any]:
    registered = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": certificate.subject}
    return {"client_id": client_id, **registered, **issuers}


def _pinned(configuration: dict[str, Any], world: World) -> None:
    own, root = world.intermediate, world.authority
    base64_of = [base64.b64encode(each.der).decode() for each in (own, root)]
    configuration["policies"]["clients"]["authorization_server"]["client_authentication"]["clients"] = [
        _client("by-name", world.chained, issuer_dn="CN=Intermediate CA"),
        _client("by-certificate", world.chained, issuer_certificates=[own.pem_path.read_text()]),
        _client("by-certificates", world.chained, issuer_dn="CN=Intermediate CA", issuer_certificates=base64_of),
        _client("by-root", world.chained, issuer_certificates=[root.pem_path.read_text()]),
        _client("by-key", world.chained, issuer_key_sha256=[root.key_sha256, own.key_sha256]),
        *(
            _client(f"kind-{number}", issued, issuer_certificates=[authority.pem_path.read_text()])
            for number, (authority, issued) in enumerate(_issued(world).values())
        ),
    ]


def _behind_a_terminator(configuration: dict[str, Any], world: World) -> None:
    _pinned(configuration, world)
    configuration["policies"]["clients"]["authorization_server"]["client_certificate_source"] = {
        "header": "Client-Cert",
        "chain_header": "Client-Cert-Chain",
        "encoding": "sf_binary",
        "proof": {"secret_header": "X-Edge-Secret", "secret": {"environment": "CERTBOUND_SECRET"}},
        "verified": {"header": "X-Edge-Verify", "value": "SUCCESS"},
    }


CONFIGURATIONS = {
    "pinned-issuers": Configuration("client-authentication", _pinned),
    "pinned-issuers-behind-a-terminator": Configuration("client-authentication", _behind_a_terminator, has_secret=True),
}


def pinned_issuers(world: World) -> Iterator[Case]:
    own, rival = world.chained, world.rival
    mismatch = Refusal("client_certificate_mismatch", 400, "invalid_client", challenge=False)
    # What no client can say to an Envoy that hands over no chain: a host's fact keeps these from the real one, which
    # tests/envoy/test_client_authentication.py asks.
    on_this_host = {"facts": {"connection.peer_certificate_valid": b"\1"}}

    def case(sentence: str, client_id: str, on: Certificate, refusal: Refusal | None = None, **rest: Any) -> Case:
        forward = None if refusal else {"client-cert": on.rfc9440_form}
        headers = [FORM, *rest.pop("headers", ())]
        rest = {"method": "POST", "body": f"client_id={client_id}".encode(), **rest}
        configuration = rest.pop("configuration", "pinned-issuers")
        return Case(sentence, configuration, "clients", "/token", rest.pop("over", on), headers, forward, refusal, **rest)

    def chain(leaf: Certificate, *others: bytes) -> dict[str, Any]:
        links = "".join(_url_encoded(each) for each in (leaf.der, *others))
        return {"headers": [("x-forwarded-client-cert", f'Hash=x;Chain="{links}"')], **on_this_host}

    yield case("a client of the issuer whose certificate is pinned is forwarded", "by-certificate", own)
    yield case("a client of one of the issuers whose certificates are pinned is forwarded", "by-certificates", own)
    yield case("a client of another issuer with the name of issuer_dn is forwarded", "by-name", rival)
    yield case("a client of another issuer with the name of the pinned one is refused", "by-certificate", rival, mismatch)
    yield case("a client of another issuer with the name of one of the pinned ones is refused", "by-certificates", rival, mismatch)
    yield case("a client of an intermediate authority is refused where its root is pinned", "by-root", own, mismatch)
    for number, kind in enumerate(KINDS):
        yield case(f"a client of a pinned issuer that signs by {kind} is forwarded", f"kind-{number}", _issued(world)[kind][1])
    unknown = cannot_decide("signature_engine_unavailable")
    for number, kind in enumerate(UNKNOWN, len(KINDS)):
        yield case(f"a client of an issuer that signs by {kind} is refused with 500", f"kind-{number}", _issued(world)[kind][1], unknown, **on_this_host)
    yield case("a client of a pinned issuer is refused with 500 where the host verifies nothing", "by-certificate", own, unknown, without_host_cryptography=True)

    yield case("a client of the issuer whose key is pinned is forwarded with its chain", "by-key", own, **chain(own, *own.chain))
    yield case("a client of the issuer whose key is pinned is refused without its chain", "by-key", own, mismatch)
    yield case("a client of the issuer whose key is pinned is refused with only the root in its chain", "by-key", own, mismatch, **chain(own, world.authority.der))
    yield case("a client of the issuer whose key is pinned is refused with another chain", "by-key", own, mismatch, **chain(rival, *own.chain))
    yield case("a client of another issuer is refused with its own chain", "by-key", rival, mismatch, **chain(rival, *rival.chain))
    yield case("a client of another issuer is refused with the pinned one in its chain", "by-key", rival, mismatch, **chain(rival, *own.chain, *rival.chain))

    def terminated(leaf: Certificate, *others: bytes) -> dict[str, Any]:
        chain = ", ".join(f":{base64.b64encode(each).decode()}:" for each in others)
        told = [("client-cert", leaf.rfc9440_form), ("client-cert-chain", chain), ("x-edge-secret", SECRET), ("x-edge-verify", "SUCCESS")]
        return {"configuration": "pinned-issuers-behind-a-terminator", "over": None, "headers": told}

    yield case("a client of the issuer whose key is pinned is forwarded with a terminator's chain", "by-key", own, **terminated(own, *own.chain))
    yield case("a client of another issuer is refused with the pinned one in a terminator's chain", "by-key", rival, mismatch, **terminated(rival, *own.chain, *rival.chain))
    yield case("a client of the issuer whose certificate is pinned is forwarded from a terminator", "by-certificate", own, **terminated(own))
    yield case("a client of another issuer is refused where a certificate is pinned, from a terminator", "by-certificate", rival, mismatch, **terminated(rival))


def _url_encoded(der: bytes) -> str:
    return urllib.parse.quote(ssl.DER_cert_to_PEM_cert(der), safe="")
