//! An authorization server's answer to a call for its keys: keys come of it only where it is one unambiguous key set,
//! and a metadata document sends us nowhere but to the issuer itself.

use std::sync::LazyLock;

use certbound::Policies;
use certbound::call::Answer;
use certbound::resource_server::keys::{Fetch, KeySource, Next};

use super::{json, key_set};

const ISSUER: &str = "https://as.example";

static SOURCES: LazyLock<Vec<KeySource>> = LazyLock::new(|| {
    let text = format!(
        r#"{{"resource_server": {{"issuers": [
            {{"issuer": "{ISSUER}", "audiences": ["api"], "keys": {{"discovery": {{"cluster": "as"}}}}}},
            {{"issuer": "two", "audiences": ["api"], "keys": {{"jwks_uri": "{ISSUER}/jwks", "cluster": "as"}}}}
        ]}}}}"#
    );
    Policies::load(text.as_bytes()).unwrap().key_sources().cloned().collect()
});

/// The first line of the input is `Cache-Control`, the rest is the body.
pub fn check(input: &[u8]) {
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let (cache_control, body) = (lines.next(), lines.next().unwrap_or_default());
    assert_eq!(SOURCES.len(), 2);
    for source in SOURCES.iter() {
        let Next::Call(fetch, first) = Fetch::begin(source) else { panic!("a fetch begins with a call") };
        assert_eq!((first.cluster.as_str(), first.authority.as_str()), ("as", "as.example"));
        match fetch.receive(&Answer { status: Some(200), cache_control, body }) {
            Next::Failed(why) => assert!(!why.is_empty()),
            Next::Call(_, second) => {
                let metadata = json::unambiguous(body).expect("ambiguous metadata is believed");
                assert_eq!(metadata["issuer"], ISSUER);
                let uri = metadata["jwks_uri"].as_str().unwrap();
                assert!(uri.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")), "{uri}");
                // RFC 6454 §4: the same origin, whatever the case and with the default port or without.
                let host = second.authority.to_ascii_lowercase();
                assert!(second.cluster == "as" && matches!(host.as_str(), "as.example" | "as.example:443"), "{uri}");
                let visible = second.path.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
                assert!(visible && second.path.starts_with('/') && uri.ends_with(second.path.trim_start_matches('/')));
            }
            Next::Done(fetched) => {
                assert_eq!(fetched.document, body);
                assert!((10..=86_400).contains(&fetched.max_age));
                let set = json::unambiguous(body).expect("an ambiguous key set is taken");
                assert!(json::depth(&set) < json::TOO_DEEP);
                assert!(set["keys"].as_array().unwrap().iter().any(key_set::is_usable), "no key can be used: {set}");
            }
        }
    }
}
