//! The registry of a Feast feature store (`registry.db`): a message of Protocol Buffers. Functions
//! that transform features are in it as pickles, made by `dill`, and are loaded with the registry.
//!
//! Format: <https://github.com/feast-dev/feast/tree/master/protos/feast/core>.

use std::ops::Range;
use std::sync::OnceLock;

use custos_core::finding::Location;

use crate::route::Head;
use crate::rules::{self, Rule};
use crate::source::Part;
use crate::text;
use crate::wire::messages::{Schema, Visitor, walk};
use crate::wire::proto::{Field, Wire};
use crate::work::{Input, Limited, Look};

/// The kinds of messages.
pub(crate) static SCHEMA: &str = include_str!("../../data/graphs/feast.txt");

/// Longest name that is read.
const MAX_NAME: usize = 4 << 10;
/// Longest program that is read.
const MAX_SOURCE: usize = 4 << 20;

fn schema() -> &'static Schema {
    static READ: OnceLock<Schema> = OnceLock::new();
    READ.get_or_init(|| Schema::read(SCHEMA))
}

/// Returns true if the fields are those of a registry that describes something.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    // Specifications of entities, feature views, sources and projects, and functions.
    const PATHS: [(&[u32], u32); 7] = [
        (&[1, 1], 2),
        (&[6, 1], 3),
        (&[8, 1], 2),
        (&[12], 4),
        (&[14, 1], 3),
        (&[17, 1], 1),
        (&[8, 1, 10, 1], 2),
    ];
    if !matches!(
        head.bytes(),
        [
            0x0a | 0x1a
                | 0x22
                | 0x2a
                | 0x32
                | 0x3a
                | 0x42
                | 0x52
                | 0x5a
                | 0x62
                | 0x72
                | 0x7a
                | 0x82
                | 0x8a,
            _,
            _,
            ..
        ]
    ) {
        return false;
    }
    let wire = Wire::new(input.bytes);
    let whole = wire.whole();
    // A version and a time are in each.
    let dated = schema().holds(&wire, ("core.Registry", &whole), (&[5], 1));
    dated
        && PATHS
            .iter()
            .any(|path| schema().holds(&wire, ("core.Registry", &whole), *path))
}

/// Looks at a registry.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let wire = Wire::new(input.bytes);
    let message = (schema(), "core.Registry", wire.whole());
    // The outcome of a limit is noted where it fired.
    let _ = walk(look, &wire, message, &mut Registry);
}

struct Registry;

impl Visitor for Registry {
    fn rule(&self) -> &'static Rule {
        &rules::graphs::FEAST_BROKEN
    }

    fn message(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        wire: &Wire<'_>,
        (name, range): (&str, &Range<u64>),
    ) -> Result<(), Limited> {
        if !matches!(
            name,
            "core.UserDefinedFunction" | "core.UserDefinedFunctionV2"
        ) {
            return Ok(());
        }
        if let Some(source) = wire.text_of(range, 3, MAX_SOURCE)
            && !source.is_empty()
        {
            let at = Location {
                offset: Some(range.start),
                ..look.here()
            };
            text::python::examine(look, &at, &source);
        }
        let function = wire.text_of(range, 1, MAX_NAME).unwrap_or_default();
        let body = wire.last(range, 2);
        if body
            .and_then(|body| body.bytes().cloned())
            .is_some_and(|body| !body.is_empty())
        {
            let message = format!("the function `{function}` is in the registry as a pickle");
            look.see(&rules::graphs::FEAST_FUNCTION, range.start, message);
        }
        Ok(())
    }

    fn takes(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        (_, name): (&str, &str),
        field: &Field,
    ) -> Result<bool, Limited> {
        let Some(range) = field
            .bytes()
            .filter(|_| matches!(name, "body" | "ibis_function"))
        else {
            return Ok(false);
        };
        if !range.is_empty() {
            let part = Part::new(look.input.bytes, range.clone());
            look.member(&format!("{name}@{}", range.start), &part)?;
        }
        // What of it was not understood, the look at it has told.
        look.covered.parsed(range.clone());
        Ok(true)
    }
}
