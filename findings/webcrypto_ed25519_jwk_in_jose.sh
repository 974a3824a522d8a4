#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A key that WebCrypto exports verifies no token that says `EdDSA`, which is what many issuers still sign with the same key.
#
# Node's `crypto.subtle.exportKey('jwk', ...)` writes `"alg": "Ed25519"` (RFC 9864) into the JWK of an Ed25519 key. The older name of the
# algorithm is `EdDSA` (RFC 8037). jose compares the names as texts: a set with this key has no key for such a token. It
# reads both names, but not crossed. jose's own exportJWK writes no `alg`, and that key serves both.
#
# It needs Node 20 with npm.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-fund --no-audit jose@6.2.18

cat > verify.mjs <<'JS'
import { createLocalJWKSet, exportJWK, jwtVerify, SignJWT } from 'jose'

const { publicKey, privateKey } = await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])
const keys = { WebCrypto: await crypto.subtle.exportKey('jwk', publicKey), jose: await exportJWK(publicKey) }
for (const [exporter, key] of Object.entries(keys)) {
  for (const alg of ['Ed25519', 'EdDSA']) {
    const token = await new SignJWT({}).setProtectedHeader({ alg }).sign(privateKey)
    const outcome = await jwtVerify(token, createLocalJWKSet({ keys: [key] })).then(() => 'verified', (error) => error.code)
    console.log(`key of ${exporter} with alg ${key.alg ?? '-'}, token ${alg}: ${outcome}`)
  }
}
JS

echo "Node $(node --version), jose $(node -p "JSON.parse(require('fs').readFileSync('node_modules/jose/package.json')).version")"
node verify.mjs | tee seen
says() { grep --quiet --line-regexp "$1" seen || { echo "changed: $2"; exit 1; }; }
says 'key of WebCrypto with alg Ed25519, token Ed25519: verified' "the exported key verifies no token Ed25519"
says 'key of WebCrypto with alg Ed25519, token EdDSA: ERR_JWKS_NO_MATCHING_KEY' "the exported key does not only verify Ed25519"
says 'key of jose with alg -, token Ed25519: verified' "a key without alg verifies no token Ed25519"
says 'key of jose with alg -, token EdDSA: verified' "a key without alg verifies no token EdDSA"
