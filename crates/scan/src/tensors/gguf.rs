//! GGUF: keys with values, descriptions of tensors, and their bytes, as llama.cpp reads them.
//!
//! Format: ggml-org/ggml, `docs/gguf.md`, versions 1 to 3 in both byte orders. Loaders have summed
//! and multiplied what the file says without looking (CVE-2025-53630, CVE-2026-27940,
//! CVE-2026-33298, and the set that Databricks published in 2024): here every count is checked
//! against the bytes that are left, and every product for its size. The file also brings the
//! template that chats are rendered by, which is a program.

mod layout;
pub(crate) mod types;

use std::collections::BTreeSet;

use custos_core::finding::Location;

use crate::route::{self, Head};
use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::work::{Input, Look};

use super::notes;

/// Longest text that is looked at as a whole.
const MAX_TEXT: u64 = 16 << 20;
/// Most keys, and most tensors.
const MAX_ENTRIES: u64 = 1 << 20;
/// Deepest nesting of arrays.
const MAX_DEPTH: u32 = 4;
/// Most texts of one array that are inspected.
const MAX_INSPECTED: u64 = 10_000;

const NAME: &str = "GGUF";
const MARK: &[u8] = b"GGUF";

/// Returns true if it begins with the mark, or if the name says so of what nobody else knows, or of
/// what ends in the mark.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    head.starts_with(MARK)
        || input.extension() == "gguf"
            && (MARK.starts_with(head.bytes()) || !route::is_known_otherwise(NAME, head, input))
}

/// Looks at keys, descriptions, and how tensors cover the rest.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut file = File {
        reader: Reader {
            cursor: look.input.cursor(),
            big: false,
            narrow: false,
        },
        alignment: 32,
        look,
    };
    if let Err(stop) = file.read() {
        let at = file.reader.cursor.position();
        file.look.covered.parsed(0..at);
        match stop {
            Stop::Told => {}
            Stop::Cursor(CursorError::End { at }) => {
                let message = "it ends inside of its header";
                file.look.broken(&rules::tensors::GGUF_BROKEN, at, message);
            }
            Stop::Cursor(CursorError::Io(error)) => {
                file.look.gap(format!("it cannot be read: {error}"));
            }
        }
    }
}

/// Why the look ended.
enum Stop {
    /// The bytes end, or cannot be read.
    Cursor(CursorError),
    /// It was said already.
    Told,
}

impl From<CursorError> for Stop {
    fn from(error: CursorError) -> Self {
        Self::Cursor(error)
    }
}

type Step<T> = Result<T, Stop>;

// Numbers in the order of the file.
struct Reader<'a> {
    cursor: Cursor<'a>,
    big: bool,
    // Counts of version 1 have 32 bits.
    narrow: bool,
}

impl Reader<'_> {
    fn u32(&mut self) -> Result<u32, CursorError> {
        let bytes = self.cursor.array()?;
        Ok(if self.big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    fn u64(&mut self) -> Result<u64, CursorError> {
        let bytes = self.cursor.array()?;
        Ok(if self.big {
            u64::from_be_bytes(bytes)
        } else {
            u64::from_le_bytes(bytes)
        })
    }

    fn count(&mut self) -> Result<u64, CursorError> {
        if self.narrow {
            self.u32().map(u64::from)
        } else {
            self.u64()
        }
    }
}

struct File<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    reader: Reader<'i>,
    alignment: u64,
}

impl File<'_, '_, '_, '_> {
    fn read(&mut self) -> Step<()> {
        if self.reader.cursor.array::<4>()? != *MARK {
            let message = "it does not begin as its name says";
            self.look.broken(&rules::tensors::GGUF_BROKEN, 0, message);
            return Err(Stop::Told);
        }
        let version = self.reader.cursor.u32()?;
        self.reader.big = version.trailing_zeros() >= 16;
        let version = if self.reader.big {
            version.swap_bytes()
        } else {
            version
        };
        if !(1..=3).contains(&version) {
            let message = format!("its version {version} is not one of 1 to 3");
            self.look.broken(&rules::tensors::GGUF_BROKEN, 4, message);
            return Err(Stop::Told);
        }
        self.reader.narrow = version == 1;
        // The least that a description and a key can take.
        let tensors = self.counted("tensors", 24)?;
        let keys = self.counted("keys", 13)?;
        let mut seen = BTreeSet::new();
        for _ in 0..keys {
            self.look
                .work
                .tick(&self.look.input.path)
                .map_err(|_| Stop::Told)?;
            let at = self.reader.cursor.position();
            let key = self.text(at)?;
            if !seen.insert(key.clone()) {
                let message = format!("the key `{key}` is there twice");
                self.look.see(&rules::tensors::GGUF_DUPLICATE, at, message);
            }
            self.value(&key)?;
        }
        layout::tensors(self, tensors)
    }

    // A number of things, each of at least `least` bytes.
    fn counted(&mut self, what: &str, least: u64) -> Step<u64> {
        let at = self.reader.cursor.position();
        let count = self.reader.count()?;
        let least = if self.reader.narrow { least / 2 } else { least };
        let left = self.reader.cursor.left();
        if count.checked_mul(least).is_none_or(|bytes| bytes > left) {
            let message =
                format!("it says that it has {count} {what}, and {left} bytes are left for them");
            self.look.broken(&rules::tensors::GGUF_COUNT, at, message);
            return Err(Stop::Told);
        }
        if count > MAX_ENTRIES {
            let path = self.look.input.path.clone();
            self.look.work.limit(&path, what);
            return Err(Stop::Told);
        }
        Ok(count)
    }

    // A text, what is no UTF-8 replaced.
    fn text(&mut self, at: u64) -> Step<String> {
        let len = self.length(at)?;
        if len > MAX_TEXT {
            self.reader.cursor.skip(len)?;
            self.look
                .gap(format!("the text at {at} of {len} bytes is not looked at"));
            return Ok(String::new());
        }
        let bytes = self.reader.cursor.take(usize::try_from(len).unwrap_or(0))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn length(&mut self, at: u64) -> Step<u64> {
        let len = self.reader.count()?;
        let left = self.reader.cursor.left();
        if len > left {
            let message =
                format!("a text says that it has {len} bytes, and {left} are left for it");
            self.look.broken(&rules::tensors::GGUF_COUNT, at, message);
            return Err(Stop::Told);
        }
        Ok(len)
    }

    fn value(&mut self, key: &str) -> Step<()> {
        let at = self.reader.cursor.position();
        let kind = self.reader.u32()?;
        if key == "general.alignment" {
            return self.aligned(kind, at);
        }
        match kind {
            8 => {
                let text = self.text(at)?;
                self.inspect(key, at, &text);
                Ok(())
            }
            9 => self.array(key, at, 0),
            kind => self.plain(kind, 1, at),
        }
    }

    fn aligned(&mut self, kind: u32, at: u64) -> Step<()> {
        let alignment = match kind {
            4 => u64::from(self.reader.u32()?),
            10 => self.reader.u64()?,
            _ => 0,
        };
        if !alignment.is_power_of_two() || alignment > 1 << 24 {
            let message = format!(
                "its alignment of {alignment} (type {kind}) is no power of two that loaders take"
            );
            self.look
                .broken(&rules::tensors::GGUF_ALIGNMENT, at, message);
            return Err(Stop::Told);
        }
        self.alignment = alignment;
        Ok(())
    }

    // Numbers and truth values.
    fn plain(&mut self, kind: u32, count: u64, at: u64) -> Step<()> {
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            kind => {
                let message = format!("a value has the unknown type {kind}");
                self.look.broken(&rules::tensors::GGUF_BROKEN, at, message);
                return Err(Stop::Told);
            }
        };
        let left = self.reader.cursor.left();
        if let Some(bytes) = count.checked_mul(size).filter(|bytes| *bytes <= left) {
            return Ok(self.reader.cursor.skip(bytes)?);
        }
        let message = format!(
            "an array says that it has {count} elements, and {left} bytes are left for them"
        );
        self.look.broken(&rules::tensors::GGUF_COUNT, at, message);
        Err(Stop::Told)
    }

    fn array(&mut self, key: &str, at: u64, depth: u32) -> Step<()> {
        let kind = self.reader.u32()?;
        let count = self.reader.count()?;
        if kind != 8 && kind != 9 {
            return self.plain(kind, count, at);
        }
        let left = self.reader.cursor.left();
        if count.checked_mul(4).is_none_or(|bytes| bytes > left) || depth >= MAX_DEPTH {
            let message = format!(
                "the array `{key}` says that it has {count} elements, and {left} bytes are left"
            );
            self.look.broken(&rules::tensors::GGUF_COUNT, at, message);
            return Err(Stop::Told);
        }
        // Pieces of words of all languages: characters that hide elsewhere belong here.
        let words = matches!(key, "tokenizer.ggml.tokens" | "tokenizer.ggml.merges");
        for index in 0..count {
            if index.is_multiple_of(1 << 16) {
                let path = &self.look.input.path;
                self.look.work.tick(path).map_err(|_| Stop::Told)?;
            }
            let at = self.reader.cursor.position();
            if kind == 9 {
                self.array(key, at, depth.saturating_add(1))?;
            } else if words || index >= MAX_INSPECTED {
                let len = self.length(at)?;
                self.reader.cursor.skip(len)?;
            } else {
                let text = self.text(at)?;
                self.inspect(key, at, &text);
            }
        }
        Ok(())
    }

    fn inspect(&mut self, key: &str, at: u64, value: &str) {
        let place = Location {
            offset: Some(at),
            pointer: Some(key.to_owned()),
            ..self.look.here()
        };
        notes::inspect(self.look, &place, (key, value));
    }
}
