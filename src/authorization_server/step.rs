//! What the judgement of a request to an authorization server comes to next.

use super::{Answering, AskBody, AskClientKeys};
use crate::keys::AskKeys;
use crate::outcome::forward::Forward;
use crate::outcome::refusal::Refusal;

/// The next step of a request to an authorization server.
#[derive(Debug)]
pub enum Step {
    /// Send the request on, and do this with the response.
    Forward(Forward, Option<Answering>),
    /// Refuse it.
    Refuse(Refusal),
    /// Have its body come in.
    AskBody(Box<AskBody>),
    /// Have newer keys of its client fetched, and go on there.
    AskKeys(AskKeys, Box<AskClientKeys>),
}
