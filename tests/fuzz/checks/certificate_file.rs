// SPDX-License-Identifier: Apache-2.0

//! A file on the desk: a certificate of any names, dates and extensions is described, anything else is told in a
//! sentence, and a name that is shown can be read back.

use arbitrary::{Arbitrary, Unstructured};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certbound::desk::inspect::Inspection;
use serde_json::Value;

#[derive(Debug, Arbitrary)]
enum File<'a> {
    Raw(&'a [u8]),
    Certificate { form: Form, parts: Box<Parts<'a>> },
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Form {
    Der,
    Base64,
    Pem,
    PercentEncoded,
}

#[derive(Debug, Arbitrary)]
struct Parts<'a> {
    version_1: bool,
    serial_number: &'a [u8],
    subject: Vec<Vec<Attribute<'a>>>,
    times: [(bool, &'a [u8]); 2],
    key: &'a [u8],
    names: Vec<(u8, &'a [u8])>,
    extensions: Vec<&'a [u8]>,
    rest: &'a [u8],
}

#[derive(Debug, Arbitrary)]
struct Attribute<'a> {
    kind: u8,
    string_type: u8,
    value: &'a [u8],
}

/// Object identifiers in DER and how RFC 4514 §3 names them.
const KINDS: &[(&[u8], &str)] = &[
    (b"\x55\x04\x03", "CN"),
    (b"\x55\x04\x0a", "O"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", "DC"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", "1.2.840.113549.1.9.1"),
    (b"\x88\x37", "2.999"),
];

/// UTF8String, NumericString, PrintableString, TeletexString, IA5String, UniversalString, BMPString; INTEGER.
const TAGS: &[u8] = &[12, 12, 12, 18, 19, 20, 22, 28, 30, 2];

impl Attribute<'_> {
    fn kind(&self) -> (&'static [u8], &'static str) {
        KINDS[usize::from(self.kind) % KINDS.len()]
    }

    fn value(&self) -> Vec<u8> {
        element(TAGS[usize::from(self.string_type) % TAGS.len()], &[self.value])
    }

    fn der(&self) -> Vec<u8> {
        element(0x30, &[&element(6, &[self.kind().0]), &self.value()])
    }
}

impl Parts<'_> {
    fn der(&self) -> Vec<u8> {
        let relative = |attributes: &Vec<Attribute<'_>>| {
            element(0x31, &[&attributes.iter().flat_map(Attribute::der).collect::<Vec<_>>()])
        };
        let subject = element(0x30, &[&self.subject.iter().flat_map(relative).collect::<Vec<_>>()]);
        let times = self.times.map(|(utc, text)| element(if utc { 23 } else { 24 }, &[text]));
        let names: Vec<_> = self.names.iter().flat_map(|(tag, name)| element(0x80 | (tag % 9), &[name])).collect();
        let names = element(4, &[&element(0x30, &[&names])]);
        let names = element(0x30, &[b"\x06\x03\x55\x1d\x11", &names]);
        let others: Vec<_> = self.extensions.iter().flat_map(|extension| element(0x30, &[extension])).collect();
        let algorithm = b"\x30\x05\x06\x03\x2b\x65\x70";
        let version: &[u8] = if self.version_1 { b"" } else { b"\xa0\x03\x02\x01\x02" };
        let to_be_signed = element(
            0x30,
            &[
                version,
                &element(2, &[self.serial_number]),
                algorithm,
                &subject,
                &element(0x30, &[&times.concat()]),
                &subject,
                &element(0x30, &[self.key]),
                &element(0xa3, &[&element(0x30, &[&names, &others])]),
                self.rest,
            ],
        );
        element(0x30, &[&to_be_signed, algorithm, b"\x03\x01\x00"])
    }
}

pub fn check(input: &[u8]) {
    let _ = described(input);
    let Ok(file) = File::arbitrary(&mut Unstructured::new(input)) else {
        return;
    };
    let (form, parts) = match file {
        File::Raw(bytes) => return drop(described(bytes)),
        File::Certificate { form, parts } => (form, parts),
    };
    let der = parts.der();
    let pem = || format!("x\n-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(&der));
    let bytes = match form {
        Form::Der => der.clone(),
        Form::Base64 => STANDARD.encode(&der).into_bytes(),
        Form::Pem => pem().into_bytes(),
        Form::PercentEncoded => pem().bytes().flat_map(|byte| format!("%{byte:02x}").into_bytes()).collect(),
    };
    let description = described(&bytes).unwrap_or_else(|sentence| panic!("{sentence}: {parts:?}"));
    let shown = read(description["subject"].as_str().unwrap());
    let expected: Vec<_> = parts.subject.iter().filter(|attributes| !attributes.is_empty()).rev().collect();
    assert_eq!(shown.len(), expected.len(), "{parts:?}");
    for (shown, expected) in shown.iter().zip(expected) {
        assert_eq!(shown.len(), expected.len(), "{parts:?}");
        for ((kind, value), attribute) in shown.iter().zip(expected) {
            assert_eq!(kind, attribute.kind().1, "{parts:?}");
            assert!(is_value(value, attribute), "{value} {attribute:?}");
        }
    }
    let names = &description["subject_alternative_names"];
    let count: usize = names.as_object().unwrap().values().map(|of_kind| of_kind.as_array().unwrap().len()).sum();
    assert!(count >= parts.names.len(), "{parts:?}");
}

/// The JSON, or the sentence; neither that nor the text has anything that a terminal obeys.
fn described(bytes: &[u8]) -> Result<Value, String> {
    let inspection = Inspection::of_file(bytes, &[]).map_err(|sentence| sentence.to_string());
    let text = inspection.as_ref().map_or_else(Clone::clone, ToString::to_string);
    assert!(!text.is_empty() && !text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
    let json = inspection?.json();
    assert!(json.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')), "{json:?}");
    Ok(serde_json::from_str(&json).unwrap())
}

/// The attributes of an RFC 4514 string by part, with values still escaped.
fn read(text: &str) -> Vec<Vec<(String, String)>> {
    let mut name = Vec::new();
    let mut characters = text.chars().peekable();
    while characters.peek().is_some() {
        let mut attributes = vec![String::new()];
        while let Some(character) = characters.next().filter(|character| *character != ',') {
            match character {
                '+' => attributes.push(String::new()),
                '\\' => attributes.last_mut().unwrap().extend(['\\', characters.next().unwrap()]),
                plain => attributes.last_mut().unwrap().push(plain),
            }
        }
        let parts = attributes.iter().map(|attribute| attribute.split_once('=').unwrap());
        name.push(parts.map(|(kind, value)| (kind.to_owned(), value.to_owned())).collect());
    }
    name
}

/// Whether a shown value is the attribute's, as bytes or, for a type that keeps one byte for a character, as text.
fn is_value(shown: &str, attribute: &Attribute<'_>) -> bool {
    if let Some(hex) = shown.strip_prefix('#') {
        return hex == attribute.value().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    }
    let mut text = Vec::new();
    let mut bytes = shown.bytes();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'\\' => match bytes.next().unwrap() {
                high @ (b'0'..=b'9' | b'A'..=b'F') => {
                    let pair = [high, bytes.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&pair).unwrap(), 16).unwrap()
                }
                special => special,
            },
            plain => plain,
        });
    }
    let text = String::from_utf8(text).unwrap();
    match attribute.value()[0] {
        12 | 18 | 19 | 22 => text.as_bytes() == attribute.value,
        20 => text.chars().map(u32::from).eq(attribute.value.iter().copied().map(u32::from)),
        28 => text.chars().flat_map(|character| u32::from(character).to_be_bytes()).eq(attribute.value.iter().copied()),
        30 => text.encode_utf16().flat_map(u16::to_be_bytes).eq(attribute.value.iter().copied()),
        _ => false,
    }
}

/// An element in DER (X.690 §10.1).
fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let [.., third, second, first] = contents.len().to_be_bytes();
    let length = match contents.len() {
        0..=0x7f => vec![first],
        0x80..=0xff => vec![0x81, first],
        0x100..=0xffff => vec![0x82, second, first],
        _ => vec![0x83, third, second, first],
    };
    [&[tag], length.as_slice(), contents.as_slice()].concat()
}
