//! joblib before 0.10: `ZF`, the size in hexadecimal digits, and a zlib stream of a pickle.
//!
//! joblib, `numpy_pickle_compat.py` (`read_zfile`). Later releases write plain streams of zlib, gzip,
//! bzip2, LZMA, xz and LZ4, which are looked at as what they are.

use crate::route::Head;
use crate::work::{Input, Look};

/// Length of the mark and the digits, which are padded with spaces.
const HEADER: u64 = 21;

/// Returns true if the mark and a number begin it.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    let digits = head.bytes().get(2..21).map(<[u8]>::trim_ascii_end);
    head.starts_with(b"ZF0x")
        && digits.is_some_and(|digits| {
            digits
                .iter()
                .skip(2)
                .all(|byte| byte.is_ascii_hexdigit() || *byte == b'L')
        })
}

/// Looks at the stream.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    // Python 2 wrote one more space.
    let mut cursor = look.input.cursor();
    cursor.seek(HEADER);
    let space = cursor.peek(1) == b" ";
    let start = HEADER.saturating_add(u64::from(space));
    look.covered.parsed(0..start);
    // A limit is noted where it fired.
    let _ = look.part("zlib", start..look.input.bytes.len());
}
