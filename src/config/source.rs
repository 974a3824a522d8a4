// SPDX-License-Identifier: Apache-2.0

//! The bytes of a plugin configuration, as a tree.

use std::rc::Rc;

use prost::Message;
use serde::de::DeserializeOwned;

use super::error::Error;
use super::text::Text;
use super::tree::Node;

/// A configuration in the form of a tree, not yet read as types.
#[derive(Debug)]
pub struct Source {
    root: Node,
    text: Option<Rc<Text>>,
}

/// Reads a typed value from other JSON, by the code that reads a configuration.
pub(crate) fn parse<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Error> {
    T::deserialize(&Node::from_value(value))
}

impl Source {
    /// Parses the bytes of a plugin configuration.
    ///
    /// # Errors
    /// A mistake if they are neither JSON text nor a `google.protobuf.Struct`, or if a key stands twice in a map.
    pub fn read(configuration: &[u8]) -> Result<Self, Error> {
        if configuration.is_empty() {
            return Err(Error::new("the plugin configuration is empty".to_owned()));
        }
        // JSON text is never taken for a Struct: each entry of a Struct has the byte 0x12, which JSON text cannot have.
        let json = match std::str::from_utf8(configuration) {
            Ok(text) => {
                let text = Text::new(text.to_owned());
                match Node::from_json(text.as_str()) {
                    Ok(root) => return Ok(Self { root, text: Some(Rc::new(text)) }),
                    Err(error) => error.located_in(Some(&text)),
                }
            }
            Err(_) => {
                Error::new("the plugin configuration is neither JSON text nor a google.protobuf.Struct".to_owned())
            }
        };
        let root = prost_types::Struct::decode(configuration).ok().and_then(Node::from_protobuf).ok_or(json)?;
        Ok(Self { root, text: None })
    }

    /// A tree that was read elsewhere, and its text.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn of_tree(root: Node, text: Rc<Text>) -> Self {
        Self { root, text: Some(text) }
    }

    /// Reads a typed value from the tree.
    ///
    /// # Errors
    /// The first mistake, with its path and position.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let located = |error: Error| error.at(self.root.offset).located_in(self.text.as_deref());
        T::deserialize(&self.root).map_err(located)
    }

    /// A mistake that shows only in the whole, at one of the topmost keys; `""` is the whole.
    pub(crate) fn error_at(&self, key: &str, message: String) -> Error {
        self.root.error_at(key, message).located_in(self.text.as_deref())
    }

    /// The same at a key of an item of a list; `""` is the item.
    pub(crate) fn error_in_item(&self, list: &str, index: usize, key: &str, message: String) -> Error {
        self.root.error_in_item(list, index, key, message).located_in(self.text.as_deref())
    }
}
