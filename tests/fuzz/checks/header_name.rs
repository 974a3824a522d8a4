// SPDX-License-Identifier: Apache-2.0

//! A header's name: every spelling of every name that some proxy uses to hand over a certificate is removed, and
//! nothing is removed that a request cannot do without.

use std::sync::LazyLock;

use certbound::handover::forwarding_headers::is_forwarding_header;
use certbound::http::header_map::borrowed;
use certbound::jose::signature::PortableEngine;
use certbound::time::UnixTime;
use certbound::{Policies, Request};

use super::upstream::{Host, end};

/// As docs/security.md and the documentation of these proxies name them.
const NAMES: &[&str] = &[
    "-wscc",
    "-wscs",
    "-wsis",
    "-wssi",
    "akamai-cc-der",
    "cert-chain-0",
    "cf-cert-presented",
    "cf-client-cert-der-base64",
    "cf-client-cert-sha256",
    "client-cert",
    "client-cert-chain",
    "client-certificate",
    "client-certificate-ca-verified",
    "client-to-edge",
    "cloudfront-viewer-cert-pem",
    "cname-api-key",
    "l5d-client-id",
    "ms-aspnetcore-clientcert",
    "proxy-auth-cert",
    "proxy-issuer-dn",
    "proxy-ssl-id",
    "proxy-user-dn",
    "ssl-cert",
    "ssl-cipher",
    "ssl-cipher-usekeysize",
    "ssl-client-cert",
    "ssl-client-cert-chain-0",
    "ssl-client-escaped-cert",
    "ssl-client-verify",
    "ssl-secure-protocol",
    "ssl-session-id",
    "wl-proxy-client-cert",
    "wl-proxy-client-keysize",
    "wl-proxy-client-secretkeysize",
    "wl-proxy-ssl",
    "x-amzn-mtls-clientcert",
    "x-amzn-mtls-clientcert-leaf",
    "x-amzn-mtls-clientcert-serial-number",
    "x-arr-clientcert",
    "x-client-cert",
    "x-client-cert-chain-verified",
    "x-client-cert-leaf",
    "x-client-dn",
    "x-client-verify",
    "x-clientcert",
    "x-forwarded-client-cert",
    "x-forwarded-ssl-certificate",
    "x-forwarded-ssl-client-cert",
    "x-forwarded-tls-client-cert",
    "x-forwarded-tls-client-cert-info",
    "x-ssl-cert",
    "x-ssl-cert-chain-0",
    "x-ssl-certificate",
    "x-ssl-cipher",
    "x-ssl-client",
    "x-ssl-client-cert",
    "x-ssl-client-certificate",
    "x-ssl-client-san-dns",
    "x-ssl-client-subject-dn",
    "x-ssl-client-verify",
    "x-ssl-issuer",
    "x-ssl-notafter",
    "x-ssl-notbefore",
    "x-ssl-serial",
    "x-ssl-subject",
    "x-tls-client-cert",
    "x-wso2-client-certificate",
    "x-wso2-mtls-cert",
];

/// Beginnings of whole families of names.
const FAMILIES: &[&str] = &[
    "cf-client-cert-",
    "client-cert",
    "cloudfront-viewer-cert-",
    "ssl-client-",
    "x-amzn-mtls-",
    "x-client-cert",
    "x-forwarded-client-cert",
    "x-forwarded-tls-client-cert",
    "x-ssl-cert",
    "x-ssl-client",
];

/// What a name may have in it that is no letter or digit (RFC 9110 §5.6.2).
const OTHERS: &str = "!#$%&'*+-.^_`|~";

static CLEAN_ONLY: LazyLock<Policies> = LazyLock::new(|| Policies::load(br#"{"clean_only": {}}"#).unwrap());

fn folded(name: &str) -> String {
    let fold = |character: char| if OTHERS.contains(character) { '-' } else { character.to_ascii_lowercase() };
    name.chars().map(fold).collect()
}

/// Whether a server may take this name for one of those above.
pub fn is_known(name: &str) -> bool {
    let folded = folded(name);
    NAMES.contains(&folded.as_str()) || FAMILIES.iter().any(|family| folded.starts_with(family))
}

/// A known name, spelt as `choices` say: two bits for each letter or hyphen. What is left of them is more letters for
/// the name of a family.
pub fn spelt(choices: &[u8]) -> String {
    let (first, rest) = choices.split_first().unwrap_or((&0, &[]));
    let first = usize::from(*first);
    let known = NAMES.iter().chain(FAMILIES).nth(first % (NAMES.len() + FAMILIES.len())).unwrap();
    let choice = |index: usize| usize::from(rest.get(index / 4).map_or(0, |byte| byte >> (2 * (index % 4)) & 3));
    let spell = |(index, character): (usize, char)| match (character, choice(index)) {
        (_, 0) => character,
        ('-', choice) => OTHERS.chars().nth((first + 5 * index + choice) % OTHERS.len()).unwrap(),
        (letter, 1 | 3) => letter.to_ascii_uppercase(),
        (letter, _) => letter,
    };
    let mut name: String = known.chars().enumerate().map(spell).collect();
    if FAMILIES.contains(known) {
        name.push_str(&String::from_utf8_lossy(rest.get(known.len().div_ceil(4)..).unwrap_or_default()));
    }
    name
}

pub fn check(input: &[u8]) {
    let spelt = spelt(input);
    assert!(is_forwarding_header(&spelt), "{spelt:?}");

    let raw = String::from_utf8_lossy(input).into_owned();
    assert!(is_forwarding_header(&raw) || !is_known(&raw), "{raw:?}");
    let folded = folded(&raw);
    assert_eq!(is_forwarding_header(&raw), is_forwarding_header(&folded), "{raw:?}");
    let needed = ["authorization", "content-length", "content-type", "cookie", "dpop", "host", "x-request-id"];
    assert!(!is_forwarding_header(&raw) || !(raw.starts_with(':') || needed.contains(&folded.as_str())), "{raw:?}");

    let headers = vec![(spelt.clone(), b"forged".to_vec()), (raw.clone(), b"perhaps".to_vec())];
    let request =
        Request { headers: &borrowed(&headers), route_metadata: None, peer_digest: None, now: UnixTime::EPOCH };
    let seen = end(&CLEAN_ONLY, &request, &PortableEngine, Host::default()).unwrap();
    assert_eq!(seen, if is_forwarding_header(&raw) { Vec::new() } else { headers[1..].to_vec() });

    // Whatever stands around the name, and with bytes that are no text.
    let nominated = [b"te, ", input, b",upgrade ,", spelt.as_bytes(), b", ", input].concat();
    let headers = vec![("connection".to_owned(), nominated)];
    let request =
        Request { headers: &borrowed(&headers), route_metadata: None, peer_digest: None, now: UnixTime::EPOCH };
    let seen = end(&CLEAN_ONLY, &request, &PortableEngine, Host::default()).unwrap();
    let [(_, left)] = seen.as_slice() else { panic!("{seen:?}") };
    let left = std::str::from_utf8(left).unwrap();
    let is_option = |character: char| character.is_ascii_alphanumeric() || OTHERS.contains(character);
    assert!(left.split(", ").all(|option| !option.is_empty() && option.chars().all(is_option)), "{left:?}");
    assert!(left.split(", ").all(|option| !is_known(option)), "{left:?}");
    assert!(left.split(", ").any(|option| option == "upgrade"), "{left:?}");
}
