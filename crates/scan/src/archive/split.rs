//! Parts of an archive or model that was cut to be carried: `x.7z.001`, `x.z01`, `x.tar.gz.part02`,
//! `x.tar.gz.aa`. What a part holds only shows when it is put together with the others.
//!
//! No content says that it is the middle of something, so the name does; a part that begins like the
//! whole is looked at as far as it goes.

use crate::route::{Format, Head};
use crate::rules;
use crate::work::{Input, Look};
use crate::{pickle, tensors};

/// How the first part of a divided zip archive begins (APPNOTE.TXT, 8.5.5).
const SPANNED: &[u8] = b"PK\x07\x08PK\x03\x04";

/// Returns true if the name, or the mark of a first part, says so.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    head.starts_with(SPANNED) || whole(input.name()).is_some()
}

/// Says that it is a part.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let whole = whole(look.input.name());
    let of = whole.map_or_else(|| "a zip archive".to_owned(), |whole| format!("`{whole}`"));
    look.covered.told(0..look.input.bytes.len());
    let message =
        format!("it is a part of {of}, which shows what it holds when all parts are joined");
    look.broken(&rules::archive::ARCHIVE_PART, None, message);
}

// The name of the whole.
fn whole(name: &str) -> Option<&str> {
    let (whole, part) = name.rsplit_once('.')?;
    let part = part.to_ascii_lowercase();
    if part.strip_prefix('z').is_some_and(is_number) && !whole.is_empty() {
        return Some(whole);
    }
    let (_, kind) = whole.rsplit_once('.')?;
    let kind = kind.to_ascii_lowercase();
    let known = |format: &Format| format.extensions.contains(&kind.as_str());
    let archive = super::FORMATS.iter().any(known);
    let model = [pickle::FORMATS, tensors::FORMATS];
    let model = model.into_iter().flatten().any(known);
    let number = part.strip_prefix("part").unwrap_or(&part);
    let said = number.len() < part.len();
    let number = number.trim_start_matches(['-', '_']);
    // `split` counts in letters. A number alone, behind a model, is that of a checkpoint.
    let letters = matches!(
        number.as_bytes(),
        [b'a', b'a'..=b'z'] | [b'x' | b'a', b'a', b'a'..=b'z']
    );
    let counted = letters || is_number(number) && (archive || said);
    ((archive || model) && counted).then_some(whole)
}

// Two to five digits; one is a version at times.
fn is_number(text: &str) -> bool {
    (2..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn names_of_parts() {
        for (name, of) in [
            ("x.7z.001", "x.7z"),
            ("x.zip.002", "x.zip"),
            ("x.z01", "x"),
            ("x.tar.gz.part02", "x.tar.gz"),
            ("x.tar.gz.part-aa", "x.tar.gz"),
            ("x.tar.gz.ab", "x.tar.gz"),
            ("model.safetensors.part00", "model.safetensors"),
        ] {
            assert_eq!(whole(name), Some(of), "{name}");
        }
        for name in [
            "x.7z",
            "x.gz",
            "x.z",
            "z01",
            "libx.so.1",
            "libx.so.12",
            "x.csv.001",
            "model.pt.0010",
            "app.log.01",
            "x.tar.gz.sig",
            "x.tar.gz.asc",
            "x.tar.gz.sha256",
            "v1.2.003",
            "model-00001-of-00002.safetensors",
        ] {
            assert_eq!(whole(name), None, "{name}");
        }
    }
}
