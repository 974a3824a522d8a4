// SPDX-License-Identifier: Apache-2.0

//! The elements of a DER encoding (X.690). They are read only as strictly as is needed to find their ends.

use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};

/// One element: identifier, length and contents. Its length must be definite. It need not be in its shortest form, since
/// OpenSSL does not demand that in a certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    class: Class,
    tag: Tag,
    constructed: bool,
    /// All of its bytes.
    pub(crate) whole: &'a [u8],
    /// Its bytes after the length.
    pub(crate) contents: &'a [u8],
}

impl<'a> Element<'a> {
    /// The element at the beginning of `der`, and the bytes after it. `None` if it is not complete.
    pub(crate) fn first(der: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (rest, any) = Any::from_der(der).ok()?;
        let whole = der.get(..der.len().checked_sub(rest.len())?)?;
        Some((
            Self {
                class: any.class(),
                tag: any.tag(),
                constructed: any.header.is_constructed(),
                whole,
                contents: any.data,
            },
            rest,
        ))
    }

    /// The element that fills `der`.
    pub(crate) fn only(der: &'a [u8]) -> Option<Self> {
        Self::first(der).filter(|(_, rest)| rest.is_empty()).map(|(element, _)| element)
    }

    /// Whether it has this universal tag.
    pub(crate) fn is(&self, tag: Tag) -> bool {
        self.class == Class::Universal && self.tag == tag
    }

    /// Its universal tag, if it has one.
    pub(crate) fn universal(&self) -> Option<Tag> {
        (self.class == Class::Universal).then_some(self.tag)
    }

    /// The number of its context-specific tag, if it has one.
    pub(crate) fn context(&self) -> Option<u32> {
        (self.class == Class::ContextSpecific).then_some(self.tag.0)
    }

    /// Its contents, unless they are elements (X.690 §8.1.2.5): a string may not consist of strings (§10.2).
    pub(crate) fn primitive(&self) -> Option<&'a [u8]> {
        (!self.constructed).then_some(self.contents)
    }

    /// The bytes of a BIT STRING that has only whole bytes: its first byte is the number of bits that the last one does not use.
    pub(crate) fn whole_bytes(&self) -> Option<&'a [u8]> {
        self.primitive().filter(|_| self.is(Tag::BitString))?.strip_prefix(&[0])
    }

    /// The elements in its contents. `None` if the contents are something else.
    pub(crate) fn children(&self) -> Option<Vec<Self>> {
        let mut elements = Elements(self.contents);
        let children: Vec<_> = elements.by_ref().collect();
        elements.0.is_empty().then_some(children)
    }
}

/// Elements one after another, up to the first byte that begins none.
pub(crate) struct Elements<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (element, rest) = Element::first(self.0)?;
        self.0 = rest;
        Some(element)
    }
}

impl<'a> Elements<'a> {
    /// The next element if it has this universal tag; otherwise it stays the next one.
    pub(crate) fn next_if(&mut self, tag: Tag) -> Option<Element<'a>> {
        let (element, rest) = Element::first(self.0).filter(|(element, _)| element.is(tag))?;
        self.0 = rest;
        Some(element)
    }
}
