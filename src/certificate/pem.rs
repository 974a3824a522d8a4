// SPDX-License-Identifier: Apache-2.0

//! PEM (RFC 7468), read strictly: exactly one certificate and nothing else.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::text::percent;

pub(crate) const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
pub(crate) const END: &str = "-----END CERTIFICATE-----";

/// The largest certificate. TLS stacks accept no larger one: their handshake messages end at 16 KiB or a few times that.
const LONGEST_PEM: usize = 128 * 1024;

/// The DER in the one PEM block of `text`, which may be percent-encoded as a whole. `None` if there is another number of
/// blocks, if anything but white space is around it, or if it has anything but one DER SEQUENCE.
pub(crate) fn certificate_der(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() > LONGEST_PEM {
        return None;
    }
    let text = if text.contains(&b'%') { Cow::Owned(percent::decoded(text)?) } else { Cow::Borrowed(text) };
    block_der(std::str::from_utf8(&text).ok()?)
}

/// The same for any number of blocks, one after another.
pub(crate) fn certificates_der(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    if text.len() > LONGEST_PEM {
        return None;
    }
    blocks_der(&if text.contains(&b'%') { Cow::Owned(percent::decoded(text)?) } else { Cow::Borrowed(text) })
}

/// The same, as it is.
pub(crate) fn blocks_der(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    std::str::from_utf8(text).ok()?.trim_ascii().split_inclusive(END).map(block_der).collect()
}

fn block_der(text: &str) -> Option<Vec<u8>> {
    contents(text, BEGIN, END)
}

/// The one SEQUENCE in the one block of `text` with these markers.
#[inline(never)]
pub(crate) fn contents(text: &str, begin: &str, end: &str) -> Option<Vec<u8>> {
    let body = text.trim_ascii().strip_prefix(begin)?.strip_suffix(end)?;
    let base64: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    // The marker of another block has hyphens, which are not base64.
    let der = STANDARD.decode(base64).ok()?;
    is_one_sequence(&der).then_some(der)
}

/// Whether the whole of `der` is one SEQUENCE of definite length in its shortest form (X.690 §10.1).
pub(crate) fn is_one_sequence(der: &[u8]) -> bool {
    let Some((0x30, rest)) = der.split_first().map(|(tag, rest)| (*tag, rest)) else {
        return false;
    };
    match rest.split_first() {
        Some((&short @ 0..=0x7f, content)) => usize::from(short) == content.len(),
        Some((long @ 0x81..=0x84, rest)) => {
            let Some((length, content)) = rest.split_at_checked(usize::from(long & 0x7f)) else {
                return false;
            };
            let value = length.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
            let shortest = length.first() != Some(&0) && value > 0x7f;
            shortest && u64::try_from(content.len()) == Ok(value)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(der: &[u8]) -> String {
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der))
    }

    #[test]
    fn one_block_is_read_whatever_its_line_ends_and_also_percent_encoded() {
        let der = [0x30, 0x03, 1, 2, 3];
        let pem = block(&der);
        for text in [
            pem.clone(),
            pem.replace('\n', "\r\n"),
            pem.replace('\n', " "),
            pem.replace('\n', "%0A").replace(' ', "%20").replace('=', "%3D").replace('+', "%2b"),
        ] {
            assert_eq!(certificate_der(text.as_bytes()), Some(der.to_vec()), "{text}");
        }
    }

    #[test]
    fn anything_but_exactly_one_certificate_is_refused() {
        let one = block(&[0x30, 0x03, 1, 2, 3]);
        for text in [
            String::new(),
            format!("{one}{one}"),
            format!("junk {one}"),
            format!("{one} junk"),
            one.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
            one.replace('M', "*"),
            one.replace("\n-----END", "%\n-----END"),
            one.replace("\n-----END", "%+1\n-----END"),
            block(&[]),
            block(&[0x30]),
            block(&[0x30, 0x02, 1, 2, 3]),
            block(&[0x30, 0x04, 1, 2, 3]),
            block(&[0x31, 0x03, 1, 2, 3]),
            block(&[0x30, 0x80, 1, 2, 0, 0]),
            block(&[0x30, 0x81, 0x03, 1, 2, 3]),
            block(&[0x30, 0x85, 0, 0, 0, 0, 3, 1, 2, 3]),
            format!("{BEGIN}{}{END}", "A".repeat(LONGEST_PEM)),
        ] {
            assert_eq!(certificate_der(text.as_bytes()), None, "{text:.80}");
        }
        assert_eq!(certificate_der(&[0xff; 40]), None);
    }
}
