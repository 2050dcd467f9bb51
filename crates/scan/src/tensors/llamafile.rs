//! llamafile: a program and the model that it runs, in one file.
//!
//! Mozilla-Ocho/llamafile: an executable of several systems at once (an "actually portable
//! executable", which begins with `MZqFpD`) or of one, with a zip archive at its end, whose members
//! lie where the program can map them: weights in GGUF. The archive is looked at as any other.

use crate::archive::zip::{self, Place};
use crate::executable;
use crate::route::Head;
use crate::rules;
use crate::source::Cursor;
use crate::work::{Input, Look};

/// Most members that are asked for what they are.
const ASKED: usize = 64;

/// Returns true if a program begins it, and an archive with a model ends it.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    let portable = head.starts_with(b"MZqFpD") || head.starts_with(b"jartsr='");
    (portable || executable::is_surely(input)) && model(input).is_some()
}

/// Says that it is a program, and which model is in it.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let first = zip::archive_at_end(look.input);
    let (Some(model), Some(first)) = (model(look.input), first) else {
        return;
    };
    let message = format!("it is a program, and `{}` in it is a model", model.name);
    look.see(&rules::tensors::LLAMAFILE, 0, message);
    // The program: its bounds are known, and what it does is told to be unknown.
    look.covered.opaque(0..first);
}

fn model(input: &Input<'_>) -> Option<Place> {
    zip::places(input)
        .into_iter()
        .take(ASKED)
        .find(|place| Cursor::at(input.bytes, place.range.start).peek(4) == b"GGUF")
}
