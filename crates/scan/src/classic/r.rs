//! R's own serialisation: `.rds` and `.rda`, once they are unpacked.
//!
//! Format: R Internals 1.8, and `src/main/serialize.c`, versions 2 and 3, in all three codings.
//! An object of R may be code that runs when somebody looks at it: a promise is evaluated when its
//! value is asked for (CVE-2024-27322), byte code is taken as it is. R itself writes promises into
//! environments only, so that one elsewhere was made by hand. Functions that a model keeps are
//! ordinary, and told only if they call what models have no use for.

mod calls;
mod reader;
mod walk;

use crate::route::Head;
use crate::rules;
use crate::source::CursorError;
use crate::work::{Input, Look};

use reader::{Coding, Fault, Reader};
use walk::{Stop, Walk};

/// The lists that a verdict depends on.
pub(crate) static LIST: &str = calls::FILE;

/// Returns true if it begins with a coding and a version, or as a workspace does.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    let bytes = head.bytes();
    is_workspace(bytes)
        || matches!(
            bytes,
            [b'X', b'\n', 0, 0, 0, 2 | 3, ..]
                | [b'B', b'\n', 2 | 3, 0, 0, 0, ..]
                | [b'A', b'\n', b'2' | b'3', b'\n', b'0'..=b'9', ..]
        )
}

fn is_workspace(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [
            b'R',
            b'D',
            b'X' | b'A' | b'B',
            b'2' | b'3',
            b'\n',
            b'X' | b'A' | b'B',
            b'\n',
            ..
        ]
    )
}

/// Looks at all objects.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut cursor = look.input.cursor();
    let workspace = is_workspace(cursor.peek(7));
    cursor.seek(if workspace { 5 } else { 0 });
    let coding = match cursor.peek(1) {
        [b'X'] => Coding::Xdr,
        [b'B'] => Coding::Native,
        _ => Coding::Ascii,
    };
    let size = look.input.bytes.len();
    let mut reader = Reader { cursor, coding };
    let outcome = header(&mut reader).map_err(Stop::Fault).and_then(|()| {
        let mut walk = Walk::new(look, &mut reader, workspace);
        walk.run()
    });
    let at = reader.cursor.position().min(size);
    look.covered.parsed(0..at);
    match outcome {
        Ok(()) => {
            // Lines end with one, and the line of an empty text is one of its own.
            let lines = reader
                .cursor
                .peek(2)
                .iter()
                .take_while(|byte| **byte == b'\n');
            let blank = match coding {
                Coding::Ascii => u64::try_from(lines.count()).unwrap_or(0),
                Coding::Xdr | Coding::Native => 0,
            };
            let end = at.saturating_add(blank);
            look.covered.parsed(at..end);
            // A limit is noted where it fired.
            let _ = look.trailing_by(&rules::classic::R_BROKEN, end..size);
        }
        Err(Stop::Told) => {}
        Err(Stop::Fault(Fault::Cursor(CursorError::Io(error)))) => {
            look.gap(format!("it cannot be read: {error}"));
        }
        Err(Stop::Fault(Fault::Cursor(error))) => {
            look.broken(&rules::classic::R_BROKEN, at, error.to_string());
        }
        Err(Stop::Fault(Fault::Number)) => {
            look.broken(
                &rules::classic::R_BROKEN,
                at,
                "what stands here is no number",
            );
        }
        Err(Stop::Type(kind)) => {
            let message = format!("an object has the type {kind}, which R does not read");
            look.broken(&rules::classic::R_BROKEN, at, message);
        }
        Err(Stop::Large(what)) => {
            let path = look.input.path.clone();
            look.work.limit(&path, what);
        }
    }
}

// The coding, three versions, and from 3 on the encoding of texts.
fn header(reader: &mut Reader<'_>) -> Result<(), Fault> {
    reader.cursor.skip(2)?;
    let version = reader.int()?;
    reader.int()?;
    reader.int()?;
    if version == 3 {
        let len = reader.int()?;
        reader.text(u64::try_from(len).map_err(|_| Fault::Number)?, 64)?;
    }
    Ok(())
}
