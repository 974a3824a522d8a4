// SPDX-License-Identifier: Apache-2.0

//! The key set of a client that authenticates by a certificate of its own (RFC 8705 §2.2.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use x509_parser::asn1_rs::Tag;

use crate::certificate::Certificate;
use crate::certificate::der::Element;
use crate::certificate::object_identifier::ObjectIdentifier;
use crate::certificate::thumbprint::Thumbprint;
use crate::certificate::to_be_signed::ToBeSigned;
use crate::config;
use crate::jose::left_out::{KeyId, LeftOut, LeftOutKey, Why};
use crate::text::base64url;

/// At most so many keys are read of the set that a client publishes. Usual sets have one or two.
const MOST_KEYS: usize = 100;

/// Curves by object identifier (RFC 7518 §6.2.1.1, RFC 8812 §3.1, RFC 8037 §2).
const CURVES: &[(&str, &str)] = &[
    ("P-256", "1.2.840.10045.3.1.7"),
    ("P-384", "1.3.132.0.34"),
    ("P-521", "1.3.132.0.35"),
    ("secp256k1", "1.3.132.0.10"),
    ("Ed25519", "1.3.101.112"),
    ("Ed448", "1.3.101.113"),
];

/// A JWK set (RFC 7517 §5).
#[derive(Deserialize)]
#[serde(rename = "JWK Set")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "ClientKeySet"))]
pub(crate) struct KeySet {
    /// The keys.
    keys: Vec<Key>,
}

/// A JWK, of which only the certificate is looked at, and whether the public key is the certificate's.
#[derive(Deserialize)]
#[serde(rename = "JWK")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "ClientKey", transform = crate::config::shape::public_key))]
struct Key {
    /// Certificates in base64, that of the key first (RFC 7517 §4.7). A key without any is left out.
    x5c: Option<Vec<String>>,
    /// `RSA`, `EC` or `OKP`, like the certificate's key.
    kty: Option<String>,
    /// The curve of the certificate's key.
    crv: Option<String>,
    /// The modulus of the certificate's key.
    n: Option<String>,
    /// The exponent of the certificate's key.
    e: Option<String>,
    /// The first coordinate of the certificate's key, or the key itself.
    x: Option<String>,
    /// The second coordinate of the certificate's key.
    y: Option<String>,
    // Only for messages, so it may be anything.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(skip))]
    kid: Option<Named>,
    // A private or symmetric key does not belong here.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(skip))]
    d: Option<IgnoredAny>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(skip))]
    k: Option<IgnoredAny>,
}

/// The `kid` of a key; `None` where it is no text.
struct Named(Option<String>);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(String::deserialize(deserializer).ok()))
    }
}

impl Named {
    fn key_id(own: Option<Self>) -> KeyId {
        own.map_or(KeyId::None, |Self(text)| text.map_or(KeyId::Other(String::new()), KeyId::Text))
    }
}

/// What a client publishes, or what is registered for it.
#[derive(Debug)]
pub struct ClientKeys {
    /// The certificates that the client may present. None: it has withdrawn them.
    pub(crate) certificates: Vec<Thumbprint>,
    /// The keys that are left out; none where another worker read the set.
    pub(crate) left_out: LeftOut,
    /// The SHA-256 of what the log says of these keys: the other workers know by it whether it is said.
    said: Thumbprint,
}

impl ClientKeys {
    fn new(certificates: Vec<Thumbprint>, left_out: LeftOut) -> Self {
        let said = Thumbprint::of_der(left_out.to_string().as_bytes());
        Self { certificates, left_out, said }
    }

    /// Whether the same keys are left out of both, for the same reasons.
    pub(super) fn leave_out_as(&self, other: &Self) -> bool {
        self.said == other.said
    }

    /// What the other workers take over.
    pub(super) fn shared(&self) -> Vec<u8> {
        [&self.said].into_iter().chain(&self.certificates).flat_map(Thumbprint::bytes).collect()
    }

    /// Reads the bytes of [`Self::shared`].
    pub(super) fn take_shared(bytes: &[u8]) -> Option<Self> {
        let (digests, []) = bytes.as_chunks() else { return None };
        let (said, certificates) = digests.split_first()?;
        let certificates = certificates.iter().copied().map(Thumbprint::from).collect();
        Some(Self { certificates, left_out: LeftOut::default(), said: Thumbprint::from(*said) })
    }
}

/// Reads a key set that a client publishes. A key is left out if it is broken or private, or not its certificate's:
/// the operator here could not correct it.
///
/// # Errors
/// A sentence, if every certificate was left out, or if there are more than 100 keys.
pub(crate) fn published(mut document: Map<String, Value>) -> Result<ClientKeys, String> {
    let Some(Value::Array(keys)) = document.remove("keys") else {
        return Err("the key set has no list of keys".to_owned());
    };
    if keys.len() > MOST_KEYS {
        return Err(format!("the key set has more than {MOST_KEYS} keys"));
    }
    let (count, mut certificates, mut left_out) = (keys.len(), Vec::new(), Vec::new());
    for (place, key) in keys.into_iter().enumerate() {
        let key_id = key.get("kid").map_or(KeyId::None, KeyId::from);
        let key = config::parse::<Key>(key).map_err(|error| error.sentence());
        match key.and_then(|key| key.certificate().map_err(str::to_owned)) {
            Ok(Some(certificate)) => certificates.push(certificate),
            // The client may have it for signatures of its own.
            Ok(None) => left_out.push(LeftOutKey { place, key_id, why: Why::ForAnotherUse(NO_CERTIFICATE.to_owned()) }),
            Err(why) => left_out.push(LeftOutKey { place, key_id, why: Why::Unusable(why) }),
        }
    }
    let left_out = LeftOut::new(left_out, count);
    if certificates.is_empty() && left_out.has_faults() {
        return Err(format!("the key set has no certificate of a client: {left_out}"));
    }
    Ok(ClientKeys::new(certificates, left_out))
}

/// The certificate that one key of such a set has, or why it has none. It is for messages to people.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn certificate_of(key: Value) -> Result<Option<Thumbprint>, String> {
    config::parse::<Key>(key).map_err(|error| error.sentence())?.certificate().map_err(str::to_owned)
}

const NO_CERTIFICATE: &str = "it has no x5c, and so no certificate";

impl KeySet {
    /// The certificates of the set, of which a key without any is left out. The operator can correct what is broken.
    ///
    /// # Errors
    /// A sentence that names the key, if one is broken or private, or if none has a certificate.
    pub(crate) fn read(self) -> Result<ClientKeys, String> {
        let (count, mut certificates, mut left_out) = (self.keys.len(), Vec::new(), Vec::new());
        for (place, key) in self.keys.into_iter().enumerate() {
            let found = key.certificate();
            let why = found.as_ref().map_or_else(|why| *why, |_| NO_CERTIFICATE).to_owned();
            let key_id = Named::key_id(key.kid);
            let told = LeftOutKey { place, key_id, why: Why::Unusable(why) };
            match found {
                Ok(Some(certificate)) => certificates.push(certificate),
                Ok(None) => left_out.push(told),
                Err(_) => return Err(format!("jwks: {told}")),
            }
        }
        let left_out = LeftOut::new(left_out, count);
        if certificates.is_empty() && left_out.has_faults() {
            return Err(format!("jwks has no certificate of a client: {left_out}"));
        }
        Ok(ClientKeys::new(certificates, left_out))
    }
}

impl Key {
    /// Its certificate, if it has one.
    fn certificate(&self) -> Result<Option<Thumbprint>, &'static str> {
        if self.d.is_some() || self.k.is_some() {
            return Err("a key must be public");
        }
        let Some(base64) = self.x5c.as_ref().and_then(|chain| chain.first()) else { return Ok(None) };
        let der = STANDARD.decode(base64).ok().filter(|der| Certificate::is_certificate(der));
        let der = der.ok_or("x5c holds certificates in base64")?;
        let is_own = ToBeSigned::of_certificate(&der)
            .is_some_and(|signed| self.is(signed.subject_public_key_info).unwrap_or(false));
        if !is_own {
            return Err("the first certificate of x5c is for another key than the JWK (RFC 7517, 4.7)");
        }
        Ok(Some(Thumbprint::of_der(&der)))
    }

    /// Whether every member of the JWK agrees with this SubjectPublicKeyInfo; `None` if the latter cannot be read.
    fn is(&self, info: &[u8]) -> Option<bool> {
        let Self { kty, crv, n, e, x, y, .. } = self;
        let Some(kty) = kty else { return Some([crv, n, e, x, y].iter().all(|member| member.is_none())) };
        let [algorithm, key] = Element::only(info)?.children()?.try_into().ok()?;
        let mut algorithm = algorithm
            .children()?
            .into_iter()
            .map(|element| element.is(Tag::Oid).then(|| ObjectIdentifier::from_contents(element.contents)).flatten());
        let (algorithm, parameter) = (algorithm.next()??, algorithm.next().flatten());
        // A BIT STRING begins with the number of bits that its last byte does not use.
        let (_, key) = Some(key).filter(|key| key.is(Tag::BitString))?.contents.split_first()?;
        let is_curve = |curve: &ObjectIdentifier| {
            let of = |name: &String| CURVES.iter().any(|(known, own)| known == name && *own == curve.as_str());
            crv.as_ref().is_none_or(of)
        };
        Some(match (kty.as_str(), algorithm.as_str()) {
            ("RSA", "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10") => {
                let [modulus, exponent] = Element::only(key)?.children()?.try_into().ok()?;
                is_number(n.as_deref(), modulus.contents) && is_number(e.as_deref(), exponent.contents)
            }
            ("EC", "1.2.840.10045.2.1") => is_curve(&parameter?) && is_point(x.as_deref(), y.as_deref(), key)?,
            ("OKP", "1.3.101.112" | "1.3.101.113") => is_curve(&algorithm) && is(x.as_deref(), key),
            _ => false,
        })
    }
}

/// Whether a member, if present, has these bytes.
fn is(member: Option<&str>, bytes: &[u8]) -> bool {
    member.is_none_or(|text| base64url::decode(text).is_some_and(|member| member == bytes))
}

/// Whether a member, if present, is this number.
fn is_number(member: Option<&str>, bytes: &[u8]) -> bool {
    let significant = |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().skip_while(|byte| *byte == 0).collect() };
    member.is_none_or(|text| base64url::decode(text).is_some_and(|member| significant(&member) == significant(bytes)))
}

/// Whether the members that are present are the coordinates of this point (SEC 1 §2.3.3).
fn is_point(x: Option<&str>, y: Option<&str>, point: &[u8]) -> Option<bool> {
    let (form, coordinates) = point.split_first()?;
    match form {
        4 => {
            let (own_x, own_y) = coordinates.split_at_checked(coordinates.len() / 2)?;
            Some(is(x, own_x) && is(y, own_y))
        }
        // A compressed point has the first coordinate and the last bit of the second, which follows from these.
        2 | 3 => {
            let last = |text: &str| base64url::decode(text)?.last().map(|byte| byte & 1 == form & 1);
            Some(is(x, coordinates) && y.is_none_or(|text| last(text).unwrap_or(false)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// RFC 8705 appendix A: a key of P-256.
    const CERTIFICATE: &str = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";
    const X: &str = "1yfLHCpXqFjxCeHHHMVDTcLscpb07KUxudBmOMn8C7Q";
    const Y: &str = "8_coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8";

    fn published(key: Value) -> Result<usize, String> {
        let Value::Object(set) = json!({ "keys": [key] }) else { panic!("this is an object") };
        super::published(set).map(|keys| keys.certificates.len())
    }

    #[test]
    fn a_certificate_counts_where_all_that_the_jwk_says_of_its_key_is_so() {
        for key in [
            json!({ "x5c": [CERTIFICATE] }),
            json!({ "kty": "EC", "x5c": [CERTIFICATE] }),
            json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y, "x5c": [CERTIFICATE, "another"] }),
        ] {
            assert_eq!(published(key), Ok(1));
        }
        for key in [
            json!({ "kty": "RSA", "x5c": [CERTIFICATE] }),
            json!({ "kty": "OKP", "x5c": [CERTIFICATE] }),
            json!({ "kty": "oct", "x5c": [CERTIFICATE] }),
            json!({ "x": X, "x5c": [CERTIFICATE] }),
            json!({ "kty": "EC", "crv": "P-384", "x": X, "y": Y, "x5c": [CERTIFICATE] }),
            json!({ "kty": "EC", "crv": "P-256", "x": Y, "y": X, "x5c": [CERTIFICATE] }),
            json!({ "kty": "EC", "crv": "P-256", "x": X, "y": X, "x5c": [CERTIFICATE] }),
            json!({ "kty": "EC", "crv": "P-256", "x": "", "x5c": [CERTIFICATE] }),
            json!({ "kty": "EC", "x": X, "y": Y, "d": "AA", "x5c": [CERTIFICATE] }),
            json!({ "kty": "EC", "x5c": ["AAAA", CERTIFICATE] }),
            json!({ "kty": "EC", "x5c": CERTIFICATE }),
        ] {
            assert!(published(key.clone()).is_err(), "{key}");
        }
    }

    #[test]
    fn a_set_of_more_than_a_hundred_keys_is_none() {
        let set = |count| match json!({ "keys": vec![json!({ "x5c": [CERTIFICATE] }); count] }) {
            Value::Object(set) => super::published(set),
            _ => panic!("this is an object"),
        };
        assert_eq!(set(100).unwrap().certificates.len(), 100);
        assert!(set(101).is_err());
    }

    #[test]
    fn a_set_without_a_certificate_has_none_and_one_with_a_broken_key_alone_is_no_set() {
        let of = |keys: Value| match json!({ "keys": keys }) {
            Value::Object(set) => super::published(set).map(|keys| keys.certificates.len()),
            _ => panic!("this is an object"),
        };
        for withdrawn in [
            json!([]),
            json!([{ "kty": "EC" }]),
            json!([{ "kty": "EC", "x5c": null }]),
            json!([{ "kty": "EC", "use": "sig", "x": X, "y": Y }]),
        ] {
            assert_eq!(of(withdrawn), Ok(0));
        }
        let broken = json!({ "kty": "EC", "x5c": ["AAAA"] });
        assert!(of(json!([broken])).is_err() && of(json!([broken, { "kty": "EC" }])).is_err());
        assert_eq!(of(json!([broken, { "x5c": [CERTIFICATE] }])), Ok(1));
    }

    #[test]
    fn each_key_that_is_left_out_is_said_and_the_other_workers_know_that_it_was() {
        let of = |keys: Value| match json!({ "keys": keys }) {
            Value::Object(set) => super::published(set),
            _ => panic!("this is an object"),
        };
        let good = json!({ "kid": "good", "x5c": [CERTIFICATE] });
        for (broken, why) in [
            (json!({ "kid": "it", "d": "AA" }), "kid \"it\": a key must be public"),
            (json!({ "kid": 7, "x5c": ["AAAA"] }), "kid 7: x5c holds certificates in base64"),
            (
                json!({ "kty": "RSA", "x5c": [CERTIFICATE] }),
                "no kid: the first certificate of x5c is for another key than the JWK (RFC 7517, 4.7)",
            ),
            (json!({ "x5c": CERTIFICATE }), "no kid: x5c: expected a list, found a string"),
            (json!("key"), "no kid: expected a map, found a string"),
        ] {
            let keys = of(json!([good, broken])).unwrap();
            assert_eq!(keys.left_out.to_string(), format!("1 of 2: keys[1], {why}"));
            let shared = ClientKeys::take_shared(&keys.shared()).unwrap();
            assert_eq!(shared.certificates, keys.certificates);
            assert!(shared.leave_out_as(&keys) && !shared.leave_out_as(&of(json!([good])).unwrap()));
            let none = of(json!([broken])).unwrap_err();
            assert_eq!(none, format!("the key set has no certificate of a client: 1 of 1: keys[0], {why}"));
        }
        // The client may have such a key for signatures of its own, so it is no fault.
        let left_out = of(json!([good, { "kid": "it", "kty": "EC", "x5c": null }])).unwrap().left_out;
        assert!(!left_out.has_faults());
        let told: Vec<_> = left_out.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["keys[1], kid \"it\": it has no x5c, and so no certificate"]);
        assert!(ClientKeys::take_shared(&[]).is_none() && ClientKeys::take_shared(&[0; 33]).is_none());
    }

    #[test]
    fn what_the_operator_wrote_is_read_with_every_key_that_has_no_certificate_told() {
        let read = |keys: Value| serde_json::from_value::<KeySet>(json!({ "keys": keys })).unwrap().read();
        let good = json!({ "kid": "good", "x5c": [CERTIFICATE] });
        let keys = read(json!([{ "kid": 7, "kty": "EC" }, good, { "use": "enc", "x5c": null }])).unwrap();
        assert_eq!(keys.certificates.len(), 1);
        assert_eq!(
            keys.left_out.to_string(),
            "2 of 3: keys[0], a kid that is no text: it has no x5c, and so no certificate; keys[2], no kid: it has no x5c, and so no \
             certificate"
        );
        assert!(!read(json!([good])).unwrap().left_out.has_faults());
        assert!(read(json!([])).unwrap().certificates.is_empty());
        for (keys, wrong) in [
            (
                json!([{ "x5c": [] }]),
                "jwks has no certificate of a client: 1 of 1: keys[0], no kid: it has no x5c, and so no certificate",
            ),
            (json!([good, { "kid": "it", "d": "AA" }]), "jwks: keys[1], kid \"it\": a key must be public"),
            (json!([good, { "x5c": ["AAAA"] }]), "jwks: keys[1], no kid: x5c holds certificates in base64"),
        ] {
            assert_eq!(read(keys).unwrap_err(), wrong);
        }
    }

    #[test]
    fn a_point_is_compared_in_both_of_its_forms() {
        let point = |form: u8, coordinates: &[u8]| [&[form], coordinates].concat();
        // x is 1 and y is 2.
        assert_eq!(is_point(Some("AQ"), Some("Ag"), &point(4, &[1, 2])), Some(true));
        assert_eq!(is_point(Some("AQ"), Some("Ag"), &point(2, &[1])), Some(true));
        assert_eq!(is_point(Some("AQ"), Some("Ag"), &point(3, &[1])), Some(false));
        assert_eq!(is_point(Some("Ag"), Some("Ag"), &point(2, &[1])), Some(false));
        assert_eq!(is_point(None, None, &[]), None);
    }

    #[test]
    fn a_number_may_have_zeros_before_it() {
        assert!(
            is_number(Some("AQAB"), &[1, 0, 1]) && is_number(Some("AAEAAQ"), &[0, 1, 0, 1]) && is_number(None, &[1])
        );
        assert!(!is_number(Some("AQAB"), &[1, 0, 2]) && !is_number(Some("A"), &[]));
    }
}
