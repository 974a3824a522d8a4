//! What the judgement of a request to an API comes to next.

use super::introspection::AskIntrospection;
use crate::http::edit::Served;
use crate::keys::AskKeys;
use crate::outcome::decision::Decision;
use crate::outcome::forward::Forward;
use crate::outcome::refusal::Refusal;

/// The next step of a request to an API.
#[derive(Debug)]
pub enum Step {
    /// Send the request on.
    Forward(Forward),
    /// Refuse it.
    Refuse(Refusal),
    /// Answer it with this document.
    Serve(Served, Decision),
    /// Have newer keys fetched and judge it again.
    AskKeys(AskKeys),
    /// Ask the token's issuer and judge it again.
    AskIntrospection(AskIntrospection),
}
