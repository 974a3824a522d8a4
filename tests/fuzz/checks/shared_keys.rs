// SPDX-License-Identifier: Apache-2.0

//! A record of keys as the VMs of a process share them: only a newer one is taken, what serves stands in it, and no number in it makes
//! keys serve for longer than the policy says.

use std::sync::LazyLock;
use std::time::Duration;

use certbound::Policies;
use certbound::keys::{KeyRing, KeySource};
use certbound::time::UnixTime;

use super::{json, key_set};

/// Of an issuer whose keys serve for an hour, and of a client, whose certificates serve for as long as they are fresh.
static SOURCES: LazyLock<[KeySource; 2]> = LazyLock::new(|| {
    let issuer = r#"{"resource_server": {"issuers": [{"issuer": "one", "audiences": ["api"],
        "keys": {"jwks_uri": "https://as.example/jwks", "cluster": "as", "max_stale_seconds": 3600}}]}}"#;
    let client = r#"{"authorization_server": {"forward_certificate": [{"dialect": "rfc9440"}], "client_authentication": {
        "clients": [{"client_id": "one", "token_endpoint_auth_method": "self_signed_tls_client_auth",
            "jwks_uri": "https://client.example/jwks"}],
        "client_keys": {"https://client.example": "client"}, "unlisted_clients": "refuse", "request_body": "headers_wait"}}}"#;
    let [issuer, client] = [issuer, client].map(|text| Policies::load(text.as_bytes()).unwrap());
    [issuer.key_sources().next().unwrap().clone(), client.client_key_sources().next().unwrap().clone()]
});

const FOR_AN_HOUR: u64 = 3_600_000;

pub fn check(input: &[u8]) {
    for (place, source) in SOURCES.iter().enumerate() {
        let is_issuer = place == 0;
        let mut ring = KeyRing::default();
        let taken = ring.take_shared(source, input);
        let Some((numbers, document)) = input.split_first_chunk::<24>() else {
            assert!(!taken);
            continue;
        };
        let [version, fetched, lifetime] =
            [0, 8, 16].map(|start| u64::from_le_bytes(numbers[start..start + 8].try_into().unwrap()));
        assert_eq!(ring.version(source), if taken { version } else { 0 });
        let moment = UnixTime::from_milliseconds(fetched);
        if !taken {
            assert!(ring.keys(source, moment).is_none() && ring.certificates(source, moment).is_none());
            // A client's record is a number of digests: of what was left out, and of certificates.
            assert!(is_issuer || version == 0 || document.is_empty() || document.len() % 32 != 0);
            continue;
        }
        let record = KeyRing::shared(version, moment, Duration::from_secs(lifetime), document);
        assert_eq!(record, input, "what is shared is what was taken");
        assert!(!ring.take_shared(source, input), "a record is taken once");
        judge_document(&ring, source, is_issuer, document, moment);

        let serves_for = if is_issuer { FOR_AN_HOUR } else { lifetime.saturating_mul(1000) };
        let serves = |at: u64| {
            let now = UnixTime::from_milliseconds(at);
            ring.keys(source, now).is_some() || ring.certificates(source, now).is_some()
        };
        if let Some(last) = fetched.checked_add(serves_for).filter(|last| *last < u64::MAX / 2) {
            assert!(serves(last) && !serves(last + 1), "{fetched} {lifetime}");
        }
        // Neither an older record nor one that is none takes its place.
        for (other, is_newer) in [(version - 1, false), (version.saturating_add(1), version < u64::MAX)] {
            let with = |document: &[u8]| KeyRing::shared(other, moment, Duration::ZERO, document);
            assert!(!ring.take_shared(source, &with(b"{\"keys\":[]")));
            assert_eq!(ring.take_shared(source, &with(document)), is_newer);
        }
    }
}

fn judge_document(ring: &KeyRing, source: &KeySource, is_issuer: bool, document: &[u8], moment: UnixTime) {
    if is_issuer {
        let set = json::unambiguous(document).expect("an ambiguous key set is taken");
        let keys = set["keys"].as_array().expect("a set without keys is taken");
        assert!(ring.certificates(source, moment).is_none());
        let taken = ring.keys(source, moment).expect("keys serve when they were fetched");
        let text = format!("{taken:?}");
        assert!(!text.contains("PublicKey {") || keys.iter().any(key_set::is_usable), "{set}");
    } else {
        assert!(ring.keys(source, moment).is_none());
        let taken = ring.certificates(source, moment).expect("certificates serve when they were fetched");
        let there: Vec<_> = document[32..].chunks(32).map(<[u8]>::to_vec).collect();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            taken.iter().map(|own| own.hex()).collect::<Vec<_>>(),
            there.iter().map(|own| hex(own)).collect::<Vec<_>>()
        );
    }
}
