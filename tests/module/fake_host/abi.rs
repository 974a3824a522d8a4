// SPDX-License-Identifier: Apache-2.0

//! The host functions of proxy-wasm ABI 0.2.1 that this host plays, with Envoy's meaning. Each records itself before it
//! judges what it was asked, so that the last line of a failure's list is the call that failed.

#![allow(clippy::too_many_arguments, reason = "the signatures are the ABI's, not ours")]

use std::time::Duration;

use wasmi::errors::LinkerError;
use wasmi::{Caller, Linker};

use super::headers::{self, HeaderMap};
use super::memory::{hand_over, read, read_text, write, write_word};
use super::metrics::MetricKind;
use super::signature::{self, Verification};
use super::world::{Callback, Dispatched, Played, Property, Reply, World, failure};
use super::{ForeignFunctions, LogLevel};

pub(super) fn link(linker: &mut Linker<World>) -> Result<(), LinkerError> {
    const ABI: &str = "env";
    linker
        .func_wrap(ABI, "proxy_log", proxy_log)?
        .func_wrap(ABI, "proxy_get_log_level", proxy_get_log_level)?
        .func_wrap(ABI, "proxy_get_current_time_nanoseconds", proxy_get_current_time_nanoseconds)?
        .func_wrap(ABI, "proxy_get_property", proxy_get_property)?
        .func_wrap(ABI, "proxy_set_property", proxy_set_property)?
        .func_wrap(ABI, "proxy_define_metric", proxy_define_metric)?
        .func_wrap(ABI, "proxy_increment_metric", proxy_increment_metric)?
        .func_wrap(ABI, "proxy_record_metric", proxy_record_metric)?
        .func_wrap(ABI, "proxy_get_buffer_bytes", proxy_get_buffer_bytes)?
        .func_wrap(ABI, "proxy_set_buffer_bytes", proxy_set_buffer_bytes)?
        .func_wrap(ABI, "proxy_set_tick_period_milliseconds", proxy_set_tick_period_milliseconds)?
        .func_wrap(ABI, "proxy_set_effective_context", proxy_set_effective_context)?
        .func_wrap(ABI, "proxy_get_header_map_pairs", proxy_get_header_map_pairs)?
        .func_wrap(ABI, "proxy_get_header_map_value", proxy_get_header_map_value)?
        .func_wrap(ABI, "proxy_add_header_map_value", proxy_add_header_map_value)?
        .func_wrap(ABI, "proxy_replace_header_map_value", proxy_replace_header_map_value)?
        .func_wrap(ABI, "proxy_remove_header_map_value", proxy_remove_header_map_value)?
        .func_wrap(ABI, "proxy_send_local_response", proxy_send_local_response)?
        .func_wrap(ABI, "proxy_continue_stream", proxy_continue_stream)?
        .func_wrap(ABI, "proxy_http_call", proxy_http_call)?
        .func_wrap(ABI, "proxy_get_shared_data", proxy_get_shared_data)?
        .func_wrap(ABI, "proxy_set_shared_data", proxy_set_shared_data)?
        .func_wrap(ABI, "proxy_call_foreign_function", proxy_call_foreign_function)?;
    Ok(())
}

/// The statuses of host functions that this host returns. Envoy knows more; where it would give one of those, the call is
/// one that no correct filter makes, and the test ends.
#[derive(Clone, Copy)]
enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    SerializationFailure = 3,
    CasMismatch = 8,
}

/// A status as it crosses into the module.
type Answer = Played<u32>;

fn answer(status: Status) -> Answer {
    Ok(status as u32)
}

// --- the log and the clock -------------------------------------------------------------------------------------------

fn proxy_log(mut caller: Caller<'_, World>, level: u32, text: u32, text_size: u32) -> Answer {
    let level = match level {
        0 => LogLevel::Trace,
        1 => LogLevel::Debug,
        2 => LogLevel::Info,
        3 => LogLevel::Warn,
        4 => LogLevel::Error,
        5 => LogLevel::Critical,
        other => return Err(failure(format!("the module logged at the level {other}"))),
    };
    let text = read_text(&caller, text, text_size)?;
    let world = caller.data_mut();
    world.record(format!("proxy_log {level:?}").to_lowercase());
    world.write_log(level, text);
    answer(Status::Ok)
}

fn proxy_get_log_level(mut caller: Caller<'_, World>, level_out: u32) -> Answer {
    caller.data_mut().record("proxy_get_log_level");
    let level = caller.data().host.log_level as u32;
    write_word(&mut caller, level_out, level)?;
    answer(Status::Ok)
}

fn proxy_get_current_time_nanoseconds(mut caller: Caller<'_, World>, time_out: u32) -> Answer {
    caller.data_mut().record("proxy_get_current_time_nanoseconds");
    let nanoseconds = caller.data().nanoseconds()?;
    write(&mut caller, time_out, &nanoseconds.to_le_bytes())?;
    answer(Status::Ok)
}

// --- properties and buffers ------------------------------------------------------------------------------------------

fn proxy_get_property(
    mut caller: Caller<'_, World>,
    path: u32,
    path_size: u32,
    value_out: u32,
    size_out: u32,
) -> Answer {
    let path = read_text(&caller, path, path_size)?;
    caller.data_mut().record(format!("proxy_get_property {}", path.replace('\0', ".")));
    match caller.data().property(path.as_bytes()) {
        Property::Found(value) => {
            hand_over(&mut caller, &value, value_out, size_out)?;
            answer(Status::Ok)
        }
        Property::NotFound => answer(Status::NotFound),
        Property::NotAValue => answer(Status::SerializationFailure),
    }
}

/// Envoy keeps the value as filter state under `wasm.` and the path, for access logs and for later filters.
fn proxy_set_property(mut caller: Caller<'_, World>, path: u32, path_size: u32, value: u32, value_size: u32) -> Answer {
    let path = read_text(&caller, path, path_size)?;
    caller.data_mut().record(format!("proxy_set_property {}", path.replace('\0', ".")));
    let value = read(&caller, value, value_size)?;
    caller.data_mut().write_property(path, value)?;
    answer(Status::Ok)
}

// --- metrics ---------------------------------------------------------------------------------------------------------

fn proxy_define_metric(mut caller: Caller<'_, World>, kind: u32, name: u32, name_size: u32, id_out: u32) -> Answer {
    let kind = match kind {
        0 => MetricKind::Counter,
        1 => return Err(failure("the module defined a gauge: those of several VMs overwrite each other")),
        2 => MetricKind::Histogram,
        other => return Err(failure(format!("the module defined a metric of the kind {other}"))),
    };
    let name = read_text(&caller, name, name_size)?;
    caller.data_mut().record(format!("proxy_define_metric {}", without_labels(&name)));
    let id = caller.data_mut().metrics.define(kind, name)?;
    write_word(&mut caller, id_out, id)?;
    answer(Status::Ok)
}

fn proxy_increment_metric(mut caller: Caller<'_, World>, id: u32, offset: i64) -> Answer {
    let world = caller.data_mut();
    let name = world.metrics.name(id)?;
    world.record(format!("proxy_increment_metric {}", without_labels(&name)));
    world.in_request_or_later("counted something")?;
    world.metrics.increment(id, offset)?;
    answer(Status::Ok)
}

fn proxy_record_metric(mut caller: Caller<'_, World>, id: u32, value: u64) -> Answer {
    let world = caller.data_mut();
    let name = world.metrics.name(id)?;
    world.record(format!("proxy_record_metric {}", without_labels(&name)));
    world.in_request_or_later("recorded a value")?;
    world.metrics.record(id, value)?;
    answer(Status::Ok)
}

/// Labels stand behind a metric's name in the way that Istio began and Envoy's tag extraction reads.
fn without_labels(name: &str) -> &str {
    name.split("_.=.").next().unwrap_or_default()
}

fn proxy_get_buffer_bytes(
    mut caller: Caller<'_, World>,
    buffer: u32,
    start: u32,
    maximum: u32,
    bytes_out: u32,
    size_out: u32,
) -> Answer {
    let name = match buffer {
        0 => "http_request_body",
        1 => "http_response_body",
        4 => "http_call_response_body",
        6 => "vm_configuration",
        7 => "plugin_configuration",
        other => return Err(failure(format!("the module read the buffer {other}"))),
    };
    let world = caller.data_mut();
    world.record(format!("proxy_get_buffer_bytes {name}"));
    let contents = match (name, world.callback) {
        ("vm_configuration", Callback::VmStart) => Vec::new(),
        ("plugin_configuration", Callback::Configure) => world.plugin_configuration.clone(),
        ("http_request_body", Callback::RequestBody) => world.body.clone(),
        ("http_call_response_body", Callback::HttpCallResponse) => world.call_response.1.clone(),
        ("http_response_body", Callback::ResponseBody) => world.response_body.clone(),
        (_, callback) => {
            return Err(failure(format!(
                "the module read the buffer {name} in {}, where this host plays none",
                callback.export()
            )));
        }
    };
    let Some(rest) = contents.get(start as usize..) else {
        return Err(failure(format!("the module read {name} from {start} on, beyond its {} bytes", contents.len())));
    };
    let part = &rest[..rest.len().min(maximum as usize)];
    hand_over(&mut caller, part, bytes_out, size_out)?;
    answer(Status::Ok)
}

/// Replaces a part of what has come of a body.
fn proxy_set_buffer_bytes(
    mut caller: Caller<'_, World>,
    buffer: u32,
    start: u32,
    size: u32,
    bytes: u32,
    bytes_size: u32,
) -> Answer {
    let bytes = read(&caller, bytes, bytes_size)?;
    let world = caller.data_mut();
    world.record(format!("proxy_set_buffer_bytes {buffer}"));
    let end = start.saturating_add(size) as usize;
    if (buffer, world.callback) != (1, Callback::ResponseBody) || end > world.response_body.len() {
        return Err(failure(format!("the module wrote {start}..{end} of the buffer {buffer} in {:?}", world.callback)));
    }
    world.response_body.splice(start as usize..end, bytes);
    answer(Status::Ok)
}

// --- ticks -----------------------------------------------------------------------------------------------------------

/// A test says itself when it ticks.
fn proxy_set_tick_period_milliseconds(mut caller: Caller<'_, World>, milliseconds: u32) -> Answer {
    caller.data_mut().record("proxy_set_tick_period_milliseconds");
    if milliseconds == 0 {
        return Err(failure("the module turned its tick off"));
    }
    let world = caller.data_mut();
    world.tick_period = Duration::from_millis(milliseconds.into());
    world.tick_at = world.now + world.tick_period;
    answer(Status::Ok)
}

fn proxy_set_effective_context(mut caller: Caller<'_, World>, context: u32) -> Answer {
    let world = caller.data_mut();
    world.record(format!("proxy_set_effective_context {context}"));
    if context != world.own && !world.is_open(context) {
        return Err(failure(format!("the module entered the context {context}, which is gone")));
    }
    world.current = context;
    answer(Status::Ok)
}

// --- requests that wait, and what they wait for ----------------------------------------------------------------------

fn proxy_continue_stream(mut caller: Caller<'_, World>, stream: u32) -> Answer {
    caller.data_mut().record(format!("proxy_continue_stream {stream}"));
    if stream != REQUEST {
        return Err(failure(format!("the module resumed the stream {stream}, and not the request")));
    }
    caller.data_mut().resume()?;
    answer(Status::Ok)
}

const REQUEST: u32 = 0;

fn proxy_http_call(
    mut caller: Caller<'_, World>,
    cluster: u32,
    cluster_size: u32,
    pairs: u32,
    pairs_size: u32,
    body: u32,
    body_size: u32,
    trailers: u32,
    trailers_size: u32,
    timeout: u32,
    token_out: u32,
) -> Answer {
    let cluster = read_text(&caller, cluster, cluster_size)?;
    caller.data_mut().record(format!("proxy_http_call {cluster}"));
    let headers = headers::decode(&read(&caller, pairs, pairs_size)?)?;
    let body = read(&caller, body, body_size)?;
    let trailers = headers::decode(&read(&caller, trailers, trailers_size)?)?;
    let world = caller.data_mut();
    let named = |name: &[u8]| headers.iter().filter(|(own, _)| own == name).count() == 1;
    if !([&b":method"[..], b":path", b":authority"].into_iter().all(named) && trailers.is_empty() && timeout > 0) {
        return Err(failure("the module made a call without :method, :path, :authority or a time"));
    }
    if world.own != super::ROOT_CONTEXT || world.is_elsewhere() {
        return Err(failure("the module made a call from a request's context, with which its response would be lost"));
    }
    let token = FIRST_TOKEN + super::length(&world.calls);
    let timeout = Duration::from_millis(timeout.into());
    match world.dispatch(Dispatched { token, cluster, headers, body, timeout }) {
        Some(token) => {
            write_word(&mut caller, token_out, token)?;
            answer(Status::Ok)
        }
        None => answer(Status::BadArgument),
    }
}

/// A module that takes a token for granted shall not be right by chance.
const FIRST_TOKEN: u32 = 5000;

fn proxy_get_shared_data(
    mut caller: Caller<'_, World>,
    key: u32,
    key_size: u32,
    value_out: u32,
    size_out: u32,
    revision_out: u32,
) -> Answer {
    let key = read_text(&caller, key, key_size)?;
    caller.data_mut().record("proxy_get_shared_data");
    let Some((value, revision)) = caller.data().host.shared.get(&key) else { return answer(Status::NotFound) };
    hand_over(&mut caller, &value, value_out, size_out)?;
    write_word(&mut caller, revision_out, revision)?;
    answer(Status::Ok)
}

fn proxy_set_shared_data(
    mut caller: Caller<'_, World>,
    key: u32,
    key_size: u32,
    value: u32,
    value_size: u32,
    revision: u32,
) -> Answer {
    let key = read_text(&caller, key, key_size)?;
    caller.data_mut().record("proxy_set_shared_data");
    let value = read(&caller, value, value_size)?;
    let is_set = caller.data().host.shared.set(key, value, revision);
    answer(if is_set { Status::Ok } else { Status::CasMismatch })
}

// --- request headers -------------------------------------------------------------------------------------------------

fn proxy_get_header_map_pairs(mut caller: Caller<'_, World>, map: u32, pairs_out: u32, size_out: u32) -> Answer {
    let pairs = match record_for_map(&mut caller, "proxy_get_header_map_pairs", map, "")? {
        Map::Request => headers::encode(caller.data().readable_headers()?.entries()),
        Map::Response => headers::encode(caller.data_mut().response_headers()?.entries()),
        Map::CallResponse => headers::encode(caller.data().call_response.0.entries()),
    };
    hand_over(&mut caller, &pairs, pairs_out, size_out)?;
    answer(Status::Ok)
}

fn proxy_get_header_map_value(
    mut caller: Caller<'_, World>,
    map: u32,
    name: u32,
    name_size: u32,
    value_out: u32,
    size_out: u32,
) -> Answer {
    let name = read_text(&caller, name, name_size)?;
    let map = record_for_map(&mut caller, "proxy_get_header_map_value", map, &name)?;
    headers::check_name(&name)?;
    let value = match map {
        Map::Request => caller.data().readable_headers()?.first(&name),
        Map::Response => caller.data_mut().response_headers()?.first(&name),
        Map::CallResponse => caller.data().call_response.0.first(&name),
    };
    match value.map(<[u8]>::to_vec) {
        Some(value) => {
            hand_over(&mut caller, &value, value_out, size_out)?;
            answer(Status::Ok)
        }
        None => answer(Status::NotFound),
    }
}

fn proxy_add_header_map_value(
    mut caller: Caller<'_, World>,
    map: u32,
    name: u32,
    name_size: u32,
    value: u32,
    value_size: u32,
) -> Answer {
    let name = read_text(&caller, name, name_size)?;
    let map = record_for_map(&mut caller, "proxy_add_header_map_value", map, &name)?;
    let value = read(&caller, value, value_size)?;
    headers::check_value(&name, &value)?;
    headers_for_edit(&mut caller, map, &name)?.add(name.as_bytes(), &value);
    answer(Status::Ok)
}

fn proxy_replace_header_map_value(
    mut caller: Caller<'_, World>,
    map: u32,
    name: u32,
    name_size: u32,
    value: u32,
    value_size: u32,
) -> Answer {
    let name = read_text(&caller, name, name_size)?;
    let map = record_for_map(&mut caller, "proxy_replace_header_map_value", map, &name)?;
    let value = read(&caller, value, value_size)?;
    headers::check_value(&name, &value)?;
    headers_for_edit(&mut caller, map, &name)?.replace(name.as_bytes(), &value);
    answer(Status::Ok)
}

fn proxy_remove_header_map_value(mut caller: Caller<'_, World>, map: u32, name: u32, name_size: u32) -> Answer {
    let name = read_text(&caller, name, name_size)?;
    let map = record_for_map(&mut caller, "proxy_remove_header_map_value", map, &name)?;
    headers_for_edit(&mut caller, map, &name)?.remove(name.as_bytes());
    answer(Status::Ok)
}

/// Records a call about a header map, and ends the test if it is not the one that this host plays.
fn record_for_map(caller: &mut Caller<'_, World>, function: &str, map: u32, header: &str) -> Played<Map> {
    let name = match map {
        0 => "request",
        1 => "request_trailers",
        2 => "response",
        3 => "response_trailers",
        6 => "http_call_response",
        7 => "http_call_response_trailers",
        other => return Err(failure(format!("{function} named the header map {other}"))),
    };
    let call = format!("{function} {name} {header}");
    caller.data_mut().record(call.trim_end());
    match name {
        "request" => Ok(Map::Request),
        "response" => Ok(Map::Response),
        "http_call_response" if caller.data().callback == Callback::HttpCallResponse => Ok(Map::CallResponse),
        _ => Err(failure(format!("{function} named the header map {name}, which this host does not play"))),
    }
}

/// The header maps that this host plays.
#[derive(Clone, Copy)]
enum Map {
    Request,
    Response,
    /// Of a call to another server.
    CallResponse,
}

fn headers_for_edit<'a>(caller: &'a mut Caller<'_, World>, map: Map, name: &str) -> Played<&'a mut HeaderMap> {
    headers::check_name(name)?;
    headers::check_not_pseudo(name)?;
    match map {
        Map::Request => caller.data_mut().editable_headers(),
        Map::Response => caller.data_mut().response_headers(),
        Map::CallResponse => Err(failure("the module edited the response to its own call")),
    }
}

// --- the module's own response ---------------------------------------------------------------------------------------

fn proxy_send_local_response(
    mut caller: Caller<'_, World>,
    status: u32,
    _details: u32,
    _details_size: u32,
    body: u32,
    body_size: u32,
    pairs: u32,
    pairs_size: u32,
    grpc_status: i32,
) -> Answer {
    caller.data_mut().record(format!("proxy_send_local_response {status}"));
    if !(200..=599).contains(&status) {
        return Err(failure(format!("the module sent a local response with the status {status}")));
    }
    let mut headers = headers::decode(&read(&caller, pairs, pairs_size)?)?;
    headers::check_response(&headers)?;
    if grpc_status != NO_GRPC_STATUS {
        if !caller.data().readable_headers()?.is_grpc() {
            // Envoy would send it as it is: 200, and no word of the gRPC status.
            return Err(failure("the module answered in gRPC to a request that Envoy does not take for gRPC"));
        }
        headers.push((b"grpc-status".to_vec(), grpc_status.to_string().into_bytes()));
    }
    let body = read(&caller, body, body_size)?;
    caller.data_mut().accept(Reply { status, headers, body })?;
    answer(Status::Ok)
}

const NO_GRPC_STATUS: i32 = -1;

// --- foreign functions -----------------------------------------------------------------------------------------------

fn proxy_call_foreign_function(
    mut caller: Caller<'_, World>,
    name: u32,
    name_size: u32,
    arguments: u32,
    arguments_size: u32,
    results_out: u32,
    size_out: u32,
) -> Answer {
    let name = read_text(&caller, name, name_size)?;
    caller.data_mut().record(format!("proxy_call_foreign_function {name}"));
    let arguments = read(&caller, arguments, arguments_size)?;
    match (caller.data().host.foreign_functions, name.as_str()) {
        (ForeignFunctions::VerifySignature, "verify_signature") => match signature::verify(&arguments)? {
            Verification::Result(result) => {
                hand_over(&mut caller, &result, results_out, size_out)?;
                answer(Status::Ok)
            }
            Verification::BadArgument => answer(Status::BadArgument),
        },
        (ForeignFunctions::VerifySignature | ForeignFunctions::None, _) => answer(Status::NotFound),
    }
}
