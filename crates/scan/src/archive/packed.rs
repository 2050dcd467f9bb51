//! Packed streams: gzip (RFC 1952), zlib (RFC 1950), bzip2, xz, LZMA alone, zstd (RFC 8878) and the
//! LZ4 frame.
//!
//! A file may be several streams in a row, which together are one content; readers go on from one
//! to the next, and so does the look. What follows the last one is looked at as well.

use std::io::{self, BufRead, Read};
use std::ops::Range;

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use lzma_rust2::{Action, LzmaStream, Status, XzReader};
use ruzstd::decoding::StreamingDecoder;

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, ReadAt, find_other, read_full};
use crate::unpack::{Outcome, Packed};
use crate::work::{Input, Limited, Look};

/// Most memory that an unpacker may take, which the stream asks for: 128 MiB of dictionary, as the
/// highest ordinary levels have, and some more.
const MEMORY_KIB: u32 = 160 << 10;
/// Most streams of one file.
const MAX_STREAMS: u32 = 1 << 20;
/// Most frames that are skipped to tell what a file is.
const MAX_SKIPPED: u32 = 64;

/// A way to pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Bzip2,
    Deflate,
    Gzip,
    /// LZMA in a zip archive: its header there, and how much it unpacks to, unless it says so.
    LzmaInZip(Option<u64>),
    Lzma,
    Lz4,
    Xz,
    Zlib,
    Zstd,
}

impl Packing {
    /// Returns the packing of a method of zip (APPNOTE.TXT 4.4.5), if it is known.
    pub(crate) const fn of_zip(method: u16, size: Option<u64>) -> Option<Self> {
        match method {
            8 => Some(Self::Deflate),
            12 => Some(Self::Bzip2),
            14 => Some(Self::LzmaInZip(size)),
            20 | 93 => Some(Self::Zstd),
            95 => Some(Self::Xz),
            _ => None,
        }
    }

    /// Unpacks one stream.
    pub(crate) fn open<'a>(self, mut packed: Packed<'a>) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(packed)),
            Self::Deflate => Box::new(DeflateDecoder::new(packed)),
            Self::Gzip => Box::new(GzDecoder::new(packed)),
            Self::Zlib => Box::new(ZlibDecoder::new(packed)),
            Self::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(packed)),
            Self::Xz => Box::new(XzReader::new_mem_limit(packed, false, MEMORY_KIB)),
            Self::Lzma => Box::new(Lzma::new(
                packed,
                LzmaStream::new_mem_limit(MEMORY_KIB, None),
            )),
            Self::LzmaInZip(size) => {
                let stream = lzma_in_zip(&mut packed, size)?;
                Box::new(Lzma::new(packed, stream))
            }
            Self::Zstd => {
                let most = u64::from(MEMORY_KIB) << 10;
                let decoder = StreamingDecoder::new_with_max_window_size(packed, most);
                Box::new(decoder.map_err(io::Error::other)?)
            }
        })
    }

    // What follows at the beginning of these bytes.
    fn next(self, ahead: &[u8]) -> Next {
        let framed = matches!(self, Self::Zstd | Self::Lz4);
        if framed && let Some(len) = skippable(ahead) {
            return Next::Skip(len);
        }
        let begins = match self {
            Self::Bzip2 => is_bzip2_bytes(ahead),
            Self::Gzip => ahead.starts_with(b"\x1f\x8b\x08"),
            Self::Lz4 => LZ4.iter().any(|mark| ahead.starts_with(*mark)),
            Self::Xz => ahead.starts_with(XZ),
            Self::Zstd => ahead.starts_with(ZSTD),
            // These have no mark, or are never followed by another.
            Self::Deflate | Self::Lzma | Self::LzmaInZip(_) | Self::Zlib => false,
        };
        if begins { Next::Stream } else { Next::End }
    }

    // Returns true if the stream that was read ended where it says, as far as the decoder leaves
    // that to its caller.
    fn ended(self, bytes: &dyn ReadAt, stream: &Range<u64>) -> bool {
        if self != Self::Lz4 {
            return true;
        }
        let mut tail = [0xff; 8];
        let from = stream.end.saturating_sub(8).max(stream.start);
        let count = read_full(bytes, from, &mut tail).unwrap_or(0);
        let mut mark = [0; 4];
        let is_legacy = read_full(bytes, stream.start, &mut mark).is_ok() && mark == *LZ4[1];
        // The end mark, with a checksum behind it or not.
        let tail = tail.get(..count).unwrap_or_default();
        is_legacy || tail.starts_with(&[0; 4]) || tail.ends_with(&[0; 4])
    }
}

const XZ: &[u8] = b"\xfd7zXZ\0";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
const LZ4: [&[u8; 4]; 2] = [b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18"];

enum Next {
    Stream,
    // So many bytes that unpackers leave out.
    Skip(u64),
    End,
}

// Frames of zstd and LZ4 that hold anything (RFC 8878, 3.1.2): a mark, a length, so many bytes.
fn skippable(ahead: &[u8]) -> Option<u64> {
    let (mark, rest) = ahead.split_first_chunk()?;
    let (len, _) = rest.split_first_chunk()?;
    let mark = u32::from_le_bytes(*mark);
    (mark & 0xffff_fff0 == 0x184d_2a50).then(|| u64::from(u32::from_le_bytes(*len)))
}

// The mark of the first frame that is not skipped.
fn first_frame(head: &Head, input: &Input<'_>) -> Option<[u8; 4]> {
    if skippable(head.bytes()).is_none() {
        return head.bytes().first_chunk().copied();
    }
    let mut cursor = Cursor::at(input.bytes, 0);
    for _ in 0..MAX_SKIPPED {
        let Some(len) = skippable(cursor.peek(8)) else {
            return cursor.array().ok();
        };
        cursor.skip(len.saturating_add(8)).ok()?;
    }
    None
}

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

/// Returns true if it begins as bzip2 does.
pub(crate) fn is_bzip2(head: &Head, _: &Input<'_>) -> bool {
    is_bzip2_bytes(head.bytes())
}

fn is_bzip2_bytes(bytes: &[u8]) -> bool {
    // A block, or the end of an empty stream.
    matches!(bytes, [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]
        if rest.starts_with(b"\x31\x41\x59\x26\x53\x59") || rest.starts_with(b"\x17\x72\x45\x38\x50\x90"))
}

/// Returns true if it begins as xz does.
pub(crate) fn is_xz(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(XZ)
}

/// Returns true if it begins as zstd does.
pub(crate) fn is_zstd(head: &Head, input: &Input<'_>) -> bool {
    first_frame(head, input).is_some_and(|mark| mark == *ZSTD)
}

/// Returns true if it begins as LZ4 does.
pub(crate) fn is_lz4(head: &Head, input: &Input<'_>) -> bool {
    first_frame(head, input).is_some_and(|mark| LZ4.contains(&&mark))
}

/// Returns true if it begins as LZMA without a container does, and unpacks a little: there is no
/// mark, only numbers that are like others.
pub(crate) fn is_lzma(head: &Head, _: &Input<'_>) -> bool {
    let Some(([properties, a, b, c, d, size @ .., 0], _)) = head.bytes().split_first_chunk::<14>()
    else {
        return false;
    };
    let dictionary = u32::from_le_bytes([*a, *b, *c, *d]);
    let size = size.first_chunk().map(|size| u64::from_le_bytes(*size));
    let usual = dictionary.count_ones() <= 2 && dictionary >= 4 << 10;
    let size = size.is_some_and(|size| size == u64::MAX || size != 0 && size < 1 << 40);
    if *properties >= 225 || !usual || !size {
        return false;
    }
    let mut stream = LzmaStream::new_mem_limit(MEMORY_KIB, None);
    let mut out = [0; 64];
    let result = stream.process(head.bytes(), &mut out, Action::Run);
    result.is_ok_and(|result| result.bytes_produced > 0)
}

/// Looks at what a gzip file holds.
pub(crate) fn gzip(look: &mut Look<'_, '_, '_>) {
    streams(look, Packing::Gzip);
}

/// Looks at what a zlib stream holds.
pub(crate) fn zlib(look: &mut Look<'_, '_, '_>) {
    streams(look, Packing::Zlib);
}

/// Looks at what a bzip2 file holds.
pub(crate) fn bzip2(look: &mut Look<'_, '_, '_>) {
    streams(look, Packing::Bzip2);
}

/// Looks at what an xz file holds.
pub(crate) fn xz(look: &mut Look<'_, '_, '_>) {
    streams(look, Packing::Xz);
}

/// Looks at what an LZMA file holds.
pub(crate) fn lzma(look: &mut Look<'_, '_, '_>) {
    streams(look, Packing::Lzma);
}

/// Looks at what a zstd file holds.
pub(crate) fn zstd(look: &mut Look<'_, '_, '_>) {
    streams(look, Packing::Zstd);
}

/// Looks at what an LZ4 file holds.
pub(crate) fn lz4(look: &mut Look<'_, '_, '_>) {
    streams(look, Packing::Lz4);
}

fn streams(look: &mut Look<'_, '_, '_>, packing: Packing) {
    // A limit is noted where it fired.
    let _ = all_streams(look, packing);
}

fn all_streams(look: &mut Look<'_, '_, '_>, packing: Packing) -> Result<(), Limited> {
    let input = look.input;
    let size = input.bytes.len();
    let mut outcome = Outcome::default();
    let mut next = Next::Stream;
    let mut skipped = Vec::new();
    let mut limited = None;
    for count in 0..MAX_STREAMS {
        let mut ahead = [0; 16];
        let read = read_full(input.bytes, outcome.read, &mut ahead).unwrap_or(0);
        let marked = packing.next(ahead.get(..read).unwrap_or_default());
        // The first needs no mark: it was recognised.
        if count > 0 || matches!(marked, Next::Skip(_)) {
            next = marked;
        }
        match next {
            Next::End => break,
            Next::Skip(len) => {
                let start = outcome.read.saturating_add(8);
                let end = start.saturating_add(len);
                skipped.push(outcome.read..end.min(size));
                outcome.read = end.min(size);
                if end > size {
                    outcome.broken = Some("a frame ends behind the end of the file".into());
                    break;
                }
            }
            Next::Stream => {
                // What came before counts.
                if let Err(limit) = look.work.count_stream(&input.path) {
                    limited = Some(limit);
                    break;
                }
                let start = outcome.read;
                let open = |packed| packing.open(packed);
                outcome.more((&input.path, input.bytes), open, look.work)?;
                let stream = start..outcome.read;
                if outcome.broken.is_none() && !packing.ended(input.bytes, &stream) {
                    outcome.broken = Some("it breaks off".into());
                }
            }
        }
        if outcome.broken.is_some() {
            break;
        }
    }
    content(look, &outcome)?;
    for range in skipped {
        skipped_frame(look, range)?;
    }
    if let Some(limit) = limited {
        return Err(limit);
    }
    look.trailing_by(&rules::archive::PACKED_TRAILING, outcome.read..size)
}

fn content(look: &mut Look<'_, '_, '_>, outcome: &Outcome) -> Result<(), Limited> {
    // What is inside is called like the file, without the packing's extension.
    let name = look.input.name().rsplit_once('.');
    let name = name.map_or("content", |(name, _)| name).to_owned();
    let Some(why) = &outcome.broken else {
        look.unpacked(&name, &outcome.bytes, 0..outcome.read)?;
        return Ok(());
    };
    let message = format!("it cannot be unpacked to its end: {why}");
    look.broken(&rules::archive::PACKED_BROKEN, outcome.read, message);
    look.covered.told(0..outcome.read);
    look.member(&name, &outcome.bytes)?;
    Ok(())
}

// What unpackers leave out: the index of a seekable file (its mark is at the end), the size of the
// next frame (pzstd), zeros, or anything.
fn skipped_frame(look: &mut Look<'_, '_, '_>, range: Range<u64>) -> Result<(), Limited> {
    const SEEKABLE: [u8; 4] = [0xb1, 0xea, 0x92, 0x8f];
    let start = range.start.saturating_add(8).min(range.end);
    let bytes = look.input.bytes;
    let mut tail = [0; 4];
    let ends = read_full(bytes, range.end.saturating_sub(4).max(start), &mut tail).is_ok();
    let len = range.end.saturating_sub(start);
    let known = len == 4 || ends && tail == SEEKABLE && len >= 9;
    look.covered.parsed(range.start..start);
    if known || find_other(bytes, start..range.end, 0).is_none() {
        look.covered.parsed(range);
        return Ok(());
    }
    let message = format!("{len} bytes lie in a frame that unpackers leave out");
    look.see(&rules::archive::PACKED_TRAILING, start, message);
    look.part("skipped", start..range.end)?;
    Ok(())
}

// LZMA that takes no more bytes than it needs.
struct Lzma<'a> {
    packed: Packed<'a>,
    stream: LzmaStream,
    ended: bool,
}

impl<'a> Lzma<'a> {
    const fn new(packed: Packed<'a>, stream: LzmaStream) -> Self {
        Self {
            packed,
            stream,
            ended: false,
        }
    }
}

impl Read for Lzma<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !buffer.is_empty() {
            let ahead = self.packed.fill_buf()?;
            let last = ahead.is_empty();
            let action = if last { Action::Finish } else { Action::Run };
            let result = self.stream.process(ahead, buffer, action)?;
            self.packed.consume(result.bytes_consumed);
            self.ended = result.status == Status::StreamEnd;
            if result.bytes_produced > 0 {
                return Ok(result.bytes_produced);
            }
            if last && !self.ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if result.bytes_consumed == 0 && !self.ended {
                return Err(io::Error::other("it does not go on"));
            }
        }
        Ok(0)
    }
}

// Two bytes of version, two of the size of what follows, and five of properties (APPNOTE.TXT 5.8.8).
fn lzma_in_zip(packed: &mut Packed<'_>, size: Option<u64>) -> io::Result<LzmaStream> {
    let mut header = [0; 9];
    packed.read_exact(&mut header)?;
    let [_, _, 5, 0, properties, a, b, c, d] = header else {
        return Err(io::Error::other("its LZMA header has another size"));
    };
    let dictionary = u32::from_le_bytes([a, b, c, d]);
    if dictionary >> 10 > MEMORY_KIB {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let size = size.unwrap_or(u64::MAX);
    LzmaStream::new_with_props(size, properties, dictionary, None)
}
