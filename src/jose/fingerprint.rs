// SPDX-License-Identifier: Apache-2.0

//! The identity of a thing: a hash of everything that distinguishes it.

use sha2::{Digest, Sha256};

/// The SHA-256 of these parts. Each part follows its length, so that no two lists of parts give the same bytes.
pub(crate) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_wherever_they_end() {
        let of = |parts: &[&str]| fingerprint(parts.iter().map(|part| part.as_bytes()));
        let lists: [&[&str]; 6] = [&[], &[""], &["", ""], &["ab"], &["a", "b"], &["", "ab"]];
        for (place, one) in lists.iter().enumerate() {
            for other in lists.iter().skip(place + 1) {
                assert_ne!(of(one), of(other), "{one:?} {other:?}");
            }
            assert_eq!(of(one), of(one));
        }
    }
}
