//! Torch for Lua: objects one after another, each behind the number of its type.
//!
//! torch/torch7, `File.lua`: 0 nothing, 1 number, 2 text, 3 table, 4 object of a class, 5 truth
//! value, 6 to 8 functions. Functions carry byte code (`string.dump`), which Lua loads without
//! checks. In binary files of little-endian machines numbers of types and lengths have four bytes,
//! sizes of tensors eight; in text files each stands on a line.

use std::collections::BTreeSet;

use custos_core::finding::Location;

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::text;
use crate::work::{Input, Look};

/// Longest text that is inspected.
const MAX_TEXT: usize = 1 << 20;
/// Most objects that are told apart.
const MAX_OBJECTS: usize = 4 << 20;
/// Most objects that wait for their turn.
const MAX_WAITING: usize = 1 << 20;
/// Most dimensions of a tensor.
const MAX_DIMENSIONS: u64 = 64;

/// Returns true if it begins with an object, or with a table whose first key is a text or number.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    let bytes = head.bytes();
    if head.starts_with(b"4\n1\n3\nV 1\n") || head.starts_with(b"3\n1\n") {
        return true;
    }
    let number = |at: usize| {
        let four = bytes.get(at..at.saturating_add(4))?;
        Some(u32::from_le_bytes(*four.first_chunk()?))
    };
    match (number(0), number(4), number(8), number(12)) {
        (Some(4), Some(1), Some(3), _) => bytes.get(12..15) == Some(b"V 1"),
        // The first key is a text of at most a line, or a number.
        (Some(3), Some(1), Some(1..=0x10_0000), Some(kind @ (1 | 2))) => {
            kind == 1 || number(16).is_some_and(|len| (1..256).contains(&len))
        }
        _ => false,
    }
}

/// Looks at all objects.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let cursor = look.input.cursor();
    let lines = matches!(look.input.cursor().peek(2), [b'3' | b'4', b'\n']);
    let mut file = File {
        look,
        cursor,
        lines,
        known: BTreeSet::new(),
        functions: 0,
    };
    let message = "it is a model of Torch for Lua";
    file.look.see(&rules::tensors::TORCH_LUA, 0, message);
    let outcome = file.objects();
    let at = file.cursor.position();
    match outcome {
        Ok(()) => {
            let size = file.look.input.bytes.len();
            // A limit is noted where it fired.
            let _ = file.look.trailing(at..size);
        }
        Err(Stop::Told) => {}
        Err(Stop::Cursor(error)) => {
            let message = error.to_string();
            let rule = &rules::tensors::TORCH_LUA_BROKEN;
            file.look.broken(rule, at, message);
        }
    }
}

enum Stop {
    Cursor(CursorError),
    Told,
}

impl From<CursorError> for Stop {
    fn from(error: CursorError) -> Self {
        Self::Cursor(error)
    }
}

// What is read next.
#[derive(Clone, Copy)]
enum Next {
    Object,
    // This many keys, each with its value.
    Pairs(u64),
}

struct File<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    cursor: Cursor<'i>,
    lines: bool,
    known: BTreeSet<u64>,
    functions: u64,
}

impl File<'_, '_, '_, '_> {
    fn objects(&mut self) -> Result<(), Stop> {
        let mut waiting = vec![Next::Object];
        while let Some(next) = waiting.pop() {
            let path = &self.look.input.path;
            self.look.work.tick(path).map_err(|_| Stop::Told)?;
            if waiting.len() > MAX_WAITING {
                self.look.gap("it is nested deeper than is followed");
                return Err(Stop::Told);
            }
            match next {
                Next::Pairs(0) => {}
                Next::Pairs(left) => {
                    waiting.push(Next::Pairs(left.saturating_sub(1)));
                    waiting.extend([Next::Object, Next::Object]);
                }
                Next::Object => {
                    let from = self.cursor.position();
                    self.object(&mut waiting)?;
                    self.look.covered.parsed(from..self.cursor.position());
                }
            }
        }
        Ok(())
    }

    fn object(&mut self, waiting: &mut Vec<Next>) -> Result<(), Stop> {
        let at = self.cursor.position();
        match self.int()? {
            0 => {}
            1 => self.real()?,
            2 => {
                let text = self.text()?;
                let place = Location {
                    offset: Some(at),
                    ..self.look.here()
                };
                text::inspect(self.look, &place, &text);
            }
            3 => {
                if self.is_new()? {
                    let pairs = self.int()?;
                    waiting.push(Next::Pairs(self.fits(pairs, 8)?));
                }
            }
            4 => self.torch(waiting)?,
            5 => {
                self.int()?;
            }
            6 | 8 => {
                if self.is_new()? {
                    self.function(at)?;
                    waiting.push(Next::Object);
                }
            }
            7 => {
                self.function(at)?;
                waiting.push(Next::Object);
            }
            kind => {
                let message = format!("an object has the unknown type {kind}");
                let rule = &rules::tensors::TORCH_LUA_BROKEN;
                self.look.broken(rule, at, message);
                return Err(Stop::Told);
            }
        }
        Ok(())
    }

    // An object of a class: tensors and storages have a layout of their own, others are tables.
    fn torch(&mut self, waiting: &mut Vec<Next>) -> Result<(), Stop> {
        if !self.is_new()? {
            return Ok(());
        }
        let mut class = self.text()?;
        if class.starts_with("V ") {
            class = self.text()?;
        }
        let Some(kind) = class.strip_prefix("torch.") else {
            waiting.push(Next::Object);
            return Ok(());
        };
        let kind = kind.strip_prefix("Cuda").unwrap_or(kind);
        if kind.ends_with("Tensor") {
            let dimensions = self.int()?;
            if dimensions > MAX_DIMENSIONS {
                let at = self.cursor.position();
                let message = format!("a tensor has {dimensions} dimensions");
                let rule = &rules::tensors::TORCH_LUA_BROKEN;
                self.look.broken(rule, at, message);
                return Err(Stop::Told);
            }
            // Sizes, strides, and where in the storage it begins.
            for _ in 0..dimensions.saturating_mul(2).saturating_add(1) {
                self.long()?;
            }
            waiting.push(Next::Object);
        } else if let Some(kind) = kind.strip_suffix("Storage") {
            self.storage(kind)?;
        } else {
            waiting.push(Next::Object);
        }
        Ok(())
    }

    fn storage(&mut self, kind: &str) -> Result<(), Stop> {
        let size: u64 = match kind {
            "Byte" | "Char" => 1,
            "Short" | "Half" => 2,
            // Of the graphics card without another name.
            "Float" | "Int" | "" => 4,
            "Double" | "Long" => 8,
            _ => {
                self.look
                    .gap(format!("a storage of the unknown kind `{kind}`"));
                return Err(Stop::Told);
            }
        };
        let count = self.long()?;
        if self.lines {
            self.fits(count, 1)?;
            self.line()?;
            return Ok(());
        }
        let from = self.cursor.position();
        let bytes = count.saturating_mul(size);
        self.cursor.skip(bytes)?;
        self.look.covered.opaque(from..self.cursor.position());
        Ok(())
    }

    fn function(&mut self, at: u64) -> Result<(), Stop> {
        let len = self.int()?;
        let len = self.fits(len, 1)?;
        self.cursor.skip(len)?;
        if self.lines {
            self.cursor.skip(1)?;
        }
        self.functions = self.functions.saturating_add(1);
        // Each is as bad as the first.
        if self.functions <= 10 {
            let message = format!("a function of {len} bytes of byte code is part of the model");
            self.look
                .see(&rules::tensors::TORCH_LUA_FUNCTION, at, message);
        }
        Ok(())
    }

    // Reads the number of an object; what was read before is not there again.
    fn is_new(&mut self) -> Result<bool, Stop> {
        let number = self.int()?;
        if self.known.len() >= MAX_OBJECTS {
            let path = self.look.input.path.clone();
            self.look.work.limit(&path, "objects");
            return Err(Stop::Told);
        }
        Ok(self.known.insert(number))
    }

    // A count of things of at least so many bytes each.
    fn fits(&mut self, count: u64, least: u64) -> Result<u64, Stop> {
        let left = self.cursor.left();
        let least = if self.lines { 1 } else { least };
        if count.checked_mul(least).is_none_or(|bytes| bytes > left) {
            let at = self.cursor.position();
            let message = format!("it says that {count} things follow, and {left} bytes do");
            let rule = &rules::tensors::TORCH_LUA_BROKEN;
            self.look.broken(rule, at, message);
            return Err(Stop::Told);
        }
        Ok(count)
    }

    fn line(&mut self) -> Result<Vec<u8>, Stop> {
        if let Some(line) = self.cursor.line(64 << 20)? {
            return Ok(line);
        }
        self.look.gap("a line is longer than is read");
        Err(Stop::Told)
    }

    fn written(&mut self) -> Result<u64, Stop> {
        let line = self.line()?;
        let number = std::str::from_utf8(&line)
            .ok()
            .and_then(|line| line.trim().parse().ok());
        number.ok_or_else(|| {
            let at = self.cursor.position();
            let rule = &rules::tensors::TORCH_LUA_BROKEN;
            self.look.broken(rule, at, "a line is no number");
            Stop::Told
        })
    }

    fn int(&mut self) -> Result<u64, Stop> {
        if self.lines {
            return self.written();
        }
        Ok(self.cursor.u32()?.into())
    }

    fn long(&mut self) -> Result<u64, Stop> {
        if self.lines {
            return self.written();
        }
        Ok(self.cursor.u64()?)
    }

    fn real(&mut self) -> Result<(), Stop> {
        if self.lines {
            self.line()?;
        } else {
            self.cursor.skip(8)?;
        }
        Ok(())
    }

    fn text(&mut self) -> Result<String, Stop> {
        let len = self.int()?;
        let len = self.fits(len, 1)?;
        let kept = usize::try_from(len).unwrap_or(usize::MAX).min(MAX_TEXT);
        let bytes = self.cursor.take(kept)?;
        let rest = len.saturating_sub(u64::try_from(kept).unwrap_or(len));
        self.cursor.skip(rest)?;
        if self.lines {
            self.cursor.skip(1)?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
