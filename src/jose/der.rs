// SPDX-License-Identifier: Apache-2.0

//! The few forms of DER (X.690) that keys and signatures have.

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// `AlgorithmIdentifier { rsaEncryption, NULL }` (RFC 3279 §2.3.1).
pub(super) const RSA: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// The SubjectPublicKeyInfo of an RSA key: its modulus and its exponent as unsigned numbers.
pub(super) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = sequence(&[integer(modulus), integer(exponent)].concat());
    // Every bit of the last byte counts.
    sequence(&[RSA, &element(BIT_STRING, &[&[0], key.as_slice()].concat())].concat())
}

/// `SEQUENCE { INTEGER, INTEGER }` of two unsigned numbers.
pub(super) fn pair(first: &[u8], second: &[u8]) -> Vec<u8> {
    sequence(&[integer(first), integer(second)].concat())
}

fn sequence(contents: &[u8]) -> Vec<u8> {
    element(SEQUENCE, contents)
}

/// An unsigned number in its shortest form. A zero byte stands before a first bit that would be a sign.
fn integer(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let digits = number.get(start..).unwrap_or_default();
    let zero = digits.first().is_none_or(|byte| byte & 0x80 != 0);
    element(INTEGER, &[if zero { &[0][..] } else { &[] }, digits].concat())
}

/// X.690 §10.1: the shortest form of the length.
fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let start = length.iter().position(|byte| *byte != 0).unwrap_or(length.len());
    let length = length.get(start..).unwrap_or_default();
    let mut der = vec![tag];
    match length {
        [] => der.push(0),
        [short @ ..0x80] => der.push(*short),
        long => {
            der.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            der.extend(long);
        }
    }
    der.extend(contents);
    der
}
