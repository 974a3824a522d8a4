// SPDX-License-Identifier: Apache-2.0

//! Names of headers that an operator chooses.

use std::fmt;

use serde::Deserialize;

/// Names whose values decide about the request itself, or about its framing: none of them may be replaced or removed.
/// Folded, as [`folded`] folds.
const RESERVED: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// The beginning of the names that Envoy reserves for itself.
const ENVOYS: &str = "x-envoy-";

/// In bytes.
const LONGEST: usize = 64;

/// The name of a header, in lower case: a letter or digit and then up to 63 letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
pub struct HeaderName(
    #[cfg_attr(not(target_arch = "wasm32"), schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")))] String,
);

impl HeaderName {
    /// The name, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<&'static str> for HeaderName {
    /// A name of a table of ours.
    fn from(name: &'static str) -> Self {
        Self(name.to_owned())
    }
}

impl TryFrom<String> for HeaderName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !(begins && name.len() <= LONGEST && name.bytes().all(allowed)) {
            // It may be the secret that should stand beside it.
            return Err("this is no name for a header: a letter or digit and then up to 63 letters, digits, '-', '_' \
                        and '.' are"
                .to_owned());
        }
        if is_reserved(&name) {
            return Err(format!("the header {name} has a meaning of its own, and is neither written nor removed here"));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

/// A header that is removed: one by its name, or with `*` at its end every one whose name begins so.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "RemovedHeaderText"))]
pub(crate) enum RemovedHeader {
    Exactly(String),
    /// Without the star.
    Beginning(String),
}

/// How the schema has it.
#[cfg(not(target_arch = "wasm32"))]
#[derive(schemars::JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it is there for its schema")]
struct RemovedHeaderText(#[schemars(regex(pattern = r"^[!#$%&'+.^_`|~0-9A-Za-z-]{1,64}\*?$"))] String);

impl TryFrom<String> for RemovedHeader {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let beginning = text.strip_suffix('*');
        let name = beginning.unwrap_or(&text);
        // The star is a character of names itself, which nobody uses: it would be taken for the end of a beginning.
        let allowed = |byte: u8| is_token(byte) && byte != b'*';
        if !((1..=LONGEST).contains(&name.len()) && name.bytes().all(allowed)) {
            return Err("this is no name for a header: 1 to 64 letters, digits and characters of !#$%&'+-.^_`|~ are, \
                        and the beginning of names with '*' behind it"
                .to_owned());
        }
        match beginning {
            None if is_reserved(name) => {
                Err(format!("the header {name} has a meaning of its own, and is not removed here"))
            }
            None => Ok(Self::Exactly(name.to_owned())),
            Some(name) => match reserved_below(name) {
                Some(reserved) => {
                    Err(format!("{text} would remove {reserved}, which has a meaning of its own: name more of it"))
                }
                None => Ok(Self::Beginning(name.to_owned())),
            },
        }
    }
}

fn is_reserved(name: &str) -> bool {
    begins_with(name, ENVOYS) || RESERVED.iter().any(|reserved| are_twins(reserved, name))
}

/// What has a meaning of its own among the headers whose names begin so, if anything has.
fn reserved_below(beginning: &str) -> Option<&'static str> {
    let envoys = (begins_with(beginning, ENVOYS) || begins_with(ENVOYS, beginning)).then_some("x-envoy-*");
    envoys.or_else(|| RESERVED.iter().copied().find(|reserved| begins_with(reserved, beginning)))
}

/// A byte of a name as servers behind CGI-like interfaces compare them: without case, and every character that a name may
/// have and that is no letter or digit (RFC 9110 §5.6.2) is `-`. They put a header into a variable, whose name has letters,
/// digits and `_` alone.
#[expect(clippy::indexing_slicing, reason = "every byte is in the table")]
pub(crate) const fn folded(byte: u8) -> u8 {
    FOLDED[byte as usize]
}

/// A table: some bytes of every header of every request are folded.
#[expect(clippy::indexing_slicing, reason = "it is computed when this is compiled")]
const FOLDED: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = match byte {
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'.' | b'^'..=b'`' | b'|' | b'~' => b'-',
            other => other.to_ascii_lowercase(),
        };
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

/// Whether a name may have this byte in it (RFC 9110 §5.6.2).
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || folded(byte) == b'-'
}

/// Whether two names are one to such a server.
pub(crate) fn are_twins(one: &str, other: &str) -> bool {
    one.len() == other.len() && begins_with(one, other)
}

/// Whether to such a server a name begins so.
fn begins_with(name: &str, beginning: &str) -> bool {
    let name = name.as_bytes().get(..beginning.len());
    name.is_some_and(|name| name.iter().copied().map(folded).eq(beginning.bytes().map(folded)))
}

/// The names of headers that a configuration has of its own, each under every twin.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnNames {
    names: Vec<OwnName>,
    beginnings: Vec<String>,
}

/// A name, or the beginning of names with a number behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnName {
    Exactly(String),
    Numbered(String),
}

impl OwnName {
    pub(crate) fn is(&self, name: &str) -> bool {
        match self {
            Self::Exactly(own) => are_twins(own, name),
            Self::Numbered(prefix) => name.split_at_checked(prefix.len()).is_some_and(|(beginning, number)| {
                are_twins(prefix, beginning) && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
            }),
        }
    }

    /// Whether one header has both names.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exactly(name), any) | (any, Self::Exactly(name)) => any.is(name),
            (Self::Numbered(one), Self::Numbered(two)) => {
                let (short, long) = if one.len() <= two.len() { (one, two) } else { (two, one) };
                long.split_at_checked(short.len()).is_some_and(|(beginning, rest)| {
                    are_twins(short, beginning) && rest.bytes().all(|byte| byte.is_ascii_digit())
                })
            }
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Exactly(name) => name.clone(),
            Self::Numbered(prefix) => format!("{prefix}0"),
        }
    }
}

/// The first of these names that is, or is a twin of, an earlier one.
pub(crate) fn written_twice(names: impl Iterator<Item = OwnName>) -> Option<OwnName> {
    let mut written: Vec<OwnName> = Vec::new();
    for name in names {
        if written.iter().any(|earlier| earlier.meets(&name)) {
            return Some(name);
        }
        written.push(name);
    }
    None
}

impl OwnNames {
    /// Those that it writes or reads, and those that the operator adds.
    pub(crate) fn gathered(names: impl Iterator<Item = OwnName>, added: Vec<RemovedHeader>) -> Self {
        let mut own = Self::default();
        let exactly = added.into_iter().filter_map(|removed| match removed {
            RemovedHeader::Exactly(name) => Some(OwnName::Exactly(name)),
            RemovedHeader::Beginning(beginning) => {
                own.beginnings.push(beginning);
                None
            }
        });
        for name in names.chain(exactly) {
            if !own.names.contains(&name) {
                own.names.push(name);
            }
        }
        own
    }

    /// Whether one of them is the name of this header.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.is(name)) || self.beginnings.iter().any(|own| begins_with(name, own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9110 §5.6.2, but for letters and digits.
    const OTHERS: &str = "!#$%&'*+-.^_`|~";

    fn removed(text: &str) -> Result<RemovedHeader, String> {
        RemovedHeader::try_from(text.to_owned())
    }

    #[test]
    fn every_character_of_a_name_that_is_no_letter_or_digit_is_one() {
        for byte in 0..=u8::MAX {
            let is_other = OTHERS.as_bytes().contains(&byte);
            assert_eq!(folded(byte) == b'-', is_other, "{byte:#x}");
            assert_eq!(is_token(byte), is_other || byte.is_ascii_alphanumeric(), "{byte:#x}");
            if !is_other {
                assert_eq!(folded(byte), byte.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn a_name_is_known_under_every_twin_and_with_every_number() {
        let written = [OwnName::Exactly("x-my_cert".to_owned()), OwnName::Numbered("my.chain-".to_owned())];
        let added = ["X-Corp-Cert-*", "$own"].map(|text| removed(text).unwrap());
        let names = OwnNames::gathered(written.into_iter(), added.into());
        for name in ["X-My-Cert", "x_my.cert", "my-chain-0", "MY_CHAIN_17", "x-corp-cert-", "X_Corp.cert~leaf", "$OWN"]
        {
            assert!(names.has(name), "{name}");
        }
        for other in OTHERS.chars() {
            for name in ["x-my-cert", "my-chain-0", "x-corp-cert-leaf", "-own"] {
                let twin = name.replace('-', &other.to_string());
                assert!(names.has(&twin), "{twin}");
            }
        }
        for name in ["x-my-certs", "my-chain-", "my-chain-1a", "my-chain", "x-my", "x-corp-cert", "own", "x$own", ""] {
            assert!(!names.has(name), "{name}");
        }
    }

    #[test]
    fn what_is_removed_is_a_name_or_the_beginning_of_names() {
        for text in ["$WSCC", "!~a|b", "X-Corp-*", "a", "-", "x-e*", &"a".repeat(64), &format!("{}*", "a".repeat(64))] {
            let is_beginning = matches!(removed(text), Ok(RemovedHeader::Beginning(_)));
            assert_eq!(is_beginning, text.len() > 1 && text.ends_with('*') && text != "x-e*", "{text}");
        }
        for text in
            ["", "*", "a*b", "a**", "a b", "a:b", "a\"", "\u{e9}", &"a".repeat(65), &format!("{}*", "a".repeat(65))]
        {
            let message = removed(text).unwrap_err();
            assert!(message.contains("is no name for a header"), "{message}");
        }
        for (text, reserved) in [
            ("x-*", "x-envoy-*"),
            ("X_Envoy*", "x-envoy-*"),
            ("x-envoy-original-*", "x-envoy-*"),
            ("x!forwarded|*", "x-forwarded-for"),
            ("c*", "connection"),
            ("cookie*", "cookie"),
        ] {
            let message = removed(text).unwrap_err();
            assert_eq!(
                message,
                format!("{text} would remove {reserved}, which has a meaning of its own: name more of it")
            );
        }
        assert!(removed("x-forwarded-client*").is_ok() && removed("cookies*").is_ok());
    }

    #[test]
    fn names_that_one_header_could_have_meet() {
        let (exactly, numbered) =
            (|name: &str| OwnName::Exactly(name.to_owned()), |name: &str| OwnName::Numbered(name.to_owned()));
        assert!(exactly("a-b").meets(&exactly("a_b")));
        assert!(exactly("a-0").meets(&numbered("a-")));
        assert!(numbered("a-").meets(&numbered("a-1")));
        assert!(!numbered("a-").meets(&numbered("a-b")));
        assert!(!exactly("a-b").meets(&numbered("a-")));
    }

    #[test]
    fn headers_with_a_meaning_of_their_own_are_no_names() {
        for name in ["Host", "content_length", "X-Envoy-Original-Path", "authorization", "", ":path", "a b", "-a", "a$"]
        {
            assert!(HeaderName::try_from(name.to_owned()).is_err(), "{name}");
        }
        for name in ["Host", "content~length", "X'Envoy!Original-Path", "x|request|id"] {
            assert!(removed(name).unwrap_err().contains("has a meaning of its own"), "{name}");
        }
        assert!(HeaderName::try_from("a".repeat(64)).is_ok() && HeaderName::try_from("a".repeat(65)).is_err());
        assert_eq!(HeaderName::try_from("SSL_CLIENT_CERT".to_owned()).unwrap().as_str(), "ssl_client_cert");
    }
}
