// SPDX-License-Identifier: Apache-2.0

//! Refuses tokens of another kind. An issuer signs other tokens with the same keys: an ID token says who has signed in, a
//! refresh token is for the issuer only, a logout token ends a session. An API must accept none of them, so the rules for one
//! kind must refuse the others (RFC 8725 §3.12).

use super::claims::shortened;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::text::json::{Json, Object};

/// Claims that say in one word what a token is: `typ` is Keycloak's, `token_use` Cognito's and Hydra's, `tokenName`
/// ForgeRock's, `purpose` Curity's. `token_type` belongs to introspection responses (RFC 7662 §2.2). No standard has it in
/// a token, but some servers write it there.
pub(super) const WORDS: &[&str] = &["typ", "token_use", "tokenName", "purpose", "token_type"];

/// Claims that no access token has. The hash of an access token, a code or a state is in an ID token (OpenID Connect Core 1.0
/// §3.1.3.6 and §3.3.2.11, FAPI 1.0 Part 2 §5.2.2.1); events are in a logout token or another security event token (RFC 8417
/// §2.2).
pub(super) const OF_OTHERS: &[&str] = &["at_hash", "c_hash", "s_hash", "events"];

/// A claim of ID tokens (OpenID Connect Core 1.0 §2), and of some servers' access tokens.
pub(super) const NONCE: &str = "nonce";

/// Claims that access tokens have and ID tokens do not (RFC 8693 §4.2; `scp` is Okta's and Microsoft's).
pub(super) const SCOPES: &[&str] = &["scope", "scp"];

/// The words for an access token, in lower case.
const ACCESS: &[&str] = &["bearer", "dpop", "mtls_pop", "access", "access_token"];

/// The words for other tokens, in lower case: those of OpenID Connect, and Keycloak's for offline tokens, serialized ID tokens,
/// tokens of client registration, and the links that it sends.
const OTHERS: &[&str] = &[
    "id",
    "id_token",
    "refresh",
    "refresh_token",
    "logout",
    "logout_token",
    "offline",
    "serialized-id",
    "initialaccesstoken",
    "registrationaccesstoken",
    "execute-actions",
    "verify-email",
    "update-email",
    "reset-credentials",
    "idp-verify-account-via-email",
    "orgivt",
    "impersonate",
];

/// The token types for APIs (RFC 6750, RFC 9449 §5, Microsoft Entra's `mtls_pop`), and Hydra's word for all.
const TOKEN_TYPES: &[&str] = &["bearer", "dpop", "mtls_pop", "access_token"];

/// Where claims come from, with what that says about the token's type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stand<'a> {
    /// From a token, whose header has this `typ`.
    Token(Option<&'a str>),
    /// From the payload that another filter left.
    Payload,
    /// From an introspection response, which may have these values of `token_type` besides the usual ones.
    Response(&'a [String]),
}

/// Whether the header's `typ`, in lower case, is that of an access token (RFC 9068 §4).
pub(super) fn is_access_token(kind: Option<&str>) -> bool {
    matches!(kind, Some("at+jwt" | "application/at+jwt"))
}

/// Whether a claim is there.
pub(super) fn has(claims: &Object<'_>, name: &str) -> bool {
    claims.get(name).is_some()
}

/// Whether the claims may be those of an access token.
///
/// # Errors
/// [`Reason::TokenTypeUnsupported`], with the claim that shows another kind.
pub(super) fn check(claims: &Object<'_>, stand: Stand<'_>) -> Result<(), Refusal> {
    if let Some(mark) = OF_OTHERS.iter().find(|name| has(claims, name)) {
        return Err(other(format!("it has {mark}")));
    }
    let mut says_access = SCOPES.iter().any(|name| has(claims, name));
    if let Stand::Token(kind) = stand {
        says_access |= is_access_token(kind);
    }
    for name in WORDS.iter().copied().filter(|name| has(claims, name)) {
        let word = claims.get(name).and_then(Json::as_str);
        let is_among = |words: &[&str]| word.is_some_and(|word| words.iter().any(|own| word.eq_ignore_ascii_case(own)));
        match stand {
            // Here a standard defines the claim, so an unknown value is another type.
            Stand::Response(own) if name == "token_type" => {
                let is_own = || own.iter().any(|own| word.is_some_and(|word| word.eq_ignore_ascii_case(own)));
                if !is_among(TOKEN_TYPES) && !is_own() {
                    return Err(other(said(name, word)));
                }
                says_access = true;
            }
            _ if is_among(OTHERS) => return Err(other(said(name, word))),
            _ => says_access |= is_among(ACCESS),
        }
    }
    if has(claims, NONCE) && !says_access {
        Err(other(format!("it has {NONCE}, and nothing says that it is for access")))
    } else {
        Ok(())
    }
}

fn other(seen: String) -> Refusal {
    Refusal::because(Reason::TokenTypeUnsupported, seen)
}

/// What a claim says that a token is.
fn said(name: &str, word: Option<&str>) -> String {
    format!("{name} is {}", word.map_or_else(|| "no text".to_owned(), shortened))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::json;

    #[test]
    fn words_are_compared_without_case_and_so_stand_here_in_lower_case() {
        for word in [ACCESS, OTHERS, TOKEN_TYPES].concat() {
            assert_eq!(word, word.to_ascii_lowercase());
        }
        assert!(ACCESS.iter().all(|word| !OTHERS.contains(word)));
    }

    #[test]
    fn the_words_of_a_policy_count_in_a_response_alone() {
        let own = ["Refresh".to_owned()];
        let judged = |claims: &str, stand| check(&json::object(claims.as_bytes()).unwrap(), stand).is_ok();
        assert!(judged(r#"{"token_type":"refresh"}"#, Stand::Response(&own)));
        assert!(!judged(r#"{"token_type":"refresh"}"#, Stand::Response(&[])));
        assert!(!judged(r#"{"token_type":"Refresh"}"#, Stand::Token(None)));
        assert!(!judged(r#"{"typ":"Refresh"}"#, Stand::Response(&own)));
        // In a token no standard says which types there are.
        assert!(
            judged(r#"{"token_type":"mine"}"#, Stand::Payload)
                && !judged(r#"{"token_type":"mine"}"#, Stand::Response(&[]))
        );
    }

    #[test]
    fn the_refusal_names_the_claim_and_its_word() {
        for (claims, stand, detail) in [
            (r#"{"typ":"ID"}"#, Stand::Payload, "typ is ID"),
            (r#"{"token_type":"urn:own"}"#, Stand::Response(&[]), "token_type is urn:own"),
            (r#"{"token_type":1}"#, Stand::Response(&[]), "token_type is no text"),
            (r#"{"at_hash":"a"}"#, Stand::Payload, "it has at_hash"),
            (r#"{"nonce":"a"}"#, Stand::Payload, "it has nonce, and nothing says that it is for access"),
        ] {
            let refusal = check(&json::object(claims.as_bytes()).unwrap(), stand).unwrap_err();
            assert_eq!((refusal.reason(), refusal.detail()), (Reason::TokenTypeUnsupported, Some(detail)), "{claims}");
        }
    }
}
