// SPDX-License-Identifier: Apache-2.0

//! Unicode's Normalization Form C (UAX #15).
//!
//! It is built on the primitives of `unicode-normalization`. That crate's own iterator would add the tables of the
//! compatibility forms, which nobody needs here.

use unicode_normalization::char::{canonical_combining_class, compose, decompose_canonical};

use crate::collections::sorted_map::sorted;

/// The text in Normalization Form C.
pub(super) fn nfc(text: &str) -> Vec<char> {
    let mut decomposed = Vec::with_capacity(text.len());
    text.chars().for_each(|character| decompose_canonical(character, |part| decomposed.push(part)));
    let class = canonical_combining_class;
    for marks in decomposed.chunk_by_mut(|left, right| class(*left) != 0 && class(*right) != 0) {
        // Marks of one class keep their order.
        let ordered = marks.iter().enumerate().map(|(place, mark)| (class(*mark), place, *mark)).collect();
        for (mark, (_, _, next)) in marks.iter_mut().zip(sorted(ordered)) {
            *mark = next;
        }
    }
    let mut composed: Vec<char> = Vec::with_capacity(decomposed.len());
    let mut starter = None;
    let mut last_class = 0;
    for character in decomposed {
        let own_class = class(character);
        if let Some(place) = starter {
            let is_next = composed.len() == usize::saturating_add(place, 1);
            let is_reached = is_next || (last_class != 0 && last_class < own_class);
            if let Some(start) = composed.get_mut(place).filter(|_| is_reached)
                && let Some(together) = compose(*start, character)
            {
                *start = together;
                continue;
            }
        }
        if own_class == 0 {
            starter = Some(composed.len());
        }
        last_class = own_class;
        composed.push(character);
    }
    composed
}

#[cfg(test)]
mod tests {
    use unicode_normalization::UnicodeNormalization as _;

    use super::*;

    #[test]
    fn every_character_and_many_texts_are_composed_as_the_whole_library_composes_them() {
        let same = |text: &str| {
            assert_eq!(nfc(text).into_iter().collect::<String>(), text.nfc().collect::<String>(), "{text:?}")
        };
        for character in '\0'..=char::MAX {
            let text = character.to_string();
            same(&text);
            same(&text.nfd().collect::<String>());
        }
        let parts: Vec<char> = "aAe\u{301}\u{308}\u{327}\u{323}\u{302}\u{ac00}\u{1100}\u{1161}\u{11a8}\u{9c7}\u{9be}\u{212b}\u{1e9b}\u{345}\u{fb2c} \u{3099}か"
            .chars()
            .collect();
        let mut number = 8705_usize;
        for _ in 0..200_000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let text: String = (0..6).map(|place| parts[(number >> (8 * place + 8)) % parts.len()]).collect();
            same(&text);
        }
    }
}
