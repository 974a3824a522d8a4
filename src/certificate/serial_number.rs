// SPDX-License-Identifier: Apache-2.0

//! Serial numbers (RFC 5280 §4.1.2.2).

/// An INTEGER's contents (X.690 §8.3, two's complement) in hexadecimal, two digits for each byte, with `-` if negative.
pub(crate) fn hexadecimal(contents: &[u8]) -> String {
    let negative = contents.first().is_some_and(|first| *first >= 0x80);
    let mut magnitude = contents.to_vec();
    if negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
    let digits: String = magnitude.iter().skip(zeros).map(|byte| format!("{byte:02X}")).collect();
    match digits.as_str() {
        "" => "00".to_owned(),
        _ => format!("{}{digits}", if negative { "-" } else { "" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_written_as_openssl_writes_them() {
        for (contents, shown) in [
            (&b"\x01"[..], "01"),
            (b"\x00", "00"),
            (b"", "00"),
            (b"\x00\x80", "80"),
            (b"\xff", "-01"),
            (b"\x80", "-80"),
            (b"\xff\x00", "-0100"),
            (b"\x0f\xff", "0FFF"),
        ] {
            assert_eq!(hexadecimal(contents), shown);
        }
    }
}
