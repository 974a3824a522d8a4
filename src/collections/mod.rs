// SPDX-License-Identifier: Apache-2.0

//! Maps and caches whose size is known: of the memory that they take, and of the code.

pub(crate) mod bounded_cache;
pub(crate) mod sorted_map;
