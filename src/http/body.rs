// SPDX-License-Identifier: Apache-2.0

//! The body of a message, where it is judged as a whole or not at all.

/// Why a body cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is larger than what is read.
    TooLarge,
    /// The proxy did not give all of it.
    NotGiven,
}

/// What the operator is told of a body that the proxy did not give.
pub(crate) const NOT_GIVEN: &str = "the proxy did not give the whole body";

/// A body of at most so many bytes.
///
/// # Errors
/// The same, and [`Unread::TooLarge`].
pub(crate) fn within(body: Result<&[u8], Unread>, largest: usize) -> Result<&[u8], Unread> {
    body.and_then(|body| if body.len() <= largest { Ok(body) } else { Err(Unread::TooLarge) })
}
