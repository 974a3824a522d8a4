// SPDX-License-Identifier: Apache-2.0

//! Panics. A panic is a defect of the filter, and no client can cause one. After it the host does not use this VM any more.

use std::panic::set_hook;

use super::log;
use crate::outcome::log::Event;

/// Has every panic logged with its place. std's own hook, which also prints a backtrace, is left out of the module
/// (tests/module/binaryen), and the hook of the crate `proxy_wasm` would write every message.
pub(super) fn log_panics() {
    set_hook(Box::new(|panic| {
        // Only constant messages: one that was formatted may contain a client's text.
        let message = panic.payload().downcast_ref::<&str>().copied();
        log(&Event::Panicked(panic.location(), message));
    }));
}
