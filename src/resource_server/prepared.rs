// SPDX-License-Identifier: Apache-2.0

//! A verified token, prepared for one policy: what depends only on the token and the policy is computed once, not for each
//! request.

use std::rc::Rc;
use std::time::Duration;

use super::access_token::{AccessToken, Proof};
use super::claims::Claims;
use super::forwarding::{self, ForwardedClaim};
use super::issuer::Issuer;
use super::scope::{Scope, ScopeClaims, check_scopes};
use super::token_kind::Stand;
use super::user_authentication::{RequiredAuthentication, UserAuthentication};
use crate::http::edit::Edit;
use crate::jose::algorithm::Algorithm;
use crate::jose::confirmation::Dpop;
use crate::outcome::decision::line_of_bound;
use crate::outcome::identity::Identity;
use crate::outcome::refusal::Refusal;
use crate::time::UnixTime;

/// What a policy requires of a token and forwards of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'p> {
    /// Its name.
    pub(super) policy: &'p str,
    pub(super) dpop: Dpop,
    pub(super) authentication: &'p RequiredAuthentication,
    pub(super) required_scopes: &'p [Scope],
    pub(super) scope_claims: &'p ScopeClaims,
    pub(super) forwarded_claims: &'p [ForwardedClaim],
}

/// A verified token, prepared for one policy.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) access_token: AccessToken,
    /// How its user was authenticated.
    authentication: Result<UserAuthentication, Refusal>,
    /// Whether it has the scopes that the policy requires.
    scope: Result<(), Refusal>,
    /// The headers that the API gets, with claims of this token.
    forwarded: Result<Vec<Edit>, Refusal>,
    /// The access-log line of a request that is forwarded because this token is bound to its certificate. It is the same for
    /// every such request.
    line_of_bound: Option<Rc<str>>,
}

impl Prepared {
    /// The token with these claims, which `proof` verifies, prepared for the policy of `expected`.
    ///
    /// # Errors
    /// As [`AccessToken::of`].
    pub(super) fn of(
        claims: &Claims<'_>,
        issuer: (usize, &Issuer),
        expected: Expected<'_>,
        proof: Proof,
        form: (Stand<'_>, Option<Algorithm>),
    ) -> Result<Self, Refusal> {
        let payload = claims.payload;
        let access_token = AccessToken::of(claims, issuer, expected.dpop, proof, form)?;
        let bound_to = access_token.confirmation().ok().and_then(|confirmation| confirmation.certificate);
        let line = |certificate| line_of_bound(expected.policy, certificate, access_token.identity()).into();
        Ok(Self {
            authentication: expected.authentication.read(payload),
            scope: check_scopes(expected.required_scopes, expected.scope_claims, payload),
            forwarded: forwarding::headers(expected.forwarded_claims, expected.scope_claims, payload),
            line_of_bound: bound_to.map(line),
            access_token,
        })
    }

    /// Judges how its user was authenticated, at this time.
    pub(super) fn check_authentication(
        &self,
        required: &RequiredAuthentication,
        leeway: Duration,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        required.judge(self.authentication.as_ref().map_err(Clone::clone)?, leeway, now)
    }

    /// Whether it has the scopes that the policy requires.
    pub(super) fn check_scopes(&self) -> Result<(), Refusal> {
        self.scope.clone()
    }

    /// The headers that the API gets, with claims of this token.
    pub(super) fn forwarded(&self) -> Result<&[Edit], Refusal> {
        self.forwarded.as_deref().map_err(Clone::clone)
    }

    /// The access-log line of a request that is forwarded because this token is bound to its certificate; `None` if the token
    /// is not bound.
    pub(super) fn line_of_bound(&self) -> Option<Rc<str>> {
        self.line_of_bound.clone()
    }

    /// Its client and its subject.
    pub(super) fn identity(&self) -> Rc<Identity> {
        Rc::clone(self.access_token.identity())
    }

    #[cfg(test)]
    pub(super) fn example() -> Self {
        Self {
            access_token: AccessToken::example(),
            authentication: Ok(UserAuthentication::example()),
            scope: Ok(()),
            forwarded: Ok(Vec::new()),
            line_of_bound: None,
        }
    }

    /// Its approximate size in bytes.
    pub(super) fn size(&self) -> usize {
        // `access_token.size()` includes the token's own fields, so they are subtracted here.
        let Self { access_token, authentication, scope, forwarded, line_of_bound } = self;
        let headers = forwarded.iter().flatten().map(Edit::size).fold(0, usize::saturating_add);
        let refusals = [authentication.as_ref().err(), scope.as_ref().err(), forwarded.as_ref().err()];
        let refusals = refusals.into_iter().flatten().map(Refusal::size).fold(0, usize::saturating_add);
        let line = line_of_bound.as_ref().map_or(0, |line| line.len());
        let own = size_of::<Self>().saturating_sub(size_of::<AccessToken>());
        [own, access_token.size(), authentication.as_ref().map_or(0, UserAuthentication::size), refusals, headers, line]
            .into_iter()
            .fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    #[test]
    fn the_size_of_a_token_counts_what_was_prepared_of_it() {
        let long = "x".repeat(10_000);
        let refused = || Refusal::because(Reason::ScopeInsufficient, long.clone());
        let plain = Prepared::example().size();
        assert!((size_of::<Prepared>()..5_000).contains(&plain), "{plain}");
        for token in [
            Prepared { forwarded: Ok(vec![Edit::set("x-claim", long.clone())]), ..Prepared::example() },
            Prepared { forwarded: Err(refused()), ..Prepared::example() },
            Prepared { scope: Err(refused()), ..Prepared::example() },
            Prepared { authentication: Err(refused()), ..Prepared::example() },
            Prepared { line_of_bound: Some(long.as_str().into()), ..Prepared::example() },
        ] {
            assert!((10_000..15_000).contains(&token.size()), "{}", token.size());
        }
    }

    #[test]
    fn the_line_of_a_bound_token_is_not_written_again() {
        let line: Rc<str> = "line".into();
        let token = Prepared { line_of_bound: Some(Rc::clone(&line)), ..Prepared::example() };
        assert!(token.line_of_bound().is_some_and(|own| Rc::ptr_eq(&own, &line)));
    }
}
