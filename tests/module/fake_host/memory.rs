// SPDX-License-Identifier: Apache-2.0

//! Reading and writing the module's memory.

use wasmi::{Caller, Extern, Func, Memory};

use super::length;
use super::world::{Played, World, failure};

/// A copy of a piece of the module's memory.
pub(super) fn read(caller: &Caller<'_, World>, address: u32, size: u32) -> Played<Vec<u8>> {
    let start = address as usize;
    let end = start.saturating_add(size as usize);
    match memory(caller)?.data(caller).get(start..end) {
        Some(bytes) => Ok(bytes.to_vec()),
        None => Err(failure(format!("the module named {size} bytes at {address}, outside its memory"))),
    }
}

/// As [`read`], for text that can be nothing but UTF-8.
pub(super) fn read_text(caller: &Caller<'_, World>, address: u32, size: u32) -> Played<String> {
    String::from_utf8(read(caller, address, size)?).map_err(|_| failure("the module sent text that is not UTF-8"))
}

pub(super) fn write(caller: &mut Caller<'_, World>, address: u32, bytes: &[u8]) -> Played<()> {
    memory(caller)?
        .write(&mut *caller, address as usize, bytes)
        .map_err(|_| failure(format!("the module asked for {} bytes at {address}, outside its memory", bytes.len())))
}

/// Writes a number where the module expects a result.
pub(super) fn write_word(caller: &mut Caller<'_, World>, address: u32, word: u32) -> Played<()> {
    write(caller, address, &word.to_le_bytes())
}

/// Gives the module a buffer that it owns from now on: its address and its size go where the module said.
pub(super) fn hand_over(caller: &mut Caller<'_, World>, bytes: &[u8], address_out: u32, size_out: u32) -> Played<()> {
    let address = if bytes.is_empty() {
        NULL // As Envoy: nothing is allocated for nothing, and the SDK takes a null pointer for an absent value.
    } else {
        let address = allocate(caller, length(bytes))?;
        write(caller, address, bytes)?;
        address
    };
    write_word(caller, address_out, address)?;
    write_word(caller, size_out, length(bytes))
}

const NULL: u32 = 0;

fn allocate(caller: &mut Caller<'_, World>, size: u32) -> Played<u32> {
    let allocator = exported_function(caller, "proxy_on_memory_allocate")
        .or_else(|| exported_function(caller, "malloc"))
        .ok_or_else(|| failure("the module exports neither proxy_on_memory_allocate nor malloc"))?;
    let address = allocator.typed::<u32, u32>(&*caller)?.call(&mut *caller, size)?;
    if address == NULL {
        return Err(failure(format!("the module could not allocate {size} bytes")));
    }
    Ok(address)
}

fn exported_function(caller: &Caller<'_, World>, name: &str) -> Option<Func> {
    caller.get_export(name).and_then(Extern::into_func)
}

fn memory(caller: &Caller<'_, World>) -> Played<Memory> {
    caller.get_export("memory").and_then(Extern::into_memory).ok_or_else(|| failure("the module exports no memory"))
}
