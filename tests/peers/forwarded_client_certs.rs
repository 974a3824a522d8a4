// SPDX-License-Identifier: Apache-2.0

//! Thousands of values of X-Forwarded-Client-Cert (tests/peers/forwarded_client_certs.py) beside an independent reader.

use std::path::Path;

use certbound::certificate::thumbprint::Thumbprint;
use certbound::handover::proxy_name::ProxyName;
use certbound::handover::xfcc;
use serde::Deserialize;

const COUNT: usize = 10_000;

#[derive(Deserialize)]
struct Line {
    value: String,
    own: Option<String>,
    hops: Vec<String>,
    /// The SHA-256 of the client's certificate, `malformed`, or nothing. The independent reader leaves out a client with the name of a
    /// hop, which is judged elsewhere here.
    read: Option<String>,
}

impl Line {
    fn own_reading(&self) -> Option<String> {
        let own = self.own.as_ref().map(|own| Thumbprint::from_hex(own.as_bytes()).unwrap());
        let hops: Vec<_> = self.hops.iter().map(|uri| ProxyName::new(None, Some(uri.clone())).unwrap()).collect();
        match xfcc::client(self.value.as_bytes(), own.as_ref(), &hops) {
            Ok(client) => {
                let client = client.filter(|client| !hops.iter().any(|hop| hop.is_of(client)));
                client.map(|client| client.thumbprint().hex())
            }
            Err(_) => Some("malformed".to_owned()),
        }
    }
}

#[test]
fn every_value_is_read_as_an_independent_reader_reads_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/forwarded_client_certs.ndjson");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; `make test` makes it, and so does `make forwarded-client-certs`", path.display())
    });
    let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), COUNT);
    let of = |is: fn(&Line) -> bool| lines.iter().filter(|line| is(line)).count();
    let malformed = of(|line| line.read.as_deref() == Some("malformed"));
    let none = of(|line| line.read.is_none());
    assert!(malformed > COUNT / 5 && none > COUNT / 20 && COUNT - malformed - none > COUNT / 5, "{malformed} {none}");
    let wrong: Vec<_> = lines
        .iter()
        .map(|line| (line, line.own_reading()))
        .filter(|(line, read)| *read != line.read)
        .map(|(line, read)| format!("{read:?}, not {:?}: {:?} {:?} {}", line.read, line.own, line.hops, line.value))
        .collect();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
}
