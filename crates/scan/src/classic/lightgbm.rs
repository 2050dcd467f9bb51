//! LightGBM: a model as lines of `key=value`.
//!
//! microsoft/LightGBM, `src/boosting/gbdt_model_text.cpp`: a header, trees, how important features
//! are, parameters in brackets, and the categories of pandas. Loaders split lists by their lengths:
//! a list of a tree that is shorter than its leaves say makes them read beyond it.

use custos_core::finding::Location;

use crate::route::Head;
use crate::rules;
use crate::source::CursorError;
use crate::text;
use crate::work::{Input, Look};

/// Longest line.
const MAX_LINE: usize = 64 << 20;

/// Returns true if it begins with the mark of a model and its version.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"tree\nversion=v") || head.starts_with(b"tree\r\nversion=v")
}

// The tree that is read: how many leaves it has.
#[derive(Default)]
struct Tree {
    leaves: Option<u64>,
    told: u64,
}

/// Looks at all lines.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    let mut cursor = look.input.cursor();
    let mut tree = Tree::default();
    let mut number = 0_u32;
    while cursor.left() > 0 {
        if look.work.tick(&look.input.path).is_err() {
            return;
        }
        let at = cursor.position();
        number = number.saturating_add(1);
        let line = match cursor.line(MAX_LINE) {
            Ok(Some(line)) => line,
            Ok(None) => {
                look.gap(format!("line {number} is longer than is read"));
                return;
            }
            // The last line need not end.
            Err(CursorError::End { .. }) => {
                let left = usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX);
                cursor.seek(at);
                match cursor.take(left) {
                    Ok(line) => line,
                    Err(_) => return,
                }
            }
            Err(error) => {
                look.gap(format!("it cannot be read: {error}"));
                return;
            }
        };
        let line = String::from_utf8_lossy(&line);
        let place = Location {
            offset: Some(at),
            line: Some(number),
            ..look.here()
        };
        if line.contains('\0') {
            let message = "the line holds bytes that no text has";
            look.work
                .see(&rules::classic::LIGHTGBM_BROKEN, place, message.to_owned());
            look.gap(format!("line {number} is no text"));
            return;
        }
        one(look, &place, line.trim_end_matches('\r'), &mut tree);
        look.covered.parsed(at..cursor.position());
    }
}

fn one(look: &mut Look<'_, '_, '_>, place: &Location, line: &str, tree: &mut Tree) {
    let known = line.is_empty()
        || line.starts_with('[')
        || matches!(
            line,
            "tree"
                | "end of trees"
                | "end of parameters"
                | "parameters:"
                | "feature_importances:"
                | "feature importances:"
                | "average_output"
                | "loaded_parameter:"
        )
        || line.starts_with("pandas_categorical:");
    let Some((key, value)) = line.split_once('=').filter(|_| !known) else {
        if !known {
            let message = "a line is none of a model".to_owned();
            look.work
                .see(&rules::classic::LIGHTGBM_LINE, place.clone(), message);
        }
        text::inspect(look, place, line);
        return;
    };
    match key {
        "Tree" => tree.leaves = None,
        "num_leaves" => {
            tree.leaves = value.parse().ok();
            if tree.leaves.is_none_or(|leaves| leaves > 1 << 31) {
                let message = format!("`num_leaves` is {value:?}");
                look.work
                    .see(&rules::classic::LIGHTGBM_BROKEN, place.clone(), message);
            }
        }
        "leaf_value" | "left_child" | "right_child" | "split_feature" | "threshold"
        | "decision_type" => lengths(look, place, (key, value), tree),
        // Numbers.
        "split_gain" | "leaf_weight" | "leaf_count" | "internal_value" | "internal_weight"
        | "internal_count" | "leaf_const" | "leaf_coeff" | "leaf_features" | "cat_boundaries"
        | "cat_threshold" => {}
        _ => text::inspect(look, place, value),
    }
}

// One value a leaf, or one an inner node.
fn lengths(
    look: &mut Look<'_, '_, '_>,
    place: &Location,
    (key, value): (&str, &str),
    tree: &mut Tree,
) {
    let Some(leaves) = tree.leaves else {
        return;
    };
    let count = value.split_ascii_whitespace().count();
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    let expected = if key == "leaf_value" {
        leaves
    } else {
        leaves.saturating_sub(1)
    };
    if count == expected {
        return;
    }
    tree.told = tree.told.saturating_add(1);
    if tree.told <= 10 {
        let message = format!("`{key}` has {count} values in a tree of {leaves} leaves");
        look.work
            .see(&rules::classic::LIGHTGBM_TREE, place.clone(), message);
    }
}
