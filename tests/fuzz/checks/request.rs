// SPDX-License-Identifier: Apache-2.0

//! A request to an API, with any token in any carriage: under `required` it passes only with a right token that is
//! bound to the certificate of its connection. What is right is judged here anew.

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certbound::http::header_map::borrowed;
use certbound::jose::signature::PortableEngine;
use certbound::time::UnixTime;
use certbound::{Policies, Reason, Request};
use serde_json::Value;

use super::keys::{AUDIENCE, ISSUERS, KEYS, Key, Marks, resource_server};
use super::upstream::{Headers, Host, end, logged};
use super::{header_name, json, route_metadata, token_kind};

const NOW: u64 = 1_000_000_000;
const LEEWAY: f64 = 10.0;

/// Of the certificate of RFC 8705 Appendix A.
const THUMBPRINT: &str = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";
const OTHER_THUMBPRINT: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

/// Nothing but zeros make a right request: an input says what is wrong with it.
#[derive(Debug, Arbitrary)]
struct Scenario<'a> {
    policy: Policy<'a>,
    digest: Digest<'a>,
    later: i16,
    carriage: Carriage<'a>,
    forged: Vec<&'a [u8]>,
    others: Vec<(&'a str, &'a [u8])>,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Policy<'a> {
    Required,
    IfPresent,
    TopLevel,
    Raw(&'a [u8]),
}

#[derive(Debug, Arbitrary)]
enum Digest<'a> {
    Bound,
    Other,
    None,
    Raw(&'a [u8]),
}

#[derive(Debug, Arbitrary)]
enum Carriage<'a> {
    One(Authorization<'a>),
    None,
    Two(Authorization<'a>, Authorization<'a>),
    Joined(Authorization<'a>, Authorization<'a>),
}

/// A value of `Authorization`.
#[derive(Debug, Arbitrary)]
struct Authorization<'a> {
    scheme: Scheme<'a>,
    token: Token<'a>,
    end: &'a str,
}

#[derive(Debug, Arbitrary)]
enum Scheme<'a> {
    Bearer,
    Shouted,
    ManySpaces,
    Dpop,
    Raw(&'a str),
}

#[derive(Debug, Arbitrary)]
enum Token<'a> {
    Made {
        key: u8,
        header: Vec<Change<'a>>,
        claims: Vec<Change<'a>>,
        signature: Signature<'a>,
        spoilt: Option<(u16, u8)>,
    },
    Raw(&'a [u8]),
}

#[derive(Debug, Arbitrary)]
enum Signature<'a> {
    Right,
    Flipped(u8),
    By(u8),
    Raw(&'a [u8]),
}

/// A member of a token's header or claims that is not as it should be.
#[derive(Debug, Arbitrary)]
struct Change<'a> {
    name: Name<'a>,
    how: How<'a>,
}

#[derive(Debug, Arbitrary)]
enum How<'a> {
    Put(Json<'a>),
    Remove,
    /// Beside the one that is there.
    Repeat(Json<'a>),
}

#[derive(Debug, Arbitrary)]
enum Name<'a> {
    Alg,
    Aud,
    Cnf,
    Crit,
    Exp,
    Iat,
    Iss,
    Jkt,
    Jku,
    Jti,
    Jwk,
    Kid,
    Nbf,
    Nonce,
    Scope,
    Sub,
    Typ,
    X5tS256,
    X5u,
    Raw(&'a str),
}

#[derive(Debug, Arbitrary)]
enum Json<'a> {
    Text(Text<'a>),
    Now(i16),
    Number(i64),
    Float(f64),
    Null,
    Bool(bool),
    List(Vec<Json<'a>>),
    Object(Vec<(Name<'a>, Json<'a>)>),
    Deep(u8),
    Long(u16),
    Raw(&'a str),
}

#[derive(Debug, Arbitrary)]
enum Text<'a> {
    Thumbprint,
    OtherThumbprint,
    PaddedThumbprint,
    Issuer,
    OtherIssuer,
    Audience,
    Algorithm(u8),
    KeyId(u8),
    AtJwt,
    Raw(&'a str),
}

static POLICIES: LazyLock<Policies> = LazyLock::new(|| {
    let [required, if_present] = ["required", "if_present"].map(|binding| resource_server(binding, "cnf"));
    let if_present = if_present.replacen("{\"cert", r#"{"schemes": ["Bearer", "mtls_pop"], "cert"#, 1);
    let top_level = resource_server("required", "top_level");
    let text = format!(
        r#"{{"default_policy": "required", "policies": {{
            "required": {required}, "if-present": {if_present}, "top-level": {top_level}}}}}"#
    );
    Policies::load(text.as_bytes()).unwrap()
});

impl Scenario<'_> {
    fn has_nothing_wrong(&self) -> bool {
        let Carriage::One(Authorization { scheme: Scheme::Bearer, token, end: "" }) = &self.carriage else {
            return false;
        };
        let Token::Made { header, claims, signature: Signature::Right, spoilt: None, .. } = token else {
            return false;
        };
        let at_home = matches!(self.digest, Digest::Bound) && !matches!(self.policy, Policy::Raw(_));
        at_home && self.others.is_empty() && header.is_empty() && claims.is_empty() && (-10..610).contains(&self.later)
    }
}

impl Name<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Alg => "alg",
            Self::Aud => "aud",
            Self::Cnf => "cnf",
            Self::Crit => "crit",
            Self::Exp => "exp",
            Self::Iat => "iat",
            Self::Iss => "iss",
            Self::Jkt => "jkt",
            Self::Jku => "jku",
            Self::Jti => "jti",
            Self::Jwk => "jwk",
            Self::Kid => "kid",
            Self::Nbf => "nbf",
            Self::Nonce => "nonce",
            Self::Scope => "scope",
            Self::Sub => "sub",
            Self::Typ => "typ",
            Self::X5tS256 => "x5t#S256",
            Self::X5u => "x5u",
            Self::Raw(text) => text,
        }
    }
}

impl Json<'_> {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => quoted(&text.text()),
            Self::Now(offset) => NOW.saturating_add_signed((*offset).into()).to_string(),
            Self::Number(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::List(items) => format!("[{}]", items.iter().map(Self::text).collect::<Vec<_>>().join(",")),
            Self::Object(members) => {
                object(members.iter().map(|(name, value)| (name.text().to_owned(), value.text())).collect())
            }
            Self::Deep(depth) => format!("{}{}", "[".repeat((*depth).into()), "]".repeat((*depth).into())),
            Self::Long(length) => quoted(&"x".repeat(usize::from(*length) % 20_000)),
            Self::Raw(text) => (*text).to_owned(),
        }
    }
}

impl Text<'_> {
    fn text(&self) -> String {
        match self {
            Self::Thumbprint => THUMBPRINT.to_owned(),
            Self::OtherThumbprint => OTHER_THUMBPRINT.to_owned(),
            Self::PaddedThumbprint => format!("{THUMBPRINT}="),
            Self::Issuer => ISSUERS[0].to_owned(),
            Self::OtherIssuer => ISSUERS[1].to_owned(),
            Self::Audience => AUDIENCE.to_owned(),
            Self::Algorithm(choice) => key(*choice).algorithm.to_owned(),
            Self::KeyId(choice) => key(*choice).key_id.to_owned(),
            Self::AtJwt => "at+jwt".to_owned(),
            Self::Raw(text) => (*text).to_owned(),
        }
    }
}

impl Token<'_> {
    fn text(&self) -> Vec<u8> {
        let (choice, header, claims, signature, spoilt) = match self {
            Self::Made { key, header, claims, signature, spoilt } => (key, header, claims, signature, spoilt),
            Self::Raw(text) => return text.to_vec(),
        };
        let signer = key(*choice);
        let right_header = [("alg", quoted(signer.algorithm)), ("kid", quoted(signer.key_id))];
        let right_claims = [
            ("iss", quoted(ISSUERS[signer.issuer])),
            ("aud", quoted(AUDIENCE)),
            ("nbf", NOW.to_string()),
            ("exp", (NOW + 600).to_string()),
            ("cnf", format!(r#"{{"x5t#S256":"{THUMBPRINT}"}}"#)),
        ];
        let signed = [changed(&right_header, header), changed(&right_claims, claims)]
            .map(|part| URL_SAFE_NO_PAD.encode(part))
            .join(".");
        let mut bytes = signer.sign(&signed);
        match signature {
            Signature::Right => {}
            Signature::Flipped(bit) => bytes[usize::from(bit / 8)] ^= 1 << (bit % 8),
            Signature::By(other) => bytes = key(*other).sign(&signed),
            Signature::Raw(raw) => bytes = raw.to_vec(),
        }
        let mut text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes)).into_bytes();
        if let Some((position, byte)) = spoilt {
            let position = usize::from(*position) % text.len();
            text[position] = *byte;
        }
        text
    }
}

impl Authorization<'_> {
    fn bytes(&self) -> Vec<u8> {
        let scheme = match self.scheme {
            Scheme::Bearer => "Bearer ",
            Scheme::Shouted => "BEARER ",
            Scheme::ManySpaces => "bearer    ",
            Scheme::Dpop => "DPoP ",
            Scheme::Raw(text) => text,
        };
        [scheme.as_bytes(), &self.token.text(), self.end.as_bytes()].concat()
    }
}

fn key(choice: u8) -> &'static Key {
    &KEYS[usize::from(choice) % KEYS.len()]
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn object(members: Vec<(String, String)>) -> String {
    let members: Vec<_> = members.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
    format!("{{{}}}", members.join(","))
}

fn changed(right: &[(&str, String)], changes: &[Change<'_>]) -> String {
    let mut members: Vec<_> = right.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    for Change { name, how } in changes {
        if !matches!(how, How::Repeat(_)) {
            members.retain(|(own, _)| own != name.text());
        }
        if let How::Put(value) | How::Repeat(value) = how {
            members.push((name.text().to_owned(), value.text()));
        }
    }
    object(members)
}

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Came {
    Through,
    Refused(&'static str),
}

pub fn check(input: &[u8]) {
    judge(input);
}

/// As [`check`], and says what the request came to.
pub fn judge(input: &[u8]) -> Option<Came> {
    let scenario = Scenario::arbitrary(&mut Unstructured::new(input)).ok()?;
    let Scenario { policy, digest, later, carriage, forged, others } = &scenario;
    let (values, separator) = match carriage {
        Carriage::One(one) => (vec![one.bytes()], None),
        Carriage::None => (Vec::new(), None),
        Carriage::Two(one, two) => (vec![one.bytes(), two.bytes()], None),
        Carriage::Joined(one, two) => (vec![one.bytes(), two.bytes()], Some(b", ")),
    };
    let values = separator.map_or_else(|| values.clone(), |separator| vec![values.join(separator.as_slice())]);
    let mut headers: Headers = vec![(":path".to_owned(), b"/".to_vec())];
    headers.extend(values.into_iter().map(|value| ("authorization".to_owned(), value)));
    headers.extend(forged.iter().map(|choices| (header_name::spelt(choices), b"forged".to_vec())));
    headers.extend(others.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())));
    let metadata = match policy {
        Policy::Required => None,
        Policy::IfPresent => Some(route_metadata::encoded(b"policy", b"if-present")),
        Policy::TopLevel => Some(route_metadata::encoded(b"policy", b"top-level")),
        Policy::Raw(bytes) => Some(bytes.to_vec()),
    };
    let digest = match digest {
        Digest::Bound => Some(hex(THUMBPRINT)),
        Digest::Other => Some(hex(OTHER_THUMBPRINT)),
        Digest::None => None,
        Digest::Raw(bytes) => Some(bytes.to_vec()),
    };
    let now = NOW.saturating_add_signed((*later).into());
    let request = Request {
        headers: &borrowed(&headers),
        route_metadata: metadata.as_deref(),
        peer_digest: digest.as_deref(),
        now: UnixTime::from_seconds(now),
    };
    let marked = end(&POLICIES, &request, &Marks, Host::default());
    let portable = end(&POLICIES, &request, &PortableEngine, Host::default());

    let right = right(&headers, digest.as_deref(), now as f64, *policy);
    match &marked {
        Ok(_) => {
            let right = right.unwrap_or_else(|why| panic!("forwarded, though {why}: {scenario:?}"));
            // Of a real signature a real engine must say the same, where it is asked for nothing but the signature.
            let same = portable.is_ok() == right.key.is_ed25519();
            assert!(same, "{portable:?} {scenario:?}");
        }
        Err(refusal) => {
            assert!(portable.is_err(), "{scenario:?}");
            assert!(!scenario.has_nothing_wrong(), "a right request is refused: {refusal:?} {scenario:?}");
            for value in headers.iter().filter(|(name, _)| name == "authorization").map(|(_, value)| value) {
                let value = String::from_utf8_lossy(value);
                let signature = value.rsplit(['.', ' ']).next().filter(|signature| signature.len() > 40);
                let told = signature.is_some_and(|signature| logged(refusal).contains(signature));
                assert!(!told, "the log is told a token: {refusal:?}");
            }
        }
    }
    let came = match marked {
        Ok(_) => Came::Through,
        Err(refusal) => Came::Refused(Reason::name(refusal.reason())),
    };
    Some(came)
}

/// A request that may pass.
struct Right {
    key: &'static Key,
}

/// What there is to say for a request that may pass; otherwise what is wrong with it. A confirmation and a digest are
/// compared as bytes; nothing is taken from certbound.
fn right(headers: &Headers, digest: Option<&[u8]>, now: f64, policy: Policy<'_>) -> Result<Right, &'static str> {
    let values: Vec<_> = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization")).collect();
    let [(_, value)] = values[..] else { return Err("there is no or more than one Authorization") };
    let value = std::str::from_utf8(value).map_err(|_| "Authorization is no text")?;
    let (scheme, token) = value.split_once(' ').ok_or("there is no scheme")?;
    let (is_bearer, is_mtls_pop) = (scheme.eq_ignore_ascii_case("bearer"), scheme.eq_ignore_ascii_case("mtls_pop"));
    let token = token.trim_start_matches(' ');
    let parts: Vec<_> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { return Err("there are not three parts") };
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "a part is not base64url");
    let object = |part: &str| json::unambiguous(&decoded(part)?).filter(Value::is_object).ok_or("a part is no object");
    let (header, claims, signature) = (object(header)?, json::without_nulls(object(payload)?), decoded(signature)?);

    let signing_input = token.rsplit_once('.').unwrap_or_default().0;
    let key = KEYS
        .iter()
        .filter(|key| claims["iss"] == ISSUERS[key.issuer] && header["alg"] == key.algorithm)
        .filter(|key| header.get("kid").is_none_or(|key_id| key_id == key.key_id))
        .find(|key| key.sign(signing_input) == signature)
        .ok_or("no key of the issuer signed it")?;
    let for_us = |audience: &Value| audience == AUDIENCE;
    let time = |name: &str| claims[name].as_f64();
    let thumbprint = |object: &Value| object["x5t#S256"].as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let is_bytes = |digest: &[u8], bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        hex.len() == 64 && hex.as_bytes() == digest.to_ascii_lowercase()
    };
    let bound_in =
        |object: &Value| thumbprint(object).zip(digest).is_some_and(|(bytes, digest)| is_bytes(digest, &bytes));
    let unbound = claims.get("cnf").is_none() && claims.get("x5t#S256").is_none_or(|value| value == "");
    let bound = match policy {
        Policy::TopLevel if claims.get("cnf").is_none() => bound_in(&claims),
        Policy::IfPresent if unbound => !is_mtls_pop,
        _ => {
            bound_in(&claims["cnf"])
                && ["jkt", "jwk", "jwe", "jku", "kid"].iter().all(|name| claims["cnf"][*name].is_null())
        }
    };
    let says_access_token = header["typ"].as_str().is_some_and(|kind| kind.to_ascii_lowercase().ends_with("at+jwt"));
    for (right, why) in [
        (token.len() <= 16 * 1024, "it is too long"),
        (is_bearer || (is_mtls_pop && matches!(policy, Policy::IfPresent)), "the scheme is another"),
        (["crit", "jwk", "jku", "x5u"].iter().all(|name| header.get(name).is_none()), "its header brings a key"),
        (
            for_us(&claims["aud"]) || claims["aud"].as_array().is_some_and(|list| list.iter().any(for_us)),
            "it is for another",
        ),
        (time("exp").is_some_and(|expires| now < expires + LEEWAY), "it has expired"),
        (
            claims.get("nbf").is_none() || time("nbf").is_some_and(|begin| now >= begin - LEEWAY),
            "its time has not come",
        ),
        (bound, "it is not bound to this certificate"),
        (!token_kind::is_another(&claims, says_access_token), "it is another token"),
    ] {
        if !right {
            return Err(why);
        }
    }
    Ok(Right { key })
}

fn hex(thumbprint: &str) -> Vec<u8> {
    let bytes = URL_SAFE_NO_PAD.decode(thumbprint).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes()
}
