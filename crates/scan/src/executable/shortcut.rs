//! Shortcuts of Windows: a file that starts a program with arguments when it is opened (MS-SHLLINK).

use custos_core::finding::Severity;

use crate::route::Head;
use crate::rules;
use crate::source::CursorError;
use crate::work::{Input, Look};

const MARK: &[u8] = b"\x4c\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46";
/// Where the header ends.
const HEADER: u64 = 76;

/// Returns true if size and class of a shortcut begin it.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(MARK)
}

/// Looks at what it starts.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let (texts, end) = match read(look) {
        Ok(read) => read,
        Err(error) => {
            super::found(look, "a shortcut of Windows", false);
            super::broken(look, &error);
            return;
        }
    };
    let what = "a shortcut of Windows, which starts a program when it is opened";
    let message = format!("`{}` is {what}", look.input.name());
    let mut finding = rules::executable::SHORTCUT.finding(look.here(), message);
    let [_, path, _, arguments, _] = &texts;
    if !arguments.is_empty() {
        finding.severity = Severity::High;
    }
    let started = format!("{path} {arguments}");
    if !started.trim().is_empty() {
        finding.evidence = Some(started.trim().chars().take(500).collect());
    }
    look.work.find(finding);
    super::ends(look, end, end);
}

// Name, relative path, folder, arguments and icon, and where it all ends.
fn read(look: &Look<'_, '_, '_>) -> Result<([String; 5], u64), CursorError> {
    let mut cursor = look.input.cursor();
    cursor.seek(20);
    let flags = cursor.u32()?;
    cursor.seek(HEADER);
    if flags & 1 != 0 {
        let len = cursor.u16()?;
        cursor.skip(len.into())?;
    }
    if flags & 2 != 0 {
        let len = cursor.u32()?;
        cursor.skip(u64::from(len).saturating_sub(4))?;
    }
    let mut texts: [String; 5] = Default::default();
    for (bit, text) in (2..).zip(&mut texts) {
        if flags & 1 << bit == 0 {
            continue;
        }
        let count = usize::from(cursor.u16()?);
        *text = if flags & 1 << 7 != 0 {
            let bytes = cursor.take(count.saturating_mul(2))?;
            let (units, _) = bytes.as_chunks();
            let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
            char::decode_utf16(units)
                .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        } else {
            String::from_utf8_lossy(&cursor.take(count)?).into_owned()
        };
    }
    // Further blocks, up to one that is too short to be one; some writers leave that out.
    while cursor.left() >= 4 {
        let len = cursor.u32()?;
        if len < 4 {
            break;
        }
        cursor.skip(u64::from(len).saturating_sub(4))?;
    }
    Ok((texts, cursor.position()))
}
