//! Public keys, as an authorization server publishes them (RFC 7517).

use jwt_simple::algorithms::{Ed25519PublicKey, RS256PublicKey};
use p256::AffinePoint;
use p256::elliptic_curve::point::AffineCoordinates as _;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::der;
use super::jws::CompactJws;
use crate::config;
use crate::jose::fingerprint::fingerprint;
use crate::text::base64url;

/// Of one authorization server; those of the field publish a handful.
const MOST_KEYS: usize = 100;

/// The public exponent of every RSA key, 65537.
pub(super) const EXPONENT: &[u8] = &[1, 0, 1];

/// The first byte of a point that is written with both coordinates (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;

/// What stands before an uncompressed point in a SubjectPublicKeyInfo (RFC 5480 §2): a SEQUENCE of the algorithm
/// (id-ecPublicKey, secp256r1, secp384r1 or secp521r1) and the head of a BIT STRING.
const P256_SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P384_SPKI: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22, 0x03, 0x62, 0x00,
];
const P521_SPKI: &[u8] = &[
    0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
    0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
];

/// The keys of one issuer.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Document")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Document"))]
pub struct KeySet {
    keys: Vec<PublicKey>,
    /// Whether any key of the set has a `kid`, be it one that cannot be used.
    has_key_ids: bool,
    digest: u64,
}

/// One public key that verifies signatures.
#[derive(Clone, Debug)]
pub struct PublicKey {
    key_id: Option<String>,
    /// The only algorithm that the key may be used with, where the key says so.
    algorithm: Option<Algorithm>,
    material: Material,
    fingerprint: Fingerprint,
}

/// Tells one key from another: the SHA-256 of its key id and its public parts.
pub(crate) type Fingerprint = [u8; 32];

/// What a signature engine needs of a key.
#[derive(Clone, Debug)]
pub enum Material {
    /// 2048 to 4096 bits, public exponent 65537.
    Rsa {
        /// SubjectPublicKeyInfo in DER.
        spki: Vec<u8>,
        /// The modulus that is in it.
        modulus: Vec<u8>,
    },
    /// A point. That it lies on P-384 or P-521 is for the engine to check: no code in the module knows these curves.
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

/// A key of a set: usable, or one that a set may hold and that is nothing to us.
#[derive(Deserialize)]
#[serde(try_from = "Members")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Members"))]
enum Entry {
    Usable(PublicKey),
    /// It says that it is for something else, and why.
    ForAnotherUse { has_key_id: bool, why: String },
    /// It is of a kind that is not known here, and which.
    Unknown { has_key_id: bool, why: String },
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
    d: Option<serde::de::IgnoredAny>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(skip))]
    k: Option<serde::de::IgnoredAny>,
}

impl TryFrom<Document> for KeySet {
    type Error = String;

    fn try_from(document: Document) -> Result<Self, String> {
        let mut keys = Vec::new();
        let mut ignored = Vec::new();
        let mut has_key_ids = false;
        for entry in document.keys {
            match entry {
                Entry::Usable(key) => keys.push(key),
                Entry::ForAnotherUse { has_key_id, why } | Entry::Unknown { has_key_id, why } => {
                    has_key_ids |= has_key_id;
                    ignored.push(why);
                }
            }
        }
        match (keys.is_empty(), ignored.is_empty()) {
            (false, _) => Ok(Self::of(keys, has_key_ids)),
            (true, true) => Err("the key set is empty: paste the authorization server's own, it publishes it at its \
                                 jwks_uri"
                .to_owned()),
            (true, false) => Err(format!("the key set has no key that verifies tokens: {}", ignored.join("; "))),
        }
    }
}

impl TryFrom<Members> for Entry {
    type Error = String;

    fn try_from(members: Members) -> Result<Self, String> {
        if members.d.is_some() || members.k.is_some() {
            // It would be readable in Envoy's configuration dump, and whoever reads it can make tokens.
            return Err("this is a private or a symmetric key; only public keys belong here".to_owned());
        }
        let has_key_id = members.kid.is_some();
        let for_another_use = |why: &str| Ok(Self::ForAnotherUse { has_key_id, why: why.to_owned() });
        if members.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return for_another_use("one is not for signatures (use)");
        }
        if members.key_ops.as_ref().is_some_and(|operations| !operations.iter().any(|operation| operation == "verify"))
        {
            return for_another_use("one is not for signatures (key_ops)");
        }
        let algorithm = match members.alg.as_deref() {
            None => None,
            Some(name) => match Algorithm::from_name(name) {
                None => return Ok(Self::Unknown { has_key_id, why: format!("one is for the algorithm {name:?}") }),
                known => known,
            },
        };
        let Some(material) = members.material()? else {
            let curve = members.crv.map(|curve| format!(" {curve:?}")).unwrap_or_default();
            return Ok(Self::Unknown { has_key_id, why: format!("one is of the type {:?}{curve}", members.kty) });
        };
        let key = PublicKey::new(members.kid, algorithm, material);
        match algorithm {
            Some(algorithm) if !key.material.fits(algorithm) => {
                Err(format!("a key of this type cannot be used with {}, its alg", algorithm.name()))
            }
            _ => Ok(Self::Usable(key)),
        }
    }
}

impl Members {
    fn material(&self) -> Result<Option<Material>, String> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (number("n", self.n.as_deref())?, number("e", self.e.as_deref())?);
                let refused = |error| format!("this RSA key is refused: {error} (2048 to 4096 bits, exponent 65537)");
                let modulus = RS256PublicKey::from_components(&n, &e).map_err(refused)?.to_components().n;
                Ok(Some(Material::Rsa { spki: der::rsa_public_key(&modulus, EXPONENT), modulus }))
            }
            ("EC", Some("P-256")) => self.point(Curve::P256).map(Some),
            ("EC", Some("P-384")) => self.point(Curve::P384).map(Some),
            ("EC", Some("P-521")) => self.point(Curve::P521).map(Some),
            ("OKP", Some("Ed25519")) => {
                let key = Ed25519PublicKey::from_bytes(&coordinate("x", self.x.as_deref(), 32)?)
                    .map_err(|error| format!("this is no Ed25519 key: {error}"))?;
                Ok(Some(Material::Ed25519(key)))
            }
            ("EC" | "OKP", None) => Err("the key lacks the member \"crv\"".to_owned()),
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
                found.ok_or("this is no point of P-256")?;
                [P256_SPKI, &point].concat()
            }
            Curve::P384 => [P384_SPKI, &point].concat(),
            Curve::P521 => [P521_SPKI, &point].concat(),
        };
        Ok(Material::Ec { curve, spki })
    }
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

fn number(name: &str, text: Option<&str>) -> Result<Vec<u8>, String> {
    let text = text.ok_or_else(|| format!("the key lacks the member {name:?}"))?;
    base64url::decode(text).ok_or_else(|| format!("the key's member {name:?} is not base64url without padding"))
}

/// Of exactly the curve's length, leading zeros included (RFC 7518 §6.2.1.2, RFC 8037 §2).
fn coordinate(name: &str, text: Option<&str>, length: usize) -> Result<Vec<u8>, String> {
    let bytes = number(name, text)?;
    if bytes.len() == length { Ok(bytes) } else { Err(format!("the key's member {name:?} is not {length} bytes long")) }
}

impl KeySet {
    /// Reads a set that an authorization server publishes: a key that is not understood, or broken, is left out
    /// (RFC 7517 §5), since it is nothing an operator here could mend. A set without keys, or with none but keys that say
    /// that they are for something else, is one: the authorization server has withdrawn its keys.
    ///
    /// # Errors
    /// A sentence, where no key is left and one of them was not understood, or there are more than 100.
    pub(crate) fn published(mut document: Map<String, Value>) -> Result<Self, String> {
        let Some(Value::Array(entries)) = document.remove("keys") else {
            return Err("the key set has no list of keys".to_owned());
        };
        if entries.len() > MOST_KEYS {
            return Err(format!("the key set has more than {MOST_KEYS} keys"));
        }
        let mut keys = Vec::new();
        let (mut is_understood, mut has_key_ids) = (true, false);
        for entry in entries {
            has_key_ids |= entry.get("kid").is_some_and(|key_id| !key_id.is_null());
            match config::parse(entry) {
                Ok(Entry::Usable(key)) => keys.push(key),
                Ok(Entry::ForAnotherUse { .. }) => {}
                Ok(Entry::Unknown { .. }) | Err(_) => is_understood = false,
            }
        }
        if keys.is_empty() && !is_understood {
            return Err("the key set has no key that verifies tokens".to_owned());
        }
        Ok(Self::of(keys, has_key_ids))
    }

    /// Whether it has no key: whoever published it has withdrawn them all.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn of(keys: Vec<PublicKey>, has_key_ids: bool) -> Self {
        let has_key_ids = has_key_ids || keys.iter().any(|key| key.key_id.is_some());
        // Each is a hash already.
        let heads = keys.iter().filter_map(|key| key.fingerprint.first_chunk());
        let digest = heads.fold(0_u64, |digest, head| digest.rotate_left(7) ^ u64::from_le_bytes(*head));
        Self { keys, has_key_ids, digest }
    }

    /// Tells these keys, in their order, from others.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// The name by which a token chooses among these keys. The one that it has is none where no key of the set has a name: it is
    /// a hint (RFC 7515 §4.1.4), and here it hints at nothing.
    pub(crate) fn named_by<'t>(&self, token: &'t CompactJws<'_>) -> Option<&'t str> {
        token.key_id().filter(|_| self.has_key_ids)
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

    /// Tells this key from another.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What a signature engine needs.
    #[must_use]
    pub fn material(&self) -> &Material {
        &self.material
    }

    /// About how many microseconds it takes to verify a signature of this algorithm with the key: for Envoy those of the RS
    /// and ES families, for the module the others.
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

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && self.material.fits(algorithm)
    }
}

impl Material {
    fn public_bytes(&self) -> Vec<u8> {
        match self {
            Self::Rsa { spki, .. } | Self::Ec { spki, .. } => spki.clone(),
            Self::Ed25519(key) => key.to_bytes(),
        }
    }

    /// The algorithm is bound by the type of the key, whatever a token says (RFC 8725 §3.1).
    fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match self {
            Self::Rsa { .. } => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            Self::Ec { curve, .. } => algorithm == curve.algorithm(),
            Self::Ed25519(_) => algorithm == EdDSA,
        }
    }
}
