//! `keras_metadata.pb`: the layers of a Keras model that was saved as a TensorFlow model, one JSON
//! object for each.

use std::ops::Range;

use custos_core::finding::Location;

use super::{holds, may_begin, schema};
use crate::graphs::keras;
use crate::route::Head;
use crate::rules::{self, Rule};
use crate::wire::messages::{Visitor, walk};
use crate::wire::proto::Wire;
use crate::work::{Input, Limited, Look};

/// Largest object that is read.
pub(super) const MAX_OBJECT: usize = 16 << 20;

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
        let Some(bytes) = bytes else {
            look.gap("the metadata of a layer is larger than is read");
            return Ok(());
        };
        let at = Location {
            offset: Some(range.start),
            ..look.here()
        };
        // It is a text of its own: what is said of HDF5 files does not hold for it.
        keras::config(look, &at, &bytes, keras::Home::Text);
        Ok(())
    }
}
