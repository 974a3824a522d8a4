//! Powers modulo an odd number, such as RSA's.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};

/// The 65537th power of a base below the modulus, as long as both. `None` where the modulus is even.
pub(super) fn power(base: &[u8], modulus: &[u8]) -> Option<Vec<u8>> {
    let bits = u32::try_from(modulus.len()).ok()?.checked_mul(8)?;
    let number = |bytes| BoxedUint::from_be_slice(bytes, bits).ok();
    let parameters = BoxedMontyParams::new_vartime(Odd::new(number(modulus)?).into_option()?);
    let base = BoxedMontyForm::new(number(base)?, &parameters);
    let squared = (0..16).fold(base.clone(), |power, _| power.square());
    let power = squared.mul(&base).retrieve().to_be_bytes();
    // Whole words have come out.
    Some(power.split_at_checked(power.len().checked_sub(modulus.len())?)?.1.to_vec())
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
