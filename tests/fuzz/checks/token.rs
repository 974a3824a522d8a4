// SPDX-License-Identifier: Apache-2.0

//! A compact JWS: what is taken apart is what was there, in its one spelling, and nothing that a token may not hold.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certbound::jose::jws::CompactJws;

use super::json;

/// RFC 7518 §3.1 and RFC 8037 §3.1, without what is symmetric or none.
const ASYMMETRIC: &[&str] = &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// Judges the input as a token; and its lines as a header, a payload and a signature before they are encoded.
pub fn check(input: &[u8]) {
    judge(&String::from_utf8_lossy(input));
    let parts: Vec<_> = input.splitn(3, |byte| *byte == b'\n').map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
    judge(&parts.join("."));
}

fn judge(text: &str) {
    let mut room = Vec::new();
    let Ok(token) = CompactJws::parse(text, &mut room) else {
        return;
    };
    assert!(text.len() <= 16 * 1024);
    assert_eq!(token.text(), text);
    let parts: Vec<_> = text.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("{} parts", parts.len()) };
    assert_eq!(token.signing_input(), format!("{header}.{payload}"));
    assert_eq!(URL_SAFE_NO_PAD.encode(token.signature()), signature);
    let [header, payload] = [header, payload].map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        assert_eq!(URL_SAFE_NO_PAD.encode(&bytes), part, "not canonical");
        json::unambiguous(&bytes).unwrap_or_else(|| panic!("no JSON, or ambiguous: {:?}", bytes.escape_ascii()))
    });
    assert!(payload.is_object(), "{payload}");
    assert!([&header, &payload].iter().all(|part| json::depth(part) < json::TOO_DEEP));
    // RFC 9864 §2.2: two names of one algorithm.
    let name = header["alg"].as_str().map(|name| if name == "Ed25519" { "EdDSA" } else { name });
    assert_eq!(name, Some(token.algorithm().name()));
    assert!(ASYMMETRIC.contains(&token.algorithm().name()), "{header}");
    assert_eq!(header.get("kid").map(|key_id| key_id.as_str().expect("a kid is a string")), token.key_id());
    for refused in ["crit", "jwk", "jku", "x5u"] {
        assert!(header.get(refused).is_none(), "{header}");
    }
}
