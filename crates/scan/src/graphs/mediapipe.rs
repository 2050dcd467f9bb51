//! A graph of `MediaPipe` (`.binarypb`): calculators, and what flows between them.
//!
//! Format: `mediapipe/framework/calculator.proto` of <https://github.com/google-ai-edge/mediapipe>.
//! Calculators are machine code that the program has which runs the graph; some read or write files.
//! Their nodes look like those of TensorFlow, whose graphs have no streams of their own.

use std::ops::Range;
use std::sync::OnceLock;

use custos_core::finding::Location;

use super::lists;
use crate::route::{Format, Head};
use crate::rules::{self, Rule};
use crate::wire::messages::{Schema, Visitor, walk};
use crate::wire::proto::Wire;
use crate::work::{Input, Limited, Look};

pub(super) const FORMAT: Format = Format {
    name: "mediapipe",
    extensions: &["binarypb"],
    recognises,
    examine,
};

/// The kinds of messages.
pub(crate) static SCHEMA: &str = include_str!("../../data/graphs/mediapipe.txt");

/// Longest name of a calculator.
const MAX_NAME: usize = 256;
/// Fields that say what flows into a graph, out of it, and who runs it.
const AROUND: [u32; 5] = [10, 14, 15, 16, 17];
/// Calculators that read or write files.
const FILES: [&str; 6] = [
    "LocalFileContentsCalculator",
    "LocalFilePatternContentsCalculator",
    "OpenCvVideoDecoderCalculator",
    "OpenCvVideoEncoderCalculator",
    "OpenCvWriteTextCalculator",
    "TensorFlowSessionFromSavedModelCalculator",
];

fn schema() -> &'static Schema {
    static READ: OnceLock<Schema> = OnceLock::new();
    READ.get_or_init(|| Schema::read(SCHEMA))
}

/// Returns true if the fields are those of a graph that has nodes and something around them.
fn recognises(head: &Head, input: &Input<'_>) -> bool {
    if !matches!(head.bytes(), [0x0a | 0x52 | 0x7a, _, _, ..]) {
        return false;
    }
    let wire = Wire::new(input.bytes);
    let whole = wire.whole();
    let name = "CalculatorGraphConfig";
    if !schema().fits(&wire, (name, &whole), 2) || !schema().holds(&wire, (name, &whole), (&[1], 2))
    {
        return false;
    }
    let is_around = AROUND
        .iter()
        .any(|number| wire.last(&whole, *number).is_some());
    let mut nodes = wire.all(&whole, 1).take(64);
    is_around
        && nodes.all(|node| {
            node.bytes()
                .is_some_and(|node| calculator(&wire, node).is_some())
        })
}

/// Returns true if it is such a graph and none of TensorFlow: a node has a text where TensorFlow has a
/// message, and readers refuse all of a file that has a broken one.
pub(super) fn is_none_of_tensorflow(head: &Head, input: &Input<'_>) -> bool {
    if !recognises(head, input) {
        return false;
    }
    let wire = Wire::new(input.bytes);
    let whole = wire.whole();
    wire.all(&whole, 1).take(64).any(|node| {
        let fields = node.bytes().map(|node| wire.fields(node.clone()));
        let messages = fields.into_iter().flatten().map_while(Result::ok);
        messages
            .filter(|field| (5..=7).contains(&field.number))
            .filter_map(|field| field.bytes().cloned())
            .any(|message| wire.fields(message).any(|field| field.is_err()))
    })
}

// The name of a class in C++, or of a graph.
fn calculator(wire: &Wire<'_>, node: &Range<u64>) -> Option<String> {
    let name = wire.text_of(node, 2, MAX_NAME)?;
    let is_name = name.starts_with(|one: char| one.is_ascii_alphabetic())
        && name
            .chars()
            .all(|one| one.is_ascii_alphanumeric() || "_:.".contains(one));
    is_name.then_some(name)
}

fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let wire = Wire::new(input.bytes);
    let message = (schema(), "CalculatorGraphConfig", wire.whole());
    // The outcome of a limit is noted where it fired.
    let _ = walk(look, &wire, message, &mut Graph);
}

struct Graph;

impl Visitor for Graph {
    fn rule(&self) -> &'static Rule {
        &rules::graphs::MEDIAPIPE_BROKEN
    }

    fn message(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        wire: &Wire<'_>,
        (name, range): (&str, &Range<u64>),
    ) -> Result<(), Limited> {
        if name != "Node" {
            return Ok(());
        }
        let calculator = calculator(wire, range).unwrap_or_default();
        let at = Location {
            offset: Some(range.start),
            ..look.here()
        };
        // TensorFlow takes the node for one of its own.
        if let Some(effect) = lists::tensorflow(&calculator) {
            let message = format!("a node ({calculator}) {}", effect.why);
            let mut finding = rules::graphs::TENSORFLOW_OPERATOR.finding(at, message);
            finding.severity = effect.severity;
            finding.evidence = Some(calculator);
            look.work.find(finding);
        } else if FILES.contains(&calculator.as_str()) {
            let message = format!("the calculator `{calculator}` reads or writes files");
            let mut finding = rules::graphs::MEDIAPIPE_FILES.finding(at, message);
            finding.evidence = Some(calculator);
            look.work.find(finding);
        }
        Ok(())
    }
}
