//! What lies on the stack of the pickle machine: kinds and places of values, never the values.
//!
//! Text and bytes stay in the file and are read when something asks for them. Containers keep
//! their first items only. A stream with more of them than [`MAX_NODES`] is still followed: what
//! comes later keeps its kind, and what its texts look like ([`Signs`]), which is what a verdict
//! on a call needs.

use super::signs::Signs;

/// Most containers and calls that are kept with their items.
pub(super) const MAX_NODES: usize = 200_000;
/// Most items that are kept of one.
pub(super) const MAX_ITEMS: usize = 64;

/// How the bytes of a text become characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// UTF-8 (`BINUNICODE` and its kin).
    Utf8,
    /// `raw-unicode-escape` (`UNICODE`).
    RawEscape,
    /// A quoted literal with escapes (`STRING`).
    Quoted,
    /// Bytes that a loader takes for ASCII text unless told otherwise (`BINSTRING`).
    Bytes,
}

/// A run of bytes in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Place of the first byte.
    pub(super) offset: u64,
    /// How many; `u32::MAX` stands for that many or more.
    pub(super) len: u32,
    /// What they are.
    pub(super) coding: Coding,
}

/// What kind of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `tuple`.
    Tuple,
    /// `list`.
    List,
    /// `dict`.
    Dict,
    /// `set`.
    Set,
    /// `frozenset`.
    FrozenSet,
    /// `bytearray`, or a buffer from outside.
    Buffer,
    /// What a call made.
    Made,
}

/// A value, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// A larger integer, or a floating-point number.
    Number,
    /// A text.
    Text(Span),
    /// Bytes.
    Bytes(Span),
    /// A global, by its place in the table of globals.
    Global(u32),
    /// An object that an allowed global made; which one.
    Made(u32),
    /// A container or call, by its place among the nodes.
    Node(u32),
    /// A container that is no longer kept.
    Faded(Kind, Signs),
    /// Nobody can say: a missing memo entry, an empty stack.
    Unknown,
}

/// How something is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    /// `REDUCE`: whatever it is.
    Reduce,
    /// `NEWOBJ`: `__new__` of a class.
    New,
    /// `NEWOBJ_EX`: the same, with named arguments.
    NewEx,
    /// `INST` and `OBJ`: a class, or whatever was put in its place.
    Instance,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// A container with its first items; of a dictionary, keys and values in turn.
    Container {
        /// Which.
        kind: Kind,
        /// The first of its items.
        items: Vec<Value>,
        /// What the texts of items look like that are not kept.
        signs: Signs,
    },
    /// The outcome of a call.
    Call {
        /// What was called.
        callee: Value,
        /// With what: a tuple as a rule.
        arguments: Value,
    },
    /// What a loader finds by an identifier of its own.
    Persistent(Value),
    /// An entry of the extension registry.
    Extension(u32),
}

/// All nodes of a stream.
#[derive(Debug, Default)]
pub(super) struct Nodes(Vec<Node>);

impl Nodes {
    /// Adds a node; `None` if there are too many.
    pub(super) fn add(&mut self, node: Node) -> Option<Value> {
        if self.0.len() >= MAX_NODES {
            return None;
        }
        let place = u32::try_from(self.0.len()).ok()?;
        self.0.push(node);
        Some(Value::Node(place))
    }

    /// Returns true if there is room for no other.
    pub(super) const fn is_full(&self) -> bool {
        self.0.len() >= MAX_NODES
    }

    /// Returns a node.
    pub(super) fn get(&self, place: u32) -> Option<&Node> {
        self.0.get(usize::try_from(place).ok()?)
    }

    /// Returns a node, to be changed.
    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Node> {
        self.0.get_mut(usize::try_from(place).ok()?)
    }
}
