//! Why the judgement of a request to an API stops before it goes on.

use super::introspection::Inquiry;
use super::issuer::Issuer;
use crate::http::edit::Served;
use crate::keys::{FetchReason, KeySource};
use crate::outcome::refusal::Refusal;

/// Why it stops.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is refused.
    Refused(Refusal),
    /// The client gets this document.
    Serve(Served),
    /// The issuer's keys are not here, or not the one that the token names; the refusal is what it comes to if no newer
    /// ones can be had. It is judged again with these.
    NeedsKeys(Box<KeySource>, FetchReason, Refusal),
    /// The issuer must say what the token is good for; the refusal is what it comes to if it does not. It is judged again with
    /// what came of it.
    NeedsIntrospection(Inquiry, Refusal),
}

impl Stop {
    pub(super) fn needs_keys(source: &KeySource, why: FetchReason, refusal: Refusal) -> Self {
        Self::NeedsKeys(Box::new(source.clone()), why, refusal)
    }

    /// What it comes to that no key made which the issuer is known to have. The right one may be new, unless the token names one
    /// of those. Whoever makes up such tokens causes one fetch in a cool-down.
    pub(super) fn by_keys_of(issuer: &Issuer, is_named: bool, refusal: Refusal) -> Self {
        match issuer.key_source().filter(|_| !is_named) {
            Some(source) => Self::needs_keys(source, FetchReason::UnknownKey, refusal),
            None => Self::Refused(refusal),
        }
    }

    /// What it comes to, if nothing is waited for.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) | Self::NeedsKeys(_, _, refusal) | Self::NeedsIntrospection(_, refusal) => {
                Some(refusal)
            }
            Self::Serve(_) => None,
        }
    }

    /// The same with a refusal that says more.
    pub(super) fn map(self, more: impl FnOnce(Refusal) -> Refusal) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(more(refusal)),
            Self::Serve(served) => Self::Serve(served),
            Self::NeedsKeys(source, why, refusal) => Self::NeedsKeys(source, why, more(refusal)),
            Self::NeedsIntrospection(inquiry, refusal) => Self::NeedsIntrospection(inquiry, more(refusal)),
        }
    }
}

impl<T: Into<Refusal>> From<T> for Stop {
    fn from(refusal: T) -> Self {
        Self::Refused(refusal.into())
    }
}
