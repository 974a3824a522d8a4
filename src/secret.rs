//! Credentials of this proxy: values from the environment of the VM, which are never shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use crate::config;

/// The name of an environment variable with a credential in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
pub struct SecretName(
    #[cfg_attr(not(target_arch = "wasm32"), schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$")))] String,
);

/// The credentials that a configuration names.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<SecretName, String>);

impl TryFrom<String> for SecretName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !name.is_empty() && name.bytes().all(allowed) && !name.starts_with(|first: char| first.is_ascii_digit()) {
            Ok(Self(name))
        } else {
            // Whoever writes the credential itself here must not find it in the log.
            Err("this is no name of an environment variable: letters, digits and '_'; the credential itself is its value".to_owned())
        }
    }
}

impl SecretName {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secrets {
    /// Names alone.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets {
    /// Reads every one of these from the environment.
    ///
    /// # Errors
    /// The sentence an operator reads, where one is not there or empty, or has characters that no header takes.
    pub fn read(
        names: BTreeSet<&SecretName>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, config::Error> {
        let read = |name: &SecretName| {
            let wrong = |what| {
                let name = &name.0;
                config::Error::new(format!(
                    "the environment variable {name} {what}; vm_config.environment_variables.host_env_keys hands it over"
                ))
            };
            match variable(&name.0) {
                None => Err(wrong("is not set")),
                Some(value) if value.is_empty() => Err(wrong("is empty")),
                Some(value) if value.chars().any(char::is_control) => Err(wrong("has a line end or control character")),
                Some(value) => Ok((name.clone(), value)),
            }
        };
        names.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The credential of this name, if it was read.
    pub(crate) fn get(&self, name: &SecretName) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_that_is_not_there_or_cannot_be_sent_is_an_error_and_none_is_shown() {
        let name = SecretName::try_from("AS_SECRET".to_owned()).unwrap();
        let read = |value: Option<&str>| Secrets::read(BTreeSet::from([&name]), |_| value.map(str::to_owned));
        let secrets = read(Some("s3cret")).unwrap();
        assert_eq!(secrets.get(&name), Some("s3cret"));
        assert_eq!(format!("{secrets:?}"), "{SecretName(\"AS_SECRET\")}");
        for (value, what) in [(None, "is not set"), (Some(""), "is empty"), (Some("s3cret\n"), "has a line end")] {
            let error = read(value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the environment variable AS_SECRET {what}")), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        for wrong in ["", "a b", "1A", "s3cret!"] {
            let error = SecretName::try_from(wrong.to_owned()).unwrap_err();
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }
}
