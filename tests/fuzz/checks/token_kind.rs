// SPDX-License-Identifier: Apache-2.0

//! What says in its claims that it is another token than an access token.

use serde_json::Value;

/// Some of the words for other tokens: those of the standards, and Keycloak's.
const OTHERS: &[&str] = &["id", "id_token", "refresh", "refresh_token", "logout", "offline", "verify-email"];

/// Whether these are the claims of another token.
pub fn is_another(claims: &Value, header_says_access_token: bool) -> bool {
    let words: Vec<_> = ["typ", "token_use", "tokenName", "purpose", "token_type"]
        .iter()
        .filter_map(|name| claims[*name].as_str().map(str::to_ascii_lowercase))
        .collect();
    let says = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    let has = |names: &[&str]| names.iter().any(|name| !claims[*name].is_null());
    let is_access_token = header_says_access_token
        || has(&["scope", "scp"])
        || says(&["bearer", "dpop", "mtls_pop", "access", "access_token"]);
    has(&["at_hash", "c_hash", "s_hash", "events"]) || says(OTHERS) || (has(&["nonce"]) && !is_access_token)
}
