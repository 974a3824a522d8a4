// SPDX-License-Identifier: Apache-2.0

//! The part of WASI preview 1 that Rust's standard library needs inside a filter.

use wasmi::errors::LinkerError;
use wasmi::{Caller, Linker};

use super::LogLevel;
use super::memory::{read, write, write_word};
use super::world::{Played, World, failure};

pub(super) fn link(linker: &mut Linker<World>) -> Result<(), LinkerError> {
    const WASI: &str = "wasi_snapshot_preview1";
    linker
        .func_wrap(WASI, "environ_sizes_get", environ_sizes_get)?
        .func_wrap(WASI, "environ_get", environ_get)?
        .func_wrap(WASI, "clock_time_get", clock_time_get)?
        .func_wrap(WASI, "random_get", random_get)?
        .func_wrap(WASI, "fd_write", fd_write)?
        .func_wrap(WASI, "proc_exit", proc_exit)?;
    Ok(())
}

/// WASI's "no error". Whatever would be an error ends the test instead.
const SUCCESS: u32 = 0;

/// The one environment variable that there is, as tests/cases has it: Envoy passes those alone that its configuration
/// names.
const ENVIRONMENT: &[u8] = b"CERTBOUND_SECRET=0p3n-s3same\0";

fn environ_sizes_get(mut caller: Caller<'_, World>, count_out: u32, size_out: u32) -> Played<u32> {
    caller.data_mut().record("environ_sizes_get");
    write_word(&mut caller, count_out, 1)?;
    write_word(&mut caller, size_out, ENVIRONMENT.len() as u32)?;
    Ok(SUCCESS)
}

fn environ_get(mut caller: Caller<'_, World>, pointers: u32, text: u32) -> Played<u32> {
    caller.data_mut().record("environ_get");
    write_word(&mut caller, pointers, text)?;
    write(&mut caller, text, ENVIRONMENT)?;
    Ok(SUCCESS)
}

/// Both clocks show the time of the request: nothing takes any time here.
fn clock_time_get(mut caller: Caller<'_, World>, clock: u32, _precision: u64, time_out: u32) -> Played<u32> {
    let name = match clock {
        0 => "realtime",
        1 => "monotonic",
        other => return Err(failure(format!("the module read the clock {other}"))),
    };
    caller.data_mut().record(format!("clock_time_get {name}"));
    let nanoseconds = caller.data().nanoseconds()?;
    write(&mut caller, time_out, &nanoseconds.to_le_bytes())?;
    Ok(SUCCESS)
}

/// The same bytes in every run, so that a failing test fails again: SplitMix64 from a fixed seed.
fn random_get(mut caller: Caller<'_, World>, address: u32, size: u32) -> Played<u32> {
    let world = caller.data_mut();
    world.record(format!("random_get {size}"));
    let mut bytes = Vec::new();
    while bytes.len() < size as usize {
        world.random = world.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut number = world.random;
        number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bytes.extend_from_slice(&(number ^ (number >> 31)).to_le_bytes());
    }
    bytes.truncate(size as usize);
    write(&mut caller, address, &bytes)?;
    Ok(SUCCESS)
}

/// Standard output and standard error go to the log, at the levels Envoy gives them.
fn fd_write(mut caller: Caller<'_, World>, file: u32, pieces: u32, piece_count: u32, written_out: u32) -> Played<u32> {
    let (name, level) = match file {
        1 => ("stdout", LogLevel::Info),
        2 => ("stderr", LogLevel::Error),
        other => return Err(failure(format!("the module wrote to the file {other}"))),
    };
    caller.data_mut().record(format!("fd_write {name}"));
    let mut text = Vec::new();
    for piece in 0..piece_count {
        let entry = pieces.wrapping_add(piece.wrapping_mul(8));
        let address = read_word(&caller, entry)?;
        let size = read_word(&caller, entry.wrapping_add(4))?;
        text.extend(read(&caller, address, size)?);
    }
    write_word(&mut caller, written_out, super::length(&text))?;
    let text = String::from_utf8_lossy(&text);
    caller.data_mut().write_log(level, text.trim_end().to_owned());
    Ok(SUCCESS)
}

fn read_word(caller: &Caller<'_, World>, address: u32) -> Played<u32> {
    let bytes = read(caller, address, 4)?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

fn proc_exit(mut caller: Caller<'_, World>, code: u32) -> Played<()> {
    caller.data_mut().record(format!("proc_exit {code}"));
    Err(failure(format!("the module ended itself with exit code {code}")))
}
