// SPDX-License-Identifier: Apache-2.0
// Takes out of the linked module what would print backtraces: std brings it, some 40 kB, and the module has no use for it.
// What is taken out is a trap. It is named by its function, and not by its crate: the linker makes functions that are alike
// one, under any of their names. A panic, which std's own hook would describe, is told by the hook of src/host/panic.rs.
//
// node without_backtraces.mjs FROM TO

import binaryen from "binaryen";
import { readFileSync, writeFileSync } from "node:fs";

const [from, to] = process.argv.slice(2);
const NAMES = [
  // std::panicking::default_hook, and what it prints.
  /3std9panicking12default_hook$/,
  /^_RNvXNv\w*3std3sys9backtraceNt\w*16DisplayBacktraceNt\w*3fmt7Display3fmt$/,
  // <std::backtrace::Backtrace as core::fmt::Display>::fmt and its closure: errors of anyhow have one, and nobody writes it.
  /^_RNvX\w*3std9backtraceNt\w*9BacktraceNt\w*3fmt7Display3fmt$/,
  /^_RNSNvYNCNvX\w*3std9backtraceNt\w*9BacktraceNt\w*3fmt7Display3fmt0I\w*call_once6vtable\w*$/,
  // <rustc_demangle::Demangle as core::fmt::Display>::fmt, which makes the names in them readable, and those of its parts.
  /^_RNvX\w*14rustc_demangle(6legacy)?NtB\w*(8Demangle|13DemangleStyle)NtNt\w*3fmt7Display3fmt$/,
  /^_RNvX\w*3fmtRNt\w*14rustc_demangle13DemangleStyleNt\w*7Display3fmt\w*$/,
];

const module = binaryen.readBinary(readFileSync(from));
const functions = Array.from({ length: module.getNumFunctions() }, (_, index) => module.getFunctionByIndex(index));
for (const name of NAMES) {
  const found = functions.filter((each) => name.test(binaryen.getFunctionInfo(each).name));
  if (found.length === 0) {
    // No reason to build nothing, where a newer Rust has another name for it. The test of the module's size notices.
    console.warn(`${from} has no function ${name}, so the module keeps more of what prints backtraces`);
  }
  found.forEach((each) => binaryen.Function.setBody(each, module.unreachable()));
}
writeFileSync(to, module.emitBinary());
