// SPDX-License-Identifier: Apache-2.0

//! The events that are written to the proxy's log, with their levels and lines.

use std::fmt;
use std::panic::Location;

use crate::certificate::thumbprint::Thumbprint;
use crate::config;
use crate::jose::left_out::LeftOut;
use crate::outcome::identity::Identity;
use crate::outcome::refused::Refused;
use crate::outcome::server_response::Finding;
use crate::reason::{Fault, Reason};
use crate::text::quoted::Quoted;

/// An event for the log.
#[derive(Debug)]
pub enum Event<'a> {
    /// A configuration was loaded: the number of its policies, and what chooses among them.
    Started(usize, &'a str),
    /// A configuration was refused.
    ConfigurationRefused(&'a config::Error),
    /// A request was refused.
    Refused(&'a Refused, Circumstances<'a>),
    /// A request was forwarded because its policy only observes, and would have been refused.
    WouldHaveRefused(&'a Refused, Circumstances<'a>),
    /// Keys could not be fetched: from where, and why.
    KeysNotFetched(String, &'a str),
    /// A fetched key set has keys that cannot be used: from where, and which.
    KeysLeftOut(String, &'a LeftOut),
    /// An issued access token is not bound to the certificate of its request, under the policy of this name.
    TokenNotBound(&'a str, &'a Finding),
    /// Requests were refused, or observed, without a line of their own.
    RefusalsNotLogged(&'a NotLogged),
    /// The filter has a defect and stops: the place in its source, and the message.
    Panicked(Option<&'a Location<'a>>, Option<&'a str>),
}

/// How much an event matters. Envoy writes `info` and above unless told otherwise, Istio `warning` and above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A client has to act.
    Info,
    /// The operator has to act: the proxy cannot do what its policy says.
    Warn,
    /// The proxy does not start, or keeps its former configuration; or the filter stops in one worker until the host has made a
    /// new VM.
    Error,
}

/// What the host knows about a request. The bytes are not trusted.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The name of the route, if it has one.
    pub route: Option<&'a [u8]>,
    /// `X-Request-Id`.
    pub request_id: Option<&'a [u8]>,
}

/// The number of refusals of one policy and reason, including observed ones, that got no line of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotLogged {
    /// The policy's name; empty where none governs.
    pub policy: String,
    /// Why they were refused.
    pub reason: Reason,
    /// How many.
    pub count: u64,
}

impl Event<'_> {
    /// The level at which it is written.
    #[must_use]
    pub fn level(&self) -> Level {
        let of = |reason: Reason| match reason.fault() {
            Fault::Operator | Fault::Later => Level::Warn,
            Fault::Challenge
            | Fault::Client(_)
            | Fault::Unknown
            | Fault::Misdirected
            | Fault::TooEarly
            | Fault::TooLarge => Level::Info,
        };
        match self {
            Self::Started(..) => Level::Info,
            Self::ConfigurationRefused(_) | Self::Panicked(..) => Level::Error,
            Self::KeysNotFetched(..) | Self::KeysLeftOut(..) | Self::TokenNotBound(..) => Level::Warn,
            Self::Refused(refusal, _) | Self::WouldHaveRefused(refusal, _) => of(refusal.reason()),
            Self::RefusalsNotLogged(not_logged) => of(not_logged.reason),
        }
    }
}

impl fmt::Display for Event<'_> {
    /// One line of ASCII. Untrusted text in it is quoted, escaped and cut.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(count, choice) => {
                write!(formatter, "started: certbound {}, policies={count}{choice}", env!("CARGO_PKG_VERSION"))
            }
            Self::ConfigurationRefused(error) => write!(formatter, "the configuration is refused: {error}"),
            Self::KeysNotFetched(source, why) => write!(formatter, "keys not fetched: {source}: {why}"),
            Self::KeysLeftOut(source, keys) => write!(formatter, "keys left out: {source}: {keys}"),
            Self::Refused(refusal, circumstances) => refused(formatter, refusal, circumstances),
            Self::WouldHaveRefused(refusal, circumstances) => {
                formatter.write_str("would have ")?;
                refused(formatter, refusal, circumstances)
            }
            Self::TokenNotBound(policy, Finding { reason, is_withheld, presented, expected, detail, identity }) => {
                let what = if *is_withheld { "withheld" } else { "passed" };
                write!(formatter, "issued token not bound: {what} reason={reason} policy={policy}")?;
                write!(formatter, " presented={} expected={}", thumbprint(*presented), thumbprint(*expected))?;
                who(formatter, identity.as_deref())?;
                write!(formatter, " detail={}", OrDash(Some(detail)))
            }
            Self::RefusalsNotLogged(NotLogged { policy, reason, count }) => {
                write!(formatter, "refusals not logged: reason={reason} policy={} count={count}", or_dash(policy))
            }
            Self::Panicked(place, message) => {
                let place = place.map(ToString::to_string).unwrap_or_default();
                write!(formatter, "panicked: {place}: {}", message.unwrap_or("-"))
            }
        }
    }
}

fn refused(formatter: &mut fmt::Formatter<'_>, refusal: &Refused, circumstances: &Circumstances<'_>) -> fmt::Result {
    write!(formatter, "refused: reason={} policy={}", refusal.reason(), or_dash(refusal.policy()))?;
    let identity = refusal.identity();
    let route = circumstances.route.map(String::from_utf8_lossy);
    let request_id = circumstances.request_id.map(String::from_utf8_lossy);
    write!(formatter, " route={}", OrDash(route.as_deref()))?;
    write!(formatter, " presented={}", thumbprint(refusal.presented()))?;
    write!(formatter, " expected={}", thumbprint(refusal.expected()))?;
    who(formatter, identity.map(AsRef::as_ref))?;
    write!(formatter, " request_id={}", OrDash(request_id.as_deref()))?;
    write!(formatter, " detail={}", OrDash(refusal.detail()))
}

/// Whom a token names.
fn who(formatter: &mut fmt::Formatter<'_>, identity: Option<&Identity>) -> fmt::Result {
    write!(formatter, " client_id={}", OrDash(identity.and_then(Identity::client)))?;
    write!(formatter, " subject={}", OrDash(identity.and_then(Identity::subject)))?;
    write!(formatter, " issuer={}", OrDash(identity.and_then(Identity::issuer)))
}

fn thumbprint(thumbprint: Option<Thumbprint>) -> String {
    thumbprint.map_or_else(|| "-".to_owned(), |own| own.to_string())
}

/// The name of a policy, which needs no quotes, or a dash.
fn or_dash(policy: &str) -> &str {
    if policy.is_empty() { "-" } else { policy }
}

/// A quoted text, or a dash without quotes if there is none.
struct OrDash<'a>(Option<&'a str>);

impl fmt::Display for OrDash<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.filter(|text| !text.is_empty()) {
            Some(text) => Quoted(text).fmt(formatter),
            None => formatter.write_str("-"),
        }
    }
}
