//! What a request's judgement comes to next.

use crate::authorization_server::{self, Answering, AskBody, AskClientKeys, AskValidation};
use crate::handover::handed::HandedOver;
use crate::handover::terminator::AskTerminator;
use crate::http::edit::{Edit, Served};
use crate::keys::{KeySource, Wish};
use crate::outcome::decision::Decision;
use crate::outcome::refusal::Refusal;
use crate::resource_server::introspection::Inquiry;
use crate::resource_server::judgement::{AskServerName, AskValidity};

/// The next step of one request: its end, or one question that only the host can answer.
#[derive(Debug)]
pub enum Step<'p> {
    /// Send the request on.
    Forward {
        /// After these edits, in this order.
        edits: Vec<Edit>,
        /// To be told.
        decision: Decision,
        /// What is to be done with the answer to it, if anything.
        answering: Option<Answering>,
    },
    /// Answer the request with this refusal; nothing of it reaches the upstream.
    Refuse(Refusal),
    /// Answer the request with this document, and the status 200; nothing of it reaches the upstream.
    Serve {
        /// The answer.
        served: Served,
        /// To be told.
        decision: Decision,
    },
    /// Ask the host whether the client's certificate chain was validated, then [`AskValidation::answer`].
    AskValidation(AskValidation<'p>),
    /// Ask the host for the client's certificate, then [`AskCertificate::answer`].
    AskCertificate(AskCertificate<'p>),
    /// Have the request's body come in up to its limit, then [`AskBody::answer`]. Nothing of the body goes on before that.
    AskBody(Box<AskBody>),
    /// Look among the keys that are known, then [`AskClientKeys::answer`].
    AskClientKeys(Box<AskClientKeys>),
    /// Have newer keys fetched and judge the request again, or refuse it.
    AskKeys(AskKeys),
    /// Ask the token's issuer and judge the request again with what came of it.
    AskIntrospection(AskIntrospection),
    /// Ask the host for the server name of the TLS handshake, then [`AskServerName::answer`].
    AskServerName(AskServerName<'p>),
    /// Ask the host for the certificate of the connection, which may be that of a terminator in front, then
    /// [`AskTerminator::answer`].
    AskTerminator(AskTerminator<'p>),
}

/// The question for keys of an issuer that are newer than those which the judgement was given.
#[derive(Debug)]
pub struct AskKeys {
    pub(crate) source: KeySource,
    pub(crate) wish: Wish,
    pub(crate) refusal: Refusal,
    /// The judgement that waits for them, where it is further than its request's headers.
    pub(crate) client: Option<Box<AskClientKeys>>,
}

impl AskKeys {
    /// What to ask again with newer keys in place of judging the request anew, if anything. It is handed over once.
    pub fn take_client(&mut self) -> Option<Box<AskClientKeys>> {
        self.client.take()
    }

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

    /// The name of the policy that asks.
    #[must_use]
    pub fn policy(&self) -> &str {
        self.refusal.policy()
    }

    /// What the request comes to where there are no newer keys, or these do not help either.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        self.refusal
    }
}

/// The question what a token is good for.
#[derive(Debug)]
pub struct AskIntrospection {
    pub(crate) inquiry: Inquiry,
    pub(crate) refusal: Refusal,
}

impl AskIntrospection {
    /// The question itself: two requests with one token ask the same.
    #[must_use]
    pub fn inquiry(&self) -> &Inquiry {
        &self.inquiry
    }

    /// The name of the policy that asks.
    #[must_use]
    pub fn policy(&self) -> &str {
        self.refusal.policy()
    }

    /// What the request comes to where there is no answer.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        self.refusal
    }
}

/// The question for the client's certificate.
#[derive(Debug)]
pub struct AskCertificate<'p>(Asking<'p>);

#[derive(Debug)]
enum Asking<'p> {
    ToForward(Box<authorization_server::AskCertificate<'p>>),
    ToCheck(Box<AskValidity<'p>>),
}

impl<'p> AskCertificate<'p> {
    /// Goes on with the host's answer: PEM, or `None` where the host does not hand over certificates.
    #[must_use]
    pub fn answer(self, pem: Option<&[u8]>, handed_over: &mut HandedOver) -> Step<'p> {
        match self.0 {
            Asking::ToForward(question) => question.answer(pem, handed_over),
            Asking::ToCheck(question) => question.answer(pem),
        }
    }
}

impl<'p> From<Box<authorization_server::AskCertificate<'p>>> for Step<'p> {
    fn from(question: Box<authorization_server::AskCertificate<'p>>) -> Self {
        Self::AskCertificate(AskCertificate(Asking::ToForward(question)))
    }
}

impl<'p> From<AskValidity<'p>> for Step<'p> {
    fn from(question: AskValidity<'p>) -> Self {
        Self::AskCertificate(AskCertificate(Asking::ToCheck(Box::new(question))))
    }
}
