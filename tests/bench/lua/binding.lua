-- SPDX-License-Identifier: Apache-2.0
-- RFC 8705 §3 behind jwt_authn, as fast as it can be written in Lua without giving anything up: it holds a token that
-- jwt_authn verified, and left as metadata, to the certificate of the connection.
--
-- The digest is Envoy's (hexadecimal, computed once for a connection), and becomes the text that x5t#S256 has by one
-- look-up for every three digits. A script knows no connection and has no place to keep something for one; where the line
-- before this says that it REMEMBERS, it does so by the digest, in a bounded table.

local DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
local MOST = 10000

local function digit(sextet)
  return DIGITS:sub(sextet + 1, sextet + 1)
end

-- Three hexadecimal digits are two of base64url; of 64 digits one is left over, which is followed by two zero bits.
local PIECES = {}
for number = 0, 4095 do
  PIECES[string.format("%03x", number)] = digit(math.floor(number / 64)) .. digit(number % 64)
end
for number = 0, 15 do
  PIECES[string.format("%x", number)] = digit(number * 4)
end

local thumbprints, count = {}, 0

local function thumbprint_of(digest)
  if not REMEMBERS then
    return (digest:gsub("%x%x?%x?", PIECES))
  end
  local thumbprint = thumbprints[digest]
  if not thumbprint then
    thumbprint = digest:gsub("%x%x?%x?", PIECES)
    if count == MOST then
      thumbprints, count = {}, 0
    end
    thumbprints[digest], count = thumbprint, count + 1
  end
  return thumbprint
end

local function refuse(handle)
  handle:respond(
    { [":status"] = "401", ["www-authenticate"] = 'Bearer realm="https://api.example.com", error="invalid_token"' },
    '{"error":"invalid_token"}'
  )
end

function envoy_on_request(handle)
  local stream = handle:streamInfo()
  local connection = stream:downstreamSslConnection()
  if not connection then
    return refuse(handle)
  end
  local digest = connection:sha256PeerCertificateDigest()
  local verified = stream:dynamicMetadata():get("envoy.filters.http.jwt_authn")
  local token = verified and verified["access_token"]
  local confirmation = token and token["cnf"]
  if
    type(confirmation) ~= "table"
    or type(digest) ~= "string"
    or #digest ~= 64
    or confirmation["jkt"]
    or confirmation["x5t#S256"] ~= thumbprint_of(digest)
  then
    refuse(handle)
  end
end
