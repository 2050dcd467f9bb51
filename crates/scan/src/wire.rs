//! Encodings that many formats share: Protocol Buffers and `FlatBuffers`, read where they lie.
//!
//! Nothing is decoded into objects. A reader follows the bytes, says where each value is, and keeps
//! no more of them than a few pages; large values are never copied.

pub(crate) mod flat;
pub(crate) mod messages;
pub(crate) mod proto;
pub(crate) mod tables;
pub(crate) mod thrift;
pub(crate) mod values;
pub(crate) mod xml;

use std::cell::RefCell;
use std::ops::Range;

use crate::source::{ReadAt, read_full};

/// Size of a page, as an exponent of two.
const PAGE_BITS: u32 = 12;
/// How many pages are kept.
const PAGES: u64 = 16;

/// Bytes read at any place, with a few pages of them kept.
pub(crate) struct Window<'a> {
    from: &'a dyn ReadAt,
    len: u64,
    pages: RefCell<Vec<Page>>,
}

#[derive(Default, Clone)]
struct Page {
    // The number of the page plus one; zero is none.
    number: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    /// Returns a window onto bytes.
    pub(crate) fn new(from: &'a dyn ReadAt) -> Self {
        Self {
            from,
            len: from.len(),
            pages: RefCell::new(Vec::new()),
        }
    }

    /// Returns what it reads.
    pub(crate) const fn source(&self) -> &'a dyn ReadAt {
        self.from
    }

    /// Returns how many bytes there are.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Returns the bytes at a place, or `None` if they are not all there.
    pub(crate) fn array<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let mut array = [0; N];
        let within = usize::try_from(at & ((1 << PAGE_BITS) - 1)).ok()?;
        let whole = self.page(at, |page| {
            let bytes = page.get(within..within.checked_add(N)?)?;
            array.copy_from_slice(bytes);
            Some(())
        });
        if whole.is_none() {
            // It may go on in the next page.
            for (to, at) in array.iter_mut().zip(at..) {
                *to = self.byte(at)?;
            }
        }
        Some(array)
    }

    /// Returns the byte at a place.
    pub(crate) fn byte(&self, at: u64) -> Option<u8> {
        let within = usize::try_from(at & ((1 << PAGE_BITS) - 1)).ok()?;
        self.page(at, |page| page.get(within).copied())
    }

    /// Returns the bytes of a range if they are all there and no more than `most`.
    pub(crate) fn bytes(&self, range: &Range<u64>, most: usize) -> Option<Vec<u8>> {
        let len = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        if len > most || range.end > self.len {
            return None;
        }
        let small = u64::try_from(len).ok()? <= 1 << PAGE_BITS;
        if small {
            let mut bytes = Vec::with_capacity(len);
            while bytes.len() < len {
                let at = range.start.checked_add(u64::try_from(bytes.len()).ok()?)?;
                let within = usize::try_from(at & ((1 << PAGE_BITS) - 1)).ok()?;
                let wanted = len.checked_sub(bytes.len())?;
                self.page(at, |page| {
                    let rest = page.get(within..).filter(|rest| !rest.is_empty())?;
                    bytes.extend_from_slice(rest.get(..wanted).unwrap_or(rest));
                    Some(())
                })?;
            }
            return Some(bytes);
        }
        let mut bytes = vec![0; len];
        let read = read_full(self.from, range.start, &mut bytes).ok()?;
        (read == len).then_some(bytes)
    }

    /// Returns true if a range holds nothing but zeros. Ranges above 64 KiB are not looked at.
    pub(crate) fn is_zero(&self, range: &Range<u64>) -> bool {
        self.bytes(range, 64 << 10)
            .is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
    }

    fn page<T>(&self, at: u64, read: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        if at >= self.len {
            return None;
        }
        let number = (at >> PAGE_BITS).checked_add(1)?;
        let slot = usize::try_from(number.checked_rem(PAGES)?).ok()?;
        let mut pages = self.pages.borrow_mut();
        if pages.is_empty() {
            pages.resize(usize::try_from(PAGES).ok()?, Page::default());
        }
        let page = pages.get_mut(slot)?;
        if page.number != number {
            page.number = 0;
            page.bytes.resize(1 << PAGE_BITS, 0);
            let start = (at >> PAGE_BITS) << PAGE_BITS;
            let count = read_full(self.from, start, &mut page.bytes).ok()?;
            page.bytes.truncate(count);
            page.number = number;
        }
        read(&page.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_reads_across_its_pages() {
        let bytes: Vec<u8> = (0..=255_u8).cycle().take(300_000).collect();
        let window = Window::new(&bytes);
        for at in [0, 4_093, 4_095, 4_096, 65_533, 299_996, 7, 131_071] {
            let here = usize::try_from(at).unwrap();
            let expected: [u8; 4] = bytes[here..here + 4].try_into().unwrap();
            assert_eq!(window.array(at), Some(expected), "{at}");
        }
        assert_eq!(window.array::<8>(299_993), None);
        assert_eq!(window.byte(300_000), None);
        assert_eq!(window.byte(u64::MAX), None);
        assert_eq!(
            window.bytes(&(4_000..4_200), 200).unwrap(),
            bytes[4_000..4_200]
        );
        assert_eq!(window.bytes(&(10..9_000), 9_000).unwrap(), bytes[10..9_000]);
        assert_eq!(window.bytes(&(10..9_000), 10), None);
        assert_eq!(window.bytes(&(299_999..300_001), 10), None);
        assert!(window.is_zero(&(256..257)) && !window.is_zero(&(256..258)));
    }
}
