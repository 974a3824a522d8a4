// SPDX-License-Identifier: Apache-2.0

//! Changes of a request or a response, and responses of the filter's own.

/// A response of the filter's own that is not a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The response headers besides the status.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The response body.
    pub body: String,
}

/// One change of a request header. It replaces every value of that name or removes them all; there is no way to
/// append, so a client's own value never stands beside ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    name: String,
    value: Option<String>,
}

impl Edit {
    /// Replaces every value of the header by this one.
    #[must_use]
    pub fn set(name: impl Into<String>, value: String) -> Self {
        Self { name: name.into(), value: Some(value) }
    }

    /// Removes every value of the header.
    #[must_use]
    pub fn remove(name: impl Into<String>) -> Self {
        Self { name: name.into(), value: None }
    }

    /// How many bytes it takes, about.
    pub(crate) fn size(&self) -> usize {
        let value = self.value.as_ref().map_or(0, String::len);
        size_of::<Self>().saturating_add(self.name.len()).saturating_add(value)
    }

    /// The header's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value it shall have alone, or `None` where it shall be gone.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
}
