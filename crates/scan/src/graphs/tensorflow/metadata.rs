//! `keras_metadata.pb`: the layers of a Keras model that was saved as a TensorFlow model, one JSON
//! object for each.

use std::ops::Range;

use custos_core::finding::Location;
use serde_json::Value;

use super::{holds, may_begin, schema};
use crate::route::Head;
use crate::rules::{self, Rule};
use crate::wire::messages::{Visitor, walk};
use crate::wire::proto::Wire;
use crate::work::{Input, Limited, Look};

/// Largest object that is read.
const MAX_OBJECT: usize = 16 << 20;
/// Most values of an object that are looked at.
const MAX_VALUES: usize = 1_000_000;

/// Returns true if the fields are those of Keras metadata.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    may_begin(head) && holds(input, "keras.SavedMetadata", &[(&[1], 3)])
}

/// Looks at the layers.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let wire = Wire::new(input.bytes);
    // The outcome of a limit is noted where it fired.
    let _ = walk(
        look,
        &wire,
        (schema(), "keras.SavedMetadata", wire.whole()),
        &mut Layers,
    );
}

struct Layers;

impl Visitor for Layers {
    fn rule(&self) -> &'static Rule {
        &rules::graphs::TENSORFLOW_BROKEN
    }

    fn message(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        wire: &Wire<'_>,
        (name, range): (&str, &Range<u64>),
    ) -> Result<(), Limited> {
        if name != "keras.SavedObject" {
            return Ok(());
        }
        let Some(field) = wire.last(range, 5) else {
            return Ok(());
        };
        let bytes = field
            .bytes()
            .and_then(|range| wire.bytes(range, MAX_OBJECT));
        let object = bytes.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let Some(object) = object else {
            look.gap("the metadata of a layer is no JSON, or too large");
            return Ok(());
        };
        layer(look, range.start, &object);
        Ok(())
    }
}

// A Lambda layer with a program as bytes of a code object, wherever it lies.
fn layer(look: &mut Look<'_, '_, '_>, at: u64, object: &Value) {
    let mut rest = vec![object];
    let mut seen = 0_usize;
    while let Some(value) = rest.pop() {
        seen = seen.saturating_add(1);
        if seen > MAX_VALUES {
            look.gap("the metadata of a layer has more values than are looked at");
            return;
        }
        match value {
            Value::Array(items) => rest.extend(items),
            Value::Object(map) => {
                if map.get("class_name").and_then(Value::as_str) == Some("Lambda") {
                    lambda(look, at, map.get("config"));
                }
                rest.extend(map.values());
            }
            _ => {}
        }
    }
}

fn lambda(look: &mut Look<'_, '_, '_>, at: u64, config: Option<&Value>) {
    let function = config.and_then(|config| config.get("function"));
    // `{"class_name": "function", "items": [CODE, DEFAULTS, CLOSURE]}`, a list, or a name.
    let code = function.and_then(|function| match function {
        Value::Array(items) => items.first(),
        Value::Object(map) => map
            .get("items")
            .and_then(|items| items.get(0))
            .or_else(|| map.get("config").and_then(|config| config.get("code"))),
        _ => None,
    });
    let Some(code) = code.and_then(Value::as_str) else {
        return;
    };
    let here = Location {
        offset: Some(at),
        ..look.here()
    };
    let message = "a Lambda layer carries a program as bytes of a Python code object";
    let mut finding = rules::graphs::TENSORFLOW_LAMBDA.finding(here, message);
    finding.evidence = Some(code.chars().take(120).collect());
    finding.cves = vec!["CVE-2024-3660".to_owned()];
    look.work.find(finding);
}
