// SPDX-License-Identifier: Apache-2.0
// A real OAuth client (oauth4webapi) that authenticates by its certificate, for the end-to-end tests.
//
//     node client.mjs configuration.json
//
// The configuration is one JSON object: `issuer`, `ca`, `certificate` and `key` (PEM files; without the last two it presents
// none), `client_id`, `aliases`, true to use the endpoints for mutual TLS of the metadata (RFC 8705 §5), `api`, the URL of one
// that is called with the token, and `thief`, whose `certificate` and `key` then call it with the same token. Standard output
// carries one line, a JSON object with the outcome of each request.

import { readFileSync } from 'node:fs';
import { request } from 'node:https';

import * as oauth from 'oauth4webapi';

const { issuer, ca, client_id, aliases, api, thief, ...own } = JSON.parse(readFileSync(process.argv[2], 'utf8'));

// Node's own fetch takes no client certificate.
const fetchWith = ({ certificate, key }) => (url, { method, headers, body }) => new Promise((resolve, reject) => {
  const tls = { ca: readFileSync(ca), ...(certificate && { cert: readFileSync(certificate), key: readFileSync(key) }) };
  const outgoing = request(url, { ...tls, method, headers: Object.fromEntries(new Headers(headers)) }, (incoming) => {
    const chunks = [];
    incoming.on('data', (chunk) => chunks.push(chunk)).on('error', reject).on('end', () => {
      resolve(new Response(Buffer.concat(chunks), { status: incoming.statusCode, headers: incoming.headers }));
    });
  });
  outgoing.on('error', reject).end(body?.toString());
});
const options = { [oauth.customFetch]: fetchWith(own) };

const client = { client_id, use_mtls_endpoint_aliases: aliases };
const authentication = oauth.TlsClientAuth();
const outcomes = {};

async function outcome(name, respond) {
  try {
    outcomes[name] = (await respond()) ?? 'done';
  } catch (error) {
    if (error instanceof oauth.WWWAuthenticateChallengeError) {
      outcomes[name] = { status: error.status, error: error.cause[0].parameters.error };
    } else if (error instanceof oauth.ResponseBodyError) {
      outcomes[name] = { status: error.status, error: error.error };
    } else {
      throw error;
    }
  }
}

const server = await oauth.processDiscoveryResponse(
  new URL(issuer), await oauth.discoveryRequest(new URL(issuer), options));

await outcome('token', async () => oauth.processClientCredentialsResponse(
  server, client, await oauth.clientCredentialsGrantRequest(server, client, authentication, {}, options)));
const token = outcomes.token.access_token ?? 'none';
if (api) {
  for (const [name, caller] of [['api', own], ['stolen', thief]]) {
    await outcome(name, async () => (await oauth.protectedResourceRequest(
      token, 'GET', new URL(api), undefined, undefined, { [oauth.customFetch]: fetchWith(caller) })).status);
  }
}
await outcome('introspection', async () => oauth.processIntrospectionResponse(
  server, client, await oauth.introspectionRequest(server, client, authentication, token, options)));
await outcome('revocation', async () => oauth.processRevocationResponse(
  await oauth.revocationRequest(server, client, authentication, token, options)));
const verifier = oauth.generateRandomCodeVerifier();
await outcome('pushed_authorization_request', async () => oauth.processPushedAuthorizationResponse(
  server, client, await oauth.pushedAuthorizationRequest(server, client, authentication, {
    redirect_uri: 'https://client.example.org/callback', response_type: 'code', scope: 'openid',
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  }, options)));

process.stdout.write(`${JSON.stringify(outcomes)}\n`);
