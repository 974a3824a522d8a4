// SPDX-License-Identifier: Apache-2.0

//! What a policy in front of an API does, in sentences.

use super::forwarding::{ForwardToken, ForwardedClaim};
use super::introspection::Tokens;
use super::issuer::{Issuer, TokenType};
use super::issuer_identifier::IssuerIdentifier;
use super::schemes;
use super::{
    AccessTokenQuery, AtExpiry, CertificateBinding, CertificateValidity, CorsPreflight, ResourceServer, ServerName,
};
use crate::handover::forwarded_certificate::ForwardedCertificate;
use crate::jose::algorithm::Algorithm;
use crate::jose::confirmation::ConfirmationPlace;
use crate::jose::confirmation::Dpop;
use crate::keys::{KeySource, Keys};
use crate::text::https_url::redacted;
use crate::text::list::listed;

/// A sentence lists so many values of a claim, and counts more.
const MOST_VALUES: usize = 5;

impl ResourceServer {
    /// One sentence for each thing that it does.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let mut sentences: Vec<_> = self.issuers.iter().map(Issuer::sentence).collect();
        sentences.extend(self.issuers.iter().filter_map(Issuer::sentence_of_open_claims));
        sentences.extend(self.issuers.iter().filter(|issuer| issuer.takes_tokens_for_clients()).map(|issuer| {
            format!(
                "A token of {} may be for its own client: it passes at every API of this issuer that says so.",
                redacted(issuer.identifier.as_str())
            )
        }));
        sentences.extend(self.client_certificates.sentences());
        let mut say = |sentence: &str| sentences.push(sentence.to_owned());
        let (bearer, mtls_pop) = (self.schemes.bearer, self.schemes.mtls_pop);
        let unbound = schemes::accept_unbound_tokens(self.schemes);
        match self.certificate_binding {
            _ if !unbound => {}
            CertificateBinding::Required => {
                say("A token that is not bound to the certificate of its connection is refused.");
            }
            CertificateBinding::IfPresent => {
                say("A token that is bound to nothing passes; one that is bound is held to its certificate.");
            }
            CertificateBinding::Observe => {
                say("A token passes whatever it is bound to; what `required` would refuse is only noted.");
            }
        }
        match (bearer, mtls_pop) {
            (_, false) => {}
            (true, true) => {
                say("A token passes under the scheme mtls_pop too, but only on the certificate that it is bound to.");
            }
            (false, true) => {
                say(
                    "A token passes under the scheme mtls_pop, on the certificate that it is bound to, and not under Bearer.",
                );
            }
        }
        match self.dpop {
            Dpop::Refuse => {}
            Dpop::VerifiedUpstream => {
                say("A token that is bound to a DPoP key passes under the scheme DPoP: the API must verify the proof.");
                if let Some(algorithms) = &self.dpop_algorithms {
                    let algorithms = listed(&algorithms.names(), "or");
                    say(&format!("Clients are told to sign such proofs with {algorithms}."));
                }
            }
        }
        if !self.authentication.classes.is_empty() {
            let classes: Vec<_> = self.authentication.classes.iter().map(|class| redacted(class.as_str())).collect();
            let classes: Vec<_> = classes.iter().map(|class| &**class).collect();
            say(&format!("A token gets 401 unless its acr is {}.", listed(&classes, "or")));
        }
        if let Some(max_age) = self.authentication.max_age {
            say(&format!("A token gets 401 unless its user was authenticated in the last {} seconds.", max_age.0));
        }
        if !self.required_scopes.is_empty() {
            let scopes: Vec<_> = self.required_scopes.iter().map(|scope| redacted(scope.as_str())).collect();
            let scopes: Vec<_> = scopes.iter().map(|scope| &**scope).collect();
            let claims = self.scope_claims.unusual();
            let claims: Vec<_> = claims.iter().map(|claim| redacted(claim)).collect();
            let claims: Vec<_> = claims.iter().map(|claim| &**claim).collect();
            let places = if claims.is_empty() { String::new() } else { format!(" in {}", listed(&claims, "and")) };
            say(&format!("A token that lacks a scope of {}{places} gets 403.", listed(&scopes, "and")));
        }
        match self.access_token_query {
            AccessTokenQuery::Refuse => {}
            AccessTokenQuery::Ignore => {
                say("A parameter access_token in the query is the API's own, and not looked at.")
            }
        }
        match self.cors_preflight {
            CorsPreflight::Refuse => {}
            CorsPreflight::Forward => say("A CORS preflight passes without a token."),
        }
        if let Some(metadata) = &self.metadata {
            say(&format!("Anybody may read the metadata of the API at {}, which challenges name.", metadata.url()));
        }
        if !self.forward_claims.is_empty() {
            let claims: Vec<_> = self.forward_claims.iter().map(ForwardedClaim::sentence).collect();
            let claims: Vec<_> = claims.iter().map(String::as_str).collect();
            say(&format!(
                "The API gets of the token {}; a value that cannot be written so is refused.",
                listed(&claims, "and")
            ));
        }
        if let Some(header) = &self.forward_thumbprint {
            say(&format!("The API gets the x5t#S256 of the client's certificate in {}.", header.name()));
        }
        self.forwarded.forms_sentence("The API").iter().for_each(|sentence| say(sentence));
        if self.needs_chain() {
            say(&ForwardedCertificate::chain_sentence());
        }
        self.forwarded.facts_sentence().iter().for_each(|sentence| say(sentence));
        self.forwarded.secret_sentences().for_each(|sentence| say(&sentence));
        match self.forward_token {
            ForwardToken::Keep => {}
            ForwardToken::Remove => say("The API does not get the token: Authorization is removed."),
        }
        match self.at_expiry {
            AtExpiry::Count => {}
            AtExpiry::End => say("A request that is in flight when its token expires is ended."),
        }
        match self.server_name {
            ServerName::Any => {}
            ServerName::MustMatch => say("The TLS server name must be the host of the request; otherwise it gets 421."),
        }
        match self.certificate_validity {
            CertificateValidity::NotChecked => {}
            CertificateValidity::Checked => say("A certificate whose dates are over, or have not begun, is refused."),
        }
        match self.revoked_certificates.0.len() {
            0 => {}
            1 => say("One certificate is refused whatever a token says."),
            count => say(&format!("{count} certificates are refused whatever a token says.")),
        }
        sentences
    }

    /// Whether it hands over a chain that it must get from Envoy.
    fn needs_chain(&self) -> bool {
        self.forwarded.has_chain() && self.source().is_none()
    }

    /// Whether it asks for the server name of the TLS handshake.
    pub(crate) fn needs_server_name(&self) -> bool {
        self.server_name == ServerName::MustMatch
    }

    /// Whether it lists certificates that are refused.
    pub(crate) fn revokes_certificates(&self) -> bool {
        !self.revoked_certificates.0.is_empty()
    }

    /// Whether it checks the dates of the certificate.
    pub(crate) fn checks_dates(&self) -> bool {
        self.certificate_validity == CertificateValidity::Checked
    }

    /// Whether it bounds the lifetime of some issuer's tokens.
    pub(crate) fn bounds_lifetimes(&self) -> bool {
        self.issuers.iter().any(|issuer| issuer.max_lifetime.is_some())
    }

    /// Whether tokens must have a scope.
    pub(crate) fn requires_scopes(&self) -> bool {
        !self.required_scopes.is_empty()
    }

    /// Whether the user must have been authenticated in some way, or not too long ago.
    pub(crate) fn requires_authentication(&self) -> bool {
        !self.authentication.is_none()
    }

    /// The issuers whose ID tokens may be taken for access tokens, each with an audience that may be a client id. If a token
    /// does not say what it is, only the audience distinguishes the two.
    pub(crate) fn audiences_of_clients(&self) -> impl Iterator<Item = (&str, &str)> {
        let takes_unbound = self.certificate_binding != CertificateBinding::Required
            && schemes::accept_unbound_tokens(self.schemes)
            && !self.requires_scopes();
        let issuers = self.issuers.iter().filter(move |issuer| takes_unbound && issuer.token_type == TokenType::AnyJwt);
        // RFC 7519 §2: a name with a colon is a URI, so it is hardly a client id.
        issuers.filter_map(|issuer| {
            let audience = issuer.audiences.iter().find(|audience| !audience.contains(':'))?;
            Some((issuer.identifier(), audience.as_str()))
        })
    }

    /// The issuers whose keys are fetched, each with its source.
    pub(crate) fn fetching(&self) -> impl Iterator<Item = (&str, &KeySource)> {
        self.issuers.iter().filter_map(|issuer| Some((issuer.identifier(), issuer.key_source()?)))
    }

    /// The issuers whose tokens another filter verifies, each with the name of the payload in the metadata.
    pub(crate) fn verified_before(&self) -> impl Iterator<Item = (&IssuerIdentifier, &str)> {
        self.issuers.iter().filter_map(|issuer| Some((&issuer.identifier, issuer.payload_in_metadata()?)))
    }
}

impl Issuer {
    fn sentence(&self) -> String {
        let audiences: Vec<_> = self.audiences.iter().map(|audience| redacted(audience)).collect();
        let audiences: Vec<_> = audiences.iter().map(|audience| &**audience).collect();
        let kind = match self.token_type {
            TokenType::AnyJwt => "A request needs an access token",
            TokenType::AccessToken => "A request needs an access token of the type at+jwt",
        };
        let algorithms: Vec<_> = self.algorithms.iter().map(|algorithm| algorithm.name()).collect();
        let algorithms = match algorithms.len() == Algorithm::ALL.len() {
            true => "any asymmetric algorithm".to_owned(),
            false => listed(&algorithms, "or"),
        };
        let keys = match &self.keys {
            Keys::Inline(keys) => {
                let left_out = match keys.left_out() {
                    left_out if left_out.has_faults() => format!(" (left out: {left_out})"),
                    _ => String::new(),
                };
                match keys.count() {
                    1 => format!("signed with {algorithms} by the one key of this configuration{left_out}"),
                    count => {
                        format!("signed with {algorithms} by one of the {count} keys of this configuration{left_out}")
                    }
                }
            }
            Keys::Fetched(source) => format!("signed with {algorithms} by a key from {}", source.place()),
            Keys::VerifiedBefore(name) => {
                format!("verified by jwt_authn, which leaves its payload in the metadata under {:?}", redacted(name))
            }
            Keys::None => String::new(),
        };
        let how = match self.introspection.as_deref() {
            None => keys,
            Some(source) => {
                let place = source.place();
                let authenticated = source.authentication();
                match source.tokens() {
                    Tokens::Opaque => {
                        format!("{keys}, or active as {place} says where it is no JWT, asked {authenticated}")
                    }
                    Tokens::All => format!("active as {place} says, asked {authenticated}"),
                }
            }
        };
        let lifetime = match self.max_lifetime {
            None => String::new(),
            Some(longest) => format!(", that lives {} seconds at most", longest.0),
        };
        let place = match self.confirmation {
            ConfirmationPlace::Cnf => "cnf",
            ConfirmationPlace::TopLevel => "cnf or beside the other claims",
        };
        format!(
            "{kind} from {}{} for {}, {how}{lifetime}; it says in {place} what it is bound to.",
            redacted(self.identifier()),
            self.listed_claims(),
            listed(&audiences, "or")
        )
    }

    /// The claims of its identifier for which values are listed.
    fn listed_claims(&self) -> String {
        let listed = self.identifier.values().filter_map(|(claim, values)| match values?.as_slice() {
            values if values.len() > MOST_VALUES => Some(format!("{claim} is one of {} that are listed", values.len())),
            values => Some(format!("{claim} is {}", listed(values, "or"))),
        });
        let listed: Vec<_> = listed.collect();
        if listed.is_empty() { String::new() } else { format!(", where {},", listed.join(" and ")) }
    }

    /// What is to be said of the other claims of its identifier.
    fn sentence_of_open_claims(&self) -> Option<String> {
        let open = self.identifier.values().filter(|(_, values)| values.is_none()).map(|(claim, _)| redacted(claim));
        let open: Vec<_> = open.collect();
        let open: Vec<_> = open.iter().map(|claim| &**claim).collect();
        let identifier = redacted(self.identifier());
        (!open.is_empty()).then(|| {
            format!(
                "The {} of {identifier} may be any: every tenant of that server issues tokens for this API, unless \
                 `issuer_claims` lists those that do.",
                listed(&open, "and")
            )
        })
    }
}
