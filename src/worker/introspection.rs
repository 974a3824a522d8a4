// SPDX-License-Identifier: Apache-2.0

//! Introspection of tokens: requests that wait with the same token share one call.

use std::rc::Rc;

use super::{Awaited, Outcome, Pending, Proxy, Ready, Wait, Waiting, Worker};
use crate::outcome::metric::Metric;
use crate::resource_server::introspection::{AskIntrospection, Inquiry, Introspected};
use crate::time::{UnixTime, milliseconds};

/// Introspections that one worker has queued or under way. More made-up tokens than that cannot be asked about at once.
const MOST_UNDER_WAY: usize = 128;

impl<R> Worker<R> {
    /// Has a request wait for the introspection response about its token.
    pub fn wait_for_introspection(
        &self,
        proxy: &dyn Proxy,
        context: u32,
        request: R,
        question: AskIntrospection,
    ) -> Wait<R> {
        if self.is_full() {
            return Wait::No(request, Outcome::InVain(question.refused()));
        }
        let inquiry = question.inquiry().clone();
        if !self.is_asked(&inquiry) {
            if self.asked() >= MOST_UNDER_WAY {
                let failed = inquiry.fail("too many tokens are being asked about".to_owned());
                return Wait::No(request, Outcome::Introspected(Rc::new(failed)));
            }
            self.inquiries.borrow_mut().push_back(inquiry.clone());
        }
        let deadline = proxy.now().saturating_add(inquiry.longest_wait());
        let awaited = Awaited::Introspection(inquiry);
        self.hold(Waiting { context, request, awaited, deadline, refused: question.refused() })
    }

    /// Makes the calls that are queued, at most `calls` of them. Returns how many more may be made.
    pub(super) fn ask(&self, proxy: &dyn Proxy, calls: usize) -> usize {
        let mut left = calls;
        while let Some(fewer) = left.checked_sub(1) {
            let Some(inquiry) = self.inquiries.borrow_mut().pop_front() else { break };
            left = fewer;
            let began = proxy.now();
            let called = inquiry.call(began, &|| proxy.nonce()).map_err(str::to_owned).and_then(|call| {
                proxy.dispatch(&call).ok_or_else(|| format!("the proxy has no cluster {:?}", call.cluster))
            });
            match called {
                Ok(token) => self.calls.borrow_mut().push((token, Pending::Introspection { inquiry, began })),
                Err(why) => self.introspected(proxy, inquiry.fail(why), began),
            }
        }
        left
    }

    /// Makes every request that waits for this response ready.
    pub(super) fn introspected(&self, proxy: &dyn Proxy, introspected: Introspected, began: UnixTime) {
        let took = milliseconds(proxy.now().saturating_since(began));
        proxy.measure(Metric::Introspections(introspected.outcome()), 1);
        proxy.measure(Metric::IntrospectionMilliseconds(introspected.outcome()), took);
        let introspected = Rc::new(introspected);
        let is_awaited = |waiting: &mut Waiting<R>| match &waiting.awaited {
            Awaited::Introspection(inquiry) => inquiry == introspected.inquiry(),
            Awaited::Keys { .. } => false,
        };
        let (mut waiting, mut ready) = (self.waiting.borrow_mut(), self.ready.borrow_mut());
        ready.extend(waiting.extract_if(.., is_awaited).map(|Waiting { context, request, .. }| {
            let outcome = Outcome::Introspected(Rc::clone(&introspected));
            Ready { context, request, outcome }
        }));
    }

    fn is_asked(&self, inquiry: &Inquiry) -> bool {
        let is_it = |pending: &Pending| match pending {
            Pending::Introspection { inquiry: other, .. } => other == inquiry,
            Pending::Keys { .. } => false,
        };
        self.inquiries.borrow().contains(inquiry) || self.calls.borrow().iter().any(|(_, pending)| is_it(pending))
    }

    fn asked(&self) -> usize {
        let is_introspection = |(_, pending): &&(u32, Pending)| matches!(pending, Pending::Introspection { .. });
        let called = self.calls.borrow().iter().filter(is_introspection).count();
        called.saturating_add(self.inquiries.borrow().len())
    }
}
