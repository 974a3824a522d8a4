// SPDX-License-Identifier: Apache-2.0

//! What the module sees of the world, and what it leaves behind there.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use wasmi::Error;

use super::headers::{self, HeaderMap};
use super::metrics::Metrics;
use super::{Cluster, Header, Host, LogLevel, LogLine, Outcome, Request};

/// The result of a part of this host, or the sentence that ends the test.
pub(super) type Played<T> = Result<T, Error>;

/// A sentence that ends the test: it unwinds the module and reaches the test as a panic.
pub(super) fn failure(sentence: impl Into<String>) -> Error {
    Error::new(sentence.into())
}

/// Everything one VM knows. It is read and written as the stream of the context that the module is in.
pub(super) struct World {
    pub(super) host: Host,
    pub(super) plugin_configuration: Vec<u8>,
    /// The callback that runs, or ran last: what may be read and edited depends on it.
    pub(super) callback: Callback,
    /// Whose callback it is.
    pub(super) own: u32,
    /// The context that the module is in, which it may change.
    pub(super) current: u32,
    pub(super) now: Duration,
    pub(super) calls: Vec<String>,
    pub(super) log: Vec<LogLine>,
    pub(super) random: u64,
    pub(super) metrics: Metrics,
    /// How often the module wants to be woken.
    pub(super) tick_period: Duration,
    /// When it is woken next: whoever changes the period has it begin anew.
    pub(super) tick_at: Duration,
    /// What is done when a callback ends.
    pub(super) after: VecDeque<After>,
    /// The calls to other servers that were made.
    pub(super) dispatched: Vec<Dispatched>,
    /// The response to a call, while the module is told of it.
    pub(super) call_response: (HeaderMap, Vec<u8>),
    streams: BTreeMap<u32, Stream>,
    /// What a context has that is no stream's.
    nothing: Stream,
}

/// One request, and what has become of it.
#[derive(Default)]
pub(super) struct Stream {
    pub(super) headers: HeaderMap,
    pub(super) response: HeaderMap,
    pub(super) reply: Option<Reply>,
    /// What has come of the body.
    pub(super) body: Vec<u8>,
    /// The headers have not left.
    pub(super) headers_wait: bool,
    /// The module has paused it and says later what becomes of it.
    pub(super) waits: bool,
    /// Whether Envoy itself answers it where it goes on, as for a cluster without hosts.
    pub(super) is_answered_at_once: bool,
    /// What has come of the body of the response, and not gone on.
    pub(super) response_body: Vec<u8>,
    /// What the module wrote as properties of this request.
    pub(super) written: BTreeMap<String, Vec<u8>>,
    properties: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What Envoy does when the callback of the module has ended in which it was asked to, one after the other; each may enter
/// the module again, at whose end the next one is done: they nest.
#[derive(Clone, Copy)]
pub(super) enum After {
    /// The reply to another request than the callback's own.
    Reply(u32),
    /// Such a request goes on.
    Resume(u32),
    /// A call has failed before it left.
    CallFailed(u32),
}

/// A call to another server.
#[derive(Clone, Debug)]
pub struct Dispatched {
    /// By which the module knows it.
    pub token: u32,
    pub cluster: String,
    pub headers: Vec<Header>,
    pub body: Vec<u8>,
    pub timeout: Duration,
}

impl Deref for World {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        self.streams.get(&self.current).unwrap_or(&self.nothing)
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Stream {
        self.streams.get_mut(&self.current).unwrap_or(&mut self.nothing)
    }
}

/// A local response of the module.
pub(super) struct Reply {
    pub(super) status: u32,
    pub(super) headers: Vec<Header>,
    pub(super) body: Vec<u8>,
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Outcome {
        Outcome::Replied { status: reply.status, headers: reply.headers, body: reply.body }
    }
}

/// What a property path leads to.
#[derive(PartialEq, Eq)]
pub(super) enum Property {
    Found(Vec<u8>),
    NotFound,
    /// A whole namespace, which Envoy has but cannot put into bytes.
    NotAValue,
}

impl World {
    pub(super) fn new(host: Host, plugin_configuration: &[u8]) -> World {
        World {
            now: host.now,
            host,
            plugin_configuration: plugin_configuration.to_vec(),
            callback: Callback::Initialize,
            own: 0,
            current: 0,
            calls: Vec::new(),
            log: Vec::new(),
            random: 0,
            metrics: Metrics::default(),
            tick_period: Duration::ZERO,
            tick_at: Duration::MAX,
            after: VecDeque::new(),
            dispatched: Vec::new(),
            call_response: (HeaderMap::default(), Vec::new()),
            streams: BTreeMap::new(),
            nothing: Stream::default(),
        }
    }

    /// A request arrives, and gets this context.
    pub(super) fn open(&mut self, context: u32, request: &Request, headers: HeaderMap) {
        self.now = request.now;
        let properties = request.properties.iter();
        let stream = Stream {
            headers,
            response: HeaderMap::of_response(&request.response),
            is_answered_at_once: request.is_answered_at_once,
            properties: properties.map(|(path, value)| (path.join("\0").into_bytes(), value.clone())).collect(),
            ..Stream::default()
        };
        self.streams.insert(context, stream);
        self.current = context;
    }

    /// The request of a context is gone.
    pub(super) fn close(&mut self, context: u32) -> Option<Stream> {
        self.streams.remove(&context)
    }

    pub(super) fn is_open(&self, context: u32) -> bool {
        self.streams.contains_key(&context)
    }

    /// Whether the module speaks for another context than that whose callback it is in.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.current != self.own
    }

    pub(super) fn record(&mut self, call: impl Into<String>) {
        self.calls.push(call.into());
    }

    pub(super) fn write_log(&mut self, level: LogLevel, text: String) {
        self.log.push(LogLine { level, text });
    }

    /// The time as the ABI and WASI count it.
    pub(super) fn nanoseconds(&self) -> Played<u64> {
        u64::try_from(self.now.as_nanos()).map_err(|_| failure("the time of this test lies beyond the year 2554"))
    }

    /// The property at a path whose parts are joined by NUL. Connections and requests have none while a filter starts.
    pub(super) fn property(&self, path: &[u8]) -> Property {
        /// Envoy answers `SerializationFailure` to these, and the SDK's `Context::get_property` panics on that.
        const NAMESPACES: [&[u8]; 8] =
            [b"", b"connection", b"filter_state", b"request", b"response", b"source", b"upstream", b"xds"];
        if let Some(value) = std::str::from_utf8(path).ok().and_then(|path| self.written.get(path)) {
            return Property::Found(value.clone());
        }
        match self.declared(path).or_else(|| self.member(path)) {
            Some(value) => Property::Found(value),
            None if NAMESPACES.contains(&path) => Property::NotAValue,
            None => Property::NotFound,
        }
    }

    fn declared(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.properties.iter().find(|(declared, _)| declared == path).map(|(_, value)| value.clone())
    }

    /// What stands in a property that is a map.
    fn member(&self, path: &[u8]) -> Option<Vec<u8>> {
        let end = path.iter().rposition(|byte| *byte == 0)?;
        let members = headers::decode(&self.declared(path.get(..end)?)?).ok()?;
        members.into_iter().find(|(name, _)| Some(name.as_slice()) == path.get(end + 1..)).map(|(_, value)| value)
    }

    /// Keeps a property that the module writes.
    pub(super) fn write_property(&mut self, path: String, value: Vec<u8>) -> Played<()> {
        self.in_request_or_later("wrote a property")?;
        if self.property(path.as_bytes()) == Property::NotFound || self.written.contains_key(&path) {
            self.written.insert(path, value);
            Ok(())
        } else {
            Err(failure(format!("the module wrote the property {path:?}, which is the host's")))
        }
    }

    /// Ends the test where the module does in a callback of its start what belongs to requests: Envoy starts a filter
    /// several times, and once only to see whether it starts.
    pub(super) fn in_request_or_later(&self, what: &str) -> Played<()> {
        match self.callback {
            Callback::Initialize | Callback::ContextCreate | Callback::VmStart | Callback::Configure => {
                Err(failure(format!("the module {what} in {}", self.callback.export())))
            }
            _ => Ok(()),
        }
    }

    /// The request's headers, for a call that reads them.
    pub(super) fn readable_headers(&self) -> Played<&HeaderMap> {
        match self.callback {
            Callback::RequestHeaders | Callback::Log => Ok(&self.headers),
            Callback::RequestBody if self.headers_wait => Ok(&self.headers),
            Callback::Tick | Callback::HttpCallResponse if self.waits => Ok(&self.headers),
            other => Err(failure(format!(
                "the module read the request headers in {}: Envoy shows them in proxy_on_request_headers and \
                 proxy_on_log, and an empty list elsewhere",
                other.export()
            ))),
        }
    }

    /// The request's headers, for a call that edits them.
    pub(super) fn editable_headers(&mut self) -> Played<&mut HeaderMap> {
        let still_here = match self.callback {
            Callback::RequestHeaders => true,
            Callback::RequestBody => self.headers_wait,
            Callback::Tick | Callback::HttpCallResponse => self.waits,
            _ => false,
        };
        if !still_here {
            return Err(failure(format!(
                "the module edited the request headers in {}: Envoy allows it in proxy_on_request_headers only, before \
                 the response",
                self.callback.export()
            )));
        }
        if self.reply.is_some() {
            return Err(failure(
                "the module edited the request headers after its local response: this request goes nowhere",
            ));
        }
        Ok(&mut self.headers)
    }

    /// The headers of the upstream's answer, for a call that reads or edits them.
    pub(super) fn response_headers(&mut self) -> Played<&mut HeaderMap> {
        match self.callback {
            Callback::ResponseHeaders => Ok(&mut self.response),
            other => Err(failure(format!("the module used the response headers in {}", other.export()))),
        }
    }

    /// Takes the module's one local response.
    pub(super) fn accept(&mut self, reply: Reply) -> Played<()> {
        let is_coming = match self.callback {
            Callback::RequestHeaders | Callback::RequestBody => !self.is_elsewhere(),
            Callback::ResponseHeaders | Callback::ResponseBody => !self.is_elsewhere(),
            // A request that was forwarded may be ended: while it has no response, so that the client gets this one.
            Callback::Tick => self.is_elsewhere(),
            Callback::HttpCallResponse => self.waits,
            _ => false,
        };
        if !is_coming {
            return Err(failure(format!(
                "the module sent a local response in {}; this host plays it while something comes in or is open",
                self.callback.export()
            )));
        }
        if self.reply.is_some() {
            return Err(failure("the module sent a second local response"));
        }
        self.reply = Some(reply);
        if self.is_elsewhere() {
            self.waits = false;
            self.after.push_back(After::Reply(self.current));
        }
        Ok(())
    }

    /// Has the request of the module's context go on. Envoy minds neither one that goes on already nor one that has got a
    /// reply; a module that asks for it has lost count.
    pub(super) fn resume(&mut self) -> Played<()> {
        if !self.waits || !self.is_elsewhere() {
            return Err(failure(format!("the module resumed {}, which does not wait", self.current)));
        }
        self.waits = false;
        self.after.push_back(After::Resume(self.current));
        Ok(())
    }

    /// Makes a call to another server; `None` where there is no such cluster.
    pub(super) fn dispatch(&mut self, call: Dispatched) -> Option<u32> {
        let token = call.token;
        match *self.host.clusters.get(call.cluster.as_str())? {
            Cluster::Waits => self.dispatched.push(call),
            Cluster::WithoutHosts => self.after.push_back(After::CallFailed(token)),
        }
        Some(token)
    }
}

/// The exports of a module that this host calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callback {
    Initialize,
    ContextCreate,
    VmStart,
    Configure,
    RequestHeaders,
    RequestBody,
    ResponseHeaders,
    ResponseBody,
    Tick,
    HttpCallResponse,
    Log,
    Done,
    Delete,
}

impl Callback {
    pub(super) fn export(self) -> &'static str {
        match self {
            Callback::Initialize => "_initialize",
            Callback::ContextCreate => "proxy_on_context_create",
            Callback::VmStart => "proxy_on_vm_start",
            Callback::Configure => "proxy_on_configure",
            Callback::RequestHeaders => "proxy_on_request_headers",
            Callback::RequestBody => "proxy_on_request_body",
            Callback::ResponseHeaders => "proxy_on_response_headers",
            Callback::ResponseBody => "proxy_on_response_body",
            Callback::Tick => "proxy_on_tick",
            Callback::HttpCallResponse => "proxy_on_http_call_response",
            Callback::Log => "proxy_on_log",
            Callback::Done => "proxy_on_done",
            Callback::Delete => "proxy_on_delete",
        }
    }
}
