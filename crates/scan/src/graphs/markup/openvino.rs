//! `OpenVINO`'s intermediate representation: a graph in XML, and its weights in a file of bytes beside
//! it.
//!
//! Each layer has the set of operators that it is of; a set that the runtime does not bring along
//! needs a library (`core.add_extension`). Constants say where in the weights their values are.

use std::ops::Range;

use custos_core::finding::Severity;

use super::{examine, has_root, text_of};
use crate::neighbours::Neighbour;
use crate::route::Format;
use crate::rules::{self, Rule};
use crate::text;
use crate::wire::xml::{Element, Visitor};
use crate::work::{Input, Look};

pub(in crate::graphs) const FORMAT: Format = Format {
    name: "openvino",
    extensions: &["xml"],
    recognises: |head, _| has_root(head, "net") && text_of(head).contains("layers"),
    examine: |look| examine(look, &mut Net::default()),
};

/// Names of libraries, by how they end.
const LIBRARIES: [&str; 6] = [".so", ".dll", ".dylib", ".pyd", ".ocx", ".exe"];
/// Operators that run a program, by the name that such ones have.
const PROGRAMS: [&str; 9] = [
    "exec",
    "executable",
    "loadlibrary",
    "plugin",
    "pyfunc",
    "python",
    "script",
    "shell",
    "system",
];
/// Most faults that are told one by one.
const TOLD: usize = 20;

/// A graph at work.
#[derive(Default)]
pub(super) struct Net {
    // Name and kind of the layer that is read.
    layer: String,
    is_constant: bool,
    // Where the last of the weights ends.
    needed: u64,
    told: usize,
    // Kinds of layers from elsewhere that were told.
    foreign: Vec<String>,
}

impl Visitor for Net {
    fn broken(&self) -> Option<&'static Rule> {
        Some(&rules::graphs::OPENVINO_BROKEN)
    }

    fn start(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>) {
        match (element.name(), element.parent()) {
            ("layer", _) => self.layer(look, element),
            ("data", "layer") if self.is_constant => self.constant(look, element),
            ("weights" | "biases" | "custom", _) => self.blob(look, element),
            _ => {}
        }
        for (name, value) in element.attributes {
            let lower = value.trim().to_ascii_lowercase();
            let names_library = LIBRARIES.iter().any(|end| lower.ends_with(end));
            // What a layer is called may end in anything.
            if names_library && name != "name" && name != "names" {
                let message = format!("`{name}` of a {} is the library `{value}`", element.name());
                self.tell(look, &rules::graphs::OPENVINO_LIBRARY, (element, message));
            }
        }
    }

    fn text(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>, said: &str) {
        if !matches!(element.name(), "dim" | "port" | "data") {
            let place = element.place(look);
            text::inspect(look, &place, said);
        }
    }

    fn end(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>) {
        if element.names.len() == 1 {
            self.weights(look, element);
        }
    }
}

impl Net {
    fn tell(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        rule: &'static Rule,
        (element, message): (&Element<'_>, String),
    ) {
        self.told = self.told.saturating_add(1);
        if self.told <= TOLD {
            let place = element.place(look);
            look.work.see(rule, place, message);
        }
    }

    fn layer(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>) {
        let kind = element.attribute("type").unwrap_or_default();
        let name = element.attribute("name").unwrap_or_default();
        self.layer = name.chars().take(120).collect();
        self.is_constant = kind.eq_ignore_ascii_case("const");
        let version = element.attribute("version").unwrap_or("opset1");
        let number = version.strip_prefix("opset");
        let own = number.is_some_and(|number| number.parse::<u32>().is_ok());
        let runs = PROGRAMS.contains(&kind.to_ascii_lowercase().as_str());
        if own && !runs || version == "experimental" {
            return;
        }
        let key = format!("{version}/{kind}");
        if self.foreign.contains(&key) || self.foreign.len() >= TOLD {
            return;
        }
        self.foreign.push(key);
        let message = format!("the layer `{}` is a `{kind}` of `{version}`", self.layer);
        let mut finding = rules::graphs::OPENVINO_CUSTOM.finding(element.place(look), message);
        if runs {
            finding.severity = Severity::High;
        }
        look.work.find(finding);
    }

    fn constant(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>) {
        let number = |name: &str| {
            element
                .attribute(name)
                .and_then(|text| text.parse::<u64>().ok())
        };
        let (Some(offset), Some(size)) = (number("offset"), number("size")) else {
            return;
        };
        self.needs(look, offset..offset.saturating_add(size));
        let Some(bits) = bits(element.attribute("element_type").unwrap_or_default()) else {
            return;
        };
        let shape = element.attribute("shape").unwrap_or_default();
        let product = shape
            .split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty())
            .try_fold(bits, |product, one| {
                product.checked_mul(one.parse::<u64>().ok()?)
            });
        let fits = product.is_some_and(|bits| bits.div_ceil(8) == size);
        if !fits || offset.checked_add(size).is_none() {
            let message = format!(
                "`{}` has {size} bytes at {offset}, which its shape [{shape}] does not make",
                self.layer
            );
            self.tell(look, &rules::graphs::OPENVINO_TENSOR, (element, message));
        }
    }

    fn needs(&mut self, look: &mut Look<'_, '_, '_>, range: Range<u64>) {
        self.needed = self.needed.max(range.end);
        let path = &look.input.path;
        look.work.named().add(path, &weights_of(look.input), range);
    }

    // Weights of versions before 10.
    fn blob(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>) {
        let number = |name: &str| {
            element
                .attribute(name)
                .and_then(|text| text.parse::<u64>().ok())
        };
        if let (Some(offset), Some(size)) = (number("offset"), number("size")) {
            self.needs(look, offset..offset.saturating_add(size));
        }
    }

    // The file of weights has the name of this one.
    fn weights(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>) {
        let weights = weights_of(look.input);
        match look.work.neighbour(&weights) {
            Some(Neighbour::File(size)) if size < self.needed => {
                let message = format!(
                    "`{weights}` has {size} bytes, and the graph reads {} of them",
                    self.needed
                );
                self.tell(look, &rules::graphs::OPENVINO_WEIGHTS, (element, message));
            }
            Some(Neighbour::Link | Neighbour::Outside) => {
                let message = format!("the weights `{weights}` are a link to somewhere else");
                let place = element.place(look);
                let mut finding = rules::graphs::OPENVINO_WEIGHTS.finding(place, message);
                finding.severity = Severity::High;
                look.work.find(finding);
            }
            Some(Neighbour::Missing) if self.needed > 0 => {
                look.gap(format!("its weights `{weights}` are not beside it"));
            }
            _ => {}
        }
    }
}

// The name of the weights of a graph.
fn weights_of(input: &Input<'_>) -> String {
    let name = input.name();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    format!("{stem}.bin")
}

// Bits of a value; `None` if it has none of its own.
fn bits(element: &str) -> Option<u64> {
    let bits = match element.to_ascii_lowercase().as_str() {
        "f64" | "i64" | "u64" => 64,
        "f32" | "i32" | "u32" => 32,
        "f16" | "bf16" | "i16" | "u16" => 16,
        "i8" | "u8" | "boolean" | "f8e4m3" | "f8e5m2" | "f8e8m0" => 8,
        "i4" | "u4" | "nf4" | "f4e2m1" => 4,
        "u1" => 1,
        _ => return None,
    };
    Some(bits)
}
