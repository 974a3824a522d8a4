// SPDX-License-Identifier: Apache-2.0

//! A distinguished name as a tool printed it, and as it is registered.

use crate::certificate::pasted_name::PastedName;
use crate::certificate::registered_name::{NameMatching, RegisteredName};

/// The name as a string of RFC 4514.
#[derive(Debug)]
pub struct PrintedName {
    /// The string to register.
    pub rfc4514: String,
    /// Why it may be none that a certificate has.
    pub doubt: Option<&'static str>,
}

impl PrintedName {
    /// Reads the name in whatever syntax a tool prints.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(text: &str) -> Result<Self, String> {
        let rfc4514 = match PastedName::of(text) {
            None => text.trim_start().trim_end_matches(['\r', '\n']).to_owned(),
            Some(PastedName { form, rfc4514 }) if rfc4514.is_empty() => {
                return Err(format!("{form}, and this name breaks off"));
            }
            Some(PastedName { rfc4514, .. }) => rfc4514,
        };
        let registered = RegisteredName::parse(&rfc4514, NameMatching::Rfc4517)?;
        Ok(Self { rfc4514, doubt: registered.doubt() })
    }
}
