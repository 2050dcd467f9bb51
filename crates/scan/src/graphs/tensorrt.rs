//! `TensorRT` engines: programs for a GPU, compiled for one release of the library and one kind of
//! card. The format is nobody's but the maker's, so that an engine is recognised and not understood.
//! Machine code for the *host* in one, such as a plugin, is run when the engine is loaded.

use std::ops::Range;

use crate::route::Head;
use crate::rules;
use crate::source::read_full;
use crate::work::{Input, Limited, Look};

/// How much is looked at together.
const STEP: usize = 256 << 10;
/// How much of each piece is looked at again with the next.
const OVERLAP: usize = 1024;
/// Most findings.
const TOLD: u32 = 10;
/// Machines of an ELF file that are those of hosts: x86, x86-64, ARM, AArch64, POWER, RISC-V.
const HOSTS: [u16; 6] = [3, 62, 40, 183, 21, 243];

/// Returns true if it begins with the mark of an engine.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"ptrt") || head.starts_with(b"ftrt")
}

/// Looks for programs of the host.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    look.gap("an engine is a compiled program of the GPU, and is not understood");
    look.covered.parsed(0..8.min(look.input.bytes.len()));
    // The outcome of a limit is noted where it fired.
    let _ = search(look);
}

fn search(look: &mut Look<'_, '_, '_>) -> Result<(), Limited> {
    let input = look.input;
    let mut buffer = vec![0; STEP];
    let (mut at, mut told) = (0_u64, 0_u32);
    loop {
        let count = read_full(input.bytes, at, &mut buffer).unwrap_or(0);
        let read = buffer.get(..count).unwrap_or_default();
        let is_last = count < STEP;
        let until = if is_last {
            count
        } else {
            STEP.saturating_sub(OVERLAP)
        };
        for (within, what) in programs(read, 0..until) {
            told = told.saturating_add(1);
            if told <= TOLD {
                let place = at.saturating_add(u64::try_from(within).unwrap_or(0));
                let message = format!("{what} lies in the engine");
                look.see(&rules::graphs::TENSORRT_LIBRARY, place, message);
            }
        }
        if is_last {
            return Ok(());
        }
        at = at.saturating_add(u64::try_from(until).unwrap_or(u64::MAX));
        look.work.tick(&input.path)?;
    }
}

// Headers of programs that begin in a range.
fn programs(bytes: &[u8], range: Range<usize>) -> Vec<(usize, &'static str)> {
    let word = |at: usize| {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(u16::from_le_bytes(*bytes))
    };
    let mut found = Vec::new();
    for (at, pair) in bytes.windows(2).enumerate().take(range.end) {
        match pair {
            [0x7f, b'E'] => {
                let rest = bytes.get(at..).unwrap_or_default();
                let is_elf = matches!(rest, [_, _, b'L', b'F', 1 | 2, 1 | 2, 1, ..]);
                let machine = word(at.saturating_add(18));
                if is_elf && machine.is_some_and(|machine| HOSTS.contains(&machine)) {
                    found.push((at, "a library or program for Linux (ELF)"));
                }
            }
            [b'M', b'Z'] => {
                let header = word(at.saturating_add(0x3c)).map(usize::from);
                let mark = header
                    .and_then(|header| bytes.get(at.checked_add(header)?..)?.first_chunk::<4>());
                if mark == Some(b"PE\0\0") {
                    found.push((at, "a library or program for Windows (PE)"));
                }
            }
            _ => {}
        }
    }
    found
}
