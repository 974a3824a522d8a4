// SPDX-License-Identifier: Apache-2.0

//! A distinguished name in the syntax of a tool, which is not that of RFC 4514.

use std::fmt::Write as _;

use super::distinguished_name::EscapedValue;
use super::registered_name::known_type;
use crate::text::hexadecimal;

/// A name that a tool printed.
#[derive(Debug, PartialEq, Eq)]
pub struct PastedName {
    /// What is not RFC 4514's, and whose it is.
    pub form: &'static str,
    /// The same name as a string of RFC 4514.
    pub rfc4514: String,
}

const LABEL: &str = "`subject=` is a label, not a part of the name";
const SLASHES: &str = "slashes between the parts are OpenSSL's old form, which begins at the other end";
const LINES: &str = "a string of RFC 4514 is one line without tabs; Node and OpenSSL's `multiline` print a part a line";
const SPACES: &str = "spaces before = are OpenSSL's form, which begins at the other end";
const QUOTES: &str = "RFC 4514 has no quotation marks";
const BRACKETS: &str = "OID(...) is the form of a Rust library, which begins at the other end";

/// Where one part ends and the next one begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parts {
    Commas,
    Slashes,
    Lines,
}

impl PastedName {
    /// Reads a name in another syntax than RFC 4514's. `None` if there is nothing of another syntax in it.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let text = trimmed(text);
        let named = unlabelled(text);
        let bare = named.unwrap_or(text);
        let parts = match bare.starts_with('/') {
            true => Parts::Slashes,
            false if has_lines(bare) => Parts::Lines,
            false => Parts::Commas,
        };
        let mut scan = Scan { parts, rest: bare, relative: vec![Vec::new()], form: None };
        let read = scan.read();
        let form = match parts {
            Parts::Slashes => Some(SLASHES),
            Parts::Lines => Some(LINES),
            Parts::Commas => scan.form.or(named.map(|_| LABEL)),
        }?;
        // The viewer of Windows prints lines from the end, with short names and spaces; OpenSSL's have long names, and Node's no spaces.
        let is_spaced = scan.form == Some(SPACES);
        let mut relative = scan.relative;
        let has = |part: &[(String, String)], short: &[&str]| {
            part.iter().any(|(name, _)| short.iter().any(|short| name.eq_ignore_ascii_case(short)))
        };
        let is_forward = match form {
            LINES if is_spaced => !relative.iter().any(|part| has(part, &["cn", "o", "ou", "c"])),
            LINES => !relative.last().is_some_and(|part| part.len() == 1 && has(part, &["c"])),
            _ => matches!(form, SLASHES | SPACES | BRACKETS),
        };
        if is_forward {
            relative.reverse();
        }
        Some(Self { form, rfc4514: read.map(|()| written(&relative)).unwrap_or_default() })
    }
}

/// The text without white space around it, except a space that is escaped.
pub(super) fn trimmed(text: &str) -> &str {
    let text = text.trim_start();
    let bare = text.trim_end();
    let backslashes = bare.bytes().rev().take_while(|byte| *byte == b'\\').count();
    let kept = if backslashes % 2 == 1 { bare.len().saturating_add(1) } else { bare.len() };
    text.get(..kept).unwrap_or(bare)
}

/// The name behind `subject=`, `issuer:` and the like.
fn unlabelled(text: &str) -> Option<&str> {
    let (label, rest) = text.split_once([':', '='])?;
    let has_colon = text.get(label.len()..)?.starts_with(':');
    let label = label.trim().to_ascii_lowercase();
    let is_label = match label.as_str() {
        "subject" | "issuer" | "owner" | "subject dn" | "issuer dn" => true,
        // LDIF, and `openssl s_client`, which counts certificates.
        "dn" => has_colon,
        short => {
            has_colon
                && matches!(short.trim_start_matches(|digit: char| digit.is_ascii_digit()).trim_start(), "s" | "i")
        }
    };
    is_label.then(|| rest.trim())
}

/// Whether a control character stands elsewhere than behind a separator.
fn has_lines(text: &str) -> bool {
    let mut before = ',';
    text.chars().any(|character| {
        let found = character.is_control() && character != '\0' && !matches!(before, ',' | '+');
        if !character.is_whitespace() {
            before = character;
        }
        found
    })
}

fn written(relative: &[Vec<(String, String)>]) -> String {
    let mut written = String::new();
    for (position, attributes) in relative.iter().enumerate() {
        written.push_str(if position > 0 { "," } else { "" });
        for (position, (name, value)) in attributes.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(written, "{}{name}={value}", if position > 0 { "+" } else { "" });
        }
    }
    written
}

struct Scan<'t> {
    parts: Parts,
    rest: &'t str,
    /// Names, and values as RFC 4514 writes them.
    relative: Vec<Vec<(String, String)>>,
    form: Option<&'static str>,
}

impl Scan<'_> {
    /// Reads all parts. `None` if something is no attribute.
    fn read(&mut self) -> Option<()> {
        if self.parts == Parts::Slashes {
            self.rest = self.rest.get(1..)?;
        }
        loop {
            let (name, rest) = self.rest.split_once('=')?;
            self.rest = rest;
            let bare = name.trim();
            if bare.len() != name.trim_start().len() {
                self.form = Some(SPACES);
            }
            let dotted = bare.get(..4).filter(|start| start.eq_ignore_ascii_case("oid(")).and(bare.get(4..));
            let dotted = dotted.and_then(|dotted| dotted.strip_suffix(')'));
            if dotted.is_some() {
                self.form = self.form.or(Some(BRACKETS));
            }
            let name = dotted.unwrap_or(bare).to_owned();
            let (value, separator) = self.value()?;
            self.relative.last_mut()?.push((name, value));
            match separator {
                None => return Some(()),
                Some('+') => {}
                Some(_) => self.relative.push(Vec::new()),
            }
        }
    }

    /// A value, as RFC 4514 writes it, and the separator behind it.
    fn value(&mut self) -> Option<(String, Option<char>)> {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        let is_der = self.rest.starts_with('#');
        let mut in_quotes = self.parts == Parts::Commas && self.rest.starts_with('"');
        if in_quotes {
            // Whatever else is there, this must be said.
            self.form = self.form.or(Some(QUOTES));
            self.rest = self.rest.get(1..)?;
        }
        let (mut bytes, mut kept) = (Vec::new(), 0);
        let separator = loop {
            let mut characters = self.rest.chars();
            let Some(character) = characters.next() else { break None };
            let after = characters.as_str();
            self.rest = after;
            match character {
                '"' if in_quotes && after.starts_with('"') => {
                    bytes.push(b'"');
                    self.rest = after.get(1..)?;
                    kept = bytes.len();
                }
                '"' if in_quotes => in_quotes = false,
                '\\' => {
                    self.escape(&mut bytes)?;
                    kept = bytes.len();
                }
                _ if !in_quotes && self.separates(character, after) => break Some(character),
                _ => {
                    bytes.extend(character.encode_utf8(&mut [0; 4]).bytes());
                    kept = if in_quotes || !character.is_whitespace() { bytes.len() } else { kept };
                }
            }
        };
        bytes.truncate(kept);
        let text = String::from_utf8(bytes).ok().filter(|_| !in_quotes)?;
        Some((if is_der { text } else { EscapedValue(&text).to_string() }, separator))
    }

    /// What stands behind a `\`: two hexadecimal digits, which the slash form has an x before, or the character itself.
    fn escape(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        let digits = self.rest.strip_prefix('x').unwrap_or(self.rest);
        let byte = digits.as_bytes().first_chunk::<2>().and_then(|pair| hexadecimal::byte(*pair));
        if let Some(byte) = byte {
            bytes.push(byte);
            self.rest = digits.get(2..)?;
            return Some(());
        }
        let character = self.rest.chars().next()?;
        bytes.extend(character.encode_utf8(&mut [0; 4]).bytes());
        self.rest = self.rest.get(character.len_utf8()..)?;
        Some(())
    }

    fn separates(&mut self, character: char, after: &str) -> bool {
        match (self.parts, character) {
            (Parts::Commas, ',' | '+') | (Parts::Lines, '\n') => true,
            (Parts::Slashes | Parts::Commas, '/') | (Parts::Slashes | Parts::Lines, '+') if begins_attribute(after) => {
                if self.parts == Parts::Commas {
                    self.form = Some(SLASHES);
                }
                true
            }
            _ => false,
        }
    }
}

/// Whether `NAME=` stands here.
fn begins_attribute(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| known_type(&name.trim().to_ascii_lowercase()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rfc4514(text: &str) -> String {
        PastedName::of(text).unwrap_or_else(|| panic!("{text}")).rfc4514
    }

    /// What tools printed of one certificate: C=BR, ST=SP, O=Example, Inc., OU=two words, serialNumber=123,
    /// organizationIdentifier=PSDBR-BCB-1 and, as one part, CN=client and emailAddress=a@b.example.
    const PLAIN: &str = "CN=client+emailAddress=a@b.example,organizationIdentifier=PSDBR-BCB-1,serialNumber=123,OU=two words,O=Example\\, Inc.,ST=SP,C=BR";

    #[test]
    fn what_a_tool_printed_of_one_certificate_becomes_one_string() {
        for printed in [
            // OpenSSL 3.0.19: the default of `x509 -subject`, then `-text`, `compat` and `multiline`.
            "subject=C = BR, ST = SP, O = \"Example, Inc.\", OU = two words, serialNumber = 123, organizationIdentifier = PSDBR-BCB-1, CN = client + emailAddress = a@b.example",
            "        Subject: C = BR, ST = SP, O = \"Example, Inc.\", OU = two words, serialNumber = 123, organizationIdentifier = PSDBR-BCB-1, CN = client + emailAddress = a@b.example",
            "subject=/C=BR/ST=SP/O=Example, Inc./OU=two words/serialNumber=123/organizationIdentifier=PSDBR-BCB-1/CN=client+emailAddress=a@b.example",
            // Node 20.20.2, X509Certificate.subject.
            "C=BR\nST=SP\nO=Example\\, Inc.\nOU=two words\nserialNumber=123\norganizationIdentifier=PSDBR-BCB-1\nCN=client + emailAddress=a@b.example",
        ] {
            assert_eq!(rfc4514(printed), PLAIN, "{printed}");
        }
        let multiline = "subject=\n    countryName               = BR\n    organizationName          = Example, Inc.\n    commonName                = client + emailAddress              = a@b.example\n";
        assert_eq!(
            rfc4514(multiline),
            "commonName=client+emailAddress=a@b.example,organizationName=Example\\, Inc.,countryName=BR"
        );
        // `openssl s_client`, old and new, and LDIF.
        assert_eq!(rfc4514(" 0 s:C = BR, O = \"Example, Inc.\", CN = a"), "CN=a,O=Example\\, Inc.,C=BR");
        assert_eq!(rfc4514("i:/C=BR/CN=a"), "CN=a,C=BR");
        assert_eq!(rfc4514("dn: CN=a,C=BR"), "CN=a,C=BR");
        // keytool of OpenJDK 17.0.15, in the order of RFC 4514.
        assert_eq!(
            rfc4514("Owner: CN=client + EMAILADDRESS=a@b.example, OID.2.5.4.97=P, O=\"Example, Inc.\", C=BR"),
            "CN=client+EMAILADDRESS=a@b.example,OID.2.5.4.97=P,O=Example\\, Inc.,C=BR"
        );
        // .NET doubles a quotation mark in quotation marks.
        assert_eq!(rfc4514("CN=\"a \"\"b\"\"; c\", C=BR"), "CN=a \\\"b\\\"\\; c,C=BR");
        // Ruby 3.1.2, to_s(COMPAT), and x509-parser 0.18.1.
        assert_eq!(rfc4514("C=BR, OU=two words/UID=u, CN=a"), "CN=a,UID=u,OU=two words,C=BR");
        assert_eq!(rfc4514("C=BR, O=a, OID(2.5.4.97)=P, CN=a"), "CN=a,2.5.4.97=P,O=a,C=BR");
        // OpenSSL escapes what is not ASCII.
        assert_eq!(rfc4514("/O=A\\xC3\\xA7\\xC3\\xA3o/CN=a"), "CN=a,O=Ação");
        assert_eq!(rfc4514("O = A\\C3\\A7\\C3\\A3o, CN = a"), "CN=a,O=Ação");
        // The certificate viewer of Windows.
        assert_eq!(rfc4514("CN = a\nO = b\nC = BR"), "CN=a,O=b,C=BR");
        assert_eq!(rfc4514("CN = a\r\nOU = c\r\nO = b\r\n"), "CN=a,OU=c,O=b");
        assert_eq!(rfc4514("O=b\nCN=a"), "CN=a,O=b");
        assert_eq!(
            rfc4514("    organizationName          = b\n    commonName                = a\n"),
            "commonName=a,organizationName=b"
        );
    }

    #[test]
    fn a_string_of_rfc_4514_is_no_other_form() {
        for plain in [
            PLAIN,
            "CN=a, O=b",
            "CN= a , O=b",
            "CN=a,\n O=b\n",
            "CN=host/a.example,O=x/y=z",
            "CN=\\\"a\\\",O=\\/UID\\=1",
            "OID.2.5.4.97=#0c0161",
            "",
            "x",
        ] {
            assert_eq!(PastedName::of(plain), None, "{plain}");
        }
    }

    #[test]
    fn what_breaks_off_has_no_string() {
        for broken in ["CN = \"a", "/CN", "CN = a\\", "C=BR\nx", "O = \\FF"] {
            assert_eq!(rfc4514(broken), "", "{broken}");
        }
    }
}
