// SPDX-License-Identifier: Apache-2.0

//! Signature algorithms: asymmetric ones only.

use serde::Deserialize;

/// An algorithm of RFC 7518 §3.1 or RFC 8037 §3.1. `none` and the HS family do not exist here.
///
/// `Ed25519` (RFC 9864 §2.2) is another name of `EdDSA`, in tokens, in keys and in a configuration: keys and tokens of
/// one issuer may differ in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(transform = with_both_names))]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on P-521 with SHA-512.
    ES512,
    /// EdDSA on Ed25519.
    #[serde(alias = "Ed25519")]
    EdDSA,
}

/// The later name of [`Algorithm::EdDSA`].
const ED25519: &str = "Ed25519";

/// `schemars` knows no aliases.
#[cfg(not(target_arch = "wasm32"))]
fn with_both_names(schema: &mut schemars::Schema) {
    if let Some(names) = schema.get_mut("oneOf").and_then(serde_json::Value::as_array_mut) {
        let described = "The same (RFC 9864 §2.2).";
        names.push(serde_json::json!({ "const": ED25519, "description": described, "type": "string" }));
    }
}

impl Algorithm {
    /// Every algorithm there is.
    pub const ALL: &[Self] = &[
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
    ];

    /// The algorithm of this name in the header of a token or in a key, exactly.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if name == ED25519 {
            return Some(Self::EdDSA);
        }
        Self::ALL.iter().copied().find(|algorithm| algorithm.name() == name)
    }

    /// Its name in messages and metrics, and in the header of most tokens.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
        }
    }
}
