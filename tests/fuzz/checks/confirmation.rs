// SPDX-License-Identifier: Apache-2.0

//! The confirmation of a token's claims: whatever there is of it is held to, and nothing else is made of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certbound::certificate::thumbprint::Thumbprint;
use certbound::jose::confirmation::Dpop;
use certbound::jose::confirmation::{ConfirmationPlace, confirmation};
use certbound::text::json::{self, Object};
use serde_json::{Map, Value};

pub fn check(input: &[u8]) {
    digest(input);
    let Some(object) = json::object(input).map(Object::without_nulls) else {
        return;
    };
    // A member has a meaning of its own to serde_json, and is a name like any other here.
    let Ok(claims) = serde_json::from_slice::<Map<String, Value>>(input) else {
        return;
    };
    let claims: Map<_, _> = claims.into_iter().filter(|(_, value)| !value.is_null()).collect();
    for place in [ConfirmationPlace::Cnf, ConfirmationPlace::TopLevel] {
        match confirmation(&object, place, Dpop::Refuse) {
            Ok(found) => {
                let certificate = found.certificate.map(|certificate| certificate.to_string());
                assert_eq!((certificate, found.dpop_key), (held_to(&claims, place), false), "{claims:?}");
            }
            // The only claims that are refused are those that have something of a confirmation.
            Err(reason) => assert!(
                claims.contains_key("cnf") || claims.get("x5t#S256").is_some_and(|value| value != ""),
                "{reason:?} {claims:?}"
            ),
        }
    }
    if let Some(Value::Object(cnf)) = claims.get("cnf")
        && let (1, Some(Value::String(text))) = (cnf.len(), cnf.get("x5t#S256"))
        && URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
        && *text != Thumbprint::of_der(b"").text()
    {
        assert!(confirmation(&object, ConfirmationPlace::Cnf, Dpop::Refuse).is_ok(), "{claims:?}");
    }
}

/// What RFC 8705 §3.1, or a server that writes at the top level, means by these claims, if it is to be accepted.
fn held_to(claims: &Map<String, Value>, place: ConfirmationPlace) -> Option<String> {
    let in_cnf = claims.get("cnf").map(|cnf| {
        for other in ["jwk", "jwe", "kid", "jku", "jkt"] {
            assert!(cnf.get(other).is_none_or(Value::is_null), "a proof that nobody asked for: {claims:?}");
        }
        cnf["x5t#S256"].as_str().expect("a cnf without a thumbprint counts as none").to_owned()
    });
    let top_level = claims.get("x5t#S256").filter(|value| *value != "");
    match (in_cnf, top_level) {
        (in_cnf, None) => in_cnf,
        (Some(in_cnf), Some(_)) if place == ConfirmationPlace::Cnf => Some(in_cnf),
        (None, Some(_)) if place == ConfirmationPlace::Cnf => panic!("a bound token counts as unbound: {claims:?}"),
        (in_cnf, Some(top_level)) => {
            let top_level = top_level.as_str().expect("a malformed thumbprint counts").to_owned();
            assert!(in_cnf.is_none_or(|in_cnf| in_cnf == top_level), "two thumbprints: {claims:?}");
            Some(top_level)
        }
    }
}

/// Each form of a thumbprint has one spelling, but for the case of hexadecimal digits.
fn digest(input: &[u8]) {
    if let Some(thumbprint) = Thumbprint::from_hex(input) {
        assert_eq!(thumbprint.hex().as_bytes(), input.to_ascii_lowercase());
        assert_eq!(Thumbprint::from_x5t_s256(&thumbprint.to_string()), Some(thumbprint));
    }
    let text = String::from_utf8_lossy(input);
    if let Some(thumbprint) = Thumbprint::from_x5t_s256(&text) {
        assert_eq!(thumbprint.to_string(), text);
    }
}
