// SPDX-License-Identifier: Apache-2.0

//! A host for the built filter, played in memory: what Envoy does to a proxy-wasm module (ABI 0.2.1) during one HTTP
//! request, so that a test drives the very `.wasm` file that is released, in milliseconds and without a network.
//!
//! It is a closed world. What this host does not play, or what Envoy would punish, ends the test with a sentence that
//! names it, the host calls before it and the module's own log lines:
//! * a host function that is imported but not played here traps as soon as the module calls it;
//! * a call with an argument that no correct filter sends (an unknown header map, a header name that is not
//!   lower-case, CR or LF in a header, a second local response, an edit after the answer) traps as well;
//! * a trap inside the module (a Rust panic) would cost Envoy the whole VM, so it is never just a failed request.
//!
//! ```ignore
//! let module = Module::from_file(path);
//! let mut vm = Vm::start(&module, br#"{"policies": {}}"#).expect("the configuration is good");
//! let request = Request::new("GET", "/").with_property(&["connection", "mtls"], [1]);
//! let exchange = vm.request(&request);
//! ```
//!
//! Here: the module and its life in a VM. `exchange` is what a test puts in and gets out; `world` is what the module sees
//! and leaves behind; `imports`, `abi`, `wasi`, `memory` are the calls it makes; `headers` and `signature` are the two
//! places where Envoy's own behaviour is subtle enough to be played with care. What is said here about Envoy was measured
//! on 1.40.0, with a module that makes the same calls, or read in its source.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "test code: a panic is how a test fails"
)]
#![allow(dead_code, unreachable_pub, reason = "several test files share this module, and each uses a part of it")]

mod abi;
mod exchange;
mod headers;
mod imports;
mod memory;
mod metrics;
mod signature;
mod wasi;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use wasmi::{Engine, Instance, Store, TypedFunc, WasmParams, WasmResults};

use headers::HeaderMap;
use world::{After, Callback, World};

pub use exchange::{Exchange, Header, LogLevel, LogLine, Outcome, Received, Request, START_OF_2026};
pub use world::Dispatched;

// ---------------------------------------------------------------------------------------------------------------------
// The module
// ---------------------------------------------------------------------------------------------------------------------

/// A filter, compiled once. Any number of tests, on any number of threads, start their own [`Vm`] from it.
pub struct Module {
    engine: Engine,
    compiled: wasmi::Module,
}

impl Module {
    /// Reads and compiles the filter, and checks that Envoy would accept its shape.
    #[track_caller]
    pub fn from_file(path: &Path) -> Module {
        match std::fs::read(path) {
            Ok(bytes) => Module::from_bytes(&bytes),
            Err(error) => panic!("cannot read the filter {}: {error}", path.display()),
        }
    }

    /// As [`Module::from_file`], for a module that is already in memory.
    #[track_caller]
    pub fn from_bytes(bytes: &[u8]) -> Module {
        let engine = Engine::default();
        let compiled = match wasmi::Module::new(&engine, bytes) {
            Ok(compiled) => compiled,
            Err(error) => panic!("the filter is not a WebAssembly module: {error}"),
        };
        let module = Module { engine, compiled };
        module.check_exports();
        module
    }

    /// The names of everything that it exports.
    pub fn exports(&self) -> Vec<&str> {
        self.compiled.exports().map(|export| export.name()).collect()
    }

    /// Without these exports Envoy refuses the module, or runs it without ever asking it about a request.
    #[track_caller]
    fn check_exports(&self) {
        for name in ["memory", "proxy_abi_version_0_2_1", "_initialize", "proxy_on_request_headers"] {
            assert!(self.compiled.get_export(name).is_some(), "the filter does not export {name}");
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The host and its VM
// ---------------------------------------------------------------------------------------------------------------------

/// The host a filter meets: what operators set differently, and what hosts other than Envoy lack.
///
/// It is complete before the filter starts, because a filter may ask for all of it while it is being configured.
#[derive(Clone, Debug)]
pub struct Host {
    /// The time, since the Unix epoch, while the filter starts. A [`Request`] brings its own.
    pub now: Duration,
    /// What `proxy_get_log_level` answers. Every line is recorded, whatever its level.
    pub log_level: LogLevel,
    pub foreign_functions: ForeignFunctions,
    /// The clusters that calls can be made through; there is no other.
    pub clusters: BTreeMap<&'static str, Cluster>,
    /// What the VMs of one process share: hosts that are clones of one share it.
    pub shared: Shared,
}

/// What becomes of a call to another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// It waits for its response: see [`Vm::answer`].
    Waits,
    /// It fails before it leaves, and the module is told so when its callback ends.
    WithoutHosts,
}

/// A value, and the number of its last change.
type Numbered = (Vec<u8>, u32);

/// Values by their keys, each with a number that grows with every change, as Envoy has them: a change that names another
/// number than the value's is refused, but for the first one and for 0.
#[derive(Clone, Debug, Default)]
pub struct Shared(Rc<RefCell<BTreeMap<String, Numbered>>>);

impl Shared {
    /// The keys that there are.
    pub fn keys(&self) -> Vec<String> {
        self.0.borrow().keys().cloned().collect()
    }

    /// A value and its number.
    pub fn get(&self, key: &str) -> Option<Numbered> {
        self.0.borrow().get(key).cloned()
    }

    /// Sets a value; whether it did.
    pub fn set(&self, key: String, value: Vec<u8>, revision: u32) -> bool {
        let mut values = self.0.borrow_mut();
        let old = values.get(&key).map(|(_, revision)| *revision);
        let is_refused = revision != 0 && old.is_some_and(|old| old != revision);
        if !is_refused {
            values.insert(key, (value, old.unwrap_or_default() + 1));
        }
        !is_refused
    }
}

/// The functions beyond the ABI that a host offers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignFunctions {
    /// `verify_signature`, as Envoy 1.30 and newer answer it. Every other name is `NotFound`.
    VerifySignature,
    /// Every name is `NotFound`, as on hosts other than Envoy.
    None,
}

impl Default for Host {
    /// Envoy as it comes.
    fn default() -> Host {
        Host {
            now: START_OF_2026,
            log_level: LogLevel::Info,
            foreign_functions: ForeignFunctions::VerifySignature,
            clusters: BTreeMap::new(),
            shared: Shared::default(),
        }
    }
}

impl Host {
    /// The same host, with no foreign function at all.
    pub fn without_foreign_functions(self) -> Host {
        Host { foreign_functions: ForeignFunctions::None, ..self }
    }

    /// The same host with such a cluster.
    pub fn with_cluster(mut self, name: &'static str, cluster: Cluster) -> Host {
        self.clusters.insert(name, cluster);
        self
    }

    /// Starts the filter on this host: see [`Vm::start`].
    #[track_caller]
    pub fn start(self, module: &Module, plugin_configuration: &[u8]) -> Result<Vm, Refused> {
        let mut vm = Vm::instantiate(module, World::new(self, plugin_configuration));
        vm.run(Callback::Initialize, ());
        vm.run(Callback::ContextCreate, (ROOT_CONTEXT, NO_PARENT));
        if vm.answers_false(Callback::VmStart, NO_CONFIGURATION)
            || vm.answers_false(Callback::Configure, length(plugin_configuration))
        {
            return Err(Refused { log: vm.world().log.split_off(0) });
        }
        vm.start_calls = vm.world().calls.split_off(0);
        vm.start_log = vm.world().log.split_off(0);
        Ok(vm)
    }
}

/// One running filter: what one worker thread of Envoy holds. It serves request after request and keeps its state
/// (caches, metrics) between them.
pub struct Vm {
    store: Store<World>,
    instance: Instance,
    last_context: u32,
    /// How many callbacks of the module are running, each inside the one before.
    depth: usize,
    /// What became of requests that waited, until a test asks for it.
    ended: BTreeMap<u32, Outcome>,
    start_calls: Vec<String>,
    start_log: Vec<LogLine>,
}

/// The filter said no to its configuration. Envoy would not start, or would keep the configuration it had.
#[derive(Debug)]
pub struct Refused {
    /// The only place where an operator learns why.
    pub log: Vec<LogLine>,
}

const ROOT_CONTEXT: u32 = 1;

/// Callbacks of the module that Envoy may run inside one another. Its stack holds some hundreds; a module that needs this
/// many needs more in a crowd.
const MOST_NESTED: usize = 32;

const NO_PARENT: u32 = 0;
const NO_CONFIGURATION: u32 = 0;

impl Vm {
    /// Starts the filter as Envoy starts it: `_initialize`, the root context, `proxy_on_vm_start` without a VM
    /// configuration, `proxy_on_configure` with `plugin_configuration`, the bytes that Envoy hands over (the text of a
    /// `StringValue`, or the protobuf encoding of anything else).
    #[track_caller]
    pub fn start(module: &Module, plugin_configuration: &[u8]) -> Result<Vm, Refused> {
        Host::default().start(module, plugin_configuration)
    }

    /// What the filter wrote to the log while it started.
    pub fn start_log(&self) -> &[LogLine] {
        &self.start_log
    }

    /// The host calls the filter made while it started, in order.
    pub fn start_calls(&self) -> &[String] {
        &self.start_calls
    }

    /// Every counter that has counted since the filter started, by the name it was defined with. The filter tells them
    /// with a tick.
    #[track_caller]
    pub fn counters(&mut self) -> &BTreeMap<String, u64> {
        let now = self.world().now;
        self.tick(now);
        self.store.data().metrics.counters()
    }

    /// The same at the filter's end, without a tick.
    #[track_caller]
    pub fn counters_at_its_end(mut self) -> BTreeMap<String, u64> {
        self.run(Callback::Delete, ROOT_CONTEXT);
        self.store.data().metrics.counters().clone()
    }

    /// Every histogram with its values since the filter started, by the name it was defined with.
    pub fn histograms(&self) -> &BTreeMap<String, Vec<u64>> {
        self.store.data().metrics.histograms()
    }

    /// One request, from its headers to the end of its context. What the upstream would have answered is not played.
    #[track_caller]
    pub fn request(&mut self, request: &Request) -> Exchange {
        self.exchange(request, Part::Request, &unanswered)
    }

    /// As [`Vm::request`], where other servers answer the calls that the filter makes for it.
    #[track_caller]
    pub fn request_with(&mut self, request: &Request, answers: &Answers<'_>) -> Exchange {
        self.exchange(request, Part::Request, answers)
    }

    /// As [`Vm::request`], with the callbacks Envoy runs around it: the end of the request's body, and the headers and
    /// the body of the upstream's answer, or of the filter's own reply, which it has to let pass.
    #[track_caller]
    pub fn request_and_response(&mut self, request: &Request) -> Exchange {
        self.exchange(request, Part::RequestAndResponse, &unanswered)
    }

    #[track_caller]
    fn exchange(&mut self, request: &Request, part: Part, answers: &Answers<'_>) -> Exchange {
        let (context, mut outcome) = self.begin(request);
        if outcome == Outcome::Waits {
            outcome = self.wait_for(context, answers);
        }
        let received = match part {
            Part::Request => None,
            Part::RequestAndResponse => self.play_response(context, request, &outcome),
        };
        let properties = self.properties(context);
        self.end(context);
        let world = self.world();
        Exchange { outcome, received, calls: world.calls.split_off(0), log: world.log.split_off(0), properties }
    }

    /// A request that goes on until [`Vm::end`], with the context that Envoy has for it. What is recorded of it comes with
    /// the next whole one.
    #[track_caller]
    pub fn begin(&mut self, request: &Request) -> (u32, Outcome) {
        let context = self.open(request);
        let outcome = self.decide(context, request);
        (context, outcome)
    }

    /// The tick that the filter asked for, at this time.
    #[track_caller]
    pub fn tick(&mut self, now: Duration) {
        self.world().now = now;
        self.run(Callback::Tick, ROOT_CONTEXT);
        self.world().tick_at = now + self.world().tick_period;
    }

    /// Time passes, and the filter is woken as it wants to be.
    #[track_caller]
    pub fn pass(&mut self, time: Duration) {
        let end = self.world().now + time;
        while self.world().tick_at <= end {
            // A request may have come long after the last tick was due.
            let next = self.world().tick_at.max(self.world().now);
            self.tick(next);
        }
        self.world().now = end;
    }

    /// The time it is.
    pub fn now(&mut self) -> Duration {
        self.world().now
    }

    /// The calls to other servers that wait for a response.
    pub fn dispatched(&mut self) -> Vec<Dispatched> {
        self.world().dispatched.clone()
    }

    /// The response to such a call; without headers there was none.
    #[track_caller]
    pub fn answer(&mut self, token: u32, headers: &[Header], body: &[u8]) {
        let dispatched = &mut self.world().dispatched;
        let Some(place) = dispatched.iter().position(|call| call.token == token) else {
            self.fail(&format!("no call {token} waits for a response"))
        };
        dispatched.remove(place);
        self.world().call_response = (HeaderMap::of_response(headers), body.to_vec());
        let parameters = (ROOT_CONTEXT, token, length(headers), length(body), 0);
        self.run(Callback::HttpCallResponse, parameters);
    }

    /// What became of a request that waited; `None` where it still does.
    pub fn ended(&mut self, context: u32) -> Option<Outcome> {
        self.ended.remove(&context)
    }

    /// Has the filter end, as when its configuration is replaced: what it called for is lost.
    #[track_caller]
    pub fn delete(mut self) {
        self.run(Callback::Delete, ROOT_CONTEXT);
    }

    /// Ticks until a request waits no more.
    #[track_caller]
    fn wait_for(&mut self, context: u32, answers: &Answers<'_>) -> Outcome {
        for _ in 0..100_000 {
            if let Some(outcome) = self.ended.remove(&context) {
                return outcome;
            }
            for call in self.dispatched() {
                let (headers, body) = answers(&call);
                self.answer(call.token, &headers, &body);
            }
            self.pass(Duration::from_millis(1));
        }
        self.fail("the module answered Pause without a local response: the request hangs for ever")
    }

    /// What the filter wrote of a request.
    fn properties(&mut self, context: u32) -> BTreeMap<String, Vec<u8>> {
        self.world().current = context;
        std::mem::take(&mut self.world().written)
    }

    /// What the filter wrote to the log since it was asked last.
    pub fn log(&mut self) -> Vec<LogLine> {
        self.world().log.split_off(0)
    }

    /// A mistake of a host's: it gives a second request the context of the first. What the filter wrote to the log; it
    /// stops.
    #[track_caller]
    pub fn stopped_by_a_context_given_twice(mut self) -> Vec<LogLine> {
        let create = self.function::<_, ()>(Callback::ContextCreate).unwrap();
        for is_first in [true, false] {
            let created = create.call(&mut self.store, (ROOT_CONTEXT + 1, ROOT_CONTEXT));
            assert_eq!(created.is_ok(), is_first, "{created:?}");
        }
        self.world().log.split_off(0)
    }

    #[track_caller]
    fn open(&mut self, request: &Request) -> u32 {
        self.last_context += 1;
        let context = self.last_context;
        match HeaderMap::arriving(&request.headers) {
            Ok(headers) => self.world().open(context, request, headers),
            Err(error) => panic!("no filter ever sees the request of this test: {error}"),
        }
        self.run(Callback::ContextCreate, (context, ROOT_CONTEXT));
        context
    }

    /// `proxy_on_request_headers`: the filter's one decision, or that the request waits.
    #[track_caller]
    fn decide(&mut self, context: u32, request: &Request) -> Outcome {
        let count = length(self.world().headers.entries());
        let end_of_stream = u32::from(request.end_of_stream);
        let mut action = self.ask(Callback::RequestHeaders, (context, count, end_of_stream));
        if !request.body.is_empty() && self.world().reply.is_none() {
            action = self.bring_body(context, request, action);
        }
        match (action.map(Action::from), self.world().reply.take()) {
            (Some(Action::Continue), None) => Outcome::Forwarded { headers: self.world().headers.entries().to_vec() },
            (Some(Action::Pause), Some(reply)) => reply.into(),
            (Some(Action::Continue), Some(reply)) => self.fail(&format!(
                "the module sent a local response ({}) and answered Continue; it has to answer Pause",
                reply.status
            )),
            (Some(Action::Pause), None) => {
                self.world().waits = true;
                Outcome::Waits
            }
            (Some(Action::Unknown(number)), _) => {
                self.fail(&format!("the module answered {number}, which is no action"))
            }
            (None, _) => self.fail("the module does not export proxy_on_request_headers"),
        }
    }

    /// `proxy_on_request_body`: what is paused is kept, and what comes is added to it.
    #[track_caller]
    fn bring_body(&mut self, context: u32, request: &Request, at_headers: Option<u32>) -> Option<u32> {
        self.world().headers_wait = at_headers.map(Action::from) == Some(Action::Pause);
        let mut action = at_headers;
        for (end, end_of_stream) in [(request.body.len() / 2, 0), (request.body.len(), 1)] {
            self.world().body = request.body[..end].to_vec();
            action = self.ask(Callback::RequestBody, (context, length(&request.body[..end]), end_of_stream));
            let continues = action.map(Action::from) == Some(Action::Continue);
            if continues && end_of_stream == 0 {
                return if self.world().headers_wait {
                    self.fail("the module let a request go on before its body had ended")
                } else {
                    action
                };
            }
            if self.world().reply.is_some() {
                break;
            }
        }
        action
    }

    #[track_caller]
    fn play_response(&mut self, context: u32, request: &Request, outcome: &Outcome) -> Option<Received> {
        match outcome {
            Outcome::Forwarded { .. } => {
                if !request.end_of_stream && request.body.is_empty() {
                    self.continues(Callback::RequestBody, (context, 0, END_OF_STREAM));
                }
                Some(self.bring_answer(context, &request.response_body))
            }
            Outcome::Replied { headers, body, .. } => {
                let at_end = u32::from(body.is_empty());
                self.continues(Callback::ResponseHeaders, (context, length(headers) + 1, at_end));
                if !body.is_empty() {
                    self.continues(Callback::ResponseBody, (context, length(body), END_OF_STREAM));
                }
                None
            }
            Outcome::Waits => None,
        }
    }

    /// The response of the upstream: what is paused is kept, and what comes is added to it.
    #[track_caller]
    fn bring_answer(&mut self, context: u32, body: &[u8]) -> Received {
        let count = length(self.world().response.entries());
        let at_end = u32::from(body.is_empty());
        let mut action = self.ask(Callback::ResponseHeaders, (context, count, at_end)).map(Action::from);
        let headers_left = action != Some(Action::Pause);
        let mut sent = Vec::new();
        let pieces = [(0..body.len() / 2, 0), (body.len() / 2..body.len(), END_OF_STREAM)];
        for (piece, end_of_stream) in pieces.into_iter().filter(|_| !body.is_empty()) {
            if self.world().reply.is_some() {
                break;
            }
            self.world().response_body.extend_from_slice(&body[piece]);
            let size = length(&self.world().response_body);
            action = self.ask(Callback::ResponseBody, (context, size, end_of_stream)).map(Action::from);
            if action != Some(Action::Pause) {
                sent.append(&mut self.world().response_body);
            }
        }
        let headers = self.world().response.entries().to_vec();
        match (self.world().reply.take(), action) {
            (None, Some(Action::Continue) | None) => Received::Response { headers, body: sent },
            (Some(_), Some(Action::Pause)) if headers_left => Received::BrokenOff { headers, body: sent },
            (Some(reply), Some(Action::Pause)) => {
                Received::Replied { status: reply.status, headers: reply.headers, body: reply.body }
            }
            (Some(_), action) => self.fail(&format!("the module replied and answered {action:?}")),
            (None, action) => {
                self.fail(&format!("the module answered {action:?} at the end: the response never comes"))
            }
        }
    }

    #[track_caller]
    fn continues(&mut self, callback: Callback, parameters: (u32, u32, u32)) {
        match self.ask(callback, parameters).map(Action::from) {
            None | Some(Action::Continue) => {}
            Some(action) => self.fail(&format!(
                "the module answered {action:?} to {}, where this host plays Continue only",
                callback.export()
            )),
        }
    }

    /// The end of a request in Envoy's order: the access log is written before the filters are destroyed.
    #[track_caller]
    pub fn end(&mut self, context: u32) {
        self.run(Callback::Log, context);
        if self.ask(Callback::Done, context) == Some(FALSE) {
            self.fail("the module answered false to proxy_on_done: it would keep the request's context");
        }
        self.run(Callback::Delete, context);
        self.world().close(context);
    }

    #[track_caller]
    fn answers_false(&mut self, callback: Callback, configuration_length: u32) -> bool {
        self.ask(callback, (ROOT_CONTEXT, configuration_length)) == Some(FALSE)
    }

    #[track_caller]
    fn instantiate(module: &Module, world: World) -> Vm {
        let linker = imports::link(&module.compiled);
        let mut store = Store::new(&module.engine, world);
        match linker.instantiate_and_start(&mut store, &module.compiled) {
            Ok(instance) => Vm {
                store,
                instance,
                last_context: ROOT_CONTEXT,
                depth: 0,
                ended: BTreeMap::new(),
                start_calls: Vec::new(),
                start_log: Vec::new(),
            },
            Err(error) => panic!("the module does not fit this host: {error}"),
        }
    }

    /// Calls an export that answers nothing.
    #[track_caller]
    fn run(&mut self, callback: Callback, parameters: impl WasmParams + OfContext) {
        self.call::<_, ()>(callback, parameters);
    }

    /// Calls an export that answers a number or a boolean.
    #[track_caller]
    fn ask(&mut self, callback: Callback, parameters: impl WasmParams + OfContext) -> Option<u32> {
        self.call(callback, parameters)
    }

    /// Calls one export of the module, or answers `None` where it has none: Envoy skips what is not exported.
    #[track_caller]
    fn call<Parameters, Answer>(&mut self, callback: Callback, parameters: Parameters) -> Option<Answer>
    where
        Parameters: WasmParams + OfContext,
        Answer: WasmResults,
    {
        let outer = (self.world().callback, self.world().own, self.world().current);
        let function = self.function(callback)?;
        let context = parameters.context();
        (self.world().own, self.world().current) = (context, context);
        self.depth += 1;
        if self.depth > MOST_NESTED {
            self.fail(&format!("{} callbacks run inside one another: a crowd would stop this VM", self.depth));
        }
        let name = callback.export();
        let answer = match function.call(&mut self.store, parameters) {
            Ok(answer) => Some(answer),
            Err(error) if error.as_trap_code().is_some() => {
                self.fail(&format!("the module trapped in {name} ({error})"))
            }
            Err(error) => self.fail(&format!("in {name}, {error}")),
        };
        while let Some(after) = self.world().after.pop_front() {
            self.follow(after);
        }
        self.depth -= 1;
        // Where no callback is left to come back to, the test looks at what became of this one.
        (self.world().callback, self.world().own, self.world().current) =
            if self.depth == 0 { (callback, context, context) } else { outer };
        answer
    }

    /// Does what Envoy does when a callback has ended.
    #[track_caller]
    fn follow(&mut self, after: After) {
        match after {
            After::CallFailed(token) => {
                self.world().call_response = (HeaderMap::default(), Vec::new());
                self.run(Callback::HttpCallResponse, (ROOT_CONTEXT, token, 0, 0, 0));
            }
            // The client has gone meanwhile.
            After::Reply(context) | After::Resume(context) if !self.world().is_open(context) => {}
            After::Reply(context) => {
                self.world().current = context;
                let Some(reply) = self.world().reply.take() else { return };
                let outcome = Outcome::from(reply);
                self.reply_to(context, outcome);
            }
            After::Resume(context) => {
                self.world().current = context;
                let outcome = Outcome::Forwarded { headers: self.world().headers.entries().to_vec() };
                if self.world().is_answered_at_once {
                    self.continues(Callback::ResponseHeaders, (context, 1, END_OF_STREAM));
                }
                self.ended.insert(context, outcome);
            }
        }
    }

    /// What a client gets whose request has waited: its response passes the filter.
    #[track_caller]
    fn reply_to(&mut self, context: u32, outcome: Outcome) {
        if let Outcome::Replied { headers, body, .. } = &outcome {
            self.continues(Callback::ResponseHeaders, (context, length(headers) + 1, u32::from(body.is_empty())));
            if !body.is_empty() {
                self.continues(Callback::ResponseBody, (context, length(body), END_OF_STREAM));
            }
        }
        self.ended.insert(context, outcome);
    }

    /// The export that is about to be called; `None` where the module has none.
    #[track_caller]
    fn function<Parameters, Answer>(&mut self, callback: Callback) -> Option<TypedFunc<Parameters, Answer>>
    where
        Parameters: WasmParams,
        Answer: WasmResults,
    {
        let name = callback.export();
        self.instance.get_func(&self.store, name)?;
        self.world().callback = callback;
        match self.instance.get_typed_func(&self.store, name) {
            Ok(function) => Some(function),
            Err(error) => self.fail(&format!("the module's {name} has another type: {error}")),
        }
    }

    fn world(&mut self) -> &mut World {
        self.store.data_mut()
    }

    /// Ends the test, with all that is known about how the module came here.
    #[track_caller]
    fn fail(&self, sentence: &str) -> ! {
        let world = self.store.data();
        let mut report = format!("fake host: {sentence}\nhost calls before it:\n");
        for call in &world.calls {
            let _ = writeln!(report, "  {call}");
        }
        report.push_str("log of the module:\n");
        for line in &world.log {
            let _ = writeln!(report, "  {}", line.to_string().replace('\n', "\n    "));
        }
        panic!("{report}");
    }
}

impl fmt::Debug for Vm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Vm")
    }
}

/// The parameters of a callback, of which the first is its context.
trait OfContext {
    fn context(&self) -> u32;
}

impl OfContext for () {
    fn context(&self) -> u32 {
        0
    }
}

impl OfContext for u32 {
    fn context(&self) -> u32 {
        *self
    }
}

impl OfContext for (u32, u32) {
    fn context(&self) -> u32 {
        self.0
    }
}

impl OfContext for (u32, u32, u32) {
    fn context(&self) -> u32 {
        self.0
    }
}

impl OfContext for (u32, u32, u32, u32, u32) {
    fn context(&self) -> u32 {
        self.0
    }
}

/// What other servers answer to a call: the headers and the body. Without headers there is no response.
pub type Answers<'a> = dyn Fn(&Dispatched) -> (Vec<Header>, Vec<u8>) + 'a;

fn unanswered(_: &Dispatched) -> (Vec<Header>, Vec<u8>) {
    (Vec::new(), Vec::new())
}

/// How much of an exchange is played.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Request,
    RequestAndResponse,
}

/// The module's answer to a callback about the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Continue,
    Pause,
    Unknown(u32),
}

impl From<u32> for Action {
    fn from(number: u32) -> Action {
        match number {
            0 => Action::Continue,
            1 => Action::Pause,
            number => Action::Unknown(number),
        }
    }
}

/// `true` as a callback gets it.
const END_OF_STREAM: u32 = 1;

/// `false` as a WebAssembly export answers it.
const FALSE: u32 = 0;

/// Lengths inside a 32-bit module.
fn length<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).expect("fits into a 32-bit module")
}
