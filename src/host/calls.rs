//! Calls to other servers. They are made from the root context alone: an answer to the call of a request's context is
//! lost with the request.

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};

use super::vm::Vm;
use super::{introspection, keys};
use crate::call::{Answer, Call};
use crate::resource_server::introspection::Inquiry;
use crate::resource_server::keys::Fetch;

/// A body that is larger is not read; the core draws its own line far below.
const LARGEST_BODY: usize = 1024 * 1024;

/// What waits for the answer to a call, and when it began, in milliseconds since 1970.
pub(super) enum Pending {
    Keys(Fetch, u64),
    Introspection(Inquiry, u64),
}

/// Makes a call; `None` where the proxy has no such cluster.
pub(super) fn dispatch(call: &Call) -> Option<u32> {
    let pseudo = [(":method", call.method), (":path", call.path.as_str()), (":authority", call.authority.as_str())];
    let others = call.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let headers = pseudo.into_iter().chain(others).collect();
    let body = Some(call.body.as_slice()).filter(|body| !body.is_empty());
    hostcalls::dispatch_http_call(&call.cluster, headers, body, vec![], call.timeout).ok()
}

/// Notes what waits for the answer to the call of this token.
pub(super) fn expect(vm: &Vm, token: u32, pending: Pending) {
    vm.calls.borrow_mut().push((token, pending));
}

/// Goes on with what waited for this answer.
pub(super) fn receive(vm: &Vm, root: u32, token: u32, headers: usize, body_size: usize) {
    let awaited = vm.calls.borrow_mut().extract_if(.., |(own, _)| *own == token).next();
    let Some((_, pending)) = awaited else { return };
    // Without headers there was no answer, and nothing to read.
    let header = |name| {
        let value = || hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name).ok().flatten();
        if headers == 0 { None } else { value() }
    };
    let status = header(":status").and_then(|status| std::str::from_utf8(&status).ok()?.parse().ok());
    let cache_control = header("cache-control");
    let body = match body_size {
        1..=LARGEST_BODY => hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, body_size).ok().flatten(),
        _ => None,
    };
    let body = body.unwrap_or_default();
    let answer = Answer { status, cache_control: cache_control.as_deref(), body: &body };
    match pending {
        Pending::Keys(fetch, began) => {
            let source = fetch.source().clone();
            keys::advance(vm, &source, began, fetch.receive(&answer));
        }
        Pending::Introspection(inquiry, began) => introspection::done(vm, root, inquiry.receive(&answer), began),
    }
}
