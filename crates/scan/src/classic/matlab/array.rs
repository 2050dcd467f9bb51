//! The arrays of a file of level 5, and those in their cells and fields.

use std::ops::Range;

use custos_core::finding::{Location, Severity};

use crate::rules;
use crate::source::{Cursor, Part};
use crate::text;
use crate::work::Look;

use super::{Element, Elements, MATRIX, Stop, is_marked};

/// What an array is made of.
mod class {
    pub(super) const CELL: u32 = 1;
    pub(super) const STRUCT: u32 = 2;
    pub(super) const OBJECT: u32 = 3;
    pub(super) const CHAR: u32 = 4;
    pub(super) const SPARSE: u32 = 5;
    pub(super) const UINT8: u32 = 9;
    pub(super) const LAST_NUMBER: u32 = 15;
    pub(super) const FUNCTION: u32 = 16;
    pub(super) const OPAQUE: u32 = 17;
}

/// Longest name.
const MAX_NAME: usize = 4 << 10;
/// How much of a text is looked at together.
const PIECE: u64 = 256 << 10;
/// Most functions and objects that are told one by one.
const TOLD: u32 = 10;
/// What serialized objects of Java begin with (Java Object Serialization, 6.4.2).
const JAVA: [u8; 4] = [0xac, 0xed, 0, 5];

/// What functions of MATLAB do harm when a handle of them is called.
const HARMFUL: [&str; 14] = [
    "system", "unix", "dos", "eval", "evalc", "evalin", "feval", "perl", "python", "pyrun",
    "urlwrite", "websave", "webread", "winopen",
];

/// Looks at an array, and at all that lie in it.
pub(super) fn examine(
    look: &mut Look<'_, '_, '_>,
    elements: Elements<'_>,
    element: &Element,
) -> Result<(), Stop> {
    let mut walk = Walk {
        look,
        elements,
        stack: Vec::new(),
        told: 0,
    };
    walk.matrix(element)?;
    let mut steps = 0_u64;
    while let Some(mut range) = walk.stack.pop() {
        steps = steps.saturating_add(1);
        if steps.is_multiple_of(1024) {
            walk.look.work.tick(&walk.look.input.path)?;
        }
        if range.start >= range.end {
            continue;
        }
        let element = walk.elements.at(range.start, range.end)?;
        if element.kind != MATRIX {
            return Err(Stop::Broken(
                range.start,
                "what lies in an array is no array",
            ));
        }
        range.start = element.next;
        walk.stack.push(range);
        walk.matrix(&element)?;
    }
    Ok(())
}

struct Walk<'l, 'i, 'w, 's, 'e> {
    look: &'l mut Look<'i, 'w, 's>,
    elements: Elements<'e>,
    // What of the arrays that are open was not read so far.
    stack: Vec<Range<u64>>,
    told: u32,
}

impl Walk<'_, '_, '_, '_, '_> {
    // An element that belongs to an array, and its bytes if they are no more than so many.
    fn next(&mut self, at: &mut u64, end: u64) -> Result<Element, Stop> {
        let element = self.elements.at(*at, end)?;
        self.look.covered.parsed(element.start..element.data.start);
        self.look.covered.parsed(element.data.end..element.next);
        *at = element.next;
        Ok(element)
    }

    fn name(&mut self, at: &mut u64, end: u64) -> Result<String, Stop> {
        let element = self.next(at, end)?;
        self.look.covered.parsed(element.data.clone());
        let len = element.data.end.saturating_sub(element.data.start);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > MAX_NAME {
            return Err(Stop::Broken(element.start, "a name is longer than any"));
        }
        let bytes = Cursor::at(self.elements.input.bytes, element.data.start).take(len)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn matrix(&mut self, element: &Element) -> Result<(), Stop> {
        let (mut at, end) = (element.data.start, element.data.end);
        self.look.covered.parsed(element.start..at);
        self.look.covered.parsed(end..element.next);
        if at == end {
            return Ok(());
        }
        let flags = self.next(&mut at, end)?;
        self.look.covered.parsed(flags.data.clone());
        let words = self.elements.numbers(&flags.data, 2)?;
        let flags = words.first().copied().unwrap_or(0);
        let (class, complex) = (flags & 0xff, flags & 0x800 != 0);
        if class == class::OPAQUE {
            return self.opaque(at, end);
        }
        let dims = self.next(&mut at, end)?;
        self.look.covered.parsed(dims.data.clone());
        let name = self.name(&mut at, end)?;
        match class {
            class::CELL => self.stack.push(at..end),
            class::FUNCTION => {
                self.stack.push(at..end);
                if self.tells() {
                    let message = format!("the variable `{name}` holds a function");
                    self.look
                        .see(&rules::classic::MATLAB_FUNCTION, element.start, message);
                }
            }
            class::STRUCT | class::OBJECT => self.fields(class, (at, end), element.start)?,
            class::CHAR => self.text(at, end)?,
            class::SPARSE..=class::LAST_NUMBER => {
                let parts = if class == class::SPARSE { 3 } else { 1 };
                let parts = u32::from(complex).saturating_add(parts);
                self.numbers(class, (at, end), parts)?;
            }
            _ => {
                return Err(Stop::Broken(
                    element.start,
                    "an array is of no class that is known",
                ));
            }
        }
        Ok(())
    }

    fn tells(&mut self) -> bool {
        self.told = self.told.saturating_add(1);
        self.told <= TOLD
    }

    // Names of fields, of one length each, and arrays for them.
    fn fields(&mut self, class: u32, (mut at, end): (u64, u64), start: u64) -> Result<(), Stop> {
        if class == class::OBJECT {
            let name = self.name(&mut at, end)?;
            self.object(start, "MATLAB", &name);
        }
        let size = self.next(&mut at, end)?;
        self.look.covered.parsed(size.data.clone());
        let names = self.next(&mut at, end)?;
        self.look.covered.parsed(names.data.clone());
        self.inspect(&names)?;
        self.stack.push(at..end);
        Ok(())
    }

    fn object(&mut self, start: u64, system: &str, class: &str) {
        if self.tells() {
            let message = format!("an object of the class `{class}` of {system} is made on load");
            self.look
                .see(&rules::classic::MATLAB_OBJECT, start, message);
        }
    }

    // An object that MATLAB does not describe: its name, whose it is, its class, and an array.
    fn opaque(&mut self, mut at: u64, end: u64) -> Result<(), Stop> {
        let start = at;
        self.name(&mut at, end)?;
        let system = self.name(&mut at, end)?;
        let class = self.name(&mut at, end)?;
        let system = match system.as_str() {
            "MCOS" => "MATLAB",
            "java" => "Java",
            other => other,
        };
        self.object(start, system, &class);
        self.stack.push(at..end);
        Ok(())
    }

    fn text(&mut self, mut at: u64, end: u64) -> Result<(), Stop> {
        let element = self.next(&mut at, end)?;
        self.inspect(&element)?;
        self.look.covered.parsed(element.data.start..end);
        Ok(())
    }

    fn inspect(&mut self, element: &Element) -> Result<(), Stop> {
        let range = &element.data;
        let mut from = range.start;
        while from < range.end {
            let to = from.saturating_add(PIECE).min(range.end);
            let len = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
            let bytes = Cursor::at(self.elements.input.bytes, from).take(len)?;
            let text = self.decoded(element.kind, &bytes);
            let place = Location {
                offset: Some(from),
                ..self.look.here()
            };
            text::inspect(self.look, &place, &text);
            if let Some(name) = harmful(&text).filter(|_| text.contains("@(")) {
                self.harmful(place, &text, name);
            }
            from = to;
        }
        Ok(())
    }

    // Texts of two or four bytes a character, or of one and more. Short ones are filled by zeros.
    fn decoded(&self, kind: u32, bytes: &[u8]) -> String {
        const WIDE: [u32; 3] = [3, 4, 17];
        let big = self.elements.big;
        let text: String = if WIDE.contains(&kind) {
            let units = bytes.as_chunks().0.iter().map(|two| {
                if big {
                    u16::from_be_bytes(*two)
                } else {
                    u16::from_le_bytes(*two)
                }
            });
            let letters = char::decode_utf16(units);
            letters
                .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        } else if kind == 18 {
            let units = bytes.as_chunks().0.iter().map(|four| {
                if big {
                    u32::from_be_bytes(*four)
                } else {
                    u32::from_le_bytes(*four)
                }
            });
            units.filter_map(char::from_u32).collect()
        } else {
            String::from_utf8_lossy(bytes).into_owned()
        };
        text.replace('\0', "")
    }

    fn harmful(&mut self, place: Location, text: &str, name: &str) {
        let message = format!("a function calls `{name}` as soon as somebody calls it");
        let mut finding = rules::classic::MATLAB_FUNCTION.finding(place, message);
        finding.severity = Severity::Medium;
        finding.evidence = Some(text.chars().take(240).collect());
        self.look.work.find(finding);
    }

    fn numbers(&mut self, class: u32, (mut at, end): (u64, u64), parts: u32) -> Result<(), Stop> {
        for _ in 0..parts {
            if at >= end {
                break;
            }
            let element = self.next(&mut at, end)?;
            let data = element.data;
            self.look.covered.opaque(data.clone());
            if class == class::UINT8 || element.kind < 3 {
                self.bytes(data)?;
            }
        }
        Ok(())
    }

    // Bytes may be a file, objects of Java, or what belongs to the functions and objects.
    fn bytes(&mut self, data: Range<u64>) -> Result<(), Stop> {
        let input = self.elements.input;
        let mut cursor = Cursor::at(input.bytes, data.start);
        let head = cursor.peek(8).to_vec();
        let within = data.end.saturating_sub(data.start);
        if within >= 8 && head.starts_with(&JAVA) {
            let message = "serialized objects of Java are read back when the file is loaded";
            self.look
                .see(&rules::classic::MATLAB_JAVA, data.start, message);
        }
        if within > 16 && head.get(..4).is_some_and(is_marked) && head.get(4..8) == Some(&[0; 4]) {
            let big = head.get(2) == Some(&b'M');
            if big == self.elements.big {
                self.look
                    .covered
                    .parsed(data.start..data.start.saturating_add(8));
                self.stack.push(data.start.saturating_add(8)..data.end);
            }
            return Ok(());
        }
        if within >= 64 {
            let part = Part::new(input.bytes, data.clone());
            let name = format!("array@{}", data.start);
            self.look
                .work
                .opaque_member(self.look.input, &name, &part)?;
        }
        Ok(())
    }
}

// The first function that does harm and is called in a text.
fn harmful(text: &str) -> Option<&'static str> {
    HARMFUL.into_iter().find(|name| {
        text.match_indices(name).any(|(at, _)| {
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            let after = text
                .get(at.saturating_add(name.len())..)
                .unwrap_or_default();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.')
                && after.trim_start().starts_with('(')
        })
    })
}
