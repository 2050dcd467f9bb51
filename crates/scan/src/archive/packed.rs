//! Single packed streams: gzip (RFC 1952) and zlib (RFC 1950).

use std::io;

use crate::route::Head;
use crate::rules;
use crate::source::{Part, ReadAt as _};
use crate::unpack::{self, Packed};
use crate::work::{Input, Look};

/// Returns true if it begins as gzip does.
pub(crate) fn is_gzip(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"\x1f\x8b\x08")
}

/// Returns true if it begins as zlib does, and unpacks a little: two bytes alone are no sign.
pub(crate) fn is_zlib(head: &Head, _: &Input<'_>) -> bool {
    let [
        first @ (0x08 | 0x18 | 0x28 | 0x38 | 0x48 | 0x58 | 0x68 | 0x78),
        second,
        ..,
    ] = head.bytes()
    else {
        return false;
    };
    let check = u16::from_be_bytes([*first, *second]);
    if check.checked_rem(31) != Some(0) || second & 0x20 != 0 {
        return false;
    }
    let mut out = [0; 64];
    let mut reader = flate2::read::ZlibDecoder::new(head.bytes());
    io::Read::read(&mut reader, &mut out).is_ok_and(|count| count > 0)
}

/// Looks at what a gzip file holds.
pub(crate) fn gzip(look: &mut Look<'_, '_, '_>) {
    stream(look, |packed| {
        Ok(flate2::bufread::MultiGzDecoder::new(io::BufReader::new(
            packed,
        )))
    });
}

/// Looks at what a zlib stream holds.
pub(crate) fn zlib(look: &mut Look<'_, '_, '_>) {
    stream(look, |packed| Ok(flate2::read::ZlibDecoder::new(packed)));
}

fn stream<'i, R: io::Read>(
    look: &mut Look<'i, '_, '_>,
    unpacker: impl FnOnce(Packed<'i>) -> io::Result<R>,
) {
    let input = look.input;
    let size = input.bytes.len();
    let Ok(outcome) = unpack::unpack(&input.path, input.bytes, unpacker, look.work) else {
        return;
    };
    look.covered.parsed(0..size);
    if let Some(why) = outcome.broken {
        let message = format!("it cannot be unpacked to its end: {why}");
        look.broken(&rules::archive::PACKED_BROKEN, outcome.read, message);
    }
    // What is inside is called like the file, without the packing's extension.
    let name = input
        .name()
        .rsplit_once('.')
        .map_or("content", |(name, _)| name);
    // A limit is noted where it fired.
    let _ = look.member(name, &outcome.bytes);
    let rest = Part::new(input.bytes, outcome.read..size);
    if !rest.is_empty() {
        let message = format!("{} bytes follow the packed stream", rest.len());
        look.see(&rules::archive::PACKED_TRAILING, outcome.read, message);
        let _ = look.member("trailing", &rest);
    }
}
