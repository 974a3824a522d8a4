// SPDX-License-Identifier: Apache-2.0
// A real authorization server (oidc-provider) for the demo and the end-to-end tests: plain HTTP on the loopback
// interface, behind an Envoy that terminates TLS and hands over the client certificate in a request header.
//
//     node server.mjs configuration.json
//
// The configuration is one JSON object:
//
//     port                 number, 0 to have a free one chosen
//     issuer               the URL that clients see, which is Envoy's
//     audience             the only protected resource that access tokens are issued for
//     certificate_dialect  "gluu", "authlete" or "rfc9440": which headers carry the certificate, and how
//     clients              client metadata (RFC 7591, RFC 8705); `grant_types` defaults to client_credentials alone
//     jwks                 private JSON Web Key Set, with a key for `signing_alg`
//     access_token_format  "jwt" (default) or "opaque"
//     signing_alg          "ES256" (default) or any other that oidc-provider can sign with
//
// Standard output carries one line, {"port": N}, once the server listens. Everything else goes to standard error, where
// DEBUG=oidc-provider:error in the environment adds the reason of a refusal, which the client is not told. SIGTERM ends
// the server, and with EXIT_WITH_STDIN=1 so does the end of standard input, so that it cannot outlive its parent.

import { Console } from 'node:console';
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP, isIPv6, SocketAddress } from 'node:net';

import Provider, { errors } from 'oidc-provider';

// oidc-provider prints its notices with console.info, which would be standard output.
globalThis.console = new Console(process.stderr, process.stderr);

// How a certificate is spelled in a header. `parse` turns the value into DER; `write` is the definition of the one right
// spelling, so that whatever a lenient decoder skips (line lengths, padding, trailing bytes) is still refused.
const pem = (text) => Buffer.from(text.replace(/-----[A-Z ]+-----/g, ''), 'base64');
// Apache's `RequestHeader set X-ClientCert %{SSL_CLIENT_CERT}s`: PEM with its newlines turned into spaces. The last newline
// does not survive, because HTTP strips spaces around a field value.
const SPACED_PEM = {
  parse: pem,
  write: (certificate) => certificate.toString().trimEnd().replaceAll('\n', ' '),
};
// nginx's $ssl_client_escaped_cert.
const PERCENT_ENCODED_PEM = {
  parse: (value) => pem(decodeURIComponent(value)),
  write: (certificate) => encodeURIComponent(certificate.toString()),
};
// A Byte Sequence of RFC 8941.
const BYTE_SEQUENCE = {
  parse: (value) => Buffer.from(value.replaceAll(':', ''), 'base64'),
  write: (certificate) => `:${certificate.raw.toString('base64')}:`,
};

// What authorization servers read: the header of the client's certificate, its spelling (one of these), and the certificates
// of its issuers that follow it, if any. What the real server would believe before this header must not be there.
const DIALECTS = {
  // Gluu and Janssen.
  gluu: {
    header: 'x-clientcert',
    spellings: [SPACED_PEM],
    chain: () => [],
    believed_before: ['x-forwarded-client-cert', 'x-forwarded-tls-client-cert'],
  },
  // Authlete's java-oauth-server (HeaderClientCertificateXSslExtractor of authlete-java-jaxrs): the chain has the numbers 1
  // to 4. It also takes the text "(null)" for no certificate, which nobody should send.
  authlete: {
    header: 'x-ssl-cert',
    spellings: [SPACED_PEM, PERCENT_ENCODED_PEM],
    chain: (headers) => {
      const names = Object.keys(headers).filter((name) => name.startsWith('x-ssl-cert-chain-'));
      if (names.length > 4) throw new Error('more than four issuers');
      return names.map((_, position) => onlyValue(headers, `x-ssl-cert-chain-${position + 1}`));
    },
    believed_before: [],
  },
  // RFC 9440.
  rfc9440: {
    header: 'client-cert',
    spellings: [BYTE_SEQUENCE],
    chain: (headers) => headers['client-cert-chain']?.flatMap((line) => line.split(', ')) ?? [],
    believed_before: [],
  },
};

function onlyValue(headers, name) {
  const values = headers[name];
  if (values?.length !== 1) throw new Error(`${name} occurs ${values?.length ?? 0} times`);
  return values[0];
}

function parseCertificate(value, name, spellings) {
  for (const { parse, write } of spellings) {
    let certificate;
    try {
      certificate = new X509Certificate(parse(value));
    } catch {
      continue;
    }
    if (write(certificate) === value) return certificate;
  }
  throw new Error(`${name} is not a certificate as this header spells it`);
}

// The certificate of a request, or undefined when the header is absent. A header that is there but is not exactly one
// certificate is an error: to ignore it would turn a proxy's mistake into an access token that is bound to nothing.
function readCertificate(request, dialect) {
  const { header, spellings, chain, believed_before } = DIALECTS[dialect];
  // Not request.headers, which joins repeated fields with ", " and so hides that there were two.
  const headers = request.headersDistinct;
  for (const name of believed_before) {
    if (headers[name] !== undefined) throw new Error(`${name} would be believed before ${header}`);
  }
  const issuers = chain(headers).map((value) => parseCertificate(value, `the chain of ${header}`, spellings));
  if (headers[header] === undefined) {
    if (issuers.length > 0) throw new Error(`a chain without ${header}`);
    return undefined;
  }
  const certificate = parseCertificate(onlyValue(headers, header), header, spellings);
  [certificate, ...issuers].reduce((issued, issuer) => {
    if (!issued.checkIssued(issuer) || !issued.verify(issuer.publicKey)) {
      throw new Error(`the chain of ${header} is out of order`);
    }
    return issuer;
  });
  return certificate;
}

const thumbprint = (certificate) => createHash('sha256').update(certificate.raw).digest('base64url');

// The subject as an RFC 4514 string. Node writes one relative distinguished name a line, in the order of the encoding,
// joins the parts of a multi-valued one with " + ", and escapes every value as RFC 4514 asks (a newline becomes \0A, a
// plus sign \+), so neither separator can occur in a value. RFC 4514 leaves the order within a multi-valued name open;
// here it is that of the encoding, where OpenSSL's RFC2253 output has the reverse.
function subjectName(certificate) {
  return (certificate.subject ?? '').split('\n').reverse().join(',').replaceAll(' + ', '+');
}

// The values of one type in the subjectAltName extension. Node quotes a value as JSON, with commas as \u002c, when it
// holds anything that could be taken for a separator; therefore ", " always ends an entry.
function alternativeNames(certificate, type) {
  return (certificate.subjectAltName?.split(', ') ?? [])
    .filter((entry) => entry.startsWith(`${type}:`))
    .map((entry) => entry.slice(type.length + 1))
    .map((value) => (value.startsWith('"') ? JSON.parse(value) : value));
}

// RFC 8705, section 2.1.2: addresses are compared in binary. This spelling is one to one with it.
function canonicalAddress(text) {
  if (!isIP(text)) return undefined;
  return new SocketAddress({ address: text, family: isIPv6(text) ? 'ipv6' : 'ipv4' }).address;
}

// Exact comparisons: a wildcard in a certificate names nobody in particular, so it matches only itself.
const SUBJECT_MATCHES = {
  tls_client_auth_subject_dn: (certificate, expected) => subjectName(certificate) === expected,
  tls_client_auth_san_dns: (certificate, expected) => alternativeNames(certificate, 'DNS').includes(expected),
  tls_client_auth_san_uri: (certificate, expected) => alternativeNames(certificate, 'URI').includes(expected),
  tls_client_auth_san_email: (certificate, expected) => alternativeNames(certificate, 'email').includes(expected),
  tls_client_auth_san_ip: (certificate, expected) => {
    const address = canonicalAddress(expected);
    return address !== undefined
      && alternativeNames(certificate, 'IP Address').map(canonicalAddress).includes(address);
  },
};

function readConfiguration(path) {
  const {
    port, issuer, audience, certificate_dialect, clients, jwks, access_token_format = 'jwt', signing_alg = 'ES256',
    ...unknown
  } = JSON.parse(readFileSync(path, 'utf8'));

  const check = (condition, message) => {
    if (!condition) throw new Error(message);
  };
  check(Object.keys(unknown).length === 0, `unknown keys: ${Object.keys(unknown).join(', ')}`);
  check(Number.isInteger(port), 'port must be an integer');
  check(URL.canParse(issuer), 'issuer must be a URL');
  check(URL.canParse(audience), 'audience must be a URL');
  check(Object.hasOwn(DIALECTS, certificate_dialect),
    `certificate_dialect must be one of ${Object.keys(DIALECTS).join(', ')}`);
  check(Array.isArray(clients), 'clients must be an array of client metadata');
  // Without a key set of ours oidc-provider would sign with one that is published in its source.
  check(Array.isArray(jwks?.keys), 'jwks must be a JSON Web Key Set');
  check(['jwt', 'opaque'].includes(access_token_format), 'access_token_format must be jwt or opaque');
  return { port, issuer, audience, certificate_dialect, clients, jwks, access_token_format, signing_alg };
}

// Everything is lost with the process, which is what a test wants. oidc-provider has such a store too, but it forgets
// all but the newest thousand entries: under load it would call a live opaque access token inactive.
const stored = new Map();
const store = (model) => ({
  upsert: async (id, payload) => { stored.set(`${model}:${id}`, payload); },
  find: async (id) => stored.get(`${model}:${id}`),
  consume: async (id) => { stored.get(`${model}:${id}`).consumed = Math.floor(Date.now() / 1000); },
  destroy: async (id) => { stored.delete(`${model}:${id}`); },
});

const ACCESS_TOKEN_LIFETIME_SECONDS = 600;

function createProvider({ issuer, audience, clients, jwks, access_token_format, signing_alg }) {
  const provider = new Provider(issuer, {
    adapter: store,
    clients,
    // Nobody signs in here, so a client that says nothing about grants means the only one that works. The code flow is
    // offered for the sake of its pushed authorization requests.
    responseTypes: ['code'],
    clientDefaults: {
      grant_types: ['client_credentials'],
      response_types: [],
      id_token_signed_response_alg: signing_alg,
      introspection_signed_response_alg: signing_alg,
    },
    jwks,
    enabledJWA: { idTokenSigningAlgValues: [signing_alg], introspectionSigningAlgValues: [signing_alg] },
    clientAuthMethods: [
      'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'none',
      'tls_client_auth', 'self_signed_tls_client_auth',
    ],
    ttl: { AccessToken: ACCESS_TOKEN_LIFETIME_SECONDS, ClientCredentials: ACCESS_TOKEN_LIFETIME_SECONDS },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      // A resource server asks about access tokens of other clients; a public client could be anybody.
      introspection: { enabled: true, allowedPolicy: (ctx, client) => client.clientAuthMethod !== 'none' },
      // RFC 9701, for a client whose metadata says `introspection_signed_response_alg`.
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true, allowedPolicy: (ctx, client, token) => token.clientId === client.clientId },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        getResourceServerInfo: (ctx, resource) => {
          if (resource !== audience) throw new errors.InvalidTarget('no such protected resource');
          return {
            audience,
            scope: '',
            accessTokenFormat: access_token_format,
            accessTokenTTL: ACCESS_TOKEN_LIFETIME_SECONDS,
            jwt: { sign: { alg: signing_alg } },
          };
        },
      },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        selfSignedTlsClientAuth: true,
        getCertificate: (ctx) => ctx.state.certificate,
        // Envoy validated the chain; the header only carries the leaf, so there is nothing left to validate here. That
        // makes it the proxy's duty to hand over an unvalidated certificate only where self_signed_tls_client_auth,
        // which looks at the certificate itself, is what decides.
        certificateAuthorized: (ctx) => ctx.state.certificate !== undefined,
        certificateSubjectMatches: (ctx, property, expected) => (
          Object.hasOwn(SUBJECT_MATCHES, property) && SUBJECT_MATCHES[property](ctx.state.certificate, expected)),
      },
    },
  });

  // Requests are meant to come from Envoy alone, whose X-Forwarded-Proto is the truth about the scheme.
  provider.proxy = true;
  return provider;
}

// oidc-provider looks at client metadata only when the client first comes, and drops what it does not know.
async function checkClients(provider, clients) {
  for (const metadata of clients) {
    const known = (await provider.Client.find(metadata.client_id)).metadata();
    const unknown = Object.keys(metadata).filter((name) => !Object.hasOwn(known, name));
    if (unknown.length > 0) throw new Error(`client ${metadata.client_id}: not applicable: ${unknown.join(', ')}`);
  }
}

// One line per request. The path is logged without its query, which may hold what is nobody else's business.
function logRequest(ctx) {
  const { method, path, res, state } = ctx;
  console.error(JSON.stringify({
    method, path, status: res.statusCode, certificate: state.certificate ? thumbprint(state.certificate) : null,
  }));
}

async function start(path) {
  const configuration = readConfiguration(path);
  const provider = createProvider(configuration);
  await checkClients(provider, configuration.clients);

  // The header is read once, before any endpoint, so that a bad one is refused also where no certificate is needed.
  provider.use(async (ctx, next) => {
    ctx.res.once('close', () => logRequest(ctx));
    try {
      ctx.state.certificate = readCertificate(ctx.req, configuration.certificate_dialect);
    } catch (error) {
      ctx.status = 400;
      ctx.body = { error: 'invalid_request', error_description: error.message };
      return;
    }
    await next();
  });
  // The client is told nothing about a server_error; the stack, unlike the error's cause, quotes no input.
  provider.on('server_error', (ctx, error) => console.error(error.stack));

  const server = provider.listen(configuration.port, '127.0.0.1', () => {
    process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`);
  });
  // Envoy decides when an idle connection ends. If this server did, a request could meet a connection that is closing.
  server.keepAliveTimeout = 0;
}

process.on('SIGTERM', () => process.exit(0));
if (process.env.EXIT_WITH_STDIN === '1') process.stdin.on('close', () => process.exit(0)).resume();

try {
  await start(process.argv[2]);
} catch (error) {
  // The message alone: oidc-provider attaches what it refuses, private keys included, as the error's cause.
  console.error(`authorization server: ${error.error_description ?? error.message}`);
  process.exit(1);
}
