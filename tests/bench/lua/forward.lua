-- SPDX-License-Identifier: Apache-2.0
-- Hands the client's certificate to an authorization server, as fast as it can be written in Lua without giving anything
-- up. Before this stand the names of the form:
--
--   HEADER      the header that the server reads
--   FIRST, LAST what the certificate begins and ends with there
--   DECODED     what each percent-encoded octet of Envoy's PEM becomes there
--   BARE        whether the lines BEGIN and END are left out
--   REMEMBERS   whether what was written for a certificate is kept for the next request with it
--
-- A script knows no connection and has no place to keep something for one: it remembers by the certificate's text. Of
-- each request it looks at every header's name, since those that certbound removes are families; a name that is known to
-- be none of them costs one look-up.

local MOST = 10000

local HARMLESS = {}
for name in
  ([[:authority :method :path :scheme accept accept-encoding accept-language authorization cache-control content-length
  content-type cookie host user-agent x-envoy-expected-rq-timeout-ms x-envoy-external-address x-envoy-internal
  x-envoy-original-path x-forwarded-for x-forwarded-proto x-forwarded-host x-request-id]]):gmatch("%S+")
do
  HARMLESS[name] = true
end

local NAMES = {}
for name in
  ([[-wsat -wscc -wscs -wsis -wsru -wssi client-to-edge cname-api-key l5d-client-id ms-aspnetcore-clientcert
  proxy-auth-cert proxy-cipher proxy-issuer-dn proxy-keysize proxy-secret-keysize proxy-ssl-id proxy-user-dn
  ssl-secure-protocol ssl-session-id wl-proxy-client-cert wl-proxy-client-keysize wl-proxy-client-secretkeysize
  wl-proxy-client-x-509 wl-proxy-ssl x-client-dn x-client-verify x-clientcert x-forwarded-ssl-certificate
  x-ssl-cipher x-ssl-notafter x-ssl-notbefore x-ssl-serial x-ssl-sha1 x-wso2-mtls-cert]]):gmatch("%S+")
do
  NAMES[name] = true
end

local PREFIXES = {}
for prefix in
  ([[akamai-cc- cert-chain- cf-cert- cf-client-cert- client-cert cloudfront-viewer-cert- ssl-cert ssl-cipher ssl-client-
  wl-proxy-client-csi- x-amzn-mtls- x-arr-clientcert x-client-cert x-forwarded-client-cert x-forwarded-ssl-client-
  x-forwarded-tls-client-cert x-ssl-cert x-ssl-client x-ssl-issuer x-ssl-subject x-tls-client- x-wso2-client-cert]]):gmatch("%S+")
do
  PREFIXES[#PREFIXES + 1] = prefix
end

local function tells_of_a_certificate(name)
  local folded = name:lower():gsub("[^%w]", "-")
  if NAMES[folded] then
    return true
  end
  for _, prefix in ipairs(PREFIXES) do
    if folded:sub(1, #prefix) == prefix then
      return true
    end
  end
  return false
end

local function written(encoded)
  if BARE then
    -- The line BEGIN with its line end, and the line END with both of its own.
    encoded = encoded:match("^%-%-%-%-%-BEGIN%%20CERTIFICATE%-%-%-%-%-%%0A(.-)%%0A%-%-%-%-%-END")
  end
  return FIRST .. encoded:gsub("%%0A$", ""):gsub("%%(%x%x)", DECODED) .. LAST
end

local kept, count = {}, 0

local function value_of(encoded)
  if not REMEMBERS then
    return written(encoded)
  end
  local value = kept[encoded]
  if not value then
    value = written(encoded)
    if count == MOST then
      kept, count = {}, 0
    end
    kept[encoded], count = value, count + 1
  end
  return value
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local forged
  for name in pairs(headers) do
    if not HARMLESS[name] and tells_of_a_certificate(name) then
      -- Nothing may be removed while the headers are gone through.
      forged = forged or {}
      forged[#forged + 1] = name
    end
  end
  if forged then
    for _, name in ipairs(forged) do
      headers:remove(name)
    end
  end
  local connection = handle:streamInfo():downstreamSslConnection()
  if connection and connection:peerCertificateValidated() then
    headers:replace(HEADER, value_of(connection:urlEncodedPemEncodedPeerCertificate()))
  end
end
