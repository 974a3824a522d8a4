// SPDX-License-Identifier: Apache-2.0

//! RSA's public power by Montgomery's products ("Modular multiplication without trial division", 1985). In the module it takes
//! half the time of crypto-bigint's, and 43 kB less. All numbers are public, so it need not take constant time.
//!
//! A number is its digits, the least significant first. They have 32 bits: WebAssembly's widest product has 64.

use std::num::NonZeroU64;
use std::{iter, mem};

/// The 65537th power of a base below the modulus and as long in bytes. `None` where the modulus is even.
pub(super) fn power(base: &[u8], modulus: &[u8]) -> Option<Vec<u8>> {
    let length = modulus.len();
    let (mut base, modulus) = (digits(base), Modulus::new(digits(modulus))?);
    base.resize(modulus.digits.len(), 0);
    // base * R is squared to base^65536 * R, and the R goes with a last factor that has none.
    let with_r = modulus.digits.iter().fold(base.clone(), |number, _| modulus.shifted(number));
    let squared = (0..16).fold(with_r, |power, _| modulus.product(&power, &power));
    let power = modulus.product(&squared, &base);
    let mut bytes: Vec<u8> = power.into_iter().flat_map(u32::to_le_bytes).chain(iter::repeat(0)).take(length).collect();
    bytes.reverse();
    Some(bytes)
}

fn digits(bytes: &[u8]) -> Vec<u32> {
    let digit = |bytes: &[u8]| bytes.iter().fold(0, |digit: u32, byte| digit << 8 | u32::from(*byte));
    bytes.rchunks(4).map(digit).collect()
}

fn first(number: &[u32]) -> u32 {
    number.first().copied().unwrap_or_default()
}

fn last(number: &[u32]) -> u32 {
    number.last().copied().unwrap_or_default()
}

/// All numbers that it is given are below it, and have as many digits.
struct Modulus {
    /// The first is odd, the last is not 0.
    digits: Vec<u32>,
    /// -1 / the first digit, modulo 2^32.
    inverse: u32,
}

impl Modulus {
    fn new(mut digits: Vec<u32>) -> Option<Self> {
        while digits.pop_if(|last| *last == 0).is_some() {}
        let first = *digits.first().filter(|first| **first & 1 == 1)?;
        // An odd number is its own inverse modulo 8, and each of Newton's steps doubles the bits that are right.
        let step = |inverse: u32, _| inverse.wrapping_mul(2_u32.wrapping_sub(first.wrapping_mul(inverse)));
        Some(Self { inverse: (0..4).fold(first, step).wrapping_neg(), digits })
    }

    /// one * other / R, where R is 2^32 to the number of digits.
    fn product(&self, one: &[u32], other: &[u32]) -> Vec<u32> {
        let length = self.digits.len();
        let mut sum = vec![0; length.saturating_mul(2)];
        let (mut rest, mut over) = (sum.as_mut_slice(), false);
        for digit in one {
            // Adds digit * other, and as many moduli as make the first place 0, which is then left behind. The places after
            // it, with the bit that is over, hold less than twice the modulus.
            let Some((places, [above, ..])) = rest.split_at_mut_checked(length) else { break };
            let quotient = first(places).wrapping_add(digit.wrapping_mul(first(other))).wrapping_mul(self.inverse);
            let (mut carry, mut quotient_carry) = (0, 0);
            for ((place, other), modulus) in places.iter_mut().zip(other).zip(&self.digits) {
                let added;
                (added, carry) = digit.carrying_mul_add(*other, *place, carry);
                (*place, quotient_carry) = quotient.carrying_mul_add(*modulus, added, quotient_carry);
            }
            (*above, over) = carry.carrying_add(quotient_carry, over);
            rest = rest.get_mut(1..).unwrap_or_default();
        }
        self.reduced(rest.to_vec(), over)
    }

    /// number * 2^32, by long division.
    fn shifted(&self, mut number: Vec<u32>) -> Vec<u32> {
        number.rotate_right(1);
        let mut top = number.first_mut().map_or(0, mem::take);
        // The leading two digits, divided by the modulus's leading one plus 1, are a quotient that is never too large. Taking
        // so many moduli away leaves at most half and two moduli more; where the quotient is 0, there are less than two.
        let divisor = NonZeroU64::MIN.saturating_add(last(&self.digits).into());
        while let Ok(quotient @ 1..) = u32::try_from((u64::from(top) << 32 | u64::from(last(&number))) / divisor) {
            let (mut carry, mut borrow) = (0, false);
            for (digit, modulus) in number.iter_mut().zip(&self.digits) {
                let product;
                (product, carry) = quotient.carrying_mul(*modulus, carry);
                (*digit, borrow) = digit.borrowing_sub(product, borrow);
            }
            (top, _) = top.borrowing_sub(carry, borrow);
        }
        self.reduced(number, false)
    }

    /// A number below twice the modulus, of which a bit may be over, less the modulus where it is not below that.
    fn reduced(&self, mut number: Vec<u32>, over: bool) -> Vec<u32> {
        if over || number.iter().rev().ge(self.digits.iter().rev()) {
            let mut borrow = false;
            for (digit, modulus) in number.iter_mut().zip(&self.digits) {
                (*digit, borrow) = digit.borrowing_sub(*modulus, borrow);
            }
        }
        number
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "these are tests")]
mod tests {
    use rsa::BigUint;

    use super::power;

    /// Numbers as good as any, the same in every run (splitmix64).
    fn numbers(seed: u64) -> impl Iterator<Item = u64> {
        (1..).map(move |count: u64| {
            let mixed = seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    }

    fn random(length: usize, seed: u64) -> Vec<u8> {
        numbers(seed).flat_map(u64::to_be_bytes).take(length).collect()
    }

    /// With u128 alone.
    fn plain(base: u64, modulus: u64) -> u64 {
        let product = |one: u64, other: u64| (u128::from(one) * u128::from(other) % u128::from(modulus)) as u64;
        product((0..16).fold(base, |power, _| product(power, power)), base)
    }

    /// With another library; the modulus as its bytes.
    fn assert_power(base: &BigUint, modulus: &[u8]) {
        let padded = |number: &BigUint| {
            let digits = if *number == BigUint::from(0_u8) { vec![] } else { number.to_bytes_be() };
            [vec![0; modulus.len() - digits.len()], digits].concat()
        };
        let right = base.modpow(&BigUint::from(65537_u32), &BigUint::from_bytes_be(modulus));
        assert_eq!(power(&padded(base), modulus).unwrap(), padded(&right), "{base:x} modulo {modulus:02x?}");
    }

    /// 0, 1, 2, the greatest base, the one below, the middle, and one of no kind.
    fn assert_powers(modulus: &[u8]) {
        let number = BigUint::from_bytes_be(modulus);
        let [zero, one, two] = [0_u8, 1, 2].map(BigUint::from);
        let any = BigUint::from_bytes_be(&random(modulus.len(), 1));
        for base in [&number - &one, &number + &number - &two, &number / &two, zero, one, two, any] {
            assert_power(&(base % &number), modulus);
        }
    }

    #[test]
    fn every_modulus_of_a_byte_with_every_base() {
        for modulus in (1..=0xff_u8).step_by(2) {
            for base in 0..modulus {
                let right = plain(base.into(), modulus.into()) as u8;
                assert_eq!(power(&[base], &[modulus]).unwrap(), [right], "{base} modulo {modulus}");
            }
        }
    }

    #[test]
    fn moduli_of_a_few_bytes() {
        for (any, other) in numbers(2).zip(numbers(4)).take(20_000) {
            // From one bit to 64.
            let modulus = (any >> (other % 64)) | 1;
            let base = other.rotate_left(32) % modulus;
            for length in (modulus.ilog2() as usize / 8 + 1)..=8 {
                let [base_bytes, modulus_bytes] =
                    [base, modulus].map(|number| number.to_be_bytes()[8 - length..].to_vec());
                let found = power(&base_bytes, &modulus_bytes).unwrap();
                assert_eq!(found, plain(base, modulus).to_be_bytes()[8 - length..], "{base} modulo {modulus}");
            }
        }
    }

    #[test]
    fn moduli_at_the_edges_of_digits() {
        for bits in (2..=200).chain([1023, 1024, 2047, 2048, 2049, 2055, 2056, 2080]) {
            let highest = BigUint::from(1_u8) << bits;
            let [one, two] = [1_u8, 2].map(BigUint::from);
            // A one between zeros, nothing but ones, and zeros between ones.
            let middle = &highest + (BigUint::from(1_u8) << (bits / 2)) + &one;
            let broken = (&highest * &two) - (BigUint::from(1_u8) << (bits / 2)) - &one;
            for modulus in [&highest + &one, &highest - &one, middle | one, broken] {
                assert_powers(&modulus.to_bytes_be());
            }
        }
        for length in 1..=64 {
            assert_powers(&vec![0xff; length]);
            assert_powers(&[&vec![0; length - 1][..], &[3]].concat());
            assert_powers(&[&[1][..], &vec![0; length], &[1]].concat());
            // A digit of ones between zeros, a digit of zeros between ones.
            assert_powers(&[&[0, 0, 0, 1][..], &[0xff; 4], &vec![0; length], &[1]].concat());
            assert_powers(&[&vec![0xff; length][..], &[0; 4], &[0xff; 4]].concat());
        }
    }

    /// Digits that carry, borrow and mislead an estimate of a quotient.
    #[test]
    fn moduli_and_bases_of_digits_at_the_edges() {
        let edges = [0, 0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff, 0xffff_ffff, 0xdead_beef_u32];
        let mut choices = numbers(3);
        for length in (1..=8).cycle().take(8000) {
            let mut digits = || -> Vec<u8> {
                let choose = |choice: u64| edges[(choice % 9) as usize].to_be_bytes();
                choices.by_ref().take(length).flat_map(choose).collect()
            };
            let (mut modulus, base) = (digits(), digits());
            modulus[length * 4 - 1] |= 1;
            assert_power(&(BigUint::from_bytes_be(&base) % BigUint::from_bytes_be(&modulus)), &modulus);
        }
    }

    #[test]
    fn moduli_of_any_length() {
        let keys = [128, 129, 130, 131, 192, 255, 256, 257, 258, 259, 260, 384, 385, 512];
        for (length, seed) in (1..=100).chain(keys).zip(5..) {
            for top in [0x01, 0x7f, 0x80, 0xff] {
                let mut modulus = random(length, seed);
                modulus[0] = top;
                modulus[length - 1] |= 1;
                assert_powers(&modulus);
            }
        }
    }

    #[test]
    fn there_is_no_power_modulo_an_even_number() {
        for modulus in [&[][..], &[0], &[2], &[0xff, 0], &[0; 4], &[0; 5], &[1, 0, 0, 0, 0], &[0xfe; 256]] {
            assert_eq!(power(&vec![0; modulus.len()], modulus), None);
        }
    }
}
