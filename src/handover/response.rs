// SPDX-License-Identifier: Apache-2.0

//! Responses of a server that gets `Client-Cert` (RFC 9440 §2.4).

use crate::http::edit::Edit;
use crate::http::header_map::Headers;
use crate::http::header_name::are_twins;

/// The fields of RFC 9440.
const FIELDS: [&str; 2] = ["client-cert", "client-cert-chain"];

/// The edits of a response's headers. Both fields are removed. A `Vary` that names one of them becomes `*`, since a cache in
/// front of the proxy does not see the header on which the response depends.
#[must_use]
pub fn response_edits(headers: &Headers<'_>) -> Vec<Edit> {
    let is_field = |name: &str| FIELDS.iter().any(|field| are_twins(field, name));
    let removed = headers.iter().filter(|(name, _)| is_field(name)).map(|(name, _)| Edit::remove(*name));
    let members = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("vary"))
        .flat_map(|(_, value)| value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
    let mut names = members.filter_map(|member| std::str::from_utf8(member).ok());
    let varies = names.any(|name| FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field)));
    removed.chain(varies.then(|| Edit::set("vary", "*".to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(headers: &[(&str, &str)]) -> Vec<Edit> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        response_edits(&headers)
    }

    #[test]
    fn a_vary_by_the_certificate_says_everything_wherever_it_stands() {
        let everything = [Edit::set("vary", "*".to_owned())];
        for value in ["Client-Cert", "client-cert-chain", "accept, CLIENT-CERT", "a,b , Client-Cert-Chain ,c"] {
            assert_eq!(edits(&[("vary", value)]), everything, "{value}");
        }
        assert_eq!(edits(&[("vary", "accept"), ("vary", "origin,client-cert")]), everything);
        for value in ["", "*", "accept", "client-certs", "x-client-cert", "client cert"] {
            assert_eq!(edits(&[("vary", value)]), [], "{value}");
        }
    }

    #[test]
    fn the_fields_do_not_leave() {
        let found = edits(&[("client-cert", ":MAEB:"), ("Client_Cert-Chain", ":MAEC:"), ("content-type", "a")]);
        assert_eq!(found, [Edit::remove("client-cert"), Edit::remove("Client_Cert-Chain")]);
    }
}
