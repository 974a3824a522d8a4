// SPDX-License-Identifier: Apache-2.0

//! How servers read the names of a query's or a form's parameters, each as leniently as it does.

/// The name of a parameter, encoded as it came, as each of these servers reads it.
pub fn names(encoded: &[u8]) -> Vec<String> {
    let name = String::from_utf8_lossy(&lenient(encoded)).into_owned();
    let trimmed = name.trim_matches(|character: char| character <= ' ' || character == '\u{feff}').trim();
    vec![
        php(&name),
        rack(&name),
        qs(&name),
        // ASP.NET: System.Web knows %uXXXX.
        dot_net(encoded).to_ascii_lowercase(),
        // CFML, and whoever converts to capitals, or to small letters.
        name.to_uppercase().to_lowercase(),
        name.to_lowercase(),
        trimmed.to_owned(),
        // URLSearchParams, where it is given the whole of a query or a form, and query-string.
        name_without_mark(encoded),
        // A C string.
        name.split('\0').next().unwrap().to_owned(),
    ]
}

/// As it stands at the beginning of a form, where the marks of a query and of a fragment are dropped.
fn name_without_mark(encoded: &[u8]) -> String {
    String::from_utf8_lossy(&lenient(encoded.strip_prefix(b"?").or(encoded.strip_prefix(b"#")).unwrap_or(encoded)))
        .into_owned()
}

/// php_register_variable_ex.
fn php(name: &str) -> String {
    let name = name.trim_start_matches(' ').split('\0').next().unwrap();
    let (first, rest) = name.split_at(name.find('[').unwrap_or(name.len()));
    let first = first.replace([' ', '.'], "_");
    match rest.strip_prefix('[') {
        Some(open) if !open.contains(']') => format!("{first}_{open}"),
        _ => first,
    }
}

/// Rack 2, normalize_params: `\A[\[\]]*([^\[\]]+)\]*`.
fn rack(name: &str) -> String {
    name.trim_start_matches(['[', ']']).split(['[', ']']).next().unwrap().to_owned()
}

/// qs with allowDots: what stands in the first brackets, where nothing stands before them.
fn qs(name: &str) -> String {
    let name = name.strip_prefix('.').map_or_else(|| name.to_owned(), |rest| format!("[{rest}]"));
    match name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, _)) if !inside.contains('[') => inside.to_owned(),
        _ => name.split('[').next().unwrap().to_owned(),
    }
}

fn dot_net(encoded: &[u8]) -> String {
    let text = String::from_utf8_lossy(encoded);
    let mut pieces = text.split("%u");
    let mut decoded = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let unit = piece.get(..4).filter(|digits| !digits.starts_with('+'));
        match unit.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32) {
            Some(character) => decoded.extend(std::iter::once(character).chain(piece.chars().skip(4))),
            None => decoded.extend(["%u", piece]),
        }
    }
    String::from_utf8_lossy(&lenient(decoded.as_bytes())).into_owned()
}

/// The bytes, where every `%` that begins no escape stands for itself.
pub fn lenient(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok()).filter(|pair| !pair.starts_with('+'));
        let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|_| *first == b'%');
        decoded.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    decoded
}
