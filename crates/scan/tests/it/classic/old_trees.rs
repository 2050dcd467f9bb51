//! XGBoost's memory as old releases wrote it.

use custos_core::finding::Severity;

use crate::pickle::{Assembler, look};
use crate::tensors::{quiet, rules, told};

/// A node: parent, children, feature.
type Node = [i32; 4];

const NODES: [Node; 3] = [[-1, 1, 2, 1], [i32::MIN, -1, -1, 0], [0, -1, -1, 0]];

/// A model, with what the booster is called and one tree.
struct Model {
    mark: bool,
    major: u32,
    objective: &'static str,
    booster: &'static str,
    nodes: Vec<Node>,
    note: &'static str,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            mark: true,
            major: 1,
            objective: "binary:logistic",
            booster: "gbtree",
            nodes: NODES.to_vec(),
            note: "3",
        }
    }
}

fn integers(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn text(value: &str) -> Vec<u8> {
    [&(value.len() as u64).to_le_bytes(), value.as_bytes()].concat()
}

impl Model {
    fn bytes(&self) -> Vec<u8> {
        let mark: &[u8] = if self.mark { b"binf" } else { b"" };
        let mut out = mark.to_vec();
        out.extend(integers(&[0, 2, 0, 1, 1, self.major]));
        out.extend([0; 112]);
        out.extend(text(self.objective));
        out.extend(text(self.booster));
        match self.booster {
            "gblinear" => {
                out.extend([0; 136]);
                out.extend(3_u64.to_le_bytes());
                out.extend([0; 12]);
            }
            _ => out.extend(self.trees()),
        }
        if self.booster == "dart" {
            out.extend(1_u64.to_le_bytes());
            out.extend([0; 4]);
        }
        out.extend(1_u64.to_le_bytes());
        out.extend([text("best_iteration"), text(self.note)].concat());
        if self.major == 0 && self.objective == "count:poisson" {
            out.extend(text("0.7"));
        }
        out.extend(1_u64.to_le_bytes());
        out.extend(text("rmse"));
        out
    }

    fn trees(&self) -> Vec<u8> {
        let mut out = integers(&[1]);
        out.extend([0; 156]);
        out.extend(integers(&[1, self.nodes.len() as u32, 0, 1, 2, 0]));
        out.extend([0; 124]);
        for node in &self.nodes {
            out.extend(node.iter().flat_map(|value| value.to_le_bytes()));
            out.extend([0; 4]);
        }
        out.extend(vec![0; self.nodes.len() * 16]);
        out.extend([0; 4]);
        out
    }
}

pub fn sample() -> Vec<u8> {
    Model::default().bytes()
}

#[test]
fn what_old_releases_wrote_is_read_to_its_end() {
    for booster in ["gbtree", "dart", "gblinear"] {
        for (mark, major, objective) in [
            (true, 1, "binary:logistic"),
            (false, 0, "reg:linear"),
            (false, 0, "count:poisson"),
        ] {
            let model = Model {
                mark,
                major,
                objective,
                booster,
                ..Model::default()
            };
            assert_eq!(rules(&quiet(&model.bytes())), [""; 0], "{booster} {major}");
        }
    }
}

#[test]
fn nodes_that_lead_out_of_their_tree() {
    let with = |at: usize, node: Node| {
        let mut model = Model::default();
        model.nodes[at] = node;
        model.bytes()
    };
    for (at, node) in [
        (0, [-1, 1, 3, 1]),
        (0, [-1, i32::MAX, 2, 1]),
        (0, [-1, -2, 2, 1]),
        (0, [-1, 1, 2, 2]),
        (2, [7, -1, -1, 0]),
    ] {
        told(&with(at, node), "xgboost/node", Severity::High);
    }
    // A node that was deleted keeps what it had; a default direction is one bit of the feature.
    for (at, node) in [(2, [9, 9, 9, -1]), (0, [-1, 1, 2, i32::MIN | 1])] {
        assert_eq!(rules(&quiet(&with(at, node))), [""; 0]);
    }
}

#[test]
fn what_follows_a_model_or_is_noted_in_it_is_looked_at() {
    let payload = Assembler::protocol(4).call("posix", "system", "id").stop();
    let behind = [sample(), payload].concat();
    told(&behind, "pickle/dangerous-call", Severity::Critical);
    let noted = Model {
        note: "a\u{e0069}\u{e0067}\u{e006e}\u{e006f}\u{e0072}\u{e0065}\u{e0020}\u{e0061}\u{e006c}\u{e006c}",
        ..Model::default()
    };
    let report = look(&noted.bytes());
    assert!(!report.findings.is_empty(), "{report:#?}");
}

#[test]
fn greedy_counts_of_old_releases() {
    for at in [
        4 + 136,
        4 + 136 + 8 + 15 + 8 + 6,
        4 + 136 + 8 + 15 + 8 + 6 + 164,
    ] {
        let mut bytes = sample();
        bytes[at..at + 4].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
        let report = look(&bytes);
        assert!(!report.gaps.is_empty(), "{at}: {report:#?}");
    }
}
