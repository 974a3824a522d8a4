// SPDX-License-Identifier: Apache-2.0

//! What a worker needs of its proxy, by calls of the host.

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};

use super::metrics::Metrics;
use super::{body, facts, log};
use crate::http::call::{Call, Response};
use crate::outcome::log::Event;
use crate::outcome::metric::Metric;
use crate::resource_server::introspection::Nonce;
use crate::time::UnixTime;
use crate::worker::Proxy;

/// In bytes. A larger body is not read; the core's own limits are far lower.
const LARGEST_BODY: usize = 1024 * 1024;

/// The proxy of a plugin. Calls are made from its root context only: if a request's context makes a call, the response is lost
/// when the request ends.
pub(super) struct Host<'a>(pub(super) &'a Metrics);

impl Proxy for Host<'_> {
    fn now(&self) -> UnixTime {
        facts::now()
    }

    fn nonce(&self) -> Option<Nonce> {
        let mut nonce = Nonce::default();
        getrandom::fill(&mut nonce).ok().map(|()| nonce)
    }

    fn dispatch(&self, call: &Call) -> Option<u32> {
        let pseudo = [(":method", call.method), (":path", call.path.as_str()), (":authority", call.authority.as_str())];
        let others = call.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let headers = pseudo.into_iter().chain(others).collect();
        let body = Some(call.body.as_slice()).filter(|body| !body.is_empty());
        hostcalls::dispatch_http_call(&call.cluster, headers, body, vec![], call.timeout).ok()
    }

    fn shared(&self, key: &str) -> (Option<Vec<u8>>, Option<u32>) {
        hostcalls::get_shared_data(key).unwrap_or_default()
    }

    fn share(&self, key: &str, value: &[u8], revision: Option<u32>) -> bool {
        hostcalls::set_shared_data(key, Some(value), revision).is_ok()
    }

    fn measure(&self, metric: Metric, value: u64) {
        self.0.add("", metric, value);
    }

    fn log(&self, event: &Event<'_>) {
        log(event);
    }
}

/// Reads the response to a call, which has `headers` headers and `body_size` bytes of body, and gives it to `take`.
pub(super) fn read_response(headers: usize, body_size: usize, take: impl FnOnce(&Response<'_>)) {
    // Without headers there was no response.
    let header = |name| {
        let value = || hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name).ok().flatten();
        if headers == 0 { None } else { value() }
    };
    let status = header(":status").and_then(|status| std::str::from_utf8(&status).ok()?.parse().ok());
    let (cache_control, age) = (header("cache-control"), header("age"));
    let is_redirect = status.is_some_and(|status: u16| (300..400).contains(&status));
    let location = if is_redirect { header("location") } else { None };
    let body = body::whole(BufferType::HttpCallResponseBody, body_size, LARGEST_BODY);
    let unread = body.as_ref().err().copied();
    let body = body.unwrap_or_default();
    take(&Response {
        status,
        cache_control: cache_control.as_deref(),
        age: age.as_deref(),
        location: location.as_deref(),
        body: &body,
        unread,
    });
}

/// Sets the period of ticks, if it changes.
pub(super) fn tick_after(period: Option<Duration>) {
    let _ = period.map(hostcalls::set_tick_period);
}
