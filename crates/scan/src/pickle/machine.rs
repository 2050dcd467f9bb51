//! The pickle machine: follows a stream as a loader would, and calls nothing.
//!
//! It knows all 68 opcodes of protocols 0 to 5 (`CPython`, `Lib/pickletools.py`), each in every
//! protocol, as loaders do. It keeps the stack, the marks and the memo, with kinds and places for
//! values. What would be called, set or resolved goes to an [`Observer`], in the order of the
//! stream; how that is judged is not this module's business.

mod calls;
mod items;
mod memo;
mod opcodes;
mod texts;

use std::cell::Cell;
use std::collections::HashMap;

use self::memo::Memo;
use super::value::{How, MAX_ITEMS, Node, Nodes, Span, Value};
use crate::source::{Cursor, CursorError};

/// Most values on the stack.
const MAX_STACK: usize = 1 << 20;
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
    // What was looked at in values, as `LOOKS` counts it.
    looked: Cell<u64>,
    budget: u64,
    frame_end: Option<u64>,
    max_items: usize,
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
            looked: Cell::new(0),
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
}

enum Next {
    More,
    Built(Value, Value),
    Stop,
}
