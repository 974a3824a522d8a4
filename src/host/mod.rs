// SPDX-License-Identifier: Apache-2.0

//! The host adapter: the only code that names `proxy_wasm`. It reads values, passes them to the core, and carries out the
//! core's step. It decides nothing.
//!
//! It uses only calls that cannot panic on a client's bytes: header values as bytes, properties by constant paths. A panic stops
//! the VM, and no request of this worker is served until the host has made a new one.

mod abi;
mod body;
mod facts;
mod http;
mod in_flight;
mod metrics;
mod panic;
mod proxy;
mod response;
mod signature;
mod vm;

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, LogLevel};

use crate::config::secret::Environment;
use crate::outcome::log::{Event, Level};
use crate::policy::Policies;
use crate::worker::FIRST_TICK;
use http::Http;
use vm::Vm;

proxy_wasm::main! {{
    panic::log_panics();
    proxy_wasm::set_root_context(|context| Box::new(Root { context, vm: None }));
}}

/// Make the properties with the access-log line and with a token that was removed survive an internal redirect, after which the
/// request is judged again: `envoy.source.extensions.common.wasm.DeclarePropertyArguments` with the `name` of the property, and with
/// the `span` 1, the lifetime of the downstream request.
const LASTING: [&[u8]; 2] = [b"\x0a\x09certbound\x28\x01", b"\x0a\x17certbound_authorization\x28\x01"];

/// One plugin configuration in one VM.
struct Root {
    context: u32,
    vm: Option<Rc<Vm>>,
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(vm) = &self.vm {
            vm.worker.end(&vm.proxy());
            vm.metrics.flush();
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _: usize) {
        if let Some(vm) = &self.vm {
            proxy::read_response(headers, body_size, |response| vm.worker.receive(&vm.proxy(), token, response));
            http::decide_ready(vm, self.context);
            proxy::tick_after(vm.worker.sooner_tick());
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let configuration = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten();
        match Policies::load_with(
            &configuration.unwrap_or_default(),
            Environment::Variables(&|name| std::env::var(name).ok()),
        ) {
            Ok(policies) => {
                log(&Event::Started(policies.count(), &policies.choice().to_string()));
                let vm = Rc::new(Vm::new(policies));
                vm.worker.take_shared_keys(&vm.proxy(), vm.policies.key_sources());
                proxy::tick_after(Some(FIRST_TICK));
                // Not every host has this function; internal redirects are Envoy's.
                for property in LASTING {
                    let _ = hostcalls::call_foreign_function("declare_property", Some(property));
                }
                self.vm = Some(vm);
                true
            }
            Err(error) => {
                log(&Event::ConfigurationRefused(&error));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(vm) = &self.vm {
            let now = facts::now();
            vm.log_overdue(now);
            vm.in_flight.count_expired(&vm.metrics, now);
            vm.worker.tick(&vm.proxy(), vm.policies.key_sources());
            http::decide_ready(vm, self.context);
            http::end_outlived(vm, self.context);
            proxy::tick_after(vm.worker.next_tick(vm.in_flight.has_more_to_end()));
            vm.metrics.flush();
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(context, self.vm.clone())))
    }
}

/// Writes one line to the proxy's log. A failure is ignored: nothing can be done about it.
fn log(event: &Event<'_>) {
    let level = match event.level() {
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    };
    let _ = hostcalls::log(level, &event.to_string());
}
