// SPDX-License-Identifier: Apache-2.0

//! The calls of every request, straight from the host's ABI (proxy-wasm 0.2.1).
//!
//! The crate `proxy_wasm` has them too, but it allocates for each name and value of a map, panics at a name that is not UTF-8,
//! and builds a path for each property. Here a map is one piece of memory, and most paths are constants.
#![expect(unsafe_code, reason = "the host reads and writes this VM's memory where it is told")]

use std::ptr::null_mut;

use proxy_wasm::types::MapType;

use crate::http::header_map::HeaderMap;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, data: *const u8, size: usize) -> u32;
}

/// The host has the property, and cannot encode it.
pub(super) struct Unreadable;

/// Headers or trailers of the current context; `None` where the host does not give them.
pub(super) fn header_map(map: MapType) -> Option<HeaderMap> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: both are places for what the host writes.
    let status = unsafe { proxy_get_header_map_pairs(map as u32, &raw mut data, &raw mut size) };
    // SAFETY: as `taken` asks, after a call that succeeded.
    (status == OK).then(|| HeaderMap::new(unsafe { taken(data, size) }.unwrap_or_default()))
}

/// A property of the current context; `None` where there is none. The segments of its path have a zero between them.
pub(super) fn property(path: &str) -> Result<Option<Vec<u8>>, Unreadable> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the path is so long, and the others are places for what the host writes.
    let status = unsafe { proxy_get_property(path.as_ptr(), path.len(), &raw mut data, &raw mut size) };
    match status {
        // SAFETY: as `taken` asks, after a call that succeeded.
        OK => Ok(unsafe { taken(data, size) }),
        NOT_FOUND => Ok(None),
        _ => Err(Unreadable),
    }
}

/// Sets a property of the current context. A failure is ignored: nothing can be done about it.
pub(super) fn set_property(path: &'static str, value: &[u8]) {
    // SAFETY: the path and the value are so long, and the host only reads them.
    let _ = unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) };
}

/// Takes ownership of what the host has written.
///
/// # Safety
/// `data` is null, or memory that `proxy_on_memory_allocate` gave the host for so many bytes, all of which it wrote, and
/// which nobody else has.
unsafe fn taken(data: *mut u8, size: usize) -> Option<Vec<u8>> {
    // SAFETY: that function makes a boxed slice of so many bytes.
    (!data.is_null()).then(|| unsafe { Vec::from_raw_parts(data, size, size) })
}
