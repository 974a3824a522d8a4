// SPDX-License-Identifier: Apache-2.0

//! Hexadecimal digits.

/// The value of each byte as a digit of either case. A byte that is no digit has more than four bits.
#[expect(clippy::indexing_slicing, reason = "it is computed when this is compiled")]
#[expect(clippy::cast_possible_truncation, reason = "a digit has four bits")]
const DIGITS: [u8; 256] = {
    let mut digits = [0xff; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        if let Some(digit) = (byte as char).to_digit(16) {
            digits[byte as usize] = digit as u8;
        }
        byte += 1;
    }
    digits
};

/// The lower-case digits of these bytes.
pub(crate) fn encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The byte that two digits of either case stand for.
pub(crate) fn byte([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| DIGITS.get(usize::from(byte)).copied().unwrap_or(0xff);
    let (high, low) = (digit(high), digit(low));
    ((high | low) < 16).then_some((high << 4) | low)
}
