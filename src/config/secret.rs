// SPDX-License-Identifier: Apache-2.0

//! The operator's secrets. They stand in environment variables of the proxy's VM and never in a configuration, which the
//! proxy's admin interface shows.

use std::fmt;

use serde::Deserialize;

/// The longest secret: no header of a request is longer.
const LONGEST: usize = 4096;

/// A secret, by the name of its variable.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub struct Secret {
    variable: String,
    value: String,
}

/// A secret of the operator's, in an environment variable of the VM: Envoy hands over those that `host_env_keys` names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Secret")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
struct Fields {
    /// The variable's name.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")))]
    environment: String,
}

impl TryFrom<Fields> for Secret {
    type Error = String;

    fn try_from(Fields { environment: variable }: Fields) -> Result<Self, String> {
        let begins = variable.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if begins && variable.len() <= 128 && variable.bytes().all(allowed) {
            // `resolve` reads it.
            Ok(Self { variable, value: String::new() })
        } else {
            // The text may be the secret itself.
            Err("this is no name of an environment variable; the secret itself has no place here".to_owned())
        }
    }
}

impl Secret {
    /// Takes the value from the environment.
    pub(crate) fn resolve(&mut self, environment: Environment<'_>) -> Result<(), String> {
        let Self { variable, value } = self;
        *value = match environment {
            Environment::Variables(read) => read(variable).unwrap_or_default(),
            #[cfg(not(target_arch = "wasm32"))]
            Environment::Desk => format!("(the value of {variable})"),
        };
        match value.as_str() {
            "" => Err(not_set(variable)),
            text if text.len() > LONGEST || text.trim_ascii() != text => Err(format!(
                "the environment variable {variable} has more than {LONGEST} characters, or white space at an end"
            )),
            text if text.bytes().any(|byte| !matches!(byte, b' '..=b'~')) => {
                Err(format!("the environment variable {variable} has characters that no header has"))
            }
            _ => Ok(()),
        }
    }

    /// Takes a private key from the environment. It may have several lines, and its text is not kept. A desk has none.
    pub(crate) fn resolve_key<K>(
        &self,
        environment: Environment<'_>,
        read: impl FnOnce(&str) -> Result<K, &'static str>,
    ) -> Result<Option<K>, String> {
        let variable = &self.variable;
        let text = match environment {
            Environment::Variables(read) => read(variable).unwrap_or_default(),
            #[cfg(not(target_arch = "wasm32"))]
            Environment::Desk => return Ok(None),
        };
        if text.is_empty() {
            return Err(not_set(variable));
        }
        if text.len() > LONGEST {
            return Err(format!("the environment variable {variable} has more than {LONGEST} characters"));
        }
        read(&text).map(Some).map_err(|what| format!("the environment variable {variable} {what}"))
    }

    /// The secret.
    pub(crate) fn value(&self) -> &str {
        &self.value
    }

    /// The name of its variable.
    #[must_use]
    pub fn variable(&self) -> &str {
        &self.variable
    }
}

fn not_set(variable: &str) -> String {
    format!(
        "the environment variable {variable} is not set, or empty: vm_config.environment_variables.host_env_keys names those \
         that the proxy hands over"
    )
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({})", self.variable)
    }
}

/// Where secrets come from when a configuration is loaded.
#[derive(Clone, Copy)]
pub enum Environment<'a> {
    /// The variables that the host hands over.
    Variables(&'a dyn Fn(&str) -> Option<String>),
    /// A desk, where no secret is needed and none is read.
    #[cfg(not(target_arch = "wasm32"))]
    Desk,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(value: Option<&str>) -> Result<Secret, String> {
        let mut secret = Secret { variable: "KEY".to_owned(), value: String::new() };
        secret.resolve(Environment::Variables(&|_| value.map(str::to_owned))).map(|()| secret)
    }

    #[test]
    fn a_key_may_have_lines_and_what_is_wrong_with_it_does_not_repeat_it() {
        let secret = Secret { variable: "KEY".to_owned(), value: String::new() };
        let resolved = |value: Option<&str>, read: fn(&str) -> Result<usize, &'static str>| {
            secret.resolve_key(Environment::Variables(&|_| value.map(str::to_owned)), read)
        };
        assert_eq!(resolved(Some("a\nb"), |text| Ok(text.len())), Ok(Some(3)));
        assert_eq!(secret.resolve_key(Environment::Desk, |text| Ok(text.len())), Ok(None));
        let long = "x".repeat(4097);
        for value in [None, Some(""), Some("0p3n s3same"), Some(long.as_str())] {
            let message = resolved(value, |_| Err("is no key")).unwrap_err();
            assert!(message.starts_with("the environment variable KEY ") && !message.contains("0p3n"), "{message}");
        }
    }

    #[test]
    fn a_secret_must_be_fit_for_a_header_and_is_never_shown() {
        assert_eq!(format!("{:?}", resolved(Some("0p3n s3same")).unwrap()), "Secret(KEY)");
        let long = "x".repeat(4097);
        for value in [None, Some(""), Some(" x"), Some("x\n"), Some("x\r\ny"), Some("Zo\u{eb}"), Some(long.as_str())] {
            let message = resolved(value).unwrap_err();
            assert!(message.starts_with("the environment variable KEY ") && !message.contains("Zo"), "{message}");
        }
    }
}
