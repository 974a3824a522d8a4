// SPDX-License-Identifier: Apache-2.0

//! A modulus that is a power of 65537 modulo the first primes, or not quite: a key set with it loads if and only if it has no such power
//! (ROCA, CVE-2017-15361), is odd, and has 2048 to 4096 bits.
//!
//! Input: the exponent, which of the remainders are changed, and what the modulus is above their product.

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::api;

const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

#[derive(Debug, Arbitrary)]
struct Scenario<'a> {
    exponent: u32,
    changed: Vec<(u8, u8)>,
    is_even: bool,
    is_long: bool,
    above: &'a [u8],
}

pub fn check(input: &[u8]) {
    if input.len() > api::LONGEST {
        return;
    }
    let Ok(scenario) = Scenario::arbitrary(&mut Unstructured::new(input)) else { return };
    let mut remainders = PRIMES.map(|prime| power(u64::from(scenario.exponent), u64::from(prime)));
    for (place, remainder) in &scenario.changed {
        let place = usize::from(*place) % PRIMES.len();
        remainders[place] = u64::from(*remainder) % u64::from(PRIMES[place]);
    }
    let number = with_remainders(&remainders, &scenario);
    assert!(PRIMES.iter().zip(remainders).all(|(prime, own)| modulo(&number, *prime) == own), "{scenario:?}");
    let bits = number.len() * 8 - number.last().map_or(0, |byte| byte.leading_zeros() as usize);
    let encoded = URL_SAFE_NO_PAD.encode(number.iter().rev().copied().collect::<Vec<_>>());
    let loads = api::policies(|server| {
        server["issuers"][0]["keys"]["jwks"] = json!({"keys": [{"kty": "RSA", "e": "AQAB", "n": encoded}]});
    })
    .is_some();
    let is_right = (2048..=4096).contains(&bits) && number[0] & 1 == 1 && !have_one_exponent(&remainders);
    assert_eq!(loads, is_right, "{bits} bits, {scenario:?}");
}

/// 65537 to this power, by squaring.
fn power(mut exponent: u64, prime: u64) -> u64 {
    let (mut power, mut base) = (1, 65537 % prime);
    while exponent > 0 {
        if exponent % 2 == 1 {
            power = power * base % prime;
        }
        base = base * base % prime;
        exponent /= 2;
    }
    power
}

/// How many powers of 65537 there are modulo each of the primes.
static ORDERS: LazyLock<[u64; PRIMES.len()]> = LazyLock::new(|| {
    PRIMES
        .map(u64::from)
        .map(|prime| (1..prime).find(|order| power(*order, prime) == 1).expect("Fermat's little theorem"))
});

/// Whether one exponent gives all of these remainders: the exponents that give the first ones are `rest`, `rest + step` and so on.
fn have_one_exponent(remainders: &[u64]) -> bool {
    let (mut rest, mut step) = (0_u128, 1_u128);
    for ((prime, order), remainder) in PRIMES.iter().zip(*ORDERS).zip(remainders) {
        let (prime, wide) = (u64::from(*prime), u128::from(order));
        let of = |exponent: u128| power(u64::try_from(exponent % wide).unwrap(), prime);
        let (mut found, stride) = (of(rest), of(step));
        let Some(times) = (0..wide).find(|_| {
            found == *remainder || {
                found = found * stride % prime;
                false
            }
        }) else {
            return false;
        };
        rest += times * step;
        let common = (1..=order).rev().find(|divisor| order % divisor == 0 && step % u128::from(*divisor) == 0);
        step *= u128::from(order / common.unwrap_or(1));
        rest %= step;
    }
    true
}

/// A number with these remainders, in little-endian bytes: the least one (Garner's algorithm), and a multiple of the product.
fn with_remainders(remainders: &[u64], scenario: &Scenario<'_>) -> Vec<u8> {
    let (mut number, mut product) = (vec![0], vec![1]);
    for (prime, remainder) in PRIMES.iter().zip(remainders) {
        let (so_far, step) = (modulo(&number, *prime), modulo(&product, *prime));
        let times = (0..*prime).find(|times| (so_far + u64::from(*times) * step) % u64::from(*prime) == *remainder);
        number = sum(&number, &times_small(&product, times.expect("they have no common divisor")));
        product = times_small(&product, *prime);
    }
    // The product has 219 bits.
    let length = if scenario.is_long { 484 } else { 228 };
    let mut factor: Vec<u8> = scenario.above.iter().copied().chain(std::iter::repeat(0)).take(length).collect();
    factor.push(0x80 | scenario.above.first().copied().unwrap_or_default());
    let is_even = |number: &[u8]| number[0] & 1 == 0;
    let mut made = sum(&number, &product_of(&product, &factor));
    if is_even(&made) != scenario.is_even {
        made = sum(&made, &product);
    }
    made
}

fn modulo(number: &[u8], prime: u32) -> u64 {
    number.iter().rev().fold(0, |rest, byte| (rest * 256 + u64::from(*byte)) % u64::from(prime))
}

fn sum(left: &[u8], right: &[u8]) -> Vec<u8> {
    let digit = |number: &[u8], place: usize| number.get(place).copied().map_or(0, u32::from);
    let mut carry = 0;
    let bytes = (0..=left.len().max(right.len())).map(|place| {
        let whole = digit(left, place) + digit(right, place) + carry;
        carry = whole >> 8;
        whole as u8
    });
    trimmed(bytes.collect())
}

fn times_small(number: &[u8], factor: u32) -> Vec<u8> {
    let mut carry = 0;
    let bytes = number.iter().chain(&[0; 4]).map(|byte| {
        let whole = u32::from(*byte) * factor + carry;
        carry = whole >> 8;
        whole as u8
    });
    trimmed(bytes.collect())
}

fn product_of(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut digits = vec![0_u64; left.len() + right.len() + 8];
    for (place, one) in left.iter().enumerate() {
        for (other, two) in right.iter().enumerate() {
            digits[place + other] += u64::from(*one) * u64::from(*two);
        }
    }
    let mut carry = 0;
    let bytes = digits.iter().map(|digit| {
        let whole = digit + carry;
        carry = whole >> 8;
        whole as u8
    });
    trimmed(bytes.collect())
}

fn trimmed(mut number: Vec<u8>) -> Vec<u8> {
    while number.len() > 1 && number.last() == Some(&0) {
        number.pop();
    }
    number
}
