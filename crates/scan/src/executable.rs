//! Programs: what a machine, a shell or a virtual machine runs.
//!
//! A program has no business among weights, so that each is a finding; what it does is not judged.
//! Its headers say where it ends, and what follows there is looked at like a file of its own.

mod bytecode;
mod elf;
mod macho;
mod marshal;
mod pe;
mod script;
mod shortcut;

use std::ops::Range;

use custos_core::finding::Severity;

use crate::route::{Format, Head};
use crate::rules;
use crate::source::{CursorError, read_full};
use crate::work::{Input, Look};

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[];

pub(crate) static FORMATS: &[Format] = &[
    Format {
        name: "elf",
        extensions: &["so"],
        recognises: elf::recognises,
        examine: elf::examine,
    },
    Format {
        name: "pe",
        extensions: &["exe", "dll", "pyd"],
        recognises: pe::recognises,
        examine: pe::examine,
    },
    Format {
        name: "mach-o",
        extensions: &["dylib"],
        recognises: macho::recognises,
        examine: macho::examine,
    },
    Format {
        name: "script",
        extensions: &["sh", "bash"],
        recognises: script::recognises,
        examine: script::examine,
    },
    Format {
        name: "wasm",
        extensions: &["wasm"],
        recognises: bytecode::is_wasm,
        examine: bytecode::wasm,
    },
    Format {
        name: "java-class",
        extensions: &["class"],
        recognises: bytecode::is_class,
        examine: bytecode::class,
    },
    Format {
        name: "python-bytecode",
        extensions: &["pyc"],
        recognises: bytecode::is_pyc,
        examine: bytecode::pyc,
    },
    Format {
        name: "python-marshal",
        extensions: &[],
        recognises: marshal::recognises,
        examine: marshal::examine,
    },
    Format {
        name: "windows-shortcut",
        extensions: &["lnk"],
        recognises: shortcut::recognises,
        examine: shortcut::examine,
    },
];

/// Returns true if it is a program for a machine or a shell beyond doubt.
pub(crate) fn is_surely(input: &Input<'_>) -> bool {
    let mut buffer = [0; 512];
    let count = read_full(input.bytes, 0, &mut buffer).unwrap_or(0);
    let head = buffer.get(..count).unwrap_or_default();
    elf::is_head(head) || head.starts_with(b"#!/") || pe::has_header(head, input)
}

/// Tells that a program was found. In a Python wheel, a library is what one expects.
fn found(look: &mut Look<'_, '_, '_>, what: &str, is_library: bool) {
    let message = format!("`{}` is {what}", look.input.name());
    let mut finding = rules::executable::PROGRAM.finding(look.here(), message);
    if is_library && look.input.path.contains(".whl!") {
        finding.severity = Severity::Low;
    }
    if look.work.tells("executable", &look.input.path) {
        look.work.find(finding);
    }
}

/// Notes what the headers say: they were read up to `headers`, and code and data follow them.
fn ends(look: &mut Look<'_, '_, '_>, headers: u64, end: u64) {
    let size = look.input.bytes.len();
    look.covered.parsed(0..headers.min(size));
    look.covered.opaque(headers.min(size)..end.min(size));
    if end > size {
        let message = format!("its headers say that it has {end} bytes, and it has {size}");
        look.broken(&rules::executable::BROKEN, None, message);
    }
    // The outcome of a limit is noted where it fired.
    let _ = look.trailing(end.min(size)..size);
}

/// Tells that headers could not be read.
fn broken(look: &mut Look<'_, '_, '_>, error: &CursorError) {
    let message = format!("its headers cannot be read: {error}");
    look.broken(&rules::executable::BROKEN, None, message);
}

/// The place behind a range of bytes, given by its start and its length.
fn behind(start: impl Into<u64>, len: impl Into<u64>) -> u64 {
    let len = len.into();
    if len == 0 {
        return 0;
    }
    start.into().saturating_add(len)
}

/// Returns the bytes of a head at a range, if they are there.
fn at(head: &[u8], range: Range<usize>) -> &[u8] {
    head.get(range).unwrap_or_default()
}

/// Returns true if a head begins with one of these.
fn begins(head: &Head, marks: &[&[u8]]) -> bool {
    marks.iter().any(|mark| head.starts_with(mark))
}
