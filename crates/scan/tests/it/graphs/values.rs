//! Values of graphs in files of their own: understood where the graph lies that refers to them.

use std::path::Path;

use custos_core::finding::Severity;
use custos_scan::sources::Source as _;
use custos_scan::{FileReport, Options, State, Tree, TreeOptions, scan};

use super::{checkpoint, external, node, onnx, rules, tfjs};
use crate::archive::packed::gzip;
use crate::archive::{Member, archive, tar};
use crate::keras::markup::{DATA, net};
use crate::pickle::Assembler;

type Files<'a> = &'a [(&'a str, Vec<u8>)];

/// Scans a folder of these files, each beside the others.
fn folder(files: Files<'_>) -> Vec<FileReport> {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    reports(&Tree::open(dir.path(), &TreeOptions::default()).unwrap())
}

fn reports(tree: &Tree) -> Vec<FileReport> {
    let one = |index: usize| {
        let neighbours = tree.neighbours(index);
        let options = Options {
            neighbours: neighbours.as_deref(),
            ..Options::default()
        };
        let bytes = tree.open(index).unwrap();
        scan(&tree.items()[index].path, bytes.as_ref(), &options)
    };
    (0..tree.items().len()).map(one).collect()
}

fn packed(files: Files<'_>) -> Vec<(&'static str, FileReport)> {
    let members: Vec<Member> = files
        .iter()
        .map(|(name, bytes)| Member::new(name, bytes))
        .collect();
    let pairs: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (*name, bytes.as_slice()))
        .collect();
    let tar = tar::archive(&pairs);
    let scan = |name: &str, bytes: Vec<u8>| scan(name, &bytes, &Options::default());
    vec![
        ("zip", scan("m.zip", archive(&members))),
        ("tar.gz", scan("m.tar.gz", gzip(&tar))),
        ("tar", scan("m.tar", tar)),
    ]
}

/// Values that are no format: the same everywhere, and no text.
fn values(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| [0x9d, 0x81, 0xfe, 0xc3][at % 4])
        .collect()
}

fn weights(place: &str, offset: &str) -> Vec<u8> {
    let pairs = [("location", place), ("offset", offset), ("length", "24")];
    onnx(&[node("Relu", "")], &[external(&pairs)])
}

/// A file and what is in it.
type Named = (&'static str, Vec<u8>);

/// Graphs and their values, with a name for each pair.
fn pairs() -> Vec<(&'static str, Vec<Named>)> {
    vec![
        (
            "onnx",
            vec![("a/m.onnx", weights("w.bin", "0")), ("a/w.bin", values(24))],
        ),
        // In a folder below, under a name that says nothing, with nothing before its values.
        (
            "onnx below",
            vec![
                ("a/m.onnx", weights("below/them", "16")),
                (
                    "a/below/them",
                    [vec![0; 16], values(24), vec![0; 8]].concat(),
                ),
            ],
        ),
        (
            "checkpoint",
            vec![
                ("v/variables.data-00000-of-00001", values(16)),
                ("v/variables.index", checkpoint(0, 16)),
            ],
        ),
        (
            "tensorflow-js",
            vec![
                ("t/model.json", tfjs::model("w", "Relu").into_bytes()),
                ("t/w", values(24)),
            ],
        ),
        (
            "a manifest of its own",
            vec![
                ("m-shard1", values(24)),
                (
                    "m-weights_manifest.json",
                    tfjs::manifest("m-shard1").into_bytes(),
                ),
            ],
        ),
        (
            "openvino",
            vec![
                ("net.bin", [vec![0; 8], values(32)].concat()),
                ("net.xml", net(DATA, "").into_bytes()),
            ],
        ),
    ]
}

#[test]
fn values_are_understood_where_their_graph_lies() {
    for (how, files) in pairs() {
        for report in folder(&files) {
            assert_eq!(
                report.state(Severity::Low),
                State::Clean,
                "{how}: {report:#?}"
            );
            assert_eq!(report.coverage.unknown, 0, "{how}");
        }
        for (kind, report) in packed(&files) {
            assert_eq!(
                report.state(Severity::Low),
                State::Clean,
                "{how} {kind}: {report:#?}"
            );
            assert_eq!(report.coverage.unknown, 0, "{how} {kind}");
        }
    }
}

#[test]
fn values_without_a_graph_are_not_understood() {
    for (how, files) in pairs() {
        for (name, bytes) in files {
            let graph = [".onnx", ".index", ".xml", ".json"];
            if graph.iter().any(|end| name.ends_with(end)) {
                continue;
            }
            let other = [
                ("other/readme", b"nothing that says anything".to_vec()),
                (name, bytes),
            ];
            let mut alone = folder(&other);
            alone.retain(|report| report.path.ends_with(name));
            alone.extend(packed(&other).into_iter().map(|(_, report)| report));
            for report in alone {
                assert_eq!(
                    report.state(Severity::High),
                    State::Incomplete,
                    "{how}: {report:#?}"
                );
                if how == "checkpoint" {
                    let why = "`variables.index`, which says what its values are, is not beside it";
                    assert!(
                        report.gaps.iter().any(|gap| gap.reason == why),
                        "{report:#?}"
                    );
                }
            }
        }
    }
}

#[test]
fn only_what_a_graph_names_is_values() {
    // More than it names, and a name that it does not have.
    let more = [("m.onnx", weights("w", "0")), ("w", values(60))];
    let report = folder(&more).pop().unwrap();
    assert_eq!(
        report.state(Severity::High),
        State::Incomplete,
        "{report:#?}"
    );
    assert_eq!((report.coverage.opaque, report.coverage.unknown), (24, 36));
    let other = [("m.onnx", weights("w", "0")), ("x", values(24))];
    let report = folder(&other).pop().unwrap();
    assert_eq!(
        report.state(Severity::High),
        State::Incomplete,
        "{report:#?}"
    );
    // What is a file of some kind is one, whatever a graph says.
    let pickle = Assembler::protocol(2).call("os", "system", "id").stop();
    let index = checkpoint(0, pickle.len() as u64);
    let files = [("v.index", index), ("v.data-00000-of-00001", pickle)];
    let report = folder(&files)
        .into_iter()
        .find(|report| report.path.contains("data-"))
        .unwrap();
    assert_eq!(report.state(Severity::High), State::Findings, "{report:#?}");
    assert!(rules(&report).contains(&"pickle/dangerous-call"));
}

// Caches of hubs hold links to files that are called by their digest.
#[test]
fn links_of_a_cache_are_known_by_their_own_names() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("blobs")).unwrap();
    std::fs::create_dir_all(at("snapshots/1")).unwrap();
    let link = |name: &str, blob: &str, bytes: &[u8]| {
        std::fs::write(at("blobs").join(blob), bytes).unwrap();
        let to = Path::new("../../blobs").join(blob);
        std::os::unix::fs::symlink(to, at("snapshots/1").join(name)).unwrap();
    };
    link("v.index", "0a", &checkpoint(0, 16));
    link("v.data-00000-of-00001", "0b", &values(16));
    let tree = Tree::open(dir.path(), &TreeOptions::default()).unwrap();
    let reports = reports(&tree);
    let report = reports
        .iter()
        .find(|report| report.path.contains("data-"))
        .unwrap();
    assert_eq!(report.coverage.opaque, 16, "{report:#?}");
}
