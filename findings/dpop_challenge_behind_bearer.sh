#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two DPoP clients overlook a DPoP challenge that comes after a Bearer challenge.
#
# A 401 may have several challenges, in one line or several, and in any order (RFC 9110 §11.6.1). A server that wants a nonce sends
# `DPoP error="use_dpop_nonce"` and `DPoP-Nonce` (RFC 9449 §9). These clients ask whether the whole of WWW-Authenticate begins with
# `DPoP`: behind a Bearer challenge they see none, and give the 401 to the caller instead of trying again with the nonce.
# An API that takes both schemes has to send the challenge of DPoP first.
#
# It needs Python 3.11 and Node 20 with npm.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check requests_oauth2client==1.8.0
npm install --silent --no-fund --no-audit @atproto/oauth-client@0.8.7 jose@6.2.18

cat > client.py <<'PY'
import base64, http.server, json, threading
from importlib.metadata import version

import requests
from requests_oauth2client import DPoPKey, DPoPToken

DPOP, BEARER = 'DPoP error="use_dpop_nonce"', 'Bearer realm="api"'


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        Api.requests += 1
        claims = self.headers["DPoP"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        has_nonce = claims.get("nonce") == "one"
        self.send_response(200 if has_nonce else 401)
        if not has_nonce:
            self.send_header("DPoP-Nonce", "one")
            for challenge in Api.challenges:
                self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
for Api.challenges in ([DPOP], [DPOP, BEARER], [BEARER, DPOP]):
    Api.requests = 0
    token = DPoPToken(access_token="token", _dpop_key=DPoPKey.generate(alg="ES256"))
    status = requests.get(f"http://127.0.0.1:{server.server_port}/", auth=token, timeout=10).status_code
    order = ", ".join(challenge.split()[0] for challenge in Api.challenges)
    print(f"requests_oauth2client {version('requests_oauth2client')}, challenges {order}: {status}, requests {Api.requests}")
PY
cat > client.mjs <<'JS'
import { createServer } from 'node:http'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { decodeJwt, exportJWK, generateKeyPair, SignJWT } from 'jose'

// The package exports it by its index alone, which wants the newest Node.
const root = 'node_modules/@atproto/oauth-client'
const { dpopFetchWrapper } = await import(pathToFileURL(`${root}/dist/fetch-dpop.js`))
const { version } = JSON.parse(readFileSync(`${root}/package.json`))
const { privateKey, publicKey } = await generateKeyPair('ES256')
const key = {
  algorithms: ['ES256'],
  bareJwk: await exportJWK(publicKey),
  createJwt: (header, claims) => new SignJWT(claims).setProtectedHeader(header).sign(privateKey),
}
const dpop = 'DPoP error="use_dpop_nonce"'
const bearer = 'Bearer realm="api"'
for (const challenges of [[dpop], [dpop, bearer], [bearer, dpop]]) {
  let requests = 0
  const server = createServer((request, response) => {
    requests += 1
    if (decodeJwt(request.headers.dpop).nonce === 'one') return response.end()
    response.writeHead(401, { 'DPoP-Nonce': 'one', 'WWW-Authenticate': challenges })
    response.end()
  })
  await new Promise((begun) => server.listen(0, '127.0.0.1', begun))
  const fetched = dpopFetchWrapper({ key, nonces: new Map(), isAuthServer: false })
  const { status } = await fetched(`http://127.0.0.1:${server.address().port}/`, { headers: { authorization: 'DPoP token' } })
  const order = challenges.map((challenge) => challenge.split(' ')[0]).join(', ')
  console.log(`@atproto/oauth-client ${version}, challenges ${order}: ${status}, requests ${requests}`)
  server.close()
  server.closeAllConnections()
}
JS

venv/bin/python client.py | tee seen
node client.mjs | tee -a seen
for client in requests_oauth2client @atproto/oauth-client; do
    for order in DPoP 'DPoP, Bearer'; do
        grep --quiet "^$client .* challenges $order: 200, requests 2" seen || { echo "changed: $client does not try again after $order"; exit 1; }
    done
    grep --quiet "^$client .* challenges Bearer, DPoP: 401, requests 1" seen || { echo "changed: $client sees the challenge behind Bearer"; exit 1; }
done
