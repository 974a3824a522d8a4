//! The https URLs that a configuration names.

/// Host and port, and the path, of `https://host:port/path`; port and path may be missing. `None` for anything else. Which
/// characters a path may have is the caller's to say.
pub(crate) fn parts(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://")?;
    let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let is_right = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        && (1..=5).contains(&port.len())
        && port.bytes().all(|byte| byte.is_ascii_digit());
    is_right.then_some((authority, path))
}
