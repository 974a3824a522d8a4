// SPDX-License-Identifier: Apache-2.0

//! A certificate and its chain, written in every dialect and read again: what a server takes out is what was handed over, whatever is in
//! the bytes, and nothing in a value ends the header, an element or the quotes.

use arbitrary::{Arbitrary, Unstructured};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certbound::Reason;
use certbound::certificate::Certificate;
use certbound::handover::chain::{Chain, certificate_of_connection};
use certbound::handover::dialect::{Dialect, Form, Written};
use certbound::handover::encoding::Encoding;
use certbound::handover::reader::{Read, chain_of_list};
use certbound::http::header_name::HeaderName;

#[derive(Debug, Arbitrary)]
struct Scenario<'a> {
    leaf: &'a [u8],
    chain: Vec<&'a [u8]>,
    /// What a proxy in front, or a client, wrote before the value of X-Forwarded-Client-Cert.
    before: &'a [u8],
}

/// The longest certificate, in bytes, that is sure to fit in the shortest header.
const SHORT: usize = 700;

/// A longer input teaches nothing more.
const LONGEST: usize = 700;

pub fn check(input: &[u8]) {
    if input.len() > LONGEST {
        return;
    }
    let Ok(scenario) = Scenario::arbitrary(&mut Unstructured::new(input)) else { return };
    let certificate = Certificate::on_the_desk(made(scenario.leaf));
    let others: Vec<_> = scenario.chain.iter().map(|bytes| made(bytes)).collect();
    let chain = if others.len() > 10 { Chain::Lost } else { Chain::Known(others.clone()) };
    for name in Dialect::names() {
        let dialect = Dialect::try_from(name.to_owned()).unwrap();
        let form = dialect.form(Some(HeaderName::from("x-own"))).unwrap();
        match form.write(&certificate, &chain) {
            Ok(written) => judge(&form, &written, &certificate, &chain, scenario.before),
            Err(reason) => {
                assert_eq!(reason, Reason::CertificateTooLarge);
                assert!(certificate.der().len() > SHORT, "{name}");
            }
        }
    }
}

/// A certificate in form: three parts, of which the first has the parts of RFC 5280 §4.1, and these bytes as its subject.
fn made(bytes: &[u8]) -> Vec<u8> {
    let subject = sequence(&[0x31, 0].iter().chain(bytes).copied().collect::<Vec<_>>());
    let empty = sequence(&[]);
    let fields = [&[2, 1, 1][..], &empty, &empty, &empty, &subject, &empty].concat();
    sequence(&[sequence(&fields), empty, vec![3, 1, 0]].concat())
}

fn sequence(contents: &[u8]) -> Vec<u8> {
    let [.., high, low] = contents.len().to_be_bytes();
    let length = match contents.len() {
        0..=0x7f => vec![low],
        0x80..=0xff => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[0x30], length.as_slice(), contents].concat()
}

fn judge(form: &Form, written: &Written, certificate: &Certificate, chain: &Chain, before: &[u8]) {
    let Chain::Known(others) = chain else {
        // What is too long is left out, and said to be.
        assert_eq!(written.headers.len(), 1);
        return;
    };
    let others: &[Vec<u8>] = if written.without_chain { &[] } else { others };
    for (name, value) in &written.headers {
        assert!(!value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{name}: {value}");
        assert!(value.trim() == value && !name.bytes().any(|byte| byte.is_ascii_uppercase()), "{name}: {value}");
    }
    let [(_, leaf), rest @ ..] = written.headers.as_slice() else { panic!("nothing is written") };
    if form.encoding() == Encoding::Xfcc {
        return judge_xfcc(leaf, certificate, others, before);
    }
    let read = |value: &str| match form.encoding().read(value.as_bytes()) {
        Some(Read::Certificate(certificate, _)) => certificate.der().to_vec(),
        other => panic!("{other:?}: {value}"),
    };
    let values: Vec<_> = if rest.is_empty() { leaf.split(',').collect() } else { vec![leaf.as_str()] };
    // A value that is longer than what a header may have is written for servers that take it, and not read here.
    if written.headers.iter().any(|(_, value)| value.len() > 32 * 1024) {
        return;
    }
    let mut found: Vec<_> = values.into_iter().map(read).collect();
    match rest {
        [] => {}
        [(name, list)] if name.ends_with("-chain") => match chain_of_list([list.as_bytes()].into_iter()) {
            Some(Chain::Known(chain)) => found.extend(chain),
            other => panic!("{other:?}: {list}"),
        },
        numbered => {
            for (place, (name, value)) in numbered.iter().enumerate() {
                let number: usize = name.trim_start_matches(|own: char| !own.is_ascii_digit()).parse().unwrap();
                let first: usize = numbered[0].0.trim_start_matches(|own: char| !own.is_ascii_digit()).parse().unwrap();
                assert_eq!(number, first + place);
                found.push(read(value));
            }
        }
    }
    assert_eq!(found[0], certificate.der());
    // A dialect may have no place for the others.
    assert!(found[1..] == *others || found.len() == 1, "{:?}", form.dialect());
    assert!(found.len() > 1 || others.is_empty() || !has_place(form), "{:?}", form.dialect());
}

fn has_place(form: &Form) -> bool {
    let no_place = ["gluu", "janssen", "auth0", "keycloak_nginx", "azure", "tomcat", "tomcat_escaped", "connect2id"];
    form.dialect().is_some_and(|dialect| !no_place.contains(&dialect.name()))
}

/// What is found behind anything that was there before, and by which connection alone.
fn judge_xfcc(value: &str, certificate: &Certificate, others: &[Vec<u8>], before: &[u8]) {
    let thumbprint = certificate.thumbprint();
    let mut base64 = value.split("CERTIFICATE-----%0A").nth(1).unwrap().to_owned();
    for (encoded, plain) in [("%2B", "+"), ("%2F", "/"), ("%3D", "="), ("%0A", "")] {
        base64 = base64.replace(encoded, plain);
    }
    assert_eq!(STANDARD.decode(base64.split("-----").next().unwrap()).unwrap(), certificate.der());
    let opens_quotes = before.iter().any(|byte| matches!(byte, b'"' | b'\\'));
    if opens_quotes || value.len() + before.len() > 60_000 {
        return;
    }
    let appended = [before, b",", value.as_bytes()].concat();
    assert_eq!(Chain::of_connection(&appended, thumbprint), Chain::Known(others.to_vec()));
    assert!(certificate_of_connection(&appended, thumbprint).is_some());
    let other = *Certificate::on_the_desk(b"other".to_vec()).thumbprint();
    let nothing = if before.starts_with(b"[") { Chain::Lost } else { Chain::Unknown };
    assert_eq!(Chain::of_connection(&appended, &other), nothing);
    assert_eq!(certificate_of_connection(&appended, &other), None);
}
