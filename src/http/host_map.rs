// SPDX-License-Identifier: Apache-2.0

//! A map as the host encodes it.

/// A map as the host encodes it: the number of entries, the lengths of each key and value, and then these with a NUL
/// behind each; all numbers are 32 bits, little endian. `None` for anything else.
pub(crate) fn entries(encoded: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let (count, rest) = encoded.split_first_chunk()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let (lengths, mut texts) = rest.split_at_checked(count.checked_mul(8)?)?;
    let (lengths, _) = lengths.as_chunks::<4>();
    let mut next = |length: &[u8; 4]| {
        let (text, rest) = texts.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let (0, rest) = rest.split_first().map(|(end, rest)| (*end, rest))? else { return None };
        texts = rest;
        Some(text)
    };
    let (pairs, _) = lengths.as_chunks::<2>();
    let mut entries = Vec::with_capacity(pairs.len());
    for [key, value] in pairs {
        entries.push((next(key)?, next(value)?));
    }
    texts.is_empty().then_some(entries)
}

/// A map as the host would encode it.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn encoded(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let texts = entries.iter().flat_map(|(key, value)| [key, value]);
    let lengths = texts.clone().flat_map(|text| length(text.len()));
    let texts = texts.flat_map(|text| text.iter().copied().chain([0]));
    length(entries.len()).into_iter().chain(lengths).chain(texts).collect()
}
