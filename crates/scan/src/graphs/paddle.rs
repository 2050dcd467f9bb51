//! `PaddlePaddle`: programs (`.pdmodel`, as Protocol Buffers or as JSON), and parameters
//! (`.pdiparams`, tensors one after another). `.pdparams` is a pickle.
//!
//! Format: `paddle/fluid/framework/framework.proto`, and `SerializeToStream` of `lod_tensor.cc`.

pub(crate) mod parameters;

use std::ops::Range;
use std::sync::OnceLock;

use custos_core::finding::Location;

use crate::graphs::lists;
use crate::route::Head;
use crate::rules::{self, Rule};
use crate::source::read_all;
use crate::wire::messages::{Schema, Visitor, walk};
use crate::wire::proto::Wire;
use crate::work::{Input, Limited, Look};

/// The kinds of messages.
pub(crate) static SCHEMA: &str = include_str!("../../data/graphs/paddle.txt");

/// Longest name that is read.
const MAX_NAME: usize = 4 << 10;
/// Most attributes that are shown.
const SHOWN: usize = 8;
/// Largest program in JSON that is read.
const MAX_JSON: u64 = 8 << 20;
/// Most values of one that are looked at.
const MAX_VALUES: usize = 4_000_000;

fn schema() -> &'static Schema {
    static READ: OnceLock<Schema> = OnceLock::new();
    READ.get_or_init(|| Schema::read(SCHEMA))
}

/// Returns true if the fields are those of a program with operators or variables.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    if !matches!(head.bytes(), [0x0a | 0x22 | 0x2a, _, _, ..]) {
        return false;
    }
    let wire = Wire::new(input.bytes);
    let whole = wire.whole();
    let holds = |path: &[u32], least| schema().holds(&wire, ("ProgramDesc", &whole), (path, least));
    // The number of the first block, and of the one around it, are always there.
    let numbered = wire.last(&whole, 1).is_some_and(|block| {
        block.bytes().is_some_and(|block| {
            wire.last(block, 1)
                .is_some_and(|field| field.varint().is_some())
        })
    });
    numbered && (holds(&[1, 4], 1) || holds(&[1, 3], 2))
}

/// Looks at a program.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let wire = Wire::new(input.bytes);
    // The outcome of a limit is noted where it fired.
    let _ = walk(
        look,
        &wire,
        (schema(), "ProgramDesc", wire.whole()),
        &mut Program,
    );
}

struct Program;

impl Visitor for Program {
    fn rule(&self) -> &'static Rule {
        &rules::graphs::PADDLE_BROKEN
    }

    fn message(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        wire: &Wire<'_>,
        (name, range): (&str, &Range<u64>),
    ) -> Result<(), Limited> {
        if name == "OpDesc" {
            let operator = wire.text_of(range, 3, MAX_NAME).unwrap_or_default();
            let given = || {
                let text = |field: crate::wire::proto::Field| {
                    let range = field.bytes()?;
                    let key = wire.text_of(range, 1, MAX_NAME)?;
                    let value = wire.text_of(range, 5, MAX_NAME)?;
                    Some(format!("{key}={value:?}"))
                };
                wire.all(range, 4).filter_map(text).take(SHOWN).collect()
            };
            operator_of(look, (range.start, &operator), given);
        }
        Ok(())
    }
}

fn operator_of(
    look: &mut Look<'_, '_, '_>,
    (at, operator): (u64, &str),
    given: impl FnOnce() -> Vec<String>,
) {
    let Some(effect) = lists::paddle(operator) else {
        return;
    };
    let at = Location {
        offset: Some(at),
        ..look.here()
    };
    let message = format!("the operator `{operator}` {}", effect.why);
    let mut finding = rules::graphs::PADDLE_OPERATOR.finding(at, message);
    finding.severity = effect.severity;
    finding.evidence = Some(format!("{operator}({})", given().join(", ")));
    look.work.find(finding);
}

/// Returns true if it is JSON that begins as a program does.
pub(crate) fn is_json(head: &Head, _: &Input<'_>) -> bool {
    let first = head.bytes().trim_ascii_start();
    let first = first.get(..first.len().min(256)).unwrap_or_default();
    let has = |word: &[u8]| first.windows(word.len()).any(|window| window == word);
    first.first() == Some(&b'{') && has(b"\"base_code\"") && has(b"\"magic\"")
}

/// Looks at a program in JSON: operators are `{"#": "DIALECT.NAME", ...}`.
pub(crate) fn json(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    if size > MAX_JSON {
        look.gap("the program is larger than is read");
        return;
    }
    let read = read_all(look.input.bytes).ok();
    let program = read.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let Some(program) = program else {
        look.broken(&rules::graphs::PADDLE_BROKEN, 0, "the program is no JSON");
        return;
    };
    look.covered.parsed(0..size);
    let mut rest = vec![&program];
    let mut seen = 0_usize;
    while let Some(value) = rest.pop() {
        seen = seen.saturating_add(1);
        if seen > MAX_VALUES {
            look.gap("the program has more values than are looked at");
            return;
        }
        match value {
            serde_json::Value::Array(items) => rest.extend(items),
            serde_json::Value::Object(map) => {
                let name = map
                    .get("#")
                    .and_then(serde_json::Value::as_str)
                    .unwrap_or_default();
                let name = name.rsplit('.').next().unwrap_or_default();
                operator_of(look, (0, name), Vec::new);
                rest.extend(map.values());
            }
            _ => {}
        }
    }
}
