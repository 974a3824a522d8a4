//! What a request's judgement comes to next.

use crate::authorization_server::{AskCertificate, AskValidation};
use crate::refusal::Refusal;
use crate::resource_server::keys::{KeySource, Wish};

/// The next step of one request: its end, or one question that only the host can answer.
#[derive(Debug)]
pub enum Step<'p> {
    /// Send the request on, after these edits in this order.
    Forward(Vec<Edit>),
    /// Answer the request with this refusal; nothing of it reaches the upstream.
    Refuse(Refusal),
    /// Ask the host whether the client's certificate chain was validated, then [`AskValidation::answer`].
    AskValidation(AskValidation<'p>),
    /// Ask the host for the client's certificate, then [`AskCertificate::answer`].
    AskCertificate(AskCertificate<'p>),
    /// Have newer keys fetched and judge the request again, or refuse it.
    AskKeys(AskKeys),
}

/// The question for keys of an issuer that are newer than those which the judgement was given.
#[derive(Debug)]
pub struct AskKeys {
    pub(crate) source: KeySource,
    pub(crate) wish: Wish,
    pub(crate) refusal: Refusal,
}

impl AskKeys {
    /// Where the keys come from.
    #[must_use]
    pub fn source(&self) -> &KeySource {
        &self.source
    }

    /// Why they are wanted.
    #[must_use]
    pub fn wish(&self) -> Wish {
        self.wish
    }

    /// What the request comes to where there are no newer keys, or these do not help either.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        self.refusal
    }
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
