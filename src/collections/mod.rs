// SPDX-License-Identifier: Apache-2.0

//! Maps and caches of known size, in memory and in code.

pub(crate) mod bounded_cache;
pub(crate) mod sorted_map;
