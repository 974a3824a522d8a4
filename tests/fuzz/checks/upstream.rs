// SPDX-License-Identifier: Apache-2.0

//! What a request comes to, and what the upstream sees of it.

use certbound::authorization_server::ResponseReader;
use certbound::handover::header_cache::HeaderCache;
use certbound::http::connection::GivenConnection;
use certbound::jose::signature::{PortableEngine, SignatureEngine};
use certbound::keys::KeyRing;
use certbound::outcome::log::{Circumstances, Event};
use certbound::policy::run::{End, Given, run};
use certbound::resource_server::introspection::Introspected;
use certbound::resource_server::token_cache::TokenCache;
use certbound::{Context, Policies, Refused, Request, Step};

use super::header_name;

pub type Headers = Vec<(String, Vec<u8>)>;

/// What the host says when it is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host<'a> {
    pub validated: Option<bool>,
    pub certificate: Option<&'a [u8]>,
    pub body: Option<&'a [u8]>,
}

/// What is to be done with the response to a request, whose client's certificate is not validated.
pub fn response_reader(policies: &Policies, request: &Request<'_>) -> Option<ResponseReader> {
    let (keys, mut tokens) = (KeyRing::default(), TokenCache::new(policies.token_cache_size()));
    let header_cache = &mut HeaderCache::default();
    let connection = &GivenConnection { is_chain_validated: Some(false), ..GivenConnection::default() };
    let context = &mut Context { connection, ..Context::new(&PortableEngine, &keys, &mut tokens, header_cache) };
    match policies.start(request, context) {
        Step::Forward { response_reader, .. } => response_reader,
        other => panic!("{other:?}"),
    }
}

/// The end of a request: the headers that the upstream sees, or the refusal. What must hold of every request is
/// judged here: no header about a certificate passes as it came, and a refusal can stand in a log and in a response.
pub fn end(
    policies: &Policies,
    request: &Request<'_>,
    engine: &dyn SignatureEngine,
    host: Host<'_>,
) -> Result<Headers, Refused> {
    let (keys, mut tokens) = (KeyRing::default(), TokenCache::new(policies.token_cache_size()));
    let header_cache = &mut HeaderCache::default();
    let connection = &GivenConnection {
        certificate: host.certificate.map(<[u8]>::to_vec),
        is_chain_validated: host.validated,
        ..GivenConnection::default()
    };
    let context = &mut Context { connection, ..Context::new(engine, &keys, &mut tokens, header_cache) };
    // A token seen before must come to the same as one that is new, but for being counted so.
    let first = policies.start(request, context);
    let second = policies.start(request, context);
    let counted_alike = |step: &Step| format!("{step:?}").replace("Some(Hit)", "Some(Miss)");
    assert_eq!(counted_alike(&first), counted_alike(&second));
    let mut begun = Some(second);
    let start = |_: Option<&Introspected>| begun.take().expect("nothing is asked twice");
    let given = Given { body: host.body, introspection: None, now: request.now };
    match run(start, (&keys, engine), given).1 {
        End::Forward(edits, ..) => {
            let mut seen: Headers =
                request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
            let mut set: Vec<&str> = Vec::new();
            for edit in &edits {
                seen.retain(|(name, _)| !name.eq_ignore_ascii_case(edit.name()));
                set.retain(|name| !name.eq_ignore_ascii_case(edit.name()));
                if let Some(value) = edit.value() {
                    assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{value:?}");
                    seen.push((edit.name().to_owned(), value.as_bytes().to_vec()));
                    set.push(edit.name());
                }
            }
            for (name, _) in &seen {
                let ours = set.iter().any(|own| own.eq_ignore_ascii_case(name));
                assert!(ours || !header_name::is_known(name), "{name:?} passes as it came");
            }
            Ok(seen)
        }
        End::Refuse(refused, missing) => {
            if missing.is_none() {
                judge(&refused);
            }
            Err(refused)
        }
        End::Serve(served, _) => panic!("nobody has metadata served: {served:?}"),
    }
}

/// The refusal's line in the log.
pub fn logged(refusal: &Refused) -> String {
    Event::Refused(refusal, Circumstances { route: None, request_id: None }).to_string()
}

fn judge(refusal: &Refused) {
    let visible = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let line = logged(refusal);
    // Four texts of others, of 128 characters each, which may be escaped to twelve.
    assert!(visible(&line) && line.len() < 7_000, "{line:?}");
    assert!(line.contains(refusal.reason().name()), "{line:?}");
    let status_stands_elsewhere = refusal.grpc_status().is_some() && refusal.status() == 200;
    assert!((400..=599).contains(&refusal.status()) || status_stands_elsewhere, "{}", refusal.status());
    assert!(refusal.headers().iter().all(|(name, value)| visible(name) && visible(value)), "{refusal:?}");
    assert!(
        status_stands_elsewhere || serde_json::from_str::<serde_json::Value>(&refusal.body()).unwrap().is_object(),
        "{}",
        refusal.body()
    );
}
