//! Upper bounds for everything that is read from outside.
//!
//! A limit is part of a format's contract here: it is checked before memory is committed, and
//! its error names the limit and the value that broke it.

/// Bounds for one JSON document.
///
/// ```
/// use custos_core::limits::Limits;
/// assert!(Limits::STATEMENT.max_bytes < Limits::BUNDLE.max_bytes);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest document, in bytes.
    pub max_bytes: usize,
    /// Deepest nesting of arrays and objects; a scalar has depth 0.
    pub max_depth: usize,
    /// Most values (scalars, arrays, objects) in the document.
    pub max_values: usize,
}

impl Limits {
    /// A small document: settings, a policy input, a key file, a log leaf.
    pub const SMALL: Self = Self {
        max_bytes: 1 << 20,
        max_depth: 32,
        max_values: 100_000,
    };
    /// An in-toto statement. A manifest of 250,000 files is about 48 MiB.
    pub const STATEMENT: Self = Self {
        max_bytes: 96 << 20,
        max_depth: 64,
        max_values: 8_000_000,
    };
    /// A bundle: its statement in base64, plus verification material.
    pub const BUNDLE: Self = Self {
        max_bytes: 136 << 20,
        max_depth: 64,
        max_values: 1_000_000,
    };

    /// Returns limits like these with another size bound.
    pub const fn with_max_bytes(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }
}

/// Most signatures in one DSSE envelope.
pub const MAX_SIGNATURES: usize = 16;
/// Most certificates in a chain.
pub const MAX_CERTIFICATES: usize = 10;
/// Most log entries in one bundle.
pub const MAX_LOG_ENTRIES: usize = 16;
/// Longest log entry, in bytes (C2SP tlog-tiles: a big-endian u16 length).
pub const MAX_ENTRY_BYTES: usize = 65_535;
/// Longest path inside a tree, in bytes (Linux `PATH_MAX` less the final NUL).
pub const MAX_PATH_BYTES: usize = 4_095;
