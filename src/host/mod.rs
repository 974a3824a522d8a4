//! The host adapter: the only code that names `proxy_wasm`. It reads values, hands them to the core, and does what
//! the core's step says. It decides nothing.
//!
//! Only calls that cannot panic on a client's bytes are used: header values as bytes, properties by paths of ours
//! (a Rust panic stops the VM, and with it the requests of this worker until the host has made a new one).

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
    panic::tell();
    proxy_wasm::set_root_context(|context| Box::new(Root { context, vm: None }));
}}

/// Has what is told of a request be there after an internal redirect too, which is judged as the same request:
/// `envoy.source.extensions.common.wasm.DeclarePropertyArguments` with the `name` of the property and the `span` 1, that of
/// the downstream request.
const LASTING: &[u8] = b"\x0a\x09certbound\x28\x01";

/// One plugin configuration in one VM.
struct Root {
    context: u32,
    vm: Option<Rc<Vm>>,
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(vm) = &self.vm {
            vm.worker.end(&vm.proxy());
            vm.metrics.tell();
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _: usize) {
        if let Some(vm) = &self.vm {
            proxy::read_answer(headers, body_size, |answer| vm.worker.receive(&vm.proxy(), token, answer));
            http::go_on(vm, self.context);
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
                // Not every host has it, and what it is for is Envoy's.
                let _ = hostcalls::call_foreign_function("declare_property", Some(LASTING));
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
            vm.tell_overdue(now);
            vm.in_flight.count_expired(&vm.metrics, now);
            vm.worker.tick(&vm.proxy(), vm.policies.key_sources());
            http::go_on(vm, self.context);
            proxy::tick_after(vm.worker.next_tick());
            vm.metrics.tell();
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(context, self.vm.clone())))
    }
}

/// Writes one line to the proxy's log. There is nothing to be done about a log that cannot be written.
fn log(event: &Event<'_>) {
    let level = match event.level() {
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    };
    let _ = hostcalls::log(level, &event.to_string());
}
