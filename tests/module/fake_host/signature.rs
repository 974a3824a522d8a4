// SPDX-License-Identifier: Apache-2.0

//! Envoy's foreign function `verify_signature`, on the RustCrypto crates: the messages of
//! `source/extensions/common/wasm/ext/verify_signature.proto` and the results of `UtilityImpl::verifySignature`.
//!
//! ```text
//! VerifySignatureArguments { string hash_function=1; bytes public_key=2 /*SPKI DER*/; bytes signature=3; bytes text=4;
//!                            string public_key_pem=5 }
//! VerifySignatureResult    { bool result=1; string error=2 }
//! ```
//!
//! Where Envoy says no, so does this host. Where Envoy would verify but this host cannot (P-224, SHA-1), the test ends:
//! a plain "no" would make a filter look right or wrong that nobody has tested.

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::pkcs8::der::{Decode, SliceReader};
use rsa::pkcs8::spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};
use rsa::sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use rsa::{Pkcs1v15Sign, RsaPublicKey};

use super::world::{Played, failure};

/// What the foreign function answers.
pub(super) enum Verification {
    /// With an encoded `VerifySignatureResult`.
    Result(Vec<u8>),
    /// The status `BadArgument`.
    BadArgument,
}

pub(super) fn verify(arguments: &[u8]) -> Played<Verification> {
    let Some(arguments) = Arguments::decode(arguments) else {
        return Ok(Verification::BadArgument);
    };
    match (arguments.key.is_empty(), arguments.key_pem.is_empty()) {
        (true, true) | (false, false) => Ok(Verification::BadArgument),
        (true, false) => {
            Err(failure("verify_signature was given a PEM key, which Envoy before 1.37 does not know: send DER"))
        }
        (false, true) => Ok(Verification::Result(encode(judge(&arguments)?))),
    }
}

/// Envoy's verdict: nothing, or its error message.
type Verdict = Result<(), String>;

fn judge(arguments: &Arguments) -> Played<Verdict> {
    let hash = match arguments.hash_function.to_ascii_lowercase().as_str() {
        "sha224" => Hash::of::<Sha224>(Pkcs1v15Sign::new::<Sha224>(), &arguments.text),
        "sha256" => Hash::of::<Sha256>(Pkcs1v15Sign::new::<Sha256>(), &arguments.text),
        "sha384" => Hash::of::<Sha384>(Pkcs1v15Sign::new::<Sha384>(), &arguments.text),
        "sha512" => Hash::of::<Sha512>(Pkcs1v15Sign::new::<Sha512>(), &arguments.text),
        "sha1" => return Err(failure("verify_signature with SHA-1 is not played")),
        _ => return Ok(Err(format!("{} is not supported.", arguments.hash_function))),
    };
    Ok(match Key::decode(&arguments.key)? {
        Some(key) if key.verifies(hash, &arguments.signature) => Ok(()),
        Some(_) => Err(String::from("Failed to verify digest. Error code: 0")),
        None => Err(String::from("Failed to initialize digest verify.")),
    })
}

/// The text's digest, and how RSA wraps one of its kind.
struct Hash {
    padding: Pkcs1v15Sign,
    digest: Vec<u8>,
}

impl Hash {
    fn of<D: Digest>(padding: Pkcs1v15Sign, text: &[u8]) -> Hash {
        let digest = D::digest(text).to_vec();
        Hash { padding, digest }
    }
}

enum Key {
    Rsa(RsaPublicKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
}

impl Key {
    /// The key in a SubjectPublicKeyInfo, or `None` where Envoy cannot use it: garbage, Ed25519, secp256k1, and RSA
    /// keys that say they are for PSS.
    fn decode(spki: &[u8]) -> Played<Option<Key>> {
        const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
        const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
        const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
        const P224: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.33");
        const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
        const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

        // Envoy reads one DER value and does not ask what follows it.
        let first = SliceReader::new(spki).and_then(|mut reader| SubjectPublicKeyInfoRef::decode(&mut reader));
        let Ok(spki) = first else {
            return Ok(None);
        };
        let curve = spki.algorithm.parameters_oid().ok();
        let point = spki.subject_public_key.raw_bytes();
        match (spki.algorithm.oid, curve) {
            (RSA_ENCRYPTION, _) => Ok(RsaPublicKey::try_from(spki).ok().map(Key::Rsa)),
            (EC_PUBLIC_KEY, Some(P256)) => Ok(p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Key::P256)),
            (EC_PUBLIC_KEY, Some(P384)) => Ok(p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Key::P384)),
            (EC_PUBLIC_KEY, Some(P521)) => Ok(p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Key::P521)),
            (EC_PUBLIC_KEY, Some(P224)) => {
                Err(failure("verify_signature on P-224: Envoy can do it, this host does not play it"))
            }
            _ => Ok(None),
        }
    }

    fn verifies(&self, hash: Hash, signature: &[u8]) -> bool {
        match self {
            Key::Rsa(key) => key.verify(hash.padding, &hash.digest, signature).is_ok(),
            Key::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&hash.digest, &signature).is_ok()),
            Key::P384(key) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&hash.digest, &signature).is_ok()),
            Key::P521(key) => p521::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&hash.digest, &signature).is_ok()),
        }
    }
}

/// `VerifySignatureResult`. Protobuf leaves out what has its default value.
fn encode(verdict: Verdict) -> Vec<u8> {
    match verdict {
        Ok(()) => vec![0x08, 1],
        Err(error) => {
            let mut bytes = vec![0x12];
            put_varint(&mut bytes, error.len());
            bytes.extend_from_slice(error.as_bytes());
            bytes
        }
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// `VerifySignatureArguments`.
#[derive(Default)]
struct Arguments {
    hash_function: String,
    key: Vec<u8>,
    signature: Vec<u8>,
    text: Vec<u8>,
    key_pem: String,
}

impl Arguments {
    /// As protobuf decodes it: the last of repeated fields counts, unknown fields are skipped, text has to be UTF-8.
    fn decode(mut bytes: &[u8]) -> Option<Arguments> {
        let mut arguments = Arguments::default();
        while !bytes.is_empty() {
            let tag = take_varint(&mut bytes)?;
            let (field, wire_type) = (tag >> 3, tag & 7);
            match wire_type {
                0 => {
                    take_varint(&mut bytes)?;
                }
                1 => {
                    take(&mut bytes, 8)?;
                }
                2 => {
                    let size = take_varint(&mut bytes)?;
                    let value = take(&mut bytes, usize::try_from(size).ok()?)?;
                    arguments.set(field, value)?;
                }
                5 => {
                    take(&mut bytes, 4)?;
                }
                _ => return None,
            }
        }
        Some(arguments)
    }

    fn set(&mut self, field: u64, value: Vec<u8>) -> Option<()> {
        match field {
            0 => return None,
            1 => self.hash_function = String::from_utf8(value).ok()?,
            2 => self.key = value,
            3 => self.signature = value,
            4 => self.text = value,
            5 => self.key_pem = String::from_utf8(value).ok()?,
            _ => {}
        }
        Some(())
    }
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take(bytes: &mut &[u8], size: usize) -> Option<Vec<u8>> {
    let (taken, rest) = bytes.split_at_checked(size)?;
    *bytes = rest;
    Some(taken.to_vec())
}
