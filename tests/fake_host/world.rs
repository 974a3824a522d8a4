//! What the module sees of the world, and what it leaves behind there.

use std::collections::BTreeMap;
use std::time::Duration;

use wasmi::Error;

use super::headers::{self, HeaderMap};
use super::metrics::Metrics;
use super::{Header, Host, LogLevel, LogLine, Outcome, Request};

/// The answer of a part of this host, or the sentence that ends the test.
pub(super) type Played<T> = Result<T, Error>;

/// A sentence that ends the test: it unwinds the module and reaches the test as a panic.
pub(super) fn failure(sentence: impl Into<String>) -> Error {
    Error::new(sentence.into())
}

/// Everything one VM knows. The request's part is replaced when the next request opens.
pub(super) struct World {
    pub(super) host: Host,
    pub(super) plugin_configuration: Vec<u8>,
    /// The callback that runs, or ran last: what may be read and edited depends on it.
    pub(super) callback: Callback,
    pub(super) now: Duration,
    pub(super) headers: HeaderMap,
    pub(super) response: HeaderMap,
    pub(super) reply: Option<Reply>,
    /// What has come of the body.
    pub(super) body: Vec<u8>,
    /// The headers have not left.
    pub(super) headers_wait: bool,
    /// What has come of the body of the answer, and not gone on.
    pub(super) response_body: Vec<u8>,
    pub(super) calls: Vec<String>,
    pub(super) log: Vec<LogLine>,
    pub(super) random: u64,
    pub(super) metrics: Metrics,
    /// What the module wrote as properties of this request.
    pub(super) written: BTreeMap<String, Vec<u8>>,
    properties: Vec<(Vec<u8>, Vec<u8>)>,
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
            headers: HeaderMap::default(),
            response: HeaderMap::default(),
            reply: None,
            body: Vec::new(),
            headers_wait: false,
            response_body: Vec::new(),
            calls: Vec::new(),
            log: Vec::new(),
            random: 0,
            metrics: Metrics::default(),
            written: BTreeMap::new(),
            properties: Vec::new(),
        }
    }

    /// Replaces what belonged to the request before.
    pub(super) fn open(&mut self, request: &Request, headers: HeaderMap) {
        self.now = request.now;
        self.headers = headers;
        self.response = HeaderMap::of_response(&request.response);
        self.reply = None;
        self.body.clear();
        self.headers_wait = false;
        self.response_body.clear();
        self.written.clear();
        self.properties =
            request.properties.iter().map(|(path, value)| (path.join("\0").into_bytes(), value.clone())).collect();
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
            other => Err(failure(format!(
                "the module read the request headers in {}: Envoy shows them in proxy_on_request_headers and \
                 proxy_on_log, and an empty list elsewhere",
                other.export()
            ))),
        }
    }

    /// The request's headers, for a call that edits them.
    pub(super) fn editable_headers(&mut self) -> Played<&mut HeaderMap> {
        let still_here = self.callback == Callback::RequestBody && self.headers_wait;
        if self.callback != Callback::RequestHeaders && !still_here {
            return Err(failure(format!(
                "the module edited the request headers in {}: Envoy allows it in proxy_on_request_headers only, before \
                 the answer",
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
        let coming =
            [Callback::RequestHeaders, Callback::RequestBody, Callback::ResponseHeaders, Callback::ResponseBody];
        if !coming.contains(&self.callback) {
            return Err(failure(format!(
                "the module sent a local response in {}; this host plays it while something comes in only",
                self.callback.export()
            )));
        }
        if self.reply.is_some() {
            return Err(failure("the module sent a second local response"));
        }
        self.reply = Some(reply);
        Ok(())
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
            Callback::Log => "proxy_on_log",
            Callback::Done => "proxy_on_done",
            Callback::Delete => "proxy_on_delete",
        }
    }
}
