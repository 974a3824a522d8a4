//! A header's name: every spelling of every name that some proxy uses to hand over a certificate is removed, and
//! nothing is removed that a request cannot do without.

use std::sync::LazyLock;

use certbound::certificate::forwarding_headers::is_forwarding_header;
use certbound::header_map::borrowed;
use certbound::jose::signature::PortableEngine;
use certbound::{Policies, Request};

use super::upstream::{Host, end};

/// As the README and the documentation of these proxies name them.
const NAMES: &[&str] = &[
    "cert-chain-0",
    "cf-cert-presented",
    "cf-client-cert-der-base64",
    "cf-client-cert-sha256",
    "client-cert",
    "client-cert-chain",
    "client-certificate",
    "client-certificate-ca-verified",
    "client-to-edge",
    "cname-api-key",
    "ssl-cert",
    "ssl-client-cert",
    "ssl-client-cert-chain-0",
    "ssl-client-verify",
    "x-amzn-mtls-clientcert",
    "x-amzn-mtls-clientcert-leaf",
    "x-amzn-mtls-clientcert-serial-number",
    "x-arr-clientcert",
    "x-client-cert",
    "x-client-cert-chain-verified",
    "x-client-cert-leaf",
    "x-clientcert",
    "x-forwarded-client-cert",
    "x-forwarded-ssl-client-cert",
    "x-forwarded-tls-client-cert",
    "x-forwarded-tls-client-cert-info",
    "x-ssl-cert",
    "x-ssl-cert-chain-0",
    "x-ssl-client-cert",
    "x-ssl-client-certificate",
    "x-ssl-client-san-dns",
    "x-ssl-client-subject-dn",
    "x-ssl-client-verify",
    "x-tls-client-cert",
    "x-wso2-client-certificate",
    "x-wso2-mtls-cert",
];

/// Beginnings of whole families of names.
const FAMILIES: &[&str] = &[
    "cf-client-cert-",
    "client-cert",
    "ssl-client-",
    "x-amzn-mtls-",
    "x-client-cert",
    "x-forwarded-client-cert",
    "x-forwarded-tls-client-cert",
    "x-ssl-cert-",
    "x-ssl-client-",
];

static CLEAN_ONLY: LazyLock<Policies> = LazyLock::new(|| Policies::load(br#"{"clean_only": {}}"#).unwrap());

/// Whether a server may take this name for one of those above.
pub fn is_known(name: &str) -> bool {
    let folded = name.to_ascii_lowercase().replace(['_', '.'], "-");
    NAMES.contains(&folded.as_str()) || FAMILIES.iter().any(|family| folded.starts_with(family))
}

/// A known name, spelt as `choices` say: two bits for each letter or hyphen. What is left of them is more letters for
/// the name of a family.
pub fn spelt(choices: &[u8]) -> String {
    let (first, rest) = choices.split_first().unwrap_or((&0, &[]));
    let first = usize::from(*first);
    let known = NAMES.iter().chain(FAMILIES).nth(first % (NAMES.len() + FAMILIES.len())).unwrap();
    let choice = |index: usize| rest.get(index / 4).map_or(0, |byte| byte >> (2 * (index % 4)) & 3);
    let spell = |(index, character): (usize, char)| match (character, choice(index)) {
        ('-', 1) => '_',
        ('-', 2) => '.',
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
    let folded = raw.to_ascii_lowercase().replace(['_', '.'], "-");
    assert_eq!(is_forwarding_header(&raw), is_forwarding_header(&folded), "{raw:?}");
    let needed = ["authorization", "content-length", "content-type", "cookie", "dpop", "host", "x-request-id"];
    assert!(!is_forwarding_header(&raw) || !(raw.starts_with(':') || needed.contains(&folded.as_str())), "{raw:?}");

    let headers = vec![(spelt, b"forged".to_vec()), (raw.clone(), b"perhaps".to_vec())];
    let request = Request { headers: &borrowed(&headers), route_metadata: None, peer_digest: None, now: 0 };
    let seen = end(&CLEAN_ONLY, &request, &PortableEngine, Host::default()).unwrap();
    assert_eq!(seen, if is_forwarding_header(&raw) { Vec::new() } else { headers[1..].to_vec() });
}
