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
        if !(begins && name.len() <= 64 && name.bytes().all(allowed)) {
            // It may be the secret that should stand beside it.
            return Err(
                "this is no name for a header: a letter or digit and then up to 63 letters, digits, '-', '_' and \
                        '.' are"
                    .to_owned(),
            );
        }
        let folded: String = name.bytes().map(folded).map(char::from).collect();
        if RESERVED.contains(&folded.as_str()) || folded.starts_with(ENVOYS) {
            return Err(format!("the header {name} has a meaning of its own, and is neither written nor removed here"));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

/// A byte of a name as servers behind CGI-like interfaces compare them: without case, and `_` and `.` are `-`.
pub(crate) fn folded(byte: u8) -> u8 {
    match byte {
        b'_' | b'.' => b'-',
        other => other.to_ascii_lowercase(),
    }
}

/// Whether two names are one to such a server.
pub(crate) fn are_twins(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().map(folded).eq(other.bytes().map(folded))
}

/// The names of headers that a configuration has of its own, each under every twin.
#[derive(Clone, Debug, Default)]
pub struct OwnNames(Vec<OwnName>);

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

impl OwnNames {
    pub(crate) fn gathered(names: impl IntoIterator<Item = OwnName>) -> Self {
        let mut own = Vec::new();
        for name in names {
            if !own.contains(&name) {
                own.push(name);
            }
        }
        Self(own)
    }

    /// Whether one of them is the name of this header.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|own| own.is(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_under_every_twin_and_with_every_number() {
        let names =
            OwnNames::gathered([OwnName::Exactly("x-my_cert".to_owned()), OwnName::Numbered("my.chain-".to_owned())]);
        for name in ["X-My-Cert", "x_my.cert", "my-chain-0", "MY_CHAIN_17"] {
            assert!(names.has(name), "{name}");
        }
        for name in ["x-my-certs", "my-chain-", "my-chain-1a", "my-chain", "x-my"] {
            assert!(!names.has(name), "{name}");
        }
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
        for name in ["Host", "content_length", "X-Envoy-Original-Path", "authorization", "", ":path", "a b", "-a"] {
            assert!(HeaderName::try_from(name.to_owned()).is_err(), "{name}");
        }
        assert!(HeaderName::try_from("a".repeat(64)).is_ok() && HeaderName::try_from("a".repeat(65)).is_err());
        assert_eq!(HeaderName::try_from("SSL_CLIENT_CERT".to_owned()).unwrap().as_str(), "ssl_client_cert");
    }
}
