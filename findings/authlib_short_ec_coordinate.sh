#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Authlib writes an EC coordinate that begins with a zero byte one byte short, and strict readers refuse the key.
#
# RFC 7518 §6.2.1.2 gives a coordinate the full length of its field, 32 bytes for P-256. Authlib drops leading zeros. About one new
# key in 128 has such a coordinate: a server that makes its keys with Authlib works until a rotation comes upon one. PyJWT
# refuses that key; Node's WebCrypto, by way of jose, takes it, so the fault shows at some APIs of the same server only.
#
# It needs Python 3.11 and Node 20 with npm.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check Authlib==1.9.10 PyJWT==2.15.1 cryptography==50.0.2
npm install --silent --no-fund --no-audit jose@6.2.18

cat > write.py <<'PY'
import base64, json
from importlib.metadata import version

import jwt
from authlib.jose import JsonWebKey
from cryptography.hazmat.primitives.asymmetric import ec


def point(secret):
    return ec.derive_private_key(secret, ec.SECP256R1()).public_key()


print("Authlib", version("Authlib"), "and PyJWT", version("PyJWT"))
# The first public key whose x begins with a zero byte, and one without a zero.
secrets = (secret for secret in range(1, 10_000) if point(secret).public_numbers().x < 1 << 248)
for name, secret in (("zero", next(secrets)), ("usual", 1)):
    jwk = JsonWebKey.import_key(point(secret), {"kty": "EC"}).as_dict()
    size = len(base64.urlsafe_b64decode(jwk["x"] + "=" * (-len(jwk["x"]) % 4)))
    try:
        jwt.PyJWK(jwk, "ES256")
        taken = "takes it"
    except jwt.exceptions.InvalidKeyError as error:
        taken = f"refuses it: {error}"
    print(f"{name}: Authlib writes x in {size} bytes; PyJWT {taken}")
    with open(f"{name}.json", "w") as file:
        json.dump(jwk, file)
PY
cat > read.mjs <<'JS'
import { readFileSync } from 'node:fs'
import { importJWK } from 'jose'

const taken = await importJWK(JSON.parse(readFileSync('zero.json')), 'ES256').then(() => 'takes it', (error) => `refuses it: ${error.message}`)
console.log(`zero: jose 6.2.18 on Node ${process.version} ${taken}`)
JS

venv/bin/python -W ignore write.py | tee seen
node read.mjs | tee -a seen
says() { grep --quiet "$1" seen || { echo "changed: $2"; exit 1; }; }
says '^usual: .* in 32 bytes; PyJWT takes it' "a key without leading zeros is not taken"
says '^zero: Authlib writes x in 31 bytes' "Authlib writes the whole coordinate"
says '^zero: .*PyJWT refuses it: ' "PyJWT takes the short coordinate"
says '^zero: jose .* takes it' "jose refuses the short coordinate"
