// SPDX-License-Identifier: Apache-2.0

//! An operator's private key, with which this proxy signs. It signs by ES256 alone (RFC 7518 §3.4): an RSA signature takes more
//! than 8 ms in V8, and the worker does nothing else in that time.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa;
use p256::ecdsa::signature::Signer as _;
use p256::elliptic_curve::point::AffineCoordinates as _;

use crate::certificate::pem;
use crate::text::base64url;
use crate::text::json::{self, Json};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

const NONE: &str =
    "is no private key on P-256, as PEM of PKCS #8 or as a JWK: ES256 needs one, and no other algorithm signs here";

/// A private key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SigningKey {
    key: ecdsa::SigningKey,
    /// The header of what it signs, with the key's name, in base64url.
    header: String,
}

impl fmt::Debug for SigningKey {
    /// The key itself is not shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey")
    }
}

impl SigningKey {
    /// The key in this text: PEM of PKCS #8 (RFC 5958, RFC 7468 §10), or a JWK (RFC 7518 §6.2.2). Its name is `key_id`, or else
    /// the JWK's `kid`.
    ///
    /// What is wrong with the text. Nothing of the text is repeated.
    /// What is wrong with the text, without anything of it.
    // Not inlined, like everything that happens once.
    #[inline(never)]
    pub(crate) fn read(text: &str, key_id: Option<&str>) -> Result<Self, &'static str> {
        let text = text.trim_ascii();
        if text.starts_with('{') {
            return Self::of_jwk(text, key_id);
        }
        if text.starts_with("-----BEGIN E") {
            return Err(
                "is an encrypted key, or one in the form of SEC 1: `openssl pkcs8 -topk8 -nocrypt` makes PKCS #8 of both",
            );
        }
        let der = pem::contents(text, BEGIN, END).ok_or(NONE)?;
        let key = scalar_of_pkcs8(&der).and_then(key_of_scalar).ok_or(NONE)?;
        Ok(Self::named(key, key_id))
    }

    fn of_jwk(text: &str, key_id: Option<&str>) -> Result<Self, &'static str> {
        let jwk = json::object(text.as_bytes()).ok_or(NONE)?;
        let says = |name: &str| jwk.get(name).and_then(Json::as_str);
        let number = |name: &str| says(name).and_then(base64url::decode).unwrap_or_default();
        if says("crv") != Some("P-256") {
            return Err(NONE);
        }
        let key = key_of_scalar(&number("d")).ok_or(NONE)?;
        let point = key.verifying_key().as_affine();
        if point.x().as_slice() != number("x") || point.y().as_slice() != number("y") {
            return Err("is a JWK whose `d` is not the private key of `x` and `y`");
        }
        Ok(Self::named(key, key_id.or_else(|| says("kid"))))
    }

    fn named(key: ecdsa::SigningKey, key_id: Option<&str>) -> Self {
        let mut header = r#"{"alg":"ES256","typ":"JWT""#.to_owned();
        if let Some(key_id) = key_id {
            header.push_str(",\"kid\":");
            header.push_str(&json::quoted(key_id));
        }
        header.push('}');
        Self { key, header: encoded(header.as_bytes()) }
    }

    /// Signs these claims, which are JSON, as a JWT.
    pub(crate) fn sign(&self, claims: &str) -> String {
        let message = [&self.header, ".", &encoded(claims.as_bytes())].concat();
        let signature: ecdsa::Signature = self.key.sign(message.as_bytes());
        let signature = encoded(&signature.to_bytes());
        [&message, ".", &signature].concat()
    }
}

/// The key with this scalar, in 32 bytes; `None` if the curve has no such scalar.
fn key_of_scalar(scalar: &[u8]) -> Option<ecdsa::SigningKey> {
    // `from_slice` would accept less than 32 bytes.
    let scalar: [u8; 32] = scalar.try_into().ok()?;
    ecdsa::SigningKey::from_bytes(&scalar.into()).ok()
}

/// id-ecPublicKey on secp256r1 (RFC 5480 §2.1.1), as the algorithm of a private key.
const P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];

/// The scalar in a PrivateKeyInfo (RFC 5958 §2, RFC 5915 §3); `None` if the key is on another curve. The crate `pkcs8` would do
/// the same in 38 kB of the module.
fn scalar_of_pkcs8(der: &[u8]) -> Option<&[u8]> {
    // With a public key in it, it is longer than 127 bytes.
    let ([0x30, 0x81, length, info @ ..] | [0x30, length @ 0..=0x7f, info @ ..]) = der else { return None };
    let [2, 1, 0 | 1, info @ ..] = info.get(..usize::from(*length)).filter(|own| own.len() == info.len())? else {
        return None;
    };
    match info.strip_prefix(P256)? {
        [4, _, 0x30, _, 2, 1, 1, 4, 32, rest @ ..] => rest.get(..32),
        _ => None,
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::Verifier as _;

    use super::*;

    /// RFC 7515, appendix A.3.1.
    const JWK: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;

    /// The same key, as `openssl pkcs8` writes it from the ASN.1 of RFC 5915.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff
H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp
7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt
-----END PRIVATE KEY-----
";

    fn changed(name: &str, value: &str) -> String {
        let mut jwk: serde_json::Value = serde_json::from_str(JWK).unwrap();
        jwk[name] = serde_json::from_str(value).unwrap();
        jwk.to_string()
    }

    #[test]
    fn a_key_is_read_from_pem_and_from_a_jwk() {
        let key = SigningKey::read(JWK, None).unwrap();
        for text in [PEM, &PEM.replace('\n', "\r\n"), &PEM.replace('\n', " "), &format!("\n {JWK} ")] {
            assert_eq!(SigningKey::read(text, None).unwrap(), key, "{text}");
        }
        // Without the public key in it, which RFC 5915 allows.
        let short = "MEECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCCOmxCecZCYv5gEh98fXXfpyylgbr7SJjtfV8IT34T0sg==";
        let short = format!("{BEGIN}\n{short}\n{END}\n");
        assert_eq!(SigningKey::read(&short, None).unwrap(), key);
        assert!(!format!("{key:?}").contains("142"), "{key:?}");
    }

    #[test]
    fn anything_else_is_refused_without_a_word_of_it() {
        let secret = "jpsQnnGQmL";
        let zero = "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"";
        for (text, why) in [
            (String::new(), NONE),
            ("the value".to_owned(), NONE),
            (PEM.replace("PRIVATE", "PUBLIC"), NONE),
            (PEM.replace("MIGH", "MIGI"), NONE),
            (PEM.replace("MIGHAgEA", "MIGHAgEC"), NONE),
            (PEM.replace('+', "*"), NONE),
            (format!("{PEM}{PEM}"), NONE),
            (format!("{PEM}x"), NONE),
            (PEM.replace("PRIVATE", "ENCRYPTED PRIVATE"), "is an encrypted key"),
            (PEM.replace("PRIVATE", "EC PRIVATE"), "is an encrypted key, or one in the form of SEC 1"),
            // Another curve, another form of the key, and one that is cut off.
            (PEM.replace("CCqGSM49AwEH", "CCqGSM49AwEI"), NONE),
            (PEM.replace("BG0wawIBAQQg", "BG0wawIBAgQg"), NONE),
            (format!("{BEGIN}MCECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCA={END}"), NONE),
            (JWK.replace("P-256", "P-384"), NONE),
            (JWK.replace("\"d\"", "\"e\""), NONE),
            (changed("d", "null"), NONE),
            (changed("d", zero), NONE),
            (changed("d", "\"AA\""), NONE),
            (changed("d", "1"), NONE),
            (changed("x", zero), "is a JWK whose `d` is not"),
            (JWK.replace("\"y\"", "\"z\""), "is a JWK whose `d` is not"),
            (format!("{JWK}x"), NONE),
            (JWK.replace("\"crv\"", "\"d\":\"\",\"crv\""), NONE),
        ] {
            let message = SigningKey::read(&text, None).unwrap_err();
            assert!(message.starts_with(why) && !message.contains(secret), "{text}: {message}");
        }
    }

    #[test]
    fn what_is_signed_is_a_jwt_with_its_key_id() {
        let header = |text: &str, key_id| -> serde_json::Value {
            let jwt = SigningKey::read(text, key_id).unwrap().sign(r#"{"iss":"a"}"#);
            let parts: Vec<_> = jwt.split('.').collect();
            assert_eq!(base64url::decode(parts[1]).unwrap(), br#"{"iss":"a"}"#);
            let signature = ecdsa::Signature::from_slice(&base64url::decode(parts[2]).unwrap()).unwrap();
            let message = format!("{}.{}", parts[0], parts[1]);
            let d = serde_json::from_str::<serde_json::Value>(JWK).unwrap()["d"].as_str().map(base64url::decode);
            let key = ecdsa::SigningKey::from_slice(&d.unwrap().unwrap()).unwrap();
            assert!(key.verifying_key().verify(message.as_bytes(), &signature).is_ok());
            serde_json::from_slice(&base64url::decode(parts[0]).unwrap()).unwrap()
        };
        let with = |kid: serde_json::Value| serde_json::json!({"alg": "ES256", "typ": "JWT", "kid": kid});
        assert_eq!(header(PEM, None), serde_json::json!({"alg": "ES256", "typ": "JWT"}));
        assert_eq!(header(PEM, Some("a\"\u{e9}")), with("a\"\u{e9}".into()));
        assert_eq!(header(&changed("kid", "\"b\""), None), with("b".into()));
        assert_eq!(header(&changed("kid", "\"b\""), Some("a")), with("a".into()));
    }
}
