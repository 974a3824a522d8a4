// SPDX-License-Identifier: Apache-2.0

//! The schemes under which a policy accepts tokens.

use serde::Deserialize;

use crate::config;
use crate::http::auth_scheme::{AuthScheme, AuthSchemes};
use crate::http::request::Request;
use crate::jose::confirmation::Dpop;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;

/// The schemes of `Authorization` under which tokens are accepted.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<Listed>")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize), schemars(with = "ListForm"))]
pub(super) struct SchemeList(Vec<Listed>);

/// Its form in the schema.
#[cfg(not(target_arch = "wasm32"))]
#[derive(schemars::JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it is there for its schema")]
struct ListForm(#[schemars(length(min = 1), extend("uniqueItems" = true))] Vec<Listed>);

/// A scheme that `schemes` may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize), schemars(rename = "Scheme", !try_from))]
enum Listed {
    /// RFC 6750.
    Bearer,
    /// The scheme under which clients of Microsoft Entra send tokens that are bound to their certificate. Under it no other
    /// token passes, whatever `certificate_binding` says.
    #[serde(rename = "mtls_pop")]
    MtlsPop,
}

impl TryFrom<String> for Listed {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.as_str() {
            "Bearer" => Ok(Self::Bearer),
            "mtls_pop" => Ok(Self::MtlsPop),
            _ if name.eq_ignore_ascii_case("DPoP") => {
                Err("the scheme DPoP is accepted with `dpop: verified_upstream`, and does not stand here".to_owned())
            }
            _ => Err(config::unknown("scheme", &name, &["Bearer", "mtls_pop"])),
        }
    }
}

impl TryFrom<Vec<Listed>> for SchemeList {
    type Error = &'static str;

    fn try_from(listed: Vec<Listed>) -> Result<Self, Self::Error> {
        let times = |scheme| listed.iter().filter(|own| **own == scheme).count();
        match (times(Listed::Bearer), times(Listed::MtlsPop)) {
            (0, 0) => Err("schemes is empty; it has Bearer, mtls_pop, or both"),
            (0 | 1, 0 | 1) => Ok(Self(listed)),
            _ => Err("a scheme is listed twice"),
        }
    }
}

impl Default for SchemeList {
    fn default() -> Self {
        Self(vec![Listed::Bearer])
    }
}

impl SchemeList {
    /// All schemes of a policy: these, and `DPoP` where `dpop` accepts it.
    pub(super) fn with(&self, dpop: Dpop) -> AuthSchemes {
        let has = |scheme| self.0.contains(&scheme);
        AuthSchemes {
            dpop: dpop == Dpop::VerifiedUpstream,
            bearer: has(Listed::Bearer),
            mtls_pop: has(Listed::MtlsPop),
        }
    }
}

/// Whether tokens that are not bound are accepted under one of these schemes, where `certificate_binding` lets them pass.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn accept_unbound_tokens(schemes: AuthSchemes) -> bool {
    schemes.bearer || schemes.dpop
}

/// The scheme of a token that another filter removed with its scheme: the one that demands most.
pub(super) fn of_removed_token(schemes: AuthSchemes) -> AuthScheme {
    if schemes.mtls_pop { AuthScheme::MtlsPop } else { AuthScheme::Bearer }
}

/// The scheme in whose challenge an error of this request is told: the one that the client used, or else the usual one.
pub(super) fn of_error(schemes: AuthSchemes, request: &Request<'_>) -> AuthScheme {
    let used = request.values("authorization").next().and_then(|value| schemes.of_credentials(value));
    used.unwrap_or_else(|| usual(schemes))
}

/// Schemes by the names that are told of them. Another one is a client's text, which no log has before a token is verified.
const KNOWN: &[&str] = &["Basic", "Bearer", "Digest", "DPoP", "mtls_pop", "Negotiate"];

/// The refusal of a request with credentials of none of these schemes.
#[cold]
pub(super) fn unsupported(schemes: AuthSchemes, request: &Request<'_>) -> Refusal {
    let value = request.values("authorization").next().unwrap_or_default();
    let name = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    let seen = KNOWN.iter().find(|own| name.eq_ignore_ascii_case(own.as_bytes())).unwrap_or(&"another");
    let accepted: Vec<_> = schemes.iter().map(AuthScheme::name).collect();
    Refusal::because(Reason::SchemeUnsupported, format!("the scheme is {seen}, expected {}", accepted.join(", ")))
}

/// The one of these schemes that most clients know.
pub(super) fn usual(schemes: AuthSchemes) -> AuthScheme {
    schemes.bearer.then_some(AuthScheme::Bearer).or_else(|| schemes.iter().next()).unwrap_or(AuthScheme::Bearer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixTime;

    #[test]
    fn a_scheme_that_is_not_accepted_is_told_by_a_name_of_ours_alone() {
        let told = |value: &str| {
            let headers = [("authorization", value.as_bytes())];
            let request = Request { headers: &headers, route_metadata: None, peer_digest: None, now: UnixTime::EPOCH };
            let schemes = AuthSchemes { dpop: false, bearer: true, mtls_pop: true };
            unsupported(schemes, &request).detail().unwrap().to_owned()
        };
        assert_eq!(told("dpop e30.e30.AAAA"), "the scheme is DPoP, expected Bearer, mtls_pop");
        assert_eq!(told("BASIC QTpC"), "the scheme is Basic, expected Bearer, mtls_pop");
        for other in ["", "<script> x", "Basics QTpC", "QTpC"] {
            assert_eq!(told(other), "the scheme is another, expected Bearer, mtls_pop", "{other}");
        }
    }
}
