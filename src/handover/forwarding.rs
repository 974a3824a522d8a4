// SPDX-License-Identifier: Apache-2.0

//! One item of `forward_certificate`.

#[cfg(not(target_arch = "wasm32"))]
use crate::config::shape;
use serde::Deserialize;

use crate::config::secret::Secret;
use crate::handover::dialect::{ChainForm, Dialect, Form};
use crate::handover::encoding::Encoding;
use crate::http::header_name::HeaderName;

/// One form in which the certificate is handed over.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub(crate) struct Forwarding {
    pub(super) form: Form,
    /// The header with the operator's secret, and the secret.
    pub(super) secret: Option<(&'static str, Secret)>,
}

/// One form in which the certificate is handed over: that of a server by its name, or header and encoding.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Forwarding", transform = one_form))]
struct Fields {
    /// The name of the form that a server reads.
    dialect: Option<Dialect>,
    /// The header with the certificate; with a dialect only for one that has no name for it (`connect2id`).
    header: Option<HeaderName>,
    /// How each certificate is written.
    encoding: Option<Encoding>,
    /// How the certificates behind the client's own are handed over; default: not at all. Envoy must be configured to hand
    /// them over: `forward_client_cert_details: SANITIZE_SET` with `set_current_client_cert_details: { chain: true }`.
    chain: Option<ChainKind>,
    /// The header with the chain, for `list` and `concatenated_der`; a `list` without it follows the certificate in its
    /// header.
    chain_header: Option<HeaderName>,
    /// The beginning of the headers' names, for `numbered`: `cert-chain-` for `cert-chain-0`, `cert-chain-1` and so on.
    prefix: Option<HeaderName>,
    /// The limit of all these headers' values together, in bytes; default: 32768. Above it the certificate goes without its
    /// chain. If the certificate alone is above it, the request is refused (431).
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("minimum" = 256, "maximum" = 65536)))]
    max_bytes: Option<u64>,
    /// The secret by which the server knows the proxy, for a dialect that has one (`auth0`: `cname-api-key`). It is set on
    /// every request of the policy, with a certificate or without.
    secret: Option<Secret>,
}

/// How the certificates behind the client's own are handed over, in the order of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
enum ChainKind {
    /// Not at all.
    None,
    /// One after the other, with a comma between them.
    List,
    /// Each in a header of its own.
    Numbered,
    /// As the base64 of the DER of all of them, one behind the other, as HAProxy's `ssl_c_chain_der` has it.
    ConcatenatedDer,
}

impl TryFrom<Fields> for Forwarding {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { dialect, header, encoding, chain, chain_header, prefix, max_bytes, secret } = fields;
        let max_bytes = match max_bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)) {
            Some(bytes) if !(256..=65_536).contains(&bytes) => {
                return Err("max_bytes is 256 to 65536".to_owned());
            }
            within => within,
        };
        let free = encoding.is_some() || chain.is_some() || chain_header.is_some() || prefix.is_some();
        let form = match (dialect, header, encoding) {
            (Some(dialect), _, _) if free => {
                return Err(format!(
                    "the dialect {} says all this itself: encoding, chain, chain_header and prefix are for a form \
                     without a dialect",
                    dialect.name()
                ));
            }
            (Some(dialect), header, _) => match (dialect.form(None), header) {
                (Some(form), None) => form,
                (Some(form), Some(_)) => {
                    return Err(format!("the dialect {} has its own header: {}", dialect.name(), form.header()));
                }
                (None, header) => dialect.form(header).ok_or_else(|| {
                    format!("the dialect {} needs `header`, with the name that the server is told", dialect.name())
                })?,
            },
            (None, Some(header), Some(encoding)) => {
                let chain = chain_form(encoding, chain, chain_header, prefix)?;
                Form::free(header, encoding, chain)
            }
            (None, _, _) => return Err("a form is a `dialect`, or a `header` and its `encoding`".to_owned()),
        };
        let secret = match (dialect.and_then(|dialect| dialect.secret()), secret) {
            (None, None) => None,
            (Some(header), Some(secret)) => Some((header, secret)),
            (Some(header), None) => {
                return Err(format!("this dialect needs `secret`, for the header {header}"));
            }
            (None, Some(_)) => return Err("`secret` is for a dialect that has one".to_owned()),
        };
        Ok(Self { form: form.limited(max_bytes), secret })
    }
}

fn chain_form(
    encoding: Encoding,
    kind: Option<ChainKind>,
    header: Option<HeaderName>,
    prefix: Option<HeaderName>,
) -> Result<ChainForm, &'static str> {
    let kind = kind.unwrap_or(ChainKind::None);
    match (kind, header, prefix) {
        (ChainKind::None, None, None) => Ok(ChainForm::None),
        (ChainKind::None, _, _) => Err("chain_header and prefix are for a `chain`"),
        _ if encoding.is_digest() => Err("a digest is of one certificate: it has no chain"),
        (ChainKind::List, Some(_), None) | (ChainKind::Numbered, ..) | (ChainKind::ConcatenatedDer, ..)
            if encoding == Encoding::Xfcc =>
        {
            Err("with xfcc the chain is an element of the same header: `chain: list` alone")
        }
        (ChainKind::List, None, None) if encoding == Encoding::SfBinary => {
            Err("Client-Cert is one certificate (RFC 9440 §2.2): a list needs `chain_header`")
        }
        (ChainKind::List, None, None) => Ok(ChainForm::SameHeader),
        (ChainKind::List, Some(header), None) => Ok(ChainForm::List(header)),
        (ChainKind::Numbered, None, Some(prefix)) => {
            Ok(ChainForm::Numbered { prefix, first: 0, most: crate::handover::chain::MOST })
        }
        (ChainKind::Numbered, _, _) => Err("`chain: numbered` needs `prefix`, and has no chain_header"),
        (ChainKind::ConcatenatedDer, Some(_), None) if encoding != Encoding::DerBase64 => {
            Err("`chain: concatenated_der` is for the encoding der_base64")
        }
        (ChainKind::ConcatenatedDer, Some(header), None) => Ok(ChainForm::ConcatenatedDer(header)),
        (ChainKind::ConcatenatedDer, _, _) => Err("`chain: concatenated_der` needs `chain_header`, and has no prefix"),
        (ChainKind::List, _, Some(_)) => Err("`prefix` is for `chain: numbered`"),
    }
}

/// A form is a dialect or one of the operator's own. With a dialect there is nothing else, except the header if the dialect has
/// none, and the secret if it has one.
#[cfg(not(target_arch = "wasm32"))]
fn one_form(schema: &mut schemars::Schema) {
    let one_of_these = |names: Vec<&str>| serde_json::json!({ "required": ["dialect"], "properties": { "dialect": { "enum": names } } });
    let named = serde_json::json!({ "allOf": [
        shape::without(shape::present(&["dialect"]), &["encoding", "chain", "chain_header", "prefix"]),
        {
            "if": one_of_these(Dialect::without_header()),
            "then": shape::present(&["header"]),
            "else": shape::without(serde_json::json!({}), &["header"]),
        },
        {
            "if": one_of_these(Dialect::with_secret()),
            "then": shape::present(&["secret"]),
            "else": shape::without(serde_json::json!({}), &["secret"]),
        },
    ] });
    let no_chain = serde_json::json!({ "properties": { "chain": { "enum": ["none", null] } } });
    let chain = |kind: &str, then: serde_json::Value| serde_json::json!({ "if": { "required": ["chain"], "properties": { "chain": { "const": kind } } }, "then": then });
    let encoding = |names: &[&str], then: serde_json::Value| serde_json::json!({ "if": { "properties": { "encoding": { "enum": names } } }, "then": then });
    let own = serde_json::json!({ "allOf": [
        shape::without(shape::present(&["header", "encoding"]), &["dialect", "secret"]),
        { "if": no_chain, "then": shape::without(serde_json::json!({}), &["chain_header", "prefix"]) },
        chain("list", shape::without(serde_json::json!({}), &["prefix"])),
        chain("numbered", shape::without(shape::present(&["prefix"]), &["chain_header"])),
        chain("concatenated_der", shape::without(shape::present(&["chain_header"]), &["prefix"])),
        chain("concatenated_der", serde_json::json!({ "properties": { "encoding": { "const": "der_base64" } } })),
        encoding(&["sha256_hex", "x5t_s256"], no_chain),
        encoding(&["xfcc"], shape::without(serde_json::json!({ "properties": { "chain": { "enum": ["none", "list", null] } } }), &["chain_header"])),
        encoding(&["sf_binary"], chain("list", shape::present(&["chain_header"]))),
    ] });
    schema.insert("oneOf".to_owned(), serde_json::json!([named, own]));
}
