//! A panic: a defect of ours, after which the host uses this VM no more. None can be reached from outside.

use std::panic::set_hook;

use super::log;
use crate::outcome::log::Event;

/// Has the log tell where one happened. std's own hook, which would print a backtrace too, is left out of the module
/// (tests/module/binaryen); the one of the crate `proxy_wasm` writes every message.
pub(super) fn tell() {
    set_hook(Box::new(|panic| {
        // A message that was put together at run time may have a client's text in it.
        let message = panic.payload().downcast_ref::<&str>().copied();
        log(&Event::Panicked(panic.location(), message));
    }));
}
