//! The little DER that signed structures are read with (X.690): elements, one after the other.
//!
//! Nothing is allocated by a length that the input claims, and the number of elements is bounded.

use x509_cert::der::asn1::{ObjectIdentifier, OctetStringRef};
use x509_cert::der::{
    AnyRef, Decode as _, Encode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _,
};

/// Most elements of one SEQUENCE or SET.
const MAX_ELEMENTS: usize = 64;

/// One element: its tag and content.
#[derive(Clone, Copy)]
pub(super) struct Element<'a>(AnyRef<'a>);

impl<'a> Element<'a> {
    /// Parses bytes that are exactly one element.
    pub(super) fn parse(der: &'a [u8]) -> Option<Self> {
        AnyRef::from_der(der).ok().map(Self)
    }

    /// Returns the content.
    pub(super) fn content(self) -> &'a [u8] {
        self.0.value()
    }

    /// Returns the elements of a SEQUENCE.
    pub(super) fn sequence(self) -> Option<Elements<'a>> {
        self.with_tag(Tag::Sequence).and_then(Elements::of)
    }

    /// Returns the elements of a SET.
    pub(super) fn set(self) -> Option<Elements<'a>> {
        self.with_tag(Tag::Set).and_then(Elements::of)
    }

    /// Returns the bytes of an OCTET STRING.
    pub(super) fn octets(self) -> Option<&'a [u8]> {
        self.0
            .decode_as::<OctetStringRef<'a>>()
            .ok()
            .map(|octets| octets.as_bytes())
    }

    /// Returns an OBJECT IDENTIFIER.
    pub(super) fn oid(self) -> Option<ObjectIdentifier> {
        self.0.decode_as().ok()
    }

    /// Returns a small, non-negative INTEGER.
    pub(super) fn small(self) -> Option<u8> {
        self.0.decode_as().ok()
    }

    /// Returns the element if it has this tag.
    pub(super) fn with_tag(self, tag: Tag) -> Option<Self> {
        (self.0.tag() == tag).then_some(self)
    }

    /// Returns the element if it has this context-specific, constructed tag.
    pub(super) fn context(self, number: u8) -> Option<Self> {
        self.with_context_tag(number, true)
    }

    /// Returns the element if it has this context-specific, primitive tag.
    pub(super) fn context_primitive(self, number: u8) -> Option<Self> {
        self.with_context_tag(number, false)
    }

    fn with_context_tag(self, number: u8, constructed: bool) -> Option<Self> {
        let number = TagNumber::new(number);
        self.with_tag(Tag::ContextSpecific {
            constructed,
            number,
        })
    }

    /// Returns the element in DER again, under another tag.
    pub(super) fn to_der_as(self, tag: Tag) -> Option<Vec<u8>> {
        AnyRef::new(tag, self.0.value()).ok()?.to_der().ok()
    }

    /// Returns the element in DER again.
    pub(super) fn to_der(self) -> Option<Vec<u8>> {
        self.0.to_der().ok()
    }
}

/// Elements in their order.
pub(super) struct Elements<'a> {
    all: std::vec::IntoIter<Element<'a>>,
}

impl<'a> Elements<'a> {
    /// Returns the elements that the content of `outer` consists of.
    pub(super) fn of(outer: Element<'a>) -> Option<Self> {
        let mut reader = SliceReader::new(outer.content()).ok()?;
        let mut all = Vec::new();
        while !reader.is_finished() {
            if all.len() == MAX_ELEMENTS {
                return None;
            }
            all.push(Element(AnyRef::decode(&mut reader).ok()?));
        }
        Some(Self {
            all: all.into_iter(),
        })
    }

    /// Returns the only element.
    pub(super) fn single(mut self) -> Option<Element<'a>> {
        let first = self.all.next()?;
        self.all.next().is_none().then_some(first)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        self.all.next()
    }
}
