// SPDX-License-Identifier: Apache-2.0

//! Headers and trailers.

use crate::http::host_map::entries;

/// Headers or trailers, in the order of arrival: names and values.
pub type Headers<'a> = [(&'a str, &'a [u8])];

/// Headers that somebody has.
#[must_use]
pub fn borrowed(headers: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
}

/// Those of one message as the host hands them over, in one piece of memory.
#[derive(Debug, Default)]
pub struct HeaderMap(Vec<u8>);

impl HeaderMap {
    /// What the host wrote. Nothing at all is no header.
    #[must_use]
    pub fn new(encoded: Vec<u8>) -> Self {
        Self(encoded)
    }

    /// Every header; `None` where it is no map, or a name is not UTF-8. Values are any bytes.
    #[must_use]
    pub fn headers(&self) -> Option<Vec<(&str, &[u8])>> {
        if self.0.is_empty() {
            return Some(Vec::new());
        }
        let named = |(name, value)| Some((std::str::from_utf8(name).ok()?, value));
        entries(&self.0)?.into_iter().map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENCODED: &[u8] = b"\x02\0\0\0\x05\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0:path\0/\0a\0\xff\0\0";

    #[test]
    fn names_and_values_are_read_as_the_host_writes_them() {
        let map = HeaderMap::new(ENCODED.to_vec());
        assert_eq!(map.headers().unwrap(), [(":path", &b"/"[..]), ("a", b"\xff\0")]);
        assert_eq!(HeaderMap::default().headers().unwrap(), []);
        assert_eq!(HeaderMap::new(vec![0; 4]).headers().unwrap(), []);
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_no_map() {
        for length in 1..ENCODED.len() {
            assert_eq!(HeaderMap::new(ENCODED[..length].to_vec()).headers(), None, "{length}");
        }
        assert_eq!(HeaderMap::new([ENCODED, b"\0"].concat()).headers(), None);
    }

    #[test]
    fn numbers_that_no_memory_has_room_for_are_no_map() {
        for encoded in [&b"\xff\xff\xff\xff"[..], b"\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0"] {
            assert_eq!(HeaderMap::new(encoded.to_vec()).headers(), None);
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_no_name() {
        let encoded = [&b"\x01\0\0\0\x01\0\0\0\0\0\0\0"[..], b"\xff\0\0"].concat();
        assert_eq!(HeaderMap::new(encoded).headers(), None);
    }
}
