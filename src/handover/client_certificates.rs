// SPDX-License-Identifier: Apache-2.0

//! Which certificates count as a client's.

use crate::certificate::names::Names;
use crate::certificate::thumbprint::Thumbprint;
use crate::config::secret::Environment;
use crate::handover::proxy_name::{ProxyName, names_of_connection};
use crate::handover::terminator::{Source, Terminated};
use crate::http::connection::Connection;
use crate::http::request::Request;
use crate::outcome::no_certificate::NoCertificate;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
#[cfg(not(target_arch = "wasm32"))]
use crate::text::list::listed;

/// The names in each certificate are compared with them.
pub(crate) const MOST_NOT_A_CLIENT: usize = 32;

/// Where a client's certificate comes from, and which are no client's.
#[derive(Debug, Default)]
pub(crate) struct ClientCertificates {
    source: Option<Box<Source>>,
    not_a_client: Vec<ProxyName>,
}

/// The certificate that counts as the client's.
#[derive(Debug, Default)]
pub(crate) struct Counted<'s> {
    pub(crate) thumbprint: Option<Thumbprint>,
    /// Whose headers are read, if the sender proved to be the terminator.
    pub(crate) terminator: Option<&'s Source>,
    /// What the terminator says of its client.
    pub(crate) terminated: Option<Terminated>,
    /// Why a certificate does not count that is there.
    pub(crate) why_none: Option<NoCertificate>,
}

impl ClientCertificates {
    /// These rules.
    ///
    /// # Errors
    /// The sentence an operator reads.
    pub(crate) fn new(source: Option<Box<Source>>, not_a_client: Vec<ProxyName>) -> Result<Self, String> {
        if not_a_client.len() > MOST_NOT_A_CLIENT {
            return Err(format!("`not_a_client` has {MOST_NOT_A_CLIENT} names at most"));
        }
        if !not_a_client.is_empty() && source.as_ref().is_some_and(|source| source.is_digest()) {
            return Err(
                "`not_a_client` needs the certificate itself: the encoding of client_certificate_source must not be \
                        a digest"
                    .to_owned(),
            );
        }
        Ok(Self { source, not_a_client })
    }

    /// Where the certificate comes from, if not from the connection.
    pub(crate) fn source(&self) -> Option<&Source> {
        self.source.as_deref()
    }

    /// Whether there are names of certificates that are no client's.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn names_others(&self) -> bool {
        !self.not_a_client.is_empty()
    }

    /// Which certificates count, in sentences.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn sentences(&self) -> Vec<String> {
        let mut sentences = self.source().map(Source::sentences).unwrap_or_default();
        if self.names_others() {
            let names: Vec<_> = self.not_a_client.iter().map(ToString::to_string).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            sentences.push(format!("A certificate for {} counts as none.", listed(&names, "or")));
        }
        sentences
    }

    /// Whether every certificate of a connection counts, and no other.
    pub(crate) fn are_the_connections(&self) -> bool {
        self.source.is_none() && self.not_a_client.is_empty()
    }

    /// Takes the secret of the source from the environment.
    pub(crate) fn resolve(&mut self, environment: Environment<'_>) -> Result<(), String> {
        self.source.iter_mut().try_for_each(|source| source.resolve(environment))
    }

    /// The certificate that counts.
    ///
    /// # Errors
    /// Where the host does not say what is needed, or a terminator's header is malformed.
    pub(crate) fn count(&self, request: &Request<'_>, connection: &dyn Connection) -> Result<Counted<'_>, Refusal> {
        let Some(source) = self.source() else { return Ok(self.of_connection(request, connection)?) };
        match source.check_sender(request, connection)? {
            Ok(()) => self.of_terminator(source, request),
            Err(NoCertificate::SenderUnknown) if source.counts_others() => Ok(self.of_connection(request, connection)?),
            Err(why) => Ok(Counted { why_none: Some(why), ..Counted::default() }),
        }
    }

    /// Which certificate counts, as a step of an explanation. `None` where the request is refused before that is known, or nobody
    /// presented one.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn sentence(&self, request: &Request<'_>, connection: &dyn Connection) -> Option<String> {
        let Counted { thumbprint, terminator, why_none, .. } = self.count(request, connection).ok()?;
        Some(match (terminator, thumbprint, why_none) {
            (Some(source), Some(thumbprint), _) => format!(
                "the terminator in front proved to be itself, and names the client's certificate in {}: x5t#S256 {thumbprint}",
                source.header()
            ),
            (Some(source), None, None) => format!(
                "the terminator in front proved to be itself, and has no client's certificate in {}",
                source.header()
            ),
            (_, None, Some(why)) => format!("no client's certificate counts: {}", why.detail()),
            (None, Some(_), _) => "the certificate of the connection counts as the client's".to_owned(),
            (None, None, None) => return None,
        })
    }

    fn of_terminator<'s>(&'s self, source: &'s Source, request: &Request<'_>) -> Result<Counted<'s>, Refusal> {
        let terminator = Some(source);
        let Some(terminated) = source.read(request)? else { return Ok(Counted { terminator, ..Counted::default() }) };
        let thumbprint = terminated.thumbprint;
        // A proxy behind the terminator that forwards a header about it names its certificate, for every client.
        let is_own = request.presented()? == Some(thumbprint);
        let why_none = if is_own {
            Some(NoCertificate::OfTerminator)
        } else {
            let names = terminated.certificate.as_ref().and_then(Names::of);
            self.why_none(&thumbprint, names.as_ref())
        };
        Ok(match why_none {
            None => {
                Counted { thumbprint: Some(thumbprint), terminator, terminated: Some(terminated), ..Counted::default() }
            }
            Some(_) => Counted { terminator, why_none, ..Counted::default() },
        })
    }

    fn of_connection(&self, request: &Request<'_>, connection: &dyn Connection) -> Result<Counted<'_>, Reason> {
        let Some(presented) = request.presented()? else { return Ok(Counted::default()) };
        let names = names_of_connection(&presented, connection)?;
        Ok(match self.why_none(&presented, names.as_ref()) {
            None => Counted { thumbprint: Some(presented), ..Counted::default() },
            why_none => Counted { why_none, ..Counted::default() },
        })
    }

    /// Why this certificate is no client's; `None` if it may be.
    fn why_none(&self, thumbprint: &Thumbprint, names: Option<&Names>) -> Option<NoCertificate> {
        if self.source().is_some_and(|source| source.is_terminators(thumbprint, names)) {
            return Some(NoCertificate::OfTerminator);
        }
        let is_among = |name: &ProxyName| names.is_some_and(|names| name.is_among(names));
        self.not_a_client.iter().any(is_among).then_some(NoCertificate::NotAClient)
    }
}
