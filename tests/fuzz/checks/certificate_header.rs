// SPDX-License-Identifier: Apache-2.0

//! The value of a header in which a terminator in front names a certificate: whatever is read is one certificate, or one
//! thumbprint, and is what the value says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certbound::certificate::thumbprint::Thumbprint;
use certbound::handover::chain::Chain;
use certbound::handover::encoding::Encoding;
use certbound::handover::reader::{Read, chain_in_one_piece, chain_of_list};

pub fn check(input: &[u8]) {
    for encoding in Encoding::ALL {
        let read = encoding.read(input);
        assert!(!(encoding.says_none(input) && read.is_some()), "{encoding:?}");
        match &read {
            None => {}
            Some(Read::Thumbprint(thumbprint)) => {
                let text = String::from_utf8(input.to_vec()).unwrap();
                assert!(encoding.is_digest() && *thumbprint != Thumbprint::of_der(b""));
                let hex = text.replace(':', "").to_ascii_lowercase();
                let base64 = STANDARD.encode(thumbprint.bytes());
                assert!([thumbprint.to_string(), base64].contains(&text) || thumbprint.hex() == hex, "{text}");
            }
            Some(Read::Certificate(certificate, chain)) => {
                let der = certificate.der();
                assert!(!encoding.is_digest() && der.first() == Some(&0x30));
                assert_eq!(*certificate.thumbprint(), Thumbprint::of_der(der));
                // What is written of it is read as the same.
                let written = encoding.encode(der);
                assert_eq!(
                    encoding.read(written.as_bytes()),
                    Some(Read::Certificate(certificate.clone(), Chain::Unknown))
                );
                // Nothing but these certificates is in it, in their order, whatever the spelling.
                let chain = match chain {
                    Chain::Unknown => &[][..],
                    Chain::Known(chain) => chain,
                    Chain::Lost => continue,
                };
                assert!(chain.len() <= 10);
                let all: Vec<_> = std::iter::once(der).chain(chain.iter().map(Vec::as_slice)).collect();
                match encoding {
                    Encoding::SfBinary => assert_eq!(written.as_bytes(), input),
                    Encoding::PemApache => assert_eq!(packed(input), packed_pem(&all)),
                    Encoding::DerBase64 if !input.contains(&b'%') => {
                        let base64: Vec<_> = all.iter().map(|der| STANDARD.encode(der)).collect();
                        let pem = STANDARD.decode(input).map(|decoded| packed(&decoded));
                        assert!(base64.join(",").as_bytes() == input || pem == Ok(packed_pem(&all)));
                    }
                    _ => {}
                }
                // Twice is not once.
                assert_eq!(encoding.read(&[input, b", ", input].concat()), None, "{encoding:?}");
                if chain.is_empty() {
                    assert_eq!(encoding.read(&[input, b",", input].concat()), None, "{encoding:?}");
                }
            }
        }
    }
    if let Some(Chain::Known(chain)) = chain_of_list([input].into_iter()) {
        assert!(chain.len() <= 10 && (!chain.is_empty() || Encoding::SfBinary.says_none(input)));
        let written: Vec<_> = chain.iter().map(|der| Encoding::SfBinary.encode(der)).collect();
        let lines = written.iter().map(|value| value.as_bytes());
        assert_eq!(chain_of_list(lines), Some(Chain::Known(chain)));
    }
    if let Some(Chain::Known(chain)) = chain_in_one_piece([input].into_iter()) {
        assert!(chain.len() <= 10 && (!chain.is_empty() || Encoding::DerBase64.says_none(input)));
        // Nothing but these certificates is in it, in their order.
        assert!(chain.is_empty() || STANDARD.encode(chain.concat()).as_bytes() == input);
    }
}

fn packed(input: &[u8]) -> String {
    String::from_utf8_lossy(input).chars().filter(|character| !character.is_ascii_whitespace()).collect()
}

fn packed_pem(all: &[&[u8]]) -> String {
    let block = |der: &&[u8]| format!("-----BEGINCERTIFICATE-----{}-----ENDCERTIFICATE-----", STANDARD.encode(der));
    all.iter().map(block).collect()
}
