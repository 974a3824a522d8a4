// SPDX-License-Identifier: Apache-2.0

//! A thousand certificates (tests/peers/certificates.py) beside an independent parser: what the command `certbound inspect` says of
//! them, and what the filter reads in them.

use std::net::IpAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certbound::Reason;
use certbound::authorization_server::client::subject::Subject;
use certbound::certificate::Certificate;
use certbound::certificate::names::Names;
use certbound::certificate::registered_name::NameMatching;
use certbound::certificate::subject_alternative_name::SubjectAlternativeName;
use certbound::desk::inspect::Inspection;
use serde::Deserialize;
use serde_json::{Map, Value, json};

const COUNT: usize = 1000;

/// Reads a name that a client is registered by.
type Registered = fn(&str) -> Result<Subject, String>;

const KINDS: [(&str, Registered); 3] = [("dns", Subject::dns), ("uri", Subject::uri), ("email", Subject::email)];

/// A certificate, and what the parser reads in it.
#[derive(Deserialize)]
struct Described {
    certificate: String,
    /// The subject as the parser writes it, where its RFC 4514 has only attributes that every reader knows.
    registered: Option<String>,
    /// Which of `subject` and `issuer` is not registered as it is shown.
    not_as_shown: Vec<String>,
    /// What `certbound inspect` says of it, with addresses in hexadecimal.
    #[serde(flatten)]
    said: Map<String, Value>,
}

fn read() -> Vec<Described> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/certificates.ndjson");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; `make test` makes it, and so does `make certificates`", path.display())
    });
    let certificates: Vec<Described> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(certificates.len(), COUNT);
    certificates
}

impl Described {
    fn der(&self) -> Vec<u8> {
        STANDARD.decode(&self.certificate).unwrap()
    }

    fn pem(&self) -> String {
        let lines: Vec<_> =
            self.certificate.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    fn text(&self, member: &str) -> &str {
        self.said[member].as_str().unwrap()
    }

    fn alternatives(&self, kind: &str) -> Vec<&str> {
        let of_kind = self.said["subject_alternative_names"][kind].as_array().unwrap();
        of_kind.iter().map(|name| name.as_str().unwrap()).collect()
    }
}

fn hexadecimal(address: IpAddr) -> String {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the command says, in the form of the expected members. Of what it notes, names are those that the parser says.
fn inspected(file: &[u8], described: &Described) -> Map<String, Value> {
    let inspection = Inspection::of_file(file, &[]).unwrap();
    let mut said: Map<String, Value> = serde_json::from_str(&inspection.json()).unwrap();
    // What Envoy makes of a key and its usage in a handshake is no part of the certificate; nothing else is noted but names.
    let notes = said.remove("notes").unwrap_or_default();
    let notes: Vec<_> = notes.as_array().into_iter().flatten().map(|note| note.as_str().unwrap()).collect();
    let (of_names, notes): (Vec<&str>, Vec<&str>) =
        notes.iter().partition(|note| note.contains(" cannot be registered as text, "));
    let fields: Vec<_> = of_names.iter().map(|note| note.split(' ').next().unwrap()).collect();
    assert_eq!(fields, described.not_as_shown, "{of_names:?}");
    let (of_usage, of_key): (Vec<&str>, Vec<&str>) =
        notes.iter().partition(|note| note.starts_with("keyUsage has no digitalSignature"));
    assert!(of_key.iter().all(|note| note.contains("a client with this certificate seems to have none")), "{notes:?}");
    let signs = said
        .get("key_usage")
        .and_then(Value::as_array)
        .is_none_or(|usages| usages.contains(&"digitalSignature".into()));
    assert_eq!(of_usage.len(), usize::from(!signs));
    let names = said["subject_alternative_names"].as_object_mut().unwrap();
    names.entry("other").or_insert_with(|| json!([]));
    for address in names["ip"].as_array_mut().unwrap() {
        *address = hexadecimal(address.as_str().unwrap().parse().unwrap()).into();
    }
    said
}

#[test]
fn a_thousand_certificates_are_described_as_an_independent_parser_reads_them() {
    let certificates = read();
    let mut wrong = Vec::new();
    for described in &certificates {
        let said = inspected(&described.der(), described);
        if said != described.said {
            let differs = |name: &&String| said.get(*name) != described.said.get(*name);
            let names: Vec<_> = said.keys().chain(described.said.keys()).filter(differs).collect();
            let of = |map: &Map<String, Value>| names.iter().map(|name| map.get(*name).cloned()).collect::<Vec<_>>();
            wrong.push(format!("{names:?}\n  {:?}\n  {:?}", of(&said), of(&described.said)));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n"));
}

#[test]
fn of_a_chain_the_first_certificate_is_described_and_the_others_are_counted() {
    let certificates = read();
    for (position, chain) in certificates.chunks(7).enumerate() {
        let chain = &chain[..chain.len().min(1 + position % 7)];
        let file: String = chain.iter().map(Described::pem).collect();
        assert_eq!(inspected(file.as_bytes(), &chain[0]), chain[0].said);
        assert_eq!(Inspection::of_file(file.as_bytes(), &[]).unwrap().certificates(), chain.len());
    }
}

/// As the certificate of a connection comes to the filter: it reads names and dates by itself.
#[test]
fn the_filter_reads_the_same_names_and_dates_and_finds_every_one_that_a_client_is_registered_by() {
    let certificates = read();
    let (mut subjects, mut alternatives) = (0, 0);
    for described in &certificates {
        let thumbprint = *Certificate::on_the_desk(described.der()).thumbprint();
        assert_eq!(thumbprint.to_string(), described.text("x5t#S256"));
        let certificate = Certificate::of_connection(described.pem().as_bytes(), &thumbprint).unwrap();
        let other = *Certificate::on_the_desk(b"other".to_vec()).thumbprint();
        let mismatch = Certificate::of_connection(described.pem().as_bytes(), &other);
        assert_eq!(mismatch, Err(Reason::CertificateDigestMismatch));
        let dates = (described.text("not_before").to_owned(), described.text("not_after").to_owned());
        assert_eq!(certificate.dates(), Some(dates));

        let names = Names::of(&certificate).unwrap();
        assert_eq!(names.subject.to_string(), described.text("subject"));
        assert_eq!(names.issuer.to_string(), described.text("issuer"));
        let addresses = names.subject_alternative_names.iter().filter_map(|name| match name {
            SubjectAlternativeName::Ip(address) => Some(*address),
            _ => None,
        });
        let addresses: Vec<_> = addresses.collect();
        let written: Vec<_> = addresses.iter().copied().map(hexadecimal).collect();
        assert_eq!(written, described.alternatives("ip"));

        let matches = |subject: Result<Subject, String>| subject.unwrap().is_in(&names);
        assert!(addresses.iter().all(|address| matches(Subject::ip(&address.to_string()))));
        for (kind, of) in KINDS {
            // Nobody can be registered by a name that is none of its kind.
            let registrable: Vec<_> =
                described.alternatives(kind).into_iter().filter_map(|name| of(name).ok()).collect();
            assert!(registrable.iter().all(|subject| subject.is_in(&names)), "{kind}: {names:?}");
            alternatives += registrable.len();
        }
        assert!(!matches(Subject::dns("absent.example.net")));
        if let Some(registered) = &described.registered {
            subjects += 1;
            for mode in [NameMatching::Rfc4517, NameMatching::Unordered, NameMatching::Exact] {
                let subject = Subject::distinguished_name(registered, mode);
                assert!(matches(subject), "{registered:?} {mode}: {}", described.text("subject"));
            }
        }
    }
    assert!(subjects > COUNT / 8 && alternatives > 2 * COUNT, "{subjects} {alternatives}");
}
