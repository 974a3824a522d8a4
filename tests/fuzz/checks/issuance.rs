// SPDX-License-Identifier: Apache-2.0

//! A response of a token endpoint: under `required` a JWT passes only if every reader finds it bound.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certbound::authorization_server::AtBody;
use certbound::time::UnixTime;
use certbound::{Policies, Request};
use serde_json::Value;

use super::{json, upstream};

const CONFIGURATION: &str = r#"{"authorization_server": {"forward_certificate": [{"dialect": "rfc9440"}],
    "issued_tokens": {"certificate_binding": "required", "token_endpoints": ["/token"]}}}"#;

/// The certificate, in hexadecimal and as tokens have it.
const DIGEST: &str = "0380ed2f626650c840b2f263e6d2b29fae12ab39ae5db32b25ad27efad72e6fd";
const THUMBPRINT: &str = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";

pub fn check(input: &[u8]) {
    let policies = Policies::load(CONFIGURATION.as_bytes()).unwrap();
    let headers = [(":path", &b"/token"[..])];
    let peer_digest = Some(DIGEST.as_bytes());
    let request = Request { headers: &headers, route_metadata: None, peer_digest, now: UnixTime::EPOCH };
    let response_reader = upstream::response_reader(&policies, &request).expect("it is a token endpoint");
    let AtBody::Pass(_) = response_reader.body(Ok(input)) else { return };
    if input.trim_ascii().is_empty() {
        return;
    }
    let response = json::without_nulls(json::unambiguous(input).expect("an ambiguous response passed"));
    let Some(token) = response.get("access_token") else { return };
    let token = token.as_str().expect("a token that is no string passed");
    let parts: Vec<_> = token.split('.').collect();
    let [header, payload, _] = parts.as_slice() else { return };
    // Python's decoder passes over what is of no alphabet; a reader may take the other alphabet for this one.
    let mut lenient: Vec<_> = header.replace('+', "-").replace('/', "_").into_bytes();
    lenient.retain(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let length = lenient.len() * 3 / 4;
    lenient.extend(vec![b'A'; (4 - lenient.len() % 4) % 4]);
    let mut lenient = URL_SAFE_NO_PAD.decode(lenient).unwrap();
    lenient.truncate(length);
    let text = match std::str::from_utf8(&lenient) {
        Ok(text) => text,
        // A character is cut off at the end.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&lenient[..error.valid_up_to()]).unwrap(),
        Err(_) => return,
    };
    if !text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).starts_with('{') {
        return;
    }
    let object = |part: &str| json::unambiguous(&URL_SAFE_NO_PAD.decode(part).ok()?).filter(Value::is_object);
    object(header).expect("a token passed that some reader takes for a JWT");
    let claims = object(payload).expect("a JWT passed whose claims are none");
    assert_eq!(claims["cnf"]["x5t#S256"], THUMBPRINT, "a token that is not bound passed");
}
