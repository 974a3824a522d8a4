// SPDX-License-Identifier: Apache-2.0

//! What a module may import, and what stands behind it here.

use wasmi::{Caller, Error, ExternType, Linker, Module, Val};

use super::world::{World, failure};
use super::{abi, wasi};

/// The host functions of ABI 0.2.1 in Envoy. A module that imports any other does not load at all.
const ENVOY: [&str; 39] = [
    "proxy_add_header_map_value",
    "proxy_call_foreign_function",
    "proxy_close_stream",
    "proxy_continue_stream",
    "proxy_define_metric",
    "proxy_dequeue_shared_queue",
    "proxy_done",
    "proxy_enqueue_shared_queue",
    "proxy_get_buffer_bytes",
    "proxy_get_buffer_status",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_size",
    "proxy_get_header_map_value",
    "proxy_get_log_level",
    "proxy_get_metric",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_http_call",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_record_metric",
    "proxy_register_shared_queue",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_resolve_shared_queue",
    "proxy_send_local_response",
    "proxy_set_buffer_bytes",
    "proxy_set_effective_context",
    "proxy_set_header_map_pairs",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
];

/// The functions of WASI preview 1 in Envoy (`FOR_ALL_WASI_FUNCTIONS` of proxy-wasm-cpp-host). Newer hosts have more.
const WASI: [&str; 15] = [
    "args_get",
    "args_sizes_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_read",
    "fd_seek",
    "fd_write",
    "path_open",
    "proc_exit",
    "random_get",
];

/// Gives every import of the module a body: the played ones their own, the others one that ends the test when it is
/// called. Most of those never are: the proxy-wasm SDK links what it might need, for instance to answer callouts.
#[track_caller]
pub(super) fn link(module: &Module) -> Linker<World> {
    let mut linker = Linker::new(module.engine());
    abi::link(&mut linker).expect("every name is linked once");
    wasi::link(&mut linker).expect("every name is linked once");
    for import in module.imports() {
        let name = format!("{}.{}", import.module(), import.name());
        let signature = match import.ty() {
            ExternType::Func(signature) if is_offered(import.module(), import.name()) => signature.clone(),
            _ => panic!("Envoy would not load the module: it has no import {name} to offer"),
        };
        // An error here says that the name is linked already, which is right for the functions that are played.
        let _ = linker.func_new(import.module(), import.name(), signature, not_played(name));
    }
    linker
}

fn is_offered(module: &str, name: &str) -> bool {
    match module {
        "env" => ENVOY.contains(&name),
        "wasi_snapshot_preview1" => WASI.contains(&name),
        _ => false,
    }
}

fn not_played(name: String) -> impl Fn(Caller<'_, World>, &[Val], &mut [Val]) -> Result<(), Error> {
    move |_, _, _| Err(failure(format!("the module called {name}, which this host does not play")))
}
