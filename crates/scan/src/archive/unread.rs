//! Archives that are recognised and not read. They are never clean.

use crate::route::Head;
use crate::rules;
use crate::work::{Input, Look};

struct Kind {
    name: &'static str,
    at: usize,
    mark: &'static [u8],
}

const fn kind(name: &'static str, at: usize, mark: &'static [u8]) -> Kind {
    Kind { name, at, mark }
}

static KINDS: &[Kind] = &[
    kind("a RAR archive", 0, b"Rar!\x1a\x07"),
    kind("a cabinet of Windows", 0, b"MSCF\0\0\0\0"),
    kind("an archive of `ar`", 0, b"!<arch>\n"),
    kind("an archive of `cpio`", 0, b"070701"),
    kind("an archive of `cpio`", 0, b"070702"),
    kind("an RPM package", 0, b"\xed\xab\xee\xdb"),
    kind("a XAR archive", 0, b"xar!\0\x1c"),
    kind("an ACE archive", 7, b"**ACE**"),
    kind("an LHA archive", 2, b"-lh5-"),
    kind("an lzip stream", 0, b"LZIP\x01"),
    kind("an lrzip stream", 0, b"LRZI"),
    kind("an LZO stream", 0, b"\x89LZO\0\r\n\x1a\n"),
    kind("a SquashFS image", 0, b"hsqs"),
    kind("an ISO 9660 image", 0x8001, b"CD001"),
];

fn find(head: &[u8], input: &Input<'_>) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| {
        let end = kind.at.saturating_add(kind.mark.len());
        if end <= head.len() {
            return head.get(kind.at..end) == Some(kind.mark);
        }
        let mut bytes = vec![0; kind.mark.len()];
        let at = u64::try_from(kind.at).unwrap_or(u64::MAX);
        let read = crate::source::read_full(input.bytes, at, &mut bytes);
        read.is_ok() && bytes == kind.mark
    })
}

/// Returns true if the mark of such an archive is where it belongs.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    find(head.bytes(), input).is_some()
}

/// Says that it is not read.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let head = look.input.cursor().peek(16).to_vec();
    let found = find(&head, look.input);
    let name = found.map_or("an archive", |kind| kind.name);
    let message = format!("it is {name}, which is not read");
    look.covered.told(0..look.input.bytes.len());
    look.broken(&rules::archive::ARCHIVE_UNREAD, None, message);
}
