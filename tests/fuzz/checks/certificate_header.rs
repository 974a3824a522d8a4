// SPDX-License-Identifier: Apache-2.0

//! The value of a header in which a terminator in front names a certificate: whatever is read is one certificate, or one
//! thumbprint, and is what the value says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certbound::certificate::thumbprint::Thumbprint;
use certbound::handover::chain::Chain;
use certbound::handover::encoding::Encoding;
use certbound::handover::reader::{Read, chain_of_list};

pub fn check(input: &[u8]) {
    for encoding in Encoding::ALL {
        let read = encoding.read(input);
        assert!(!(encoding.says_none(input) && read.is_some()), "{encoding:?}");
        match &read {
            None => {}
            Some(Read::Thumbprint(thumbprint)) => {
                let text = String::from_utf8(input.to_vec()).unwrap();
                assert!(encoding.is_digest());
                assert!(thumbprint.to_string() == text || thumbprint.hex() == text.to_ascii_lowercase(), "{text}");
            }
            Some(Read::Certificate(certificate)) => {
                let der = certificate.der();
                assert!(!encoding.is_digest() && der.first() == Some(&0x30));
                assert_eq!(*certificate.thumbprint(), Thumbprint::of_der(der));
                // What is written of it is read as the same.
                let written = encoding.encode(der);
                assert_eq!(encoding.read(written.as_bytes()), read);
                // These two have one spelling each, and no other one holds another certificate's base64.
                let base64 = STANDARD.encode(der);
                match encoding {
                    Encoding::DerBase64 | Encoding::SfBinary => assert_eq!(written.as_bytes(), input),
                    Encoding::PemApache => {
                        let packed: Vec<u8> =
                            input.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
                        let packed = String::from_utf8(packed).unwrap();
                        assert_eq!(packed, format!("-----BEGINCERTIFICATE-----{base64}-----ENDCERTIFICATE-----"));
                    }
                    _ => {}
                }
                // Twice is not once.
                assert_eq!(encoding.read(&[input, b",", input].concat()), None, "{encoding:?}");
            }
        }
    }
    if let Some(Chain::Known(chain)) = chain_of_list([input].into_iter()) {
        assert!((1..=10).contains(&chain.len()));
        let written: Vec<_> = chain.iter().map(|der| Encoding::SfBinary.encode(der)).collect();
        let lines = written.iter().map(|value| value.as_bytes());
        assert_eq!(chain_of_list(lines), Some(Chain::Known(chain)));
    }
}
