// SPDX-License-Identifier: Apache-2.0

//! Public keys, as an authorization server publishes them (RFC 7517).

use jwt_simple::algorithms::{Ed25519PublicKey, RS256PublicKey};
use p256::AffinePoint;
use p256::elliptic_curve::point::AffineCoordinates as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::der;
use super::jws::CompactJws;
use super::left_out::{KeyId, LeftOut, LeftOutKey, Why};
use super::roca;
use crate::config;
use crate::jose::fingerprint::fingerprint;
use crate::text::base64url;
use crate::text::quoted::Briefly;

/// The most keys of a set. Authorization servers in the field publish a handful.
const MOST_KEYS: usize = 100;

/// The public exponent of every RSA key, 65537.
pub(super) const EXPONENT: &[u8] = &[1, 0, 1];

/// The first byte of a point that is written with both coordinates (SEC 1 §2.3.3).
pub(super) const UNCOMPRESSED: u8 = 4;

/// The bytes before an uncompressed point in a SubjectPublicKeyInfo (RFC 5480 §2): a SEQUENCE of the algorithm (id-ecPublicKey,
/// secp256r1, secp384r1 or secp521r1) and the head of a BIT STRING.
pub(super) const P256_SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
pub(super) const P384_SPKI: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22, 0x03, 0x62, 0x00,
];
pub(super) const P521_SPKI: &[u8] = &[
    0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
    0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
];

/// The keys of one issuer.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Document")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Document"))]
pub struct KeySet {
    keys: Vec<PublicKey>,
    left_out: LeftOut,
    digest: u64,
}

/// One public key that verifies signatures.
#[derive(Clone, Debug)]
pub struct PublicKey {
    key_id: Option<String>,
    /// The only algorithm that the key may be used with, if the key names one.
    algorithm: Option<Algorithm>,
    material: Material,
    fingerprint: Fingerprint,
}

/// The key's identity: the SHA-256 of its key id and its public parts.
pub(crate) type Fingerprint = [u8; 32];

/// What a signature engine needs of a key.
#[derive(Clone, Debug)]
pub enum Material {
    /// 2048 to 4096 bits, public exponent 65537.
    Rsa {
        /// SubjectPublicKeyInfo in DER.
        spki: Vec<u8>,
        /// The modulus in it.
        modulus: Vec<u8>,
    },
    /// A point. The engine checks that it lies on P-384 or P-521: no code in the module knows these curves.
    Ec {
        /// Fixed by the algorithm (RFC 7518 §3.4).
        curve: Curve,
        /// SubjectPublicKeyInfo in DER.
        spki: Vec<u8>,
    },
    /// A point of edwards25519 that is not of small order.
    Ed25519(Ed25519PublicKey),
}

/// A curve of ECDSA (RFC 7518 §6.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// secp256r1.
    P256,
    /// secp384r1.
    P384,
    /// secp521r1.
    P521,
}

/// A JWK Set. Members that are not known are ignored (RFC 7517 §5).
#[derive(Deserialize)]
#[serde(rename = "JWK Set")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "JwkSet"))]
struct Document {
    /// Public keys.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1)))]
    keys: Vec<Entry>,
}

/// A key of a set.
#[derive(Deserialize)]
#[serde(try_from = "Members")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Members"))]
enum Entry {
    Usable(PublicKey),
    /// It has another purpose, or a kind that is not known here. A set may hold such keys.
    LeftOut(KeyId, Why),
}

/// A JSON Web Key (RFC 7517 §4). Only public keys belong here.
#[derive(Deserialize)]
#[serde(rename = "JWK")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Jwk", transform = crate::config::shape::public_key))]
struct Members {
    /// `RSA`, `EC` or `OKP`; keys of other types are ignored.
    kty: String,
    /// The key's name, which tokens give in their header.
    kid: Option<String>,
    /// The only algorithm that it may be used with.
    alg: Option<String>,
    /// `sig`; keys for another use are ignored.
    #[serde(rename = "use")]
    usage: Option<String>,
    /// Has `verify`; keys for other operations are ignored.
    key_ops: Option<Vec<String>>,
    /// `P-256`, `P-384`, `P-521` or `Ed25519`.
    crv: Option<String>,
    /// The modulus of an RSA key.
    n: Option<String>,
    /// The exponent of an RSA key.
    e: Option<String>,
    /// The first coordinate of a point.
    x: Option<String>,
    /// The second coordinate of a point.
    y: Option<String>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(skip))]
    d: Option<IgnoredAny>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(skip))]
    k: Option<IgnoredAny>,
}

impl TryFrom<Document> for KeySet {
    type Error = String;

    fn try_from(document: Document) -> Result<Self, String> {
        let entries = document.keys.into_iter().enumerate().map(|(place, entry)| match entry {
            Entry::Usable(key) => Ok(key),
            Entry::LeftOut(key_id, why) => Err(LeftOutKey { place, key_id, why }),
        });
        let set = Self::of(entries.collect());
        if !set.is_empty() {
            return Ok(set);
        }
        let why: Vec<_> = set.left_out.iter().map(ToString::to_string).collect();
        if why.is_empty() {
            return Err("the key set is empty: paste the authorization server's own, it publishes it at its jwks_uri"
                .to_owned());
        }
        Err(format!("the key set has no key that verifies tokens: {}", why.join("; ")))
    }
}

impl TryFrom<Members> for Entry {
    type Error = String;

    fn try_from(members: Members) -> Result<Self, String> {
        if members.d.is_some() || members.k.is_some() {
            // Envoy's configuration dump would show it, and whoever reads it can make tokens.
            return Err("this is a private or a symmetric key; only public keys belong here".to_owned());
        }
        if let Some(why) = members.why_left_out() {
            return Ok(Self::LeftOut(members.kid.map_or(KeyId::None, KeyId::Text), why));
        }
        let algorithm = members.alg.as_deref().and_then(Algorithm::from_name);
        let Some(material) = members.material()? else {
            let curve = members.crv.map(|curve| format!(" {}", Briefly(&curve))).unwrap_or_default();
            let why = Why::Unusable(format!("its type {}{curve} is unknown here", Briefly(&members.kty)));
            return Ok(Self::LeftOut(members.kid.map_or(KeyId::None, KeyId::Text), why));
        };
        let key = PublicKey::new(members.kid, algorithm, material);
        match algorithm {
            Some(algorithm) if !key.material.fits(algorithm) => {
                Err(format!("its alg {} is for another type of key", algorithm.name()))
            }
            _ => Ok(Self::Usable(key)),
        }
    }
}

impl Entry {
    /// Reads a key of a published set, in which a broken key is left out.
    fn published(place: usize, entry: Value) -> Result<PublicKey, LeftOutKey> {
        let key_id = entry.get("kid").map_or(KeyId::None, KeyId::from);
        let has = |member| entry.get(member).is_some_and(|value| !value.is_null());
        let secret = if has("k") { Some("symmetric") } else { has("d").then_some("private") };
        let (key_id, why) = match secret {
            Some(kind) => (key_id, Why::Secret(kind)),
            None => match config::parse(entry) {
                Ok(Self::Usable(key)) => return Ok(key),
                Ok(Self::LeftOut(key_id, why)) => (key_id, why),
                Err(error) => (key_id, Why::Unusable(error.sentence())),
            },
        };
        Err(LeftOutKey { place, key_id, why })
    }
}

/// The prefixes of the algorithms of JWE (RFC 7518 §4.1, §5.1), and a signature scheme that JOSE does not have (RFC 8032 §5.1).
const OTHER_ALGORITHMS: &[&str] = &["RSA-OAEP", "RSA1_5", "ECDH-ES", "A1", "A2", "PBES2-", "dir", "Ed25519ph"];

/// What keys for encryption are for (RFC 7517 §4.3).
const OTHER_OPERATIONS: &[&str] = &["encrypt", "decrypt", "wrapKey", "unwrapKey", "deriveKey", "deriveBits"];

impl Members {
    /// Why a key that is not broken verifies no tokens.
    fn why_left_out(&self) -> Option<Why> {
        match self.usage.as_deref() {
            None | Some("sig") => {}
            Some("enc") => return Some(Why::ForAnotherUse("it is for encryption (use)".to_owned())),
            Some(other) => return Some(Why::Unusable(format!("its use {} is unknown", Briefly(other)))),
        }
        if let Some(operations) = self.key_ops.as_ref().filter(|own| !own.iter().any(|operation| operation == "verify"))
        {
            let is_other = operations.iter().any(|own| OTHER_OPERATIONS.contains(&own.as_str()));
            return Some(match operations.as_slice() {
                [] => Why::Unusable("its key_ops are empty".to_owned()),
                _ if is_other => Why::ForAnotherUse("it is not for signatures (key_ops)".to_owned()),
                _ => Why::Unusable("its key_ops lack \"verify\"".to_owned()),
            });
        }
        match (self.alg.as_deref(), self.crv.as_deref()) {
            (Some(name), _) if Algorithm::from_name(name).is_none() => {
                Some(match OTHER_ALGORITHMS.iter().any(|other| name.starts_with(other)) {
                    true => Why::ForAnotherUse(format!("it is not for signatures of tokens (alg {})", Briefly(name))),
                    false => Why::Unusable(format!("its alg {} is unknown here", Briefly(name))),
                })
            }
            (_, Some(curve @ ("X25519" | "X448"))) => {
                Some(Why::ForAnotherUse(format!("it is for key agreement (crv {curve})")))
            }
            _ => None,
        }
    }

    fn material(&self) -> Result<Option<Material>, String> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (number("n", self.n.as_deref())?, number("e", self.e.as_deref())?);
                rsa(&n, &e).map(Some)
            }
            ("EC", Some("P-256")) => self.point(Curve::P256).map(Some),
            ("EC", Some("P-384")) => self.point(Curve::P384).map(Some),
            ("EC", Some("P-521")) => self.point(Curve::P521).map(Some),
            ("OKP", Some("Ed25519")) => {
                let key = Material::ed25519(&coordinate("x", self.x.as_deref(), 32)?);
                key.map(Some).ok_or_else(|| "it is no Ed25519 key that can be trusted".to_owned())
            }
            ("EC" | "OKP", None) => Err(missing("crv")),
            _ => Ok(None),
        }
    }

    fn point(&self, curve: Curve) -> Result<Material, String> {
        let length = curve.coordinate_length();
        let (x, y) = (coordinate("x", self.x.as_deref(), length)?, coordinate("y", self.y.as_deref(), length)?);
        let point = [&[UNCOMPRESSED], x.as_slice(), &y].concat();
        let spki = match curve {
            Curve::P256 => {
                let coordinates = <[u8; 32]>::try_from(x).ok().zip(<[u8; 32]>::try_from(y).ok());
                let found =
                    coordinates.and_then(|(x, y)| AffinePoint::from_coordinates(&x.into(), &y.into()).into_option());
                found.ok_or("it is no point of P-256")?;
                [P256_SPKI, &point].concat()
            }
            Curve::P384 => [P384_SPKI, &point].concat(),
            Curve::P521 => [P521_SPKI, &point].concat(),
        };
        Ok(Material::Ec { curve, spki })
    }
}

pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Material, String> {
    let (n, e) = (significant(n), significant(e));
    if e != EXPONENT {
        // The name is told if it is short: it is no part of the key itself.
        let number = e.iter().fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
        let told = if e.len() <= 4 { format!("{number}, and ") } else { String::new() };
        return Err(format!("its exponent is {told}not 65537"));
    }
    let bits = bits(n);
    if !(2048..=4096).contains(&bits) {
        return Err(format!("its modulus has {bits} bits, and not 2048 to 4096"));
    }
    if roca::is_marked(n) {
        return Err("its modulus can be factored (ROCA, CVE-2017-15361)".to_owned());
    }
    let modulus = RS256PublicKey::from_components(n, e).map_err(|_| "it is no RSA key")?.to_components().n;
    Ok(Material::Rsa { spki: der::rsa_public_key(&modulus, EXPONENT), modulus })
}

/// A number without its leading zeros.
fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The number of bits of a number without leading zeros.
fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |first| first.leading_zeros());
    number.len().saturating_mul(8).saturating_sub(unused as usize)
}

impl Curve {
    /// Bytes of a coordinate, and of each half of a signature (RFC 7518 §3.4, §6.2.1.2).
    #[must_use]
    pub fn coordinate_length(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Self::P256 => Algorithm::ES256,
            Self::P384 => Algorithm::ES384,
            Self::P521 => Algorithm::ES512,
        }
    }
}

fn missing(member: &str) -> String {
    format!("its {member} is missing")
}

fn number(name: &str, text: Option<&str>) -> Result<Vec<u8>, String> {
    let text = text.ok_or_else(|| missing(name))?;
    base64url::decode(text).ok_or_else(|| match () {
        () if text.contains('=') => format!("its {name} is padded base64url (RFC 7515 has no padding)"),
        () if text.contains(['+', '/']) => format!("its {name} is base64, and not base64url"),
        () => format!("its {name} is not base64url"),
    })
}

/// The length is exactly the curve's, leading zeros included (RFC 7518 §6.2.1.2, RFC 8037 §2).
fn coordinate(name: &str, text: Option<&str>, length: usize) -> Result<Vec<u8>, String> {
    let bytes = number(name, text)?;
    if bytes.len() == length {
        return Ok(bytes);
    }
    let why = if bytes.len() < length { " (leading zeros belong to it)" } else { "" };
    let bytes = if bytes.len() == 1 { "1 byte".to_owned() } else { format!("{} bytes", bytes.len()) };
    Err(format!("its {name} has {bytes} in place of {length}{why}"))
}

/// The keys of a published set.
fn entries(mut document: Map<String, Value>) -> Result<Vec<Value>, String> {
    let Some(Value::Array(entries)) = document.remove("keys") else {
        return Err("the key set has no list of keys".to_owned());
    };
    if entries.len() > MOST_KEYS {
        return Err(format!("the key set has more than {MOST_KEYS} keys"));
    }
    Ok(entries)
}

impl KeySet {
    /// Reads a set that an authorization server publishes. A key that is broken or not understood is left out (RFC 7517 §5): an
    /// operator here could not mend it. A set may be empty, or have only keys for other purposes: then the authorization server
    /// has withdrawn its keys.
    ///
    /// # Errors
    /// A sentence, if a key was not understood and no key is left, or if there are more than 100.
    pub(crate) fn published(document: Map<String, Value>) -> Result<Self, String> {
        let entries = entries(document)?;
        let set =
            Self::of(entries.into_iter().enumerate().map(|(place, entry)| Entry::published(place, entry)).collect());
        if set.is_empty() && set.left_out.has_faults() {
            return Err(format!("the key set has no key that verifies tokens: {}", set.left_out));
        }
        Ok(set)
    }

    /// Every key of a set, in its order, usable or not. It is for messages to people.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn each(document: Map<String, Value>) -> Result<Vec<Result<PublicKey, LeftOutKey>>, String> {
        let entries = entries(document)?.into_iter().enumerate();
        Ok(entries.map(|(place, entry)| Entry::published(place, entry)).collect())
    }

    /// The other keys of the set, and why they verify nothing.
    pub(crate) fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// What an operator may want to know if no key verifies a token: about the key that the token names, and about keys without
    /// a name.
    pub(crate) fn told_of(&self, key_id: Option<&str>) -> String {
        if let Some(LeftOutKey { place, why, .. }) = key_id.and_then(|key_id| self.left_out.of_key_id(key_id)) {
            return format!(", keys[{place}] is left out: {why}");
        }
        let of_set = |count: usize, one: &str, several: &str| match count {
            0 => String::new(),
            1 => format!(", 1 key of the set {one}"),
            count => format!(", {count} keys of the set {several}"),
        };
        let unnamed = self.keys.iter().filter(|key| key.key_id.is_none()).count();
        let unnamed = if self.has_key_ids() && key_id.is_some() { unnamed } else { 0 };
        let left_out = of_set(self.left_out.count_of_faults(), "is left out", "are left out");
        of_set(unnamed, "has no kid", "have no kid") + &left_out
    }

    /// Whether a key of the set has this `kid`, usable or not.
    pub(crate) fn has_key_id(&self, key_id: &str) -> bool {
        self.left_out.of_key_id(key_id).is_some() || self.keys.iter().any(|key| key.key_id.as_deref() == Some(key_id))
    }

    /// Whether any key of the set has a `kid`, usable or not.
    fn has_key_ids(&self) -> bool {
        self.left_out.has_key_ids() || self.keys.iter().any(|key| key.key_id.is_some())
    }

    /// Whether it has no key: its publisher has withdrawn them all.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn of(entries: Vec<Result<PublicKey, LeftOutKey>>) -> Self {
        let (count, mut keys, mut left_out) = (entries.len(), Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                Ok(key) => keys.push(key),
                Err(key) => left_out.push(key),
            }
        }
        // Each is a hash already.
        let heads = keys.iter().filter_map(|key| key.fingerprint.first_chunk());
        let digest = heads.fold(0_u64, |digest, head| digest.rotate_left(7) ^ u64::from_le_bytes(*head));
        Self { keys, left_out: LeftOut::new(left_out, count), digest }
    }

    /// The identity of these keys, in their order.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// The name by which a token chooses among these keys. It is `None` if no key of the set has a name: a `kid` is a hint (RFC
    /// 7515 §4.1.4), and in such a set it hints at nothing.
    pub(crate) fn named_by<'t>(&self, token: &'t CompactJws<'_>) -> Option<&'t str> {
        token.key_id().filter(|_| self.has_key_ids())
    }

    /// The keys that may have made a signature of this algorithm. With a `kid` only those that have it.
    pub(crate) fn candidates(&self, algorithm: Algorithm, key_id: Option<&str>) -> impl Iterator<Item = &PublicKey> {
        self.keys
            .iter()
            .filter(move |key| key_id.is_none_or(|wanted| key.key_id.as_deref() == Some(wanted)))
            .filter(move |key| key.fits(algorithm))
    }

    /// How many keys it has.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn count(&self) -> usize {
        self.keys.len()
    }

    /// Whether the set has this very key.
    pub(crate) fn has(&self, fingerprint: &Fingerprint) -> bool {
        self.keys.iter().any(|key| key.fingerprint == *fingerprint)
    }

    /// Whether any key can verify a signature of this algorithm.
    pub(crate) fn serves(&self, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.fits(algorithm))
    }
}

impl PublicKey {
    fn new(key_id: Option<String>, algorithm: Option<Algorithm>, material: Material) -> Self {
        let name = algorithm.map(Algorithm::name).unwrap_or_default();
        let parts = [key_id.as_deref().unwrap_or_default().as_bytes(), name.as_bytes(), &material.public_bytes()];
        let fingerprint = fingerprint(parts);
        Self { key_id, algorithm, material, fingerprint }
    }

    /// The key's identity.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The part that a signature engine needs.
    #[must_use]
    pub fn material(&self) -> &Material {
        &self.material
    }

    /// About how many microseconds it takes to verify a signature of this algorithm with the key. The figures are Envoy's for
    /// the RS and ES families, and the module's for the others.
    pub(crate) fn cost(&self, algorithm: Algorithm) -> u32 {
        use Algorithm::{RS256, RS384, RS512};
        match &self.material {
            Material::Rsa { modulus, .. } => {
                // The work grows with the square of the length.
                let length = u32::try_from(modulus.len()).unwrap_or(u32::MAX);
                let square = length.saturating_mul(length);
                if matches!(algorithm, RS256 | RS384 | RS512) { square / 2300 } else { square / 330 }
            }
            Material::Ec { curve: Curve::P256, .. } => 90,
            Material::Ec { curve: Curve::P384, .. } => 700,
            Material::Ec { curve: Curve::P521, .. } => 1800,
            Material::Ed25519(_) => 200,
        }
    }

    /// The number of bits of an RSA key's modulus.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn bits(&self) -> Option<usize> {
        match &self.material {
            Material::Rsa { modulus, .. } => Some(bits(significant(modulus))),
            Material::Ec { .. } | Material::Ed25519(_) => None,
        }
    }

    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && self.material.fits(algorithm)
    }
}

impl Material {
    /// The key with these 32 bytes; `None` if it is none that can be trusted.
    pub(super) fn ed25519(bytes: &[u8]) -> Option<Self> {
        Ed25519PublicKey::from_bytes(bytes).ok().map(Self::Ed25519)
    }

    fn public_bytes(&self) -> Vec<u8> {
        match self {
            Self::Rsa { spki, .. } | Self::Ec { spki, .. } => spki.clone(),
            Self::Ed25519(key) => key.to_bytes(),
        }
    }

    /// The key's type decides the algorithm, whatever a token says (RFC 8725 §3.1).
    fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match self {
            Self::Rsa { .. } => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            Self::Ec { curve, .. } => algorithm == curve.algorithm(),
            Self::Ed25519(_) => algorithm == EdDSA,
        }
    }
}
