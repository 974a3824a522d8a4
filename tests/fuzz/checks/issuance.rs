//! An answer of a token endpoint: under `required` a JWT passes only if every reader finds it bound.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certbound::authorization_server::AtBody;
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
    let request = Request { headers: &headers, route_metadata: None, peer_digest, now: 0 };
    let answering = upstream::answering(&policies, &request).expect("it is a token endpoint");
    let AtBody::Pass(_) = answering.body(Some(input)) else { return };
    if input.trim_ascii().is_empty() {
        return;
    }
    let answer = json::unambiguous(input).expect("an ambiguous answer passed");
    let Some(token) = answer.get("access_token") else { return };
    let token = token.as_str().expect("a token that is no string passed");
    let mut parts = token.trim().split('.');
    let mut object = || {
        let bytes = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok().filter(Value::is_object)
    };
    let (Some(_), Some(claims)) = (object(), object()) else { return };
    if parts.count() == 1 {
        assert_eq!(claims["cnf"]["x5t#S256"], THUMBPRINT, "a token that is not bound passed");
    }
}
