//! Cells of tables: texts that people and models read, and bytes that may be files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use custos_core::finding::Location;

use crate::route;
use crate::rules;
use crate::text;
use crate::work::{Input, Limited, Look};

/// How much text is looked at together.
const BATCH: usize = 64 << 10;
/// Most files in cells that are looked at.
const MAX_FILES: u32 = 1_000;
/// Shortest text that is looked at between bytes of a structure.
const SHORTEST: usize = 16;
/// Longest text that is read as base64.
const MAX_ENCODED: usize = 64 << 20;

/// The cells of one column, as they come.
pub(super) struct Cells {
    column: String,
    batch: String,
    files: u32,
}

impl Cells {
    pub(super) fn new(column: &str) -> Self {
        Self {
            column: column.to_owned(),
            batch: String::new(),
            files: 0,
        }
    }

    /// Takes a cell.
    pub(super) fn add(&mut self, look: &mut Look<'_, '_, '_>, cell: &[u8]) -> Result<(), Limited> {
        if is_marked(cell) {
            self.file(look, cell)?;
        }
        if let Ok(text) = std::str::from_utf8(cell) {
            if let Some(bytes) = decoded(text) {
                self.file(look, &bytes)?;
            }
            self.batch.push_str(text);
            self.batch.push('\n');
        } else {
            // Texts stand between the bytes of a structure.
            let valid = cell.utf8_chunks().map(|chunk| chunk.valid());
            let runs = valid.flat_map(|text| text.split(is_no_text));
            for run in runs.filter(|run| run.len() >= SHORTEST) {
                self.batch.push_str(run);
                self.batch.push('\n');
            }
        }
        if self.batch.len() >= BATCH {
            self.flush(look)?;
        }
        Ok(())
    }

    /// Looks at what was taken and not looked at yet.
    pub(super) fn flush(&mut self, look: &mut Look<'_, '_, '_>) -> Result<(), Limited> {
        look.work.tick(&look.input.path)?;
        if self.batch.is_empty() {
            return Ok(());
        }
        let place = self.place(look);
        text::inspect(look, &place, &self.batch);
        self.batch.clear();
        Ok(())
    }

    fn place(&self, look: &Look<'_, '_, '_>) -> Location {
        Location {
            pointer: Some(self.column.clone()),
            ..look.here()
        }
    }

    // A cell that begins like a file of a kind that runs.
    fn file(&mut self, look: &mut Look<'_, '_, '_>, cell: &[u8]) -> Result<(), Limited> {
        let bytes = cell.to_vec();
        let input = Input {
            path: String::new(),
            bytes: &bytes,
        };
        let program = cell.starts_with(b"MZ") || cell.starts_with(b"\x7fELF");
        if !program && !route::is_surely_something(&input) {
            return Ok(());
        }
        self.files = self.files.saturating_add(1);
        if self.files > MAX_FILES {
            if self.files == MAX_FILES.saturating_add(1) {
                let column = &self.column;
                look.gap(format!(
                    "the column `{column}` holds more files than are looked at"
                ));
            }
            return Ok(());
        }
        if self.files == 1 {
            let kind = if program {
                "a program"
            } else {
                "a pickle, an archive or a program"
            };
            let message = format!(
                "a cell of the column `{}` of {} bytes is {kind}",
                self.column,
                bytes.len()
            );
            let place = self.place(look);
            look.work.see(&rules::media::DATA_FILE, place, message);
        }
        let name = format!("{}#{}", self.column, self.files);
        look.member(&name, &bytes)?;
        Ok(())
    }
}

fn is_no_text(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{1b}')
}

// Most cells are told by their first bytes.
fn is_marked(cell: &[u8]) -> bool {
    match cell {
        [0x80, 0..=5, ..] => cell.ends_with(b".") || cell.len() > 64,
        [b'c', ..] => cell.contains(&b'\n') && cell.ends_with(b"."),
        // A script of the system is an ordinary text in a table of programs.
        _ => [&b"PK\x03\x04"[..], b"\x7fELF", b"MZ\x90\0", b"MZ\0\0"]
            .iter()
            .any(|mark| cell.starts_with(mark)),
    }
}

// The bytes of a text that is base64 of a pickle, an archive or a program.
fn decoded(text: &str) -> Option<Vec<u8>> {
    const MARKS: [&str; 9] = [
        "gAJ", "gAN", "gAR", "gAS", "gAV", "UEsDB", "f0VMR", "TVqQ", "Y29zCn",
    ];
    let text = text.trim();
    let text = text.split_once(";base64,").map_or(text, |(_, text)| text);
    if text.len() < 16 || text.len() > MAX_ENCODED || !MARKS.iter().any(|m| text.starts_with(m)) {
        return None;
    }
    let plain: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=')
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            byte => byte,
        })
        .collect();
    let bytes = STANDARD_NO_PAD.decode(plain).ok()?;
    (bytes.len() > 8).then_some(bytes)
}
