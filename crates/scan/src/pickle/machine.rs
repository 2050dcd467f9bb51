//! The pickle machine: follows a stream as a loader would, and calls nothing.
//!
//! It knows all 68 opcodes of protocols 0 to 5 (`CPython`, `Lib/pickletools.py`), each in every
//! protocol, as loaders do. It keeps the stack, the marks and the memo, with kinds and places for
//! values. What would be called, set or resolved goes to an [`Observer`], in the order of the
//! stream; how that is judged is not this module's business.

use std::collections::HashMap;

use super::hidden;
use super::signs::Signs;
use super::value::{Coding, How, Kind, MAX_ITEMS, Node, Nodes, Span, Value};
use crate::source::{Cursor, CursorError};

/// Most values on the stack.
const MAX_STACK: usize = 1 << 20;
/// Most entries of the memo.
const MAX_MEMO: usize = 1 << 22;
/// Most different globals.
const MAX_GLOBALS: usize = 1 << 16;
/// Longest name of a module or global, in bytes.
const MAX_NAME: usize = 1 << 10;
/// Longest line of a protocol 0 argument, in bytes.
const MAX_LINE: usize = 32 << 20;
/// Most bytes of a text that are looked at.
const LOOKED_AT: u32 = 4 << 10;

/// Is told what a loader would do.
pub(super) trait Observer {
    /// A global is resolved for the first time; a protocol below 3 maps old names.
    fn global(&mut self, at: u64, global: &Global);
    /// Something is called. Returns what an object of it is for the machine.
    fn call(&mut self, here: Here<'_, '_>, call: &Call) -> Outcome;
    /// State is put into something (`BUILD`).
    fn build(&mut self, here: Here<'_, '_>, target: Value, state: Value);
    /// Items are put into something that is no plain container.
    fn fill(&mut self, here: Here<'_, '_>, target: Value, by: Filling);
    /// A loader is asked for an object by an identifier of its own.
    fn persistent(&mut self, here: Here<'_, '_>, id: Value);
    /// An entry of the extension registry is taken.
    fn extension(&mut self, at: u64, code: u32);
    /// Bytes begin like a file of their own, or a text like one in digits or letters.
    fn payload(&mut self, span: Span);
    /// The stream is not as any pickler writes it.
    fn oddity(&mut self, at: u64, oddity: Oddity);
}

/// A place in the stream, with the machine as it stands there.
#[derive(Clone, Copy)]
pub(super) struct Here<'m, 'a> {
    /// Where the opcode is.
    pub(super) at: u64,
    /// The machine.
    pub(super) machine: &'m Machine<'a>,
}

/// What a call makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// An object of a known kind: nothing more has to be remembered of it.
    Known,
    /// Something that may matter again.
    Kept,
}

/// How items are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filling {
    /// `APPEND` and `APPENDS`.
    Append,
    /// `SETITEM` and `SETITEMS`.
    Set,
    /// `ADDITEMS`.
    Add,
}

/// A stream that no pickler writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Oddity {
    /// The protocol is named again, or late.
    ProtocolAgain,
    /// The names of a global are no texts, or cannot be read.
    Unresolvable,
    /// The outcome of a call is thrown away.
    Discarded,
    /// A memo entry is taken that nobody put.
    MissingMemo,
    /// A frame ends where its loader disagrees with others.
    Frame,
    /// A memo index far beyond the others: loaders allocate for it.
    HugeMemo,
    /// Values are left on the stack at the end.
    LeftOver,
}

/// A global as the stream names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Global {
    /// Module.
    pub(super) module: String,
    /// Name in it; with dots from protocol 4 on.
    pub(super) name: String,
    /// Protocol in force: below 3 old names are mapped, from 4 on dots are followed.
    pub(super) protocol: u8,
}

/// A call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// What is called.
    pub(super) callee: Value,
    /// With what.
    pub(super) arguments: Value,
    /// How.
    pub(super) how: How,
}

/// How a stream ended.
#[derive(Debug)]
pub(super) enum End {
    /// With `STOP`; the place after it.
    Stop(u64),
    /// Not at all: the bytes ended.
    Cut(u64),
    /// With something that is no pickle, at that place.
    Malformed(u64, &'static str),
    /// A limit of ours.
    Limit(u64, &'static str),
    /// Reading failed.
    Io(std::io::Error),
    /// Raw bytes follow here, which whoever asked reads by other rules; the state that announces
    /// them.
    Paused(u64, Value),
}

/// The machine on one stream.
pub(super) struct Machine<'a> {
    cursor: Cursor<'a>,
    protocol: u8,
    named: bool,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: Memo,
    nodes: Nodes,
    globals: Vec<Global>,
    places: HashMap<Global, u32>,
    // What was put into types of NumPy.
    states: HashMap<u32, Value>,
    opcodes: u64,
    budget: u64,
    frame_end: Option<u64>,
    max_items: usize,
}

#[derive(Default)]
struct Memo {
    dense: Vec<Value>,
    sparse: HashMap<u32, Value>,
    // Entries, as `MEMOIZE` counts them.
    count: usize,
}

impl Memo {
    fn get(&self, index: u32) -> Option<Value> {
        let dense = usize::try_from(index)
            .ok()
            .and_then(|index| self.dense.get(index));
        match dense {
            Some(Value::Unknown) | None => self.sparse.get(&index).copied(),
            Some(value) => Some(*value),
        }
    }

    fn put(&mut self, index: u32, value: Value) -> bool {
        const GAP: usize = 1 << 12;
        if self.count >= MAX_MEMO {
            return false;
        }
        let new = self.get(index).is_none();
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        if place < self.dense.len().saturating_add(GAP) {
            if place >= self.dense.len() {
                self.dense.resize(place.saturating_add(1), Value::Unknown);
            }
            if let Some(slot) = self.dense.get_mut(place) {
                *slot = value;
            }
        } else {
            self.sparse.insert(index, value);
        }
        self.count = self.count.saturating_add(usize::from(new));
        true
    }
}

enum Stop {
    Cursor(CursorError),
    Malformed(&'static str),
    Limit(&'static str),
}

impl From<CursorError> for Stop {
    fn from(error: CursorError) -> Self {
        Self::Cursor(error)
    }
}

type Step<T> = Result<T, Stop>;

impl<'a> Machine<'a> {
    /// Returns a machine at `start` that reads at most `budget` opcodes.
    pub(super) fn at(from: &'a dyn crate::source::ReadAt, start: u64, budget: u64) -> Self {
        Self {
            cursor: Cursor::at(from, start),
            protocol: 0,
            named: false,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Memo::default(),
            nodes: Nodes::default(),
            globals: Vec::new(),
            places: HashMap::new(),
            states: HashMap::new(),
            opcodes: 0,
            budget,
            frame_end: None,
            max_items: MAX_ITEMS,
        }
    }

    /// Returns a machine that keeps this many items of a container.
    pub(super) fn keeping(self, max_items: usize) -> Self {
        Self { max_items, ..self }
    }

    /// Returns how many opcodes were read.
    pub(super) const fn opcodes(&self) -> u64 {
        self.opcodes
    }

    /// Returns a global.
    pub(super) fn global(&self, place: u32) -> Option<&Global> {
        self.globals.get(usize::try_from(place).ok()?)
    }

    /// Returns a node.
    pub(super) fn node(&self, place: u32) -> Option<&Node> {
        self.nodes.get(place)
    }

    /// Returns what was put last into a type of `NumPy`, by the place of the call that made it.
    pub(super) fn state(&self, place: u32) -> Option<Value> {
        self.states.get(&place).copied()
    }

    /// Returns the value on top of the stack, such as what `STOP` left.
    pub(super) fn top(&self) -> Option<Value> {
        self.stack.last().copied()
    }

    /// Goes on behind bytes that were read by other rules.
    pub(super) fn resume_at(&mut self, at: u64) {
        self.cursor.seek(at);
    }

    /// Runs to the end of the stream, or of what can be read of it. `pause` is asked after every
    /// `BUILD` whether raw bytes follow.
    pub(super) fn run(
        &mut self,
        observer: &mut dyn Observer,
        pause: &mut dyn FnMut(&Self, Value) -> bool,
    ) -> End {
        loop {
            let at = self.cursor.position();
            if self.opcodes >= self.budget {
                return End::Limit(at, "opcodes");
            }
            self.opcodes = self.opcodes.saturating_add(1);
            match self.step(at, observer) {
                Ok(Next::More) => {}
                Ok(Next::Built(target, state)) => {
                    if pause(self, target) {
                        return End::Paused(self.cursor.position(), state);
                    }
                }
                Ok(Next::Stop) => {
                    if self.stack.len() != 1 || !self.marks.is_empty() {
                        observer.oddity(at, Oddity::LeftOver);
                    }
                    return End::Stop(self.cursor.position());
                }
                Err(Stop::Cursor(CursorError::End { at })) => return End::Cut(at),
                Err(Stop::Cursor(CursorError::Io(error))) => return End::Io(error),
                Err(Stop::Malformed(why)) => return End::Malformed(at, why),
                Err(Stop::Limit(what)) => return End::Limit(at, what),
            }
        }
    }

    /// Returns a text, at most its first 4 KiB, as a loader would read it. `None` if it is none.
    pub(super) fn text(&self, value: Value) -> Option<String> {
        let Value::Text(span) = value else {
            return None;
        };
        Some(decode(&self.bytes_of(span)?, span.coding))
    }

    /// Returns the whole text if it is at most `most` bytes long.
    pub(super) fn short_text(&self, value: Value, most: u32) -> Option<String> {
        match value {
            Value::Text(span) if span.len <= most => self.text(value),
            _ => None,
        }
    }

    /// Returns the first bytes of a value of bytes.
    pub(super) fn head(&self, span: Span) -> Vec<u8> {
        self.bytes_of(span).unwrap_or_default()
    }

    fn bytes_of(&self, span: Span) -> Option<Vec<u8>> {
        let mut reader = Cursor::at(self.cursor.source(), span.offset);
        let len = usize::try_from(span.len.min(LOOKED_AT)).ok()?;
        reader.take(len).ok()
    }

    /// Returns what the texts in a value look like.
    pub(super) fn signs(&self, value: Value) -> Signs {
        let mut signs = Signs::NONE;
        let mut left = 512_u32;
        let mut waiting = vec![value];
        while let Some(value) = waiting.pop() {
            let Some(less) = left.checked_sub(1) else {
                return signs.and(Signs::UNSEEN);
            };
            left = less;
            match value {
                Value::Text(_) => {
                    let text = self.text(value).unwrap_or_default();
                    signs = signs.and(Signs::of_text(&text));
                }
                Value::Bytes(span) => signs = signs.and(Signs::of_bytes(&self.head(span))),
                Value::Faded(_, faded) => signs = signs.and(faded),
                Value::Node(place) => match self.node(place) {
                    Some(Node::Container {
                        items, signs: more, ..
                    }) => {
                        signs = signs.and(*more).and(self.host(items));
                        waiting.extend(items.iter().copied());
                    }
                    Some(Node::Call { callee, arguments }) => waiting.extend([*callee, *arguments]),
                    Some(Node::Persistent(id)) => waiting.push(*id),
                    Some(Node::Extension(_)) | None => {}
                },
                _ => {}
            }
        }
        signs
    }

    // The arguments of a socket.
    fn host(&self, items: &[Value]) -> Signs {
        match items {
            [text @ Value::Text(_), Value::Int(port)] => {
                let text = self.short_text(*text, 255).unwrap_or_default();
                if Signs::is_host(&text, *port) {
                    Signs::HOST
                } else {
                    Signs::NONE
                }
            }
            _ => Signs::NONE,
        }
    }

    /// Returns the first items of a container, and whether these are all.
    pub(super) fn items(&self, value: Value) -> Option<(&[Value], bool)> {
        match value {
            Value::Node(place) => match self.node(place)? {
                Node::Container { items, .. } => Some((items, items.len() < self.max_items)),
                _ => None,
            },
            _ => None,
        }
    }

    #[allow(clippy::too_many_lines, reason = "one line an opcode")]
    fn step(&mut self, at: u64, observer: &mut dyn Observer) -> Step<Next> {
        match self.cursor.u8()? {
            // Numbers and the like.
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'I' => {
                let line = self.line()?;
                let value = match line.as_slice() {
                    b"00" => Value::Bool(false),
                    b"01" => Value::Bool(true),
                    digits => number(digits).ok_or(Stop::Malformed("a number is none"))?,
                };
                self.push(value)?;
            }
            b'L' => {
                let line = self.line()?;
                let digits = line.strip_suffix(b"L").unwrap_or(&line);
                let value = number(digits).ok_or(Stop::Malformed("a number is none"))?;
                self.push(value)?;
            }
            b'F' => {
                self.line()?;
                self.push(Value::Number)?;
            }
            b'G' => {
                self.cursor.skip(8)?;
                self.push(Value::Number)?;
            }
            b'J' => {
                let number = i32::from_le_bytes(self.cursor.array()?);
                self.push(Value::Int(number.into()))?;
            }
            b'K' => {
                let number = self.cursor.u8()?;
                self.push(Value::Int(number.into()))?;
            }
            b'M' => {
                let number = self.cursor.u16()?;
                self.push(Value::Int(number.into()))?;
            }
            0x8a => {
                let len = self.cursor.u8()?;
                let bytes = self.cursor.take(len.into())?;
                self.push(little(&bytes))?;
            }
            0x8b => {
                let len = i32::from_le_bytes(self.cursor.array()?);
                let len = u64::try_from(len).map_err(|_| Stop::Malformed("a negative length"))?;
                self.cursor.skip(len)?;
                self.push(Value::Number)?;
            }
            // Texts and bytes.
            b'S' => self.push_line(Coding::Quoted, observer)?,
            b'V' => self.push_line(Coding::RawEscape, observer)?,
            b'T' => {
                let len = i32::from_le_bytes(self.cursor.array()?);
                let len = u64::try_from(len).map_err(|_| Stop::Malformed("a negative length"))?;
                self.push_text((len, Coding::Bytes), observer)?;
            }
            b'U' => {
                let len = self.cursor.u8()?;
                self.push_text((len.into(), Coding::Bytes), observer)?;
            }
            b'X' => {
                let len = self.cursor.u32()?;
                self.push_text((len.into(), Coding::Utf8), observer)?;
            }
            0x8c => {
                let len = self.cursor.u8()?;
                self.push_text((len.into(), Coding::Utf8), observer)?;
            }
            0x8d => {
                let len = self.cursor.u64()?;
                self.push_text((len, Coding::Utf8), observer)?;
            }
            b'B' => {
                let len = self.cursor.u32()?;
                self.push_bytes(len.into(), observer)?;
            }
            b'C' => {
                let len = self.cursor.u8()?;
                self.push_bytes(len.into(), observer)?;
            }
            0x8e | 0x96 => {
                let len = self.cursor.u64()?;
                self.push_bytes(len, observer)?;
            }
            0x97 => self.push(Value::Faded(Kind::Buffer, Signs::NONE))?,
            0x98 => {
                let value = self.pop()?;
                self.push(value)?;
            }
            // Containers.
            b']' => self.push_container(Kind::List, Vec::new(), Signs::NONE)?,
            b')' => self.push_container(Kind::Tuple, Vec::new(), Signs::NONE)?,
            b'}' => self.push_container(Kind::Dict, Vec::new(), Signs::NONE)?,
            0x8f => self.push_container(Kind::Set, Vec::new(), Signs::NONE)?,
            b'l' => self.container_above_mark(Kind::List)?,
            b't' => self.container_above_mark(Kind::Tuple)?,
            b'd' => self.container_above_mark(Kind::Dict)?,
            0x91 => self.container_above_mark(Kind::FrozenSet)?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b'a' => {
                let item = self.pop()?;
                self.fill(at, (&[item], Filling::Append), observer)?;
            }
            b'e' => {
                let items = self.above_mark()?;
                self.fill(at, (&items, Filling::Append), observer)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.fill(at, (&[key, value], Filling::Set), observer)?;
            }
            b'u' => {
                let items = self.above_mark()?;
                self.fill(at, (&items, Filling::Set), observer)?;
            }
            0x90 => {
                let items = self.above_mark()?;
                self.fill(at, (&items, Filling::Add), observer)?;
            }
            // The stack.
            b'(' => {
                if self.marks.len() >= MAX_STACK {
                    return Err(Stop::Limit("marks"));
                }
                self.marks.push(self.stack.len());
            }
            b'0' => self.discard(at, observer)?,
            b'1' => {
                self.above_mark()?;
            }
            b'2' => {
                let value = self.peek()?;
                self.push(value)?;
            }
            // The memo.
            b'p' => {
                let line = self.line()?;
                let index = memo_index(&line)?;
                self.memoize(at, index, observer)?;
            }
            b'q' => {
                let index = self.cursor.u8()?;
                self.memoize(at, index.into(), observer)?;
            }
            b'r' => {
                let index = self.cursor.u32()?;
                self.memoize(at, index, observer)?;
            }
            0x94 => {
                let index = u32::try_from(self.memo.count).map_err(|_| Stop::Limit("memo"))?;
                self.memoize(at, index, observer)?;
            }
            b'g' => {
                let line = self.line()?;
                let index = memo_index(&line)?;
                self.recall(at, index, observer)?;
            }
            b'h' => {
                let index = self.cursor.u8()?;
                self.recall(at, index.into(), observer)?;
            }
            b'j' => {
                let index = self.cursor.u32()?;
                self.recall(at, index, observer)?;
            }
            // Globals and calls.
            b'c' => {
                let (module, name) = self.two_lines()?;
                let value = self.resolve(at, (module, name), observer)?;
                self.push(value)?;
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let value = self.stack_global(at, (module, name), observer)?;
                self.push(value)?;
            }
            b'i' => {
                let (module, name) = self.two_lines()?;
                let callee = self.resolve(at, (module, name), observer)?;
                let arguments = self.above_mark()?;
                let arguments = self.container(Kind::Tuple, arguments, Signs::NONE);
                self.call(
                    at,
                    Call {
                        callee,
                        arguments,
                        how: How::Instance,
                    },
                    observer,
                )?;
            }
            b'o' => {
                let mut items = self.above_mark()?.into_iter();
                let callee = items.next().ok_or(Stop::Malformed("a call of nothing"))?;
                let arguments = self.container(Kind::Tuple, items.collect(), Signs::NONE);
                self.call(
                    at,
                    Call {
                        callee,
                        arguments,
                        how: How::Instance,
                    },
                    observer,
                )?;
            }
            b'R' => {
                let arguments = self.pop()?;
                let callee = self.pop()?;
                self.call(
                    at,
                    Call {
                        callee,
                        arguments,
                        how: How::Reduce,
                    },
                    observer,
                )?;
            }
            0x81 => {
                let arguments = self.pop()?;
                let callee = self.pop()?;
                self.call(
                    at,
                    Call {
                        callee,
                        arguments,
                        how: How::New,
                    },
                    observer,
                )?;
            }
            0x92 => {
                let named = self.pop()?;
                let arguments = self.pop()?;
                let callee = self.pop()?;
                let arguments = self.container(Kind::Tuple, vec![arguments, named], Signs::NONE);
                self.call(
                    at,
                    Call {
                        callee,
                        arguments,
                        how: How::NewEx,
                    },
                    observer,
                )?;
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.peek()?;
                observer.build(Here { at, machine: self }, target, state);
                self.note_state(target, state);
                return Ok(Next::Built(target, state));
            }
            b'P' => {
                let id = self.line_span(Coding::Bytes)?;
                self.persistent(at, id, observer)?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.persistent(at, id, observer)?;
            }
            0x82 => {
                let code = self.cursor.u8()?;
                self.extension(at, code.into(), observer)?;
            }
            0x83 => {
                let code = self.cursor.u16()?;
                self.extension(at, code.into(), observer)?;
            }
            0x84 => {
                let code = self.cursor.u32()?;
                self.extension(at, code, observer)?;
            }
            // The stream itself.
            0x80 => {
                let protocol = self.cursor.u8()?;
                if protocol > 5 {
                    return Err(Stop::Malformed("an unknown protocol"));
                }
                if self.named || self.opcodes > 1 {
                    observer.oddity(at, Oddity::ProtocolAgain);
                }
                self.named = true;
                self.protocol = protocol;
            }
            0x95 => {
                let len = self.cursor.u64()?;
                let end = self.cursor.position().saturating_add(len);
                if len > self.cursor.left() || self.frame_end.is_some_and(|before| before > at) {
                    observer.oddity(at, Oddity::Frame);
                }
                self.frame_end = Some(end);
            }
            b'.' => return Ok(Next::Stop),
            _ => return Err(Stop::Malformed("no opcode")),
        }
        Ok(Next::More)
    }

    fn push(&mut self, value: Value) -> Step<()> {
        if self.stack.len() >= MAX_STACK {
            return Err(Stop::Limit("stack"));
        }
        self.stack.push(value);
        Ok(())
    }

    // Above the innermost mark only, as loaders do.
    fn pop(&mut self) -> Step<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(Stop::Malformed("the stack is empty"));
        }
        self.stack
            .pop()
            .ok_or(Stop::Malformed("the stack is empty"))
    }

    fn peek(&self) -> Step<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.last().filter(|_| self.stack.len() > floor);
        top.copied().ok_or(Stop::Malformed("the stack is empty"))
    }

    fn above_mark(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().ok_or(Stop::Malformed("no mark"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    // `POP` of an empty segment takes the mark.
    fn discard(&mut self, at: u64, observer: &mut dyn Observer) -> Step<()> {
        let floor = self.marks.last().copied();
        if floor == Some(self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        let value = self.pop()?;
        let is_call = |place| matches!(self.node(place), Some(Node::Call { .. }));
        if matches!(value, Value::Made(_)) || matches!(value, Value::Node(place) if is_call(place))
        {
            observer.oddity(at, Oddity::Discarded);
        }
        Ok(())
    }

    fn line(&mut self) -> Step<Vec<u8>> {
        self.cursor.line(MAX_LINE)?.ok_or(Stop::Limit("line"))
    }

    fn line_span(&mut self, coding: Coding) -> Step<Value> {
        let offset = self.cursor.position();
        let line = self.line()?;
        let (skipped, len) = match (coding, line.as_slice()) {
            (Coding::Quoted, [b'\'', .., b'\''] | [b'"', .., b'"']) => {
                (1, line.len().saturating_sub(2))
            }
            (Coding::Quoted, _) => return Err(Stop::Malformed("a literal without quotes")),
            _ => (0, line.len()),
        };
        Ok(Value::Text(Span {
            offset: offset.saturating_add(skipped),
            len: u32::try_from(len).unwrap_or(u32::MAX),
            coding,
        }))
    }

    fn push_line(&mut self, coding: Coding, observer: &mut dyn Observer) -> Step<()> {
        let value = self.line_span(coding)?;
        if let Value::Text(span) = value
            && span.len >= hidden::HEAD
            && hidden::may_be(&self.head(span))
        {
            observer.payload(span);
        }
        self.push(value)
    }

    fn span(&mut self, len: u64, coding: Coding) -> Step<Span> {
        let offset = self.cursor.position();
        self.cursor.skip(len)?;
        Ok(Span {
            offset,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            coding,
        })
    }

    fn push_text(&mut self, (len, coding): (u64, Coding), observer: &mut dyn Observer) -> Step<()> {
        let is_payload = self.is_hidden(len);
        let span = self.span(len, coding)?;
        if is_payload {
            observer.payload(span);
        }
        self.push(Value::Text(span))
    }

    // Looks at the bytes ahead, of which `len` belong together.
    fn is_hidden(&mut self, len: u64) -> bool {
        len >= u64::from(hidden::HEAD) && hidden::may_be(self.cursor.peek(hidden::HEAD_LEN))
    }

    fn push_bytes(&mut self, len: u64, observer: &mut dyn Observer) -> Step<()> {
        const SMALLEST: u64 = 8;
        let is_payload =
            len >= SMALLEST && Signs::is_file(self.cursor.peek(8)) || self.is_hidden(len);
        let span = self.span(len, Coding::Bytes)?;
        if is_payload {
            observer.payload(span);
        }
        self.push(Value::Bytes(span))
    }

    fn two_lines(&mut self) -> Step<(String, String)> {
        let mut line = || -> Step<String> {
            let line = self.cursor.line(MAX_NAME)?.ok_or(Stop::Limit("name"))?;
            Ok(String::from_utf8_lossy(&line).into_owned())
        };
        Ok((line()?, line()?))
    }

    fn container(&mut self, kind: Kind, mut items: Vec<Value>, signs: Signs) -> Value {
        let mut signs = signs;
        if items.len() > self.max_items {
            let rest = items.split_off(self.max_items);
            signs = signs.and(self.signs_of_rest(&rest));
        }
        items.shrink_to_fit();
        if self.nodes.is_full() {
            return Value::Faded(kind, signs.and(self.signs_of_rest(&items)));
        }
        let node = Node::Container { kind, items, signs };
        self.nodes.add(node).unwrap_or(Value::Faded(kind, signs))
    }

    fn signs_of_rest(&self, items: &[Value]) -> Signs {
        items
            .iter()
            .filter(|item| !matches!(item, Value::Int(_) | Value::Number | Value::None))
            .fold(Signs::NONE, |signs, item| signs.and(self.signs(*item)))
    }

    fn push_container(&mut self, kind: Kind, items: Vec<Value>, signs: Signs) -> Step<()> {
        let value = self.container(kind, items, signs);
        self.push(value)
    }

    fn container_above_mark(&mut self, kind: Kind) -> Step<()> {
        let items = self.above_mark()?;
        self.push_container(kind, items, Signs::NONE)
    }

    fn tuple(&mut self, count: usize) -> Step<()> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push_container(Kind::Tuple, items, Signs::NONE)
    }

    // Puts items into what lies on the stack below them.
    fn fill(
        &mut self,
        at: u64,
        (items, by): (&[Value], Filling),
        observer: &mut dyn Observer,
    ) -> Step<()> {
        let target = self.peek()?;
        let plain = match (target, by) {
            (Value::Faded(kind, _), by) => fits(kind, by),
            (Value::Node(place), by) => match self.nodes.get(place) {
                Some(Node::Container { kind, .. }) => fits(*kind, by),
                _ => false,
            },
            _ => false,
        };
        if !plain {
            observer.fill(Here { at, machine: self }, target, by);
            return Ok(());
        }
        let Value::Node(place) = target else {
            return Ok(());
        };
        let held = match self.nodes.get(place) {
            Some(Node::Container { items, .. }) => items.len(),
            _ => self.max_items,
        };
        let (kept, rest) = items.split_at(items.len().min(self.max_items.saturating_sub(held)));
        let more = self.signs_of_rest(rest);
        if let Some(Node::Container { items, signs, .. }) = self.nodes.get_mut(place) {
            items.extend_from_slice(kept);
            *signs = signs.and(more);
        }
        Ok(())
    }

    fn memoize(&mut self, at: u64, index: u32, observer: &mut dyn Observer) -> Step<()> {
        const FAR: usize = 1 << 24;
        let value = self.peek()?;
        let expected = self.memo.count.saturating_mul(4).saturating_add(FAR);
        if usize::try_from(index).unwrap_or(usize::MAX) > expected {
            observer.oddity(at, Oddity::HugeMemo);
        }
        if self.memo.put(index, value) {
            Ok(())
        } else {
            Err(Stop::Limit("memo"))
        }
    }

    fn recall(&mut self, at: u64, index: u32, observer: &mut dyn Observer) -> Step<()> {
        let value = self.memo.get(index).unwrap_or_else(|| {
            observer.oddity(at, Oddity::MissingMemo);
            Value::Unknown
        });
        self.push(value)
    }

    fn resolve(
        &mut self,
        at: u64,
        (module, name): (String, String),
        observer: &mut dyn Observer,
    ) -> Step<Value> {
        let global = Global {
            module,
            name,
            protocol: self.protocol,
        };
        if let Some(place) = self.places.get(&global) {
            return Ok(Value::Global(*place));
        }
        if self.globals.len() >= MAX_GLOBALS {
            return Err(Stop::Limit("globals"));
        }
        let place = u32::try_from(self.globals.len()).map_err(|_| Stop::Limit("globals"))?;
        observer.global(at, &global);
        self.places.insert(global.clone(), place);
        self.globals.push(global);
        Ok(Value::Global(place))
    }

    // Both have to be texts; a loader refuses anything else, and nobody else has a reason.
    fn stack_global(
        &mut self,
        at: u64,
        (module, name): (Value, Value),
        observer: &mut dyn Observer,
    ) -> Step<Value> {
        let most = u32::try_from(MAX_NAME).unwrap_or(u32::MAX);
        let texts = (self.short_text(module, most), self.short_text(name, most));
        if let (Some(module), Some(name)) = texts {
            return self.resolve(at, (module, name), observer);
        }
        observer.oddity(at, Oddity::Unresolvable);
        Ok(Value::Unknown)
    }

    fn call(&mut self, at: u64, call: Call, observer: &mut dyn Observer) -> Step<()> {
        let made = match (
            observer.call(Here { at, machine: self }, &call),
            call.callee,
        ) {
            (Outcome::Known, Value::Global(place)) => Value::Made(place),
            (_, callee) => {
                let arguments = call.arguments;
                match self.nodes.add(Node::Call { callee, arguments }) {
                    Some(made) => made,
                    None => Value::Faded(Kind::Made, self.signs(arguments)),
                }
            }
        };
        self.push(made)
    }

    // The size of an array that follows depends on the state of its type.
    fn note_state(&mut self, target: Value, state: Value) {
        let Value::Node(place) = target else {
            return;
        };
        let Some(Node::Call {
            callee: Value::Global(class),
            ..
        }) = self.node(place)
        else {
            return;
        };
        if self
            .global(*class)
            .is_some_and(|global| global.name == "dtype")
        {
            self.states.insert(place, state);
        }
    }

    fn persistent(&mut self, at: u64, id: Value, observer: &mut dyn Observer) -> Step<()> {
        observer.persistent(Here { at, machine: self }, id);
        let node = self.nodes.add(Node::Persistent(id));
        self.push(node.unwrap_or(Value::Faded(Kind::Made, Signs::NONE)))
    }

    fn extension(&mut self, at: u64, code: u32, observer: &mut dyn Observer) -> Step<()> {
        observer.extension(at, code);
        let node = self.nodes.add(Node::Extension(code));
        self.push(node.unwrap_or(Value::Unknown))
    }
}

enum Next {
    More,
    Built(Value, Value),
    Stop,
}

const fn fits(kind: Kind, by: Filling) -> bool {
    matches!(
        (kind, by),
        (Kind::List, Filling::Append) | (Kind::Dict, Filling::Set) | (Kind::Set, Filling::Add)
    )
}

fn number(digits: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(digits).ok()?.trim();
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    if bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().map_or(Value::Number, Value::Int))
}

// A little-endian number in two's complement.
fn little(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Number;
    }
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut all = if negative { [0xff; 8] } else { [0; 8] };
    for (to, from) in all.iter_mut().zip(bytes) {
        *to = *from;
    }
    Value::Int(i64::from_le_bytes(all))
}

fn memo_index(line: &[u8]) -> Step<u32> {
    match number(line) {
        Some(Value::Int(index)) => {
            u32::try_from(index).map_err(|_| Stop::Malformed("a memo index out of range"))
        }
        _ => Err(Stop::Malformed("a memo index is no number")),
    }
}

fn decode(bytes: &[u8], coding: Coding) -> String {
    match coding {
        Coding::Utf8 | Coding::Bytes => String::from_utf8_lossy(bytes).into_owned(),
        Coding::RawEscape => unescape(bytes, false),
        Coding::Quoted => unescape(bytes, true),
    }
}

// `raw-unicode-escape` knows `\uXXXX` and `\UXXXXXXXX`; a quoted literal knows those of a Python 2
// byte string as well.
fn unescape(bytes: &[u8], quoted: bool) -> String {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let after = rest.clone().next();
        let digits = match after {
            Some('u') if !quoted => 4,
            Some('U') if !quoted => 8,
            Some('x') if quoted => 2,
            _ => 0,
        };
        let coded: String = rest.clone().skip(1).take(digits).collect();
        let decoded = u32::from_str_radix(&coded, 16)
            .ok()
            .filter(|_| digits > 0 && coded.len() == digits)
            .and_then(char::from_u32);
        if let Some(decoded) = decoded {
            out.push(decoded);
            rest.by_ref().nth(digits);
            continue;
        }
        match after.filter(|_| quoted) {
            Some(octal @ '0'..='7') => {
                let digits: String = rest
                    .clone()
                    .take(3)
                    .take_while(|c| matches!(c, '0'..='7'))
                    .collect();
                let value = u32::from_str_radix(&digits, 8).unwrap_or(u32::from(octal));
                out.push(char::from_u32(value & 0xff).unwrap_or('\u{fffd}'));
                for _ in digits.chars() {
                    rest.next();
                }
            }
            Some(plain) => {
                rest.next();
                out.push(match plain {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'v' => '\u{b}',
                    other => other,
                });
            }
            None => out.push('\\'),
        }
    }
    out
}
