//! RKNN: models compiled for the neural units of Rockchip. The format is nobody's but the maker's:
//! a header with a length, and behind it what the driver reads; it is recognised and not understood.

use crate::route::Head;
use crate::rules;
use crate::work::{Input, Look};

/// Returns true if it begins with the mark, and a small number of a version follows.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    let plain = matches!(head.bytes(), [b'R', b'K', b'N', b'N', 0, 0, 0, 0, ..]);
    plain || head.starts_with(b"RKNNENC") || head.starts_with(b"CYPTRKNN")
}

/// Looks at the header.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    look.gap("a model for Rockchip's units is compiled, and is not understood");
    let mut cursor = look.input.cursor();
    let header = cursor
        .skip(8)
        .and_then(|()| Ok((cursor.u64()?, cursor.u64()?)));
    let Ok((_, len)) = header else {
        look.broken(
            &rules::graphs::RKNN_BROKEN,
            0,
            "it ends inside of its header",
        );
        return;
    };
    look.covered.parsed(0..24);
    if look.input.bytes.len() < len {
        let message = format!("its header says {len} bytes, which it does not have");
        look.broken(&rules::graphs::RKNN_BROKEN, 16, message);
    }
}
