//! The host adapter: the only code that names `proxy_wasm`. It reads values, hands them to the core, and does what
//! the core's step says. It decides nothing.
//!
//! Only calls that cannot panic on a client's bytes are used: header values as bytes, properties by constant paths
//! (a Rust panic stops the VM, and with it every later request of this worker).

mod facts;
mod http;
mod signature;

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, LogLevel};

use crate::policy::Policies;
use http::Http;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root { policies: None }));
}}

/// One plugin configuration in one VM.
struct Root {
    policies: Option<Rc<Policies>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let configuration = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten();
        match Policies::load(&configuration.unwrap_or_default()) {
            Ok(policies) => {
                self.policies = Some(Rc::new(policies));
                true
            }
            Err(error) => {
                log(LogLevel::Error, &format!("the configuration is refused: {error}"));
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(self.policies.clone())))
    }
}

/// Writes one line to the proxy's log. There is nothing to be done about a log that cannot be written.
fn log(level: LogLevel, message: &str) {
    let _ = hostcalls::log(level, message);
}
