// SPDX-License-Identifier: Apache-2.0

//! The identifier of an issuer: a text, or a template that claims of the token complete. A server with many tenants has an
//! identifier for each, and one set of keys: `https://login.microsoftonline.com/{tid}/v2.0`.
//!
//! A token is of such an issuer if the template with this token's own claims in it is its `iss`, exactly. Before the signature
//! is verified, that decides only which issuer's keys are tried.

use std::sync::Arc;

use serde::Deserialize;

use crate::collections::sorted_map::{SortedMap, sorted};
use crate::config;
use crate::text::json::Object;

/// In bytes. Two templates are compared in a time that grows with the product of their lengths.
const LONGEST_TEMPLATE: usize = 256;

/// How many texts a template may stand for, to be compared with another one text by text.
const MOST_TEXTS: usize = 1000;

/// An issuer's identifier, as the configuration has it.
#[derive(Debug)]
pub(crate) struct IssuerIdentifier {
    text: Arc<str>,
    /// What stands before the first claim; the whole text, if there is none.
    beginning: String,
    parts: Vec<Part>,
}

/// A claim in a template, and what stands behind it.
#[derive(Debug)]
struct Part {
    claim: String,
    values: Option<Values>,
    behind: String,
}

/// The values that a claim may have, in their order: texts of the characters that any may have.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Vec<String>")]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "IssuerClaimValues", with = "ValuesForm")
)]
pub(super) struct Values(Vec<String>);

/// Its form in the schema.
#[cfg(not(target_arch = "wasm32"))]
#[derive(schemars::JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it is there for its schema")]
struct ValuesForm(#[schemars(length(min = 1), inner(regex(pattern = r"^[A-Za-z0-9._-]+$")))] Vec<String>);

impl TryFrom<Vec<String>> for Values {
    type Error = String;

    fn try_from(values: Vec<String>) -> Result<Self, String> {
        if values.is_empty() {
            return Err("there is no value, so every token would be refused".to_owned());
        }
        match values.iter().find(|value| !is_plain(value)) {
            Some(wrong) => Err(format!("{wrong:?} is no value for an issuer: letters, digits, '-', '.' and '_' are")),
            None => Ok(Self(sorted(values))),
        }
    }
}

impl IssuerIdentifier {
    /// Reads an identifier. Its claims may have only these values, if some are listed for them.
    ///
    /// # Errors
    /// A sentence, if braces do not enclose the name of a claim, or values are listed for another claim.
    pub(super) fn read(text: &str, listed: &SortedMap<String, Values>) -> Result<Self, String> {
        let mut pieces = text.split('{');
        let beginning = pieces.next().unwrap_or_default();
        let mut parts = Vec::<Part>::new();
        let wrong = || "a brace in `issuer` is for the name of a claim in braces: {tid}".to_owned();
        for piece in pieces {
            let (claim, behind) = piece.split_once('}').ok_or_else(wrong)?;
            if claim.is_empty() || behind.contains('}') {
                return Err(wrong());
            }
            if claim == "iss" {
                return Err("the claim iss is what `issuer` is compared with, and cannot be a part of it".to_owned());
            }
            if parts.iter().any(|part| part.claim == claim) {
                return Err(format!("the claim {claim} stands twice in `issuer`"));
            }
            parts.push(Part { claim: claim.to_owned(), values: None, behind: behind.to_owned() });
        }
        if beginning.contains('}') {
            return Err(wrong());
        }
        if !parts.is_empty() && text.len() > LONGEST_TEMPLATE {
            return Err(format!("an issuer with claims in it has at most {LONGEST_TEMPLATE} characters"));
        }
        let known: Vec<_> = parts.iter().map(|part| part.claim.as_str()).collect();
        if let Some(claim) = listed.keys().find(|claim| !known.contains(&claim.as_str())) {
            let unknown = config::unknown("claim", claim, &known);
            return Err(format!("issuer_claims is for the claims that `issuer` has in braces: {unknown}"));
        }
        for part in &mut parts {
            part.values = listed.get(&*part.claim).cloned();
        }
        Ok(Self { text: text.into(), beginning: beginning.to_owned(), parts })
    }

    /// As it stands in the configuration.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether claims of the token complete it.
    pub(super) fn is_template(&self) -> bool {
        !self.parts.is_empty()
    }

    /// The claims that complete it.
    pub(super) fn claims(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| part.claim.as_str())
    }

    /// The same, each with the values that it may have, in their order; `None` if it may have any.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn values(&self) -> impl Iterator<Item = (&str, Option<Vec<&str>>)> {
        self.parts.iter().map(|part| {
            let values = part.values.as_ref().map(|values| values.0.iter().map(String::as_str).collect());
            (part.claim.as_str(), values)
        })
    }

    /// Whether a token with these claims is of this issuer, as it says.
    pub(super) fn is_of(&self, claims: &Object<'_>) -> bool {
        self.rest_of_issuer(claims) == Some("")
    }

    /// What is left of `iss` behind this identifier, completed with these claims; `None` if it does not begin so.
    fn rest_of_issuer<'t>(&self, claims: &'t Object<'_>) -> Option<&'t str> {
        let mut rest = claims.get("iss")?.as_str()?.strip_prefix(&*self.beginning)?;
        for part in &self.parts {
            let value = claims.get(&part.claim)?.as_str().filter(|value| part.may_be(value))?;
            rest = rest.strip_prefix(value)?.strip_prefix(&*part.behind)?;
        }
        Some(rest)
    }

    /// The identifier of a token's issuer, which is this one. It is shared among the tokens, unless it is a template.
    pub(super) fn of_token(&self, issuer: &str) -> Arc<str> {
        if self.is_template() { issuer.into() } else { Arc::clone(&self.text) }
    }

    /// Whether some token may be of both. It may say so of two templates for which there is none, where each has a claim
    /// with any value beside one with listed values.
    pub(super) fn may_be_also(&self, other: &Self) -> bool {
        if !self.is_template() && !other.is_template() {
            return self.text == other.text;
        }
        match (self.texts(), other.texts()) {
            (Some(texts), _) => texts.iter().any(|text| other.may_be(text)),
            (None, Some(texts)) => texts.iter().any(|text| self.may_be(text)),
            (None, None) => have_common_text(&self.elements(), &other.elements()),
        }
    }

    /// Whether there are claims with which this identifier is this text.
    pub(crate) fn may_be(&self, text: &str) -> bool {
        let text = text.as_bytes();
        // Behind how many bytes of the text what was read so far may end.
        let begun = std::iter::once(true).chain(text.iter().map(|_| false)).collect::<Vec<_>>();
        let mut ends = followed_by(&begun, text, [self.beginning.as_bytes()]);
        for part in &self.parts {
            ends = match &part.values {
                Some(values) => followed_by(&ends, text, values.0.iter().map(String::as_bytes)),
                None => followed_by_any(&ends, text),
            };
            ends = followed_by(&ends, text, [part.behind.as_bytes()]);
        }
        ends.last() == Some(&true)
    }

    /// Every text that it may be, if these are not too many.
    fn texts(&self) -> Option<Vec<String>> {
        let mut texts = vec![self.beginning.clone()];
        for part in &self.parts {
            let values = part.values.as_ref()?;
            if texts.len().saturating_mul(values.0.len()) > MOST_TEXTS {
                return None;
            }
            let with = |text: &String| {
                values.0.iter().map(|value| format!("{text}{value}{}", part.behind)).collect::<Vec<_>>()
            };
            texts = texts.iter().flat_map(with).collect();
        }
        Some(texts)
    }

    /// What stands in it one after the other.
    fn elements(&self) -> Vec<Element> {
        let literal = |text: &str| text.bytes().map(Element::Byte).collect::<Vec<_>>();
        let mut elements = literal(&self.beginning);
        for part in &self.parts {
            elements.extend([Element::Plain, Element::MorePlain]);
            elements.extend(literal(&part.behind));
        }
        elements
    }
}

impl Values {
    fn has(&self, value: &str) -> bool {
        self.0.binary_search_by(|own| own.as_str().cmp(value)).is_ok()
    }
}

impl Part {
    fn may_be(&self, value: &str) -> bool {
        is_plain(value) && self.values.as_ref().is_none_or(|values| values.has(value))
    }
}

/// One element of a pattern.
#[derive(Clone, Copy, Debug)]
enum Element {
    Byte(u8),
    /// One character that a claim may have.
    Plain,
    /// Any number of them.
    MorePlain,
}

impl Element {
    /// Whether both may be one character.
    fn meets(self, other: Self) -> bool {
        match (self, other) {
            (Self::Byte(one), Self::Byte(other)) => one == other,
            (Self::Byte(byte), _) | (_, Self::Byte(byte)) => is_plain_byte(byte),
            _ => true,
        }
    }
}

/// Where a text may end that continues, with one of these pieces, what ends at one of these places.
fn followed_by<'a>(ends: &[bool], text: &[u8], pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<bool> {
    let mut next = vec![false; ends.len()];
    for piece in pieces {
        for (place, _) in ends.iter().enumerate().filter(|(_, is_end)| **is_end) {
            if text.get(place..).is_some_and(|rest| rest.starts_with(piece))
                && let Some(end) = next.get_mut(place.saturating_add(piece.len()))
            {
                *end = true;
            }
        }
    }
    next
}

/// The same with any value of a claim.
fn followed_by_any(ends: &[bool], text: &[u8]) -> Vec<bool> {
    let mut is_open = false;
    let open = ends.iter().zip(text).map(|(is_end, byte)| {
        is_open = (is_open || *is_end) && is_plain_byte(*byte);
        is_open
    });
    std::iter::once(false).chain(open).collect()
}

/// Whether some text is of both patterns.
fn have_common_text(one: &[Element], other: &[Element]) -> bool {
    let width = other.len().saturating_add(1);
    let mut seen = vec![false; one.len().saturating_add(1).saturating_mul(width)];
    let mut open = vec![(0_usize, 0_usize)];
    while let Some((here, there)) = open.pop() {
        match seen.get_mut(here.saturating_mul(width).saturating_add(there)) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        let (first, second) = (one.get(here), other.get(there));
        let (after, beyond) = (here.saturating_add(1), there.saturating_add(1));
        match (first, second) {
            (None, None) => return true,
            (Some(first), Some(second)) if first.meets(*second) => {
                let stays = |element: &Element| matches!(element, Element::MorePlain);
                open.push((if stays(first) { here } else { after }, if stays(second) { there } else { beyond }));
            }
            _ => {}
        }
        if let Some(Element::MorePlain) = first {
            open.push((after, there));
        }
        if let Some(Element::MorePlain) = second {
            open.push((here, beyond));
        }
    }
    false
}

/// Whether a claim may have this value: its characters have no meaning in a URL.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(is_plain_byte)
}

fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::text::json;

    fn listing(text: &str, listed: &Value) -> Result<IssuerIdentifier, String> {
        let listed: Vec<(String, Vec<String>)> =
            serde_json::from_value::<std::collections::BTreeMap<_, _>>(listed.clone()).unwrap().into_iter().collect();
        let listed = listed.into_iter().map(|(claim, values)| (claim, Values::try_from(values).unwrap()));
        IssuerIdentifier::read(text, &listed.collect())
    }

    fn identifier(text: &str) -> IssuerIdentifier {
        listing(text, &json!({})).unwrap()
    }

    fn is_of(identifier: &IssuerIdentifier, claims: &Value) -> bool {
        identifier.is_of(&json::object(claims.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn a_template_is_the_issuer_with_the_tokens_own_claims_in_it() {
        let one = identifier("https://as/{tid}/v2.0");
        assert!(is_of(&one, &json!({"iss": "https://as/a.b-c_D9/v2.0", "tid": "a.b-c_D9"})));
        let two = identifier("{a}{b}-{c}");
        assert!(is_of(&two, &json!({"iss": "xy-z", "a": "x", "b": "y", "c": "z"})));
        assert!(is_of(&two, &json!({"iss": "xyz-z-z", "a": "xy", "b": "z", "c": "z-z"})));
        assert!(!is_of(&two, &json!({"iss": "xy-z", "a": "x", "b": "z", "c": "y"})));
        let plain = identifier("https://as");
        assert!(is_of(&plain, &json!({"iss": "https://as"})) && !is_of(&plain, &json!({"iss": "https://as/"})));
    }

    #[test]
    fn braces_enclose_the_name_of_a_claim_and_nothing_else() {
        for wrong in ["a{", "a}", "{}", "a{b", "a{b}c}", "a{b{c}}", "}{", "{iss}", "{a}{a}"] {
            assert!(listing(wrong, &json!({})).is_err(), "{wrong}");
        }
        assert!(listing("{a}", &json!({"a": ["x"]})).is_ok());
        assert!(listing("{a}", &json!({"b": ["x"]})).is_err() && listing("a", &json!({"a": ["x"]})).is_err());
        let long = format!("{{a}}{}", "x".repeat(LONGEST_TEMPLATE - 3));
        assert!(listing(&long, &json!({})).is_ok() && listing(&format!("{long}x"), &json!({})).is_err());
        assert!(listing(&"x".repeat(10_000), &json!({})).is_ok());
    }

    /// Every text that a template may be, of claims with at most three of these characters, by trying them all.
    fn all(text: &str, listed: &Value) -> HashSet<String> {
        let mut values = vec![String::new()];
        for _ in 0..3 {
            let longer: Vec<_> =
                values.iter().flat_map(|value| ["a", "b", "-"].map(|more| format!("{value}{more}"))).collect();
            values.extend(longer);
        }
        let mut texts = HashSet::from([text.to_owned()]);
        while let Some(open) = texts.iter().find(|text| text.contains('{')).cloned() {
            texts.remove(&open);
            let (before, rest) = open.split_once('{').unwrap();
            let (claim, behind) = rest.split_once('}').unwrap();
            let own = listed.get(claim).map(|own| serde_json::from_value::<Vec<String>>(own.clone()).unwrap());
            for value in own.as_ref().unwrap_or(&values).iter().filter(|value| !value.is_empty()) {
                texts.insert(format!("{before}{value}{behind}"));
            }
        }
        texts
    }

    /// Whether a template may be a text, by trying every way to divide it.
    fn divides(template: &str, listed: &Value, text: &str) -> bool {
        let Some(rest) = template.strip_prefix('{') else {
            let mut characters = template.chars();
            return match characters.next() {
                None => text.is_empty(),
                Some(next) => text.strip_prefix(next).is_some_and(|text| divides(characters.as_str(), listed, text)),
            };
        };
        let (claim, behind) = rest.split_once('}').unwrap();
        (1..=text.len()).any(|end| {
            let (value, text) = text.split_at(end);
            let is_listed = listed.get(claim).is_none_or(|own| own.as_array().unwrap().contains(&json!(value)));
            is_listed && !value.contains('/') && divides(behind, listed, text)
        })
    }

    #[test]
    fn two_identifiers_meet_where_one_text_may_be_both() {
        let (some, both) = (json!({"x": ["a", "ab"]}), json!({"x": ["a", "ab"], "y": ["-", "b-"]}));
        let templates = [
            ("a/b", json!({})),
            ("a-b", json!({})),
            ("{x}", json!({})),
            ("{x}", some.clone()),
            ("a{x}", json!({})),
            ("{x}b", json!({})),
            ("{x}/b", json!({})),
            ("a/{x}", some.clone()),
            ("{x}a{y}", some),
            ("{x}{y}", both.clone()),
            ("{y}/{x}", both),
            ("a/{x}-{y}", json!({})),
            ("/{x}-{y}/", json!({})),
        ];
        let mut met = 0;
        for (one, of_one) in &templates {
            let (first, texts) = (listing(one, of_one).unwrap(), all(one, of_one));
            for (other, of_other) in &templates {
                let (second, others) = (listing(other, of_other).unwrap(), all(other, of_other));
                let meet = texts.iter().any(|text| divides(other, of_other, text))
                    || others.iter().any(|text| divides(one, of_one, text));
                assert_eq!(first.may_be_also(&second), meet, "{one} {other}");
                met += usize::from(meet);
                for text in &others {
                    assert_eq!(first.may_be(text), divides(one, of_one, text), "{one} {text}");
                }
            }
        }
        assert!(met > 40 && met < 100, "{met}");
    }

    #[test]
    fn many_values_are_compared_by_the_pattern_alone() {
        let values: Vec<_> = (0..=MOST_TEXTS).map(|number| format!("t{number}")).collect();
        let many = listing("https://as/{tid}", &json!({ "tid": values })).unwrap();
        assert_eq!(many.texts(), None);
        // One text is looked for among them, however many there are.
        assert!(many.may_be_also(&identifier("https://as/t7")) && !many.may_be_also(&identifier("https://as/u7")));
        assert!(many.may_be_also(&identifier("https://as/{x}")) && !many.may_be_also(&identifier("https://as/{x}/")));
    }
}
