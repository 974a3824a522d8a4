// SPDX-License-Identifier: Apache-2.0

//! What a token is bound to (RFC 7800, RFC 8705 §3.1).

use serde::Deserialize;

use crate::certificate::thumbprint::Thumbprint;
use crate::reason::Reason;
use crate::text::json::{Json, Object};

const X5T_S256: &str = "x5t#S256";

/// Members of `cnf` that bind a token to a key (RFC 7800 §3, RFC 9449 §6.1). Such a token demands a proof that is not verified
/// here.
const OTHER_METHODS: &[&str] = &["jwk", "jwe", "kid", "jku"];

/// The member whose proof an API may verify itself (RFC 9449 §6.1).
const DPOP_METHOD: &str = "jkt";

/// What a token is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// The certificate, by its thumbprint.
    pub certificate: Option<Thumbprint>,
    /// A DPoP key, whose proof is verified behind this proxy.
    pub dpop_key: bool,
}

/// Where an issuer writes the thumbprint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
pub enum ConfirmationPlace {
    /// In `cnf`, as RFC 8705 §3.1 says.
    #[default]
    Cnf,
    /// As a member of the token itself, as Gluu and Janssen write it, or in `cnf`.
    TopLevel,
}

/// What becomes of a token that is bound to a DPoP key (RFC 9449), and of the scheme `DPoP`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
pub enum Dpop {
    /// They are refused: no proof is verified here.
    #[default]
    Refuse,
    /// They pass: the operator states that the API behind verifies the proof of every such request.
    VerifiedUpstream,
}

/// What the token is bound to, which may be nothing. `claims` has no nulls.
///
/// # Errors
/// A confirmation that cannot be enforced is an error, never an unbound token: [`Reason::ConfirmationMalformed`],
/// [`Reason::ConfirmationUnsupported`], [`Reason::ConfirmationAtTopLevel`], [`Reason::ConfirmationConflict`].
pub fn confirmation(claims: &Object<'_>, place: ConfirmationPlace, dpop: Dpop) -> Result<Confirmation, Unconfirmed> {
    let Confirmation { certificate, dpop_key } = in_cnf(claims, dpop)?;
    Ok(Confirmation { certificate: or_top_level(claims, place, certificate)?, dpop_key })
}

fn or_top_level(
    claims: &Object<'_>,
    place: ConfirmationPlace,
    confirmed: Option<Thumbprint>,
) -> Result<Option<Thumbprint>, Unconfirmed> {
    // oxAuth and Janssen write an empty text where there was no certificate. No other server has this member, and none writes
    // an empty one in `cnf`.
    let top_level = claims.get(X5T_S256).filter(|value| value.as_str() != Some(""));
    match (place, confirmed, top_level) {
        (_, confirmed, None) => Ok(confirmed),
        (ConfirmationPlace::Cnf, Some(confirmed), Some(_)) => Ok(Some(confirmed)),
        (ConfirmationPlace::Cnf, None, Some(_)) => Err(Unconfirmed {
            reason: Reason::ConfirmationAtTopLevel,
            detail: "this issuer writes x5t#S256 at the top level: configure it with `confirmation: top_level`",
        }),
        (ConfirmationPlace::TopLevel, confirmed, Some(value)) => {
            let top_level = thumbprint(value)?;
            match confirmed {
                Some(confirmed) if confirmed != top_level => Err(Unconfirmed {
                    reason: Reason::ConfirmationConflict,
                    detail: "cnf and the top level have different x5t#S256",
                }),
                _ => Ok(Some(top_level)),
            }
        }
    }
}

fn in_cnf(claims: &Object<'_>, dpop: Dpop) -> Result<Confirmation, Unconfirmed> {
    let cnf = match claims.get("cnf") {
        None => return Ok(Confirmation::default()),
        // A member that is null is absent, as a claim is.
        Some(Json::Object(cnf)) if cnf.iter().any(|(_, value)| *value != Json::Null) => cnf,
        Some(Json::Object(_)) => return Err(malformed("cnf is empty")),
        Some(Json::Text(_)) => return Err(malformed("cnf is a text, and not an object")),
        Some(_) => return Err(malformed("cnf is not an object")),
    };
    let member = |name: &str| cnf.get(name).filter(|value| **value != Json::Null);
    let certificate = member(X5T_S256).map(thumbprint).transpose()?;
    let dpop_key = match (member(DPOP_METHOD), dpop) {
        (None, _) => false,
        // This is a SHA-256 in the same form, but of a key.
        (Some(key), Dpop::VerifiedUpstream) => thumbprint(key).map(|_| true)?,
        (Some(_), Dpop::Refuse) => return Err(unsupported("cnf has jkt, the key of a DPoP proof")),
    };
    if OTHER_METHODS.iter().any(|method| member(method).is_some()) {
        return Err(unsupported("cnf has jwk, jwe, kid or jku, a key of the client's"));
    }
    if certificate.is_none() && !dpop_key {
        return Err(unsupported("cnf has no x5t#S256"));
    }
    Ok(Confirmation { certificate, dpop_key })
}

/// Why a token's confirmation cannot be enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    /// The reason.
    pub reason: Reason,
    /// What was seen, for the operator.
    pub detail: &'static str,
}

fn malformed(detail: &'static str) -> Unconfirmed {
    Unconfirmed { reason: Reason::ConfirmationMalformed, detail }
}

fn unsupported(detail: &'static str) -> Unconfirmed {
    Unconfirmed { reason: Reason::ConfirmationUnsupported, detail }
}

/// Reads the base64url of a SHA-256 (RFC 8705 §3.1, RFC 9449 §6.1).
fn thumbprint(value: &Json<'_>) -> Result<Thumbprint, Unconfirmed> {
    let text = value.as_str().ok_or_else(|| malformed("the thumbprint is not a text"))?;
    Thumbprint::from_x5t_s256(text).ok_or_else(|| {
        let is_hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
        malformed(match text.len() {
            0 => "the thumbprint is empty",
            64 | 95 if is_hexadecimal => "the thumbprint is hexadecimal, and not base64url",
            44 if text.ends_with('=') => "the thumbprint is padded, and base64url here is not",
            43 => "the thumbprint is not base64url, has bits behind its last byte, or is of no bytes",
            _ => "the thumbprint is not 43 characters long",
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::text::json;

    const ONE: &str = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";
    const OTHER: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

    fn confirmation_in(claims: &Value, place: ConfirmationPlace, dpop: Dpop) -> Result<Confirmation, Reason> {
        confirmation(&json::object(claims.to_string().as_bytes()).unwrap(), place, dpop).map_err(|error| error.reason)
    }

    #[test]
    fn the_detail_says_what_was_seen() {
        let hexadecimal = "6f070ad1eb1cdc0082dc3076639fe5112b1713ca3d96d734e4ef3d8dd37e760d";
        let with_colons =
            hexadecimal.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap()).collect::<Vec<_>>();
        for (claims, detail) in [
            (json!({"cnf": ONE}), "cnf is a text, and not an object"),
            (json!({"cnf": [ONE]}), "cnf is not an object"),
            (json!({"cnf": {}}), "cnf is empty"),
            (json!({"cnf": {"x5t": ONE}}), "cnf has no x5t#S256"),
            (json!({"cnf": {"jkt": ONE}}), "cnf has jkt, the key of a DPoP proof"),
            (json!({"cnf": {"x5t#S256": ONE, "kid": "1"}}), "cnf has jwk, jwe, kid or jku, a key of the client's"),
            (json!({"cnf": {"x5t#S256": hexadecimal}}), "the thumbprint is hexadecimal, and not base64url"),
            (json!({"cnf": {"x5t#S256": with_colons.join(":")}}), "the thumbprint is hexadecimal, and not base64url"),
            (json!({"cnf": {"x5t#S256": format!("{ONE}=")}}), "the thumbprint is padded, and base64url here is not"),
            (json!({"cnf": {"x5t#S256": "a"}}), "the thumbprint is not 43 characters long"),
            (json!({"cnf": {"x5t#S256": "g".repeat(64)}}), "the thumbprint is not 43 characters long"),
            (json!({"cnf": {"x5t#S256": format!("{ONE}A")}}), "the thumbprint is not 43 characters long"),
            (json!({"cnf": {"x5t#S256": ""}}), "the thumbprint is empty"),
            (json!({"cnf": {"x5t#S256": 1}}), "the thumbprint is not a text"),
            (
                json!({"cnf": {"x5t#S256": ONE.replace('-', "+").replace(ONE.split_at(42).1, "_")}}),
                "the thumbprint is not base64url, has bits behind its last byte, or is of no bytes",
            ),
        ] {
            let claims = json::object(claims.to_string().as_bytes()).unwrap().into_owned();
            let found = confirmation(&claims, ConfirmationPlace::Cnf, Dpop::Refuse).unwrap_err();
            assert_eq!(found.detail, detail, "{claims:?}");
        }
    }

    #[test]
    fn a_member_of_cnf_that_is_null_is_absent() {
        for (cnf, dpop, expected) in [
            (json!({"x5t#S256": ONE, "jkt": null, "kid": null, "x": null}), Dpop::Refuse, Ok((true, false))),
            (json!({"x5t#S256": null, "jkt": ONE}), Dpop::VerifiedUpstream, Ok((false, true))),
            (json!({"x5t#S256": null}), Dpop::VerifiedUpstream, Err("cnf is empty")),
            (json!({"x5t#S256": null, "jkt": null}), Dpop::Refuse, Err("cnf is empty")),
            (json!({"x5t#S256": null, "x5t": "a"}), Dpop::Refuse, Err("cnf has no x5t#S256")),
            (
                json!({"x5t#S256": ONE, "kid": "1", "jwk": null}),
                Dpop::Refuse,
                Err("cnf has jwk, jwe, kid or jku, a key of the client's"),
            ),
        ] {
            let claims = json::object(json!({ "cnf": cnf }).to_string().as_bytes()).unwrap().into_owned();
            let found = confirmation(&claims, ConfirmationPlace::Cnf, dpop);
            let found = found.map(|found| (found.certificate.is_some(), found.dpop_key)).map_err(|wrong| wrong.detail);
            assert_eq!(found, expected, "{cnf}");
        }
    }

    fn at(place: ConfirmationPlace, claims: Value) -> Result<Option<String>, Reason> {
        let confirmed = confirmation_in(&claims, place, Dpop::Refuse)?;
        assert!(!confirmed.dpop_key);
        Ok(confirmed.certificate.map(|thumbprint| thumbprint.to_string()))
    }

    fn in_either_place(claims: &Value) -> Result<Option<String>, Reason> {
        let answer = at(ConfirmationPlace::Cnf, claims.clone());
        assert_eq!(answer, at(ConfirmationPlace::TopLevel, claims.clone()), "{claims}");
        answer
    }

    #[test]
    fn a_thumbprint_in_cnf_is_read() {
        assert_eq!(in_either_place(&json!({"cnf": {"x5t#S256": ONE}})), Ok(Some(ONE.to_owned())));
        // Athenz writes another member beside it. That member is no method of proof.
        let athenz = json!({"cnf": {"x5t#S256": ONE, "proxy-principals#spiffe": ["spiffe://a/b"]}});
        assert_eq!(in_either_place(&athenz), Ok(Some(ONE.to_owned())));
    }

    #[test]
    fn a_token_without_any_confirmation_is_bound_to_nothing() {
        assert_eq!(in_either_place(&json!({})), Ok(None));
        // oxAuth and Janssen write this for a client without a certificate.
        assert_eq!(in_either_place(&json!({"x5t#S256": ""})), Ok(None));
        assert_eq!(in_either_place(&json!({"x5t#S256": "", "cnf": {"x5t#S256": ONE}})), Ok(Some(ONE.to_owned())));
    }

    #[test]
    fn a_cnf_of_the_wrong_type_is_malformed() {
        for cnf in [json!(null), json!(true), json!(1), json!(ONE), json!([]), json!([{"x5t#S256": ONE}]), json!({})] {
            assert_eq!(in_either_place(&json!({ "cnf": cnf })), Err(Reason::ConfirmationMalformed), "{cnf}");
        }
    }

    #[test]
    #[expect(clippy::string_slice, reason = "base64url is ASCII")]
    fn a_thumbprint_of_the_wrong_type_or_spelling_is_malformed() {
        for value in [
            json!(null),
            json!(true),
            json!(1),
            json!(""),
            json!([ONE]),
            json!({}),
            json!(format!("{ONE}=")),
            json!(&ONE[1..]),
            json!(format!(" {}", &ONE[1..])),
            json!("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"),
        ] {
            let claims = json!({"cnf": {"x5t#S256": value}});
            assert_eq!(in_either_place(&claims), Err(Reason::ConfirmationMalformed), "{value}");
            if value != "" {
                let claims = json!({ "x5t#S256": value });
                assert_eq!(at(ConfirmationPlace::TopLevel, claims), Err(Reason::ConfirmationMalformed), "{value}");
            }
        }
    }

    #[test]
    fn another_method_of_confirmation_alone_or_beside_is_unsupported() {
        for cnf in [
            json!({"jkt": ONE}),
            json!({"jkt": ONE, "x5t#S256": ONE}),
            json!({"jwk": {}, "x5t#S256": ONE}),
            json!({"kid": "1", "x5t#S256": ONE}),
            json!({"x5t": ONE}),
            json!({"X5T#S256": ONE}),
            json!({"x5t#s256": ONE}),
            json!({"unheard of": 1}),
        ] {
            assert_eq!(in_either_place(&json!({ "cnf": cnf })), Err(Reason::ConfirmationUnsupported), "{cnf}");
        }
    }

    #[test]
    fn a_dpop_key_passes_where_its_proof_is_verified_behind_and_the_thumbprint_beside_it_still_counts() {
        let of = |cnf: Value| {
            let claims = json!({ "cnf": cnf });
            confirmation_in(&claims, ConfirmationPlace::Cnf, Dpop::VerifiedUpstream)
        };
        let certificate = Thumbprint::from_x5t_s256(ONE);
        assert_eq!(of(json!({"jkt": ONE})), Ok(Confirmation { certificate: None, dpop_key: true }));
        assert_eq!(of(json!({"jkt": OTHER, "x5t#S256": ONE})), Ok(Confirmation { certificate, dpop_key: true }));
        assert_eq!(of(json!({"x5t#S256": ONE})), Ok(Confirmation { certificate, dpop_key: false }));
        for malformed in
            [json!({"jkt": 1}), json!({"jkt": ""}), json!({"jkt": null}), json!({"jkt": ONE, "x5t#S256": 1})]
        {
            assert_eq!(of(malformed), Err(Reason::ConfirmationMalformed));
        }
        for unsupported in [json!({"jkt": ONE, "jwk": {}}), json!({"kid": "1"}), json!({"unheard of": 1})] {
            assert_eq!(of(unsupported), Err(Reason::ConfirmationUnsupported));
        }
    }

    #[test]
    fn a_thumbprint_at_the_top_level_is_read_where_the_issuer_is_known_to_write_it_there() {
        let claims = json!({ "x5t#S256": ONE });
        assert_eq!(at(ConfirmationPlace::TopLevel, claims.clone()), Ok(Some(ONE.to_owned())));
        assert_eq!(at(ConfirmationPlace::Cnf, claims), Err(Reason::ConfirmationAtTopLevel));
    }

    #[test]
    fn two_places_must_say_the_same() {
        let same = json!({"cnf": {"x5t#S256": ONE}, "x5t#S256": ONE});
        assert_eq!(in_either_place(&same), Ok(Some(ONE.to_owned())));
        let different = json!({"cnf": {"x5t#S256": ONE}, "x5t#S256": OTHER});
        assert_eq!(at(ConfirmationPlace::TopLevel, different.clone()), Err(Reason::ConfirmationConflict));
        // Without the opt-in the member is a claim like any other, and only `cnf` counts (RFC 8705 §3.1).
        assert_eq!(at(ConfirmationPlace::Cnf, different), Ok(Some(ONE.to_owned())));
    }
}
