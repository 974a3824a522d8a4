// SPDX-License-Identifier: Apache-2.0

//! A value of `X-Forwarded-Client-Cert`, of which a client can write a part: a chain is found behind the certificate of the
//! connection alone, and is a number of whole certificates.

use certbound::certificate::thumbprint::Thumbprint;
use certbound::handover::chain::Chain;

/// A certificate is any SEQUENCE.
const OWN: &[u8] = &[0x30, 0x01, 0x01];

/// `OWN` as Envoy writes it.
const WRITTEN: &str = "-----BEGIN%20CERTIFICATE-----%0AMAEB%0A-----END%20CERTIFICATE-----%0A";

pub fn check(input: &[u8]) {
    let own = Thumbprint::of_der(OWN);
    let judge = |chain: &Chain| {
        if let Chain::Known(certificates) = chain {
            assert!(certificates.len() <= 10);
            assert!(certificates.iter().all(|der| der.first() == Some(&0x30)));
        }
    };
    let found = Chain::of_connection(input, &own);
    judge(&found);
    // Another connection finds nothing where this one found something.
    if found != Chain::Unknown && !input.starts_with(b"[") {
        let text = String::from_utf8_lossy(input).to_ascii_lowercase();
        assert!(text.contains("chain="), "{text}");
    }
    // What Envoy appends is found, whatever stands before it, unless that leaves a quotation mark open.
    if !input.iter().any(|byte| matches!(byte, b'"' | b'\\')) && input.len() < 60_000 {
        let value = [input, format!(",Hash=00;Chain=\"{WRITTEN}\"").as_bytes()].concat();
        assert_eq!(Chain::of_connection(&value, &own), Chain::Known(vec![]));
    }
}
