use super::*;
use crate::crypto::PublicKey;
use crate::digest::Algorithm;
use crate::identity::Identity;
use crate::text::visible;
use proptest::prelude::*;

fn signer(name: &str) -> Signer {
    let key = PublicKey::from_ed25519_bytes(&[
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07,
        0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07,
        0x51, 0x1a,
    ])
    .unwrap();
    Signer {
        name: name.into(),
        identity: Identity::Key { id: key.id() },
    }
}

fn sha(text: &str) -> Digest {
    Algorithm::Sha256.digest(text.as_bytes())
}

fn file(name: &str, content: &str) -> NamedArtifact {
    NamedArtifact::new(name, sha(content))
}

fn tree(name: &str, content: &str, names: &str) -> NamedArtifact {
    let mut digest = DigestSet::from(sha(content));
    digest.insert_raw("dirHash", sha(names).to_hex());
    NamedArtifact::new(name, digest)
}

fn head(index: u64) -> RecordHead {
    RecordHead {
        statement: sha(&format!("statement {index}")),
        log_index: Some(index),
        standing: Standing::Verified {
            signer: signer("ci"),
        },
    }
}

fn step(index: u64, name: &str, inputs: &[NamedArtifact], outputs: &[NamedArtifact]) -> StepRecord {
    StepRecord {
        head: head(index),
        name: name.into(),
        inputs: inputs
            .iter()
            .map(|input| (Role::Input, input.clone()))
            .collect(),
        outputs: outputs.to_vec(),
        isolation: Some("none".into()),
        exit_status: Some(0),
    }
}

fn dataset(index: u64, subject: NamedArtifact) -> NoteRecord {
    NoteRecord {
        head: head(index),
        predicate_type: "urn:custos:attestation:dataset:v1".into(),
        dataset: Some(DatasetName {
            name: "pairs".into(),
            version: Some("1".into()),
        }),
        subjects: vec![subject],
    }
}

fn unverified(mut record: StepRecord) -> StepRecord {
    record.head.standing = Standing::Unverified {
        code: "signer-not-expected".into(),
        message: "key 12ab".into(),
    };
    record
}

fn build(steps: Vec<StepRecord>, notes: Vec<NoteRecord>) -> Lineage {
    Lineage::build(steps, notes, LineageLimits::default())
}

fn up(steps: Vec<StepRecord>, notes: Vec<NoteRecord>, root: &NamedArtifact) -> Trace {
    build(steps, notes).trace(root, Direction::Upstream)
}

fn kinds(trace: &Trace) -> Vec<BreakKind> {
    trace.breaks.iter().map(|broken| broken.kind).collect()
}

fn pipeline() -> (Vec<StepRecord>, Vec<NoteRecord>) {
    let raw = tree("raw", "raw", "raw names");
    let clean = tree("clean", "clean", "clean names");
    let model = file("model.bin", "model");
    let report = file("report.json", "report");
    let mut train = step(
        3,
        "train",
        std::slice::from_ref(&clean),
        std::slice::from_ref(&model),
    );
    train.inputs.push((Role::Tool, file("train.py", "script")));
    let steps = vec![
        step(
            1,
            "clean",
            std::slice::from_ref(&raw),
            std::slice::from_ref(&clean),
        ),
        train,
        step(4, "evaluate", &[model, clean], &[report]),
    ];
    (steps, vec![dataset(0, raw)])
}

#[test]
fn a_whole_chain_is_complete_and_its_facts_say_so() {
    let (steps, notes) = pipeline();
    let trace = up(steps, notes, &file("report.json", "report"));
    assert!(trace.complete(), "{:?}", trace.breaks);
    let facts = trace.to_facts();
    assert!(facts.complete);
    let names: Vec<_> = facts.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["clean", "train", "evaluate"]);
    assert_eq!(facts.sources.len(), 1);
    assert_eq!(facts.sources[0].dataset.as_ref().unwrap().name, "pairs");
    assert_eq!(facts.steps[1].inputs.len(), 1, "a tool is no input");
    assert_eq!(
        facts.steps[1].inputs[0].produced_by.as_deref(),
        Some("clean")
    );
    assert_eq!(facts.steps[0].inputs[0].produced_by, None);
}

#[test]
fn the_tree_draws_a_diamond_once() {
    let (steps, notes) = pipeline();
    let trace = up(steps, notes, &file("report.json", "report"));
    let text = Tree::of(&trace, TreeOptions::default()).to_string();
    let short = |content: &str| sha(content).short();
    let expected = format!(
        "report.json  {}\n\
         └─ made by evaluate  signed by ci  log #4  isolation none\n\
         \u{20}  ├─ model.bin  {}\n\
         \u{20}  │  └─ made by train  signed by ci  log #3  isolation none\n\
         \u{20}  │     └─ clean  {}\n\
         \u{20}  │        └─ made by clean  signed by ci  log #1  isolation none\n\
         \u{20}  │           └─ raw  {}  dataset pairs 1  log #0\n\
         \u{20}  └─ clean  {}  (shown above)\n",
        short("report"),
        short("model"),
        short("clean"),
        short("raw"),
        short("clean"),
    );
    assert_eq!(text, expected);
    let tools = Tree::of(
        &trace,
        TreeOptions {
            tools: true,
            ..TreeOptions::default()
        },
    )
    .to_string();
    assert!(tools.contains("with train.py"), "{tools}");
}

#[test]
fn downstream_finds_whatever_used_it() {
    let (steps, notes) = pipeline();
    let graph = build(steps, notes);
    let trace = graph.trace(&tree("raw", "raw", "raw names"), Direction::Downstream);
    let names: Vec<_> = trace.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["clean", "train", "evaluate"]);
    assert!(trace.breaks.is_empty());
    // A script's blast radius is what it was used for.
    let trace = graph.trace(&file("train.py", "script"), Direction::Downstream);
    let names: Vec<_> = trace.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["train", "evaluate"]);
    let text = Tree::of(&trace, TreeOptions::default()).to_string();
    assert!(text.contains("used by train"), "{text}");
}

#[test]
fn an_input_that_nobody_made_is_an_unknown_source() {
    let (steps, _) = pipeline();
    let trace = up(steps, Vec::new(), &file("model.bin", "model"));
    assert_eq!(kinds(&trace), [BreakKind::UnknownSource]);
    assert_eq!(trace.breaks[0].name, "raw");
    assert!(!trace.to_facts().complete);
    assert_eq!(trace.to_facts().sources[0].dataset, None);
}

#[test]
fn a_product_that_changed_between_steps_is_named() {
    let (mut steps, notes) = pipeline();
    // Somebody swapped a file between `clean` and `train`.
    steps[1].inputs = vec![(Role::Input, tree("./clean/", "poison", "clean names 2"))];
    let trace = up(steps, notes, &file("model.bin", "model"));
    assert_eq!(kinds(&trace), [BreakKind::ProductChanged]);
    assert!(
        trace.breaks[0].message.contains("step `clean` (log #1)"),
        "{:?}",
        trace.breaks
    );
    let text = Tree::of(&trace, TreeOptions::default()).to_string();
    assert!(text.contains("!! no step made it; step `clean`"), "{text}");
}

#[test]
fn a_renamed_file_is_a_digest_conflict() {
    let (mut steps, notes) = pipeline();
    steps[1].inputs = vec![(Role::Input, tree("clean", "clean", "other names"))];
    let trace = up(steps, notes, &file("model.bin", "model"));
    assert_eq!(kinds(&trace), [BreakKind::DigestConflict]);
    assert!(
        trace.breaks[0].message.contains("dirHash"),
        "{:?}",
        trace.breaks
    );
}

#[test]
fn digests_that_fit_two_artifacts_prove_neither() {
    let (mut steps, notes) = pipeline();
    // Same contents under two sets of names, and an input that does not say which.
    steps.push(step(
        9,
        "copy",
        &[tree("raw", "raw", "raw names")],
        &[tree("c2", "clean", "n2")],
    ));
    steps[1].inputs = vec![(Role::Input, file("clean", "clean"))];
    let trace = up(steps.clone(), notes.clone(), &file("model.bin", "model"));
    assert_eq!(kinds(&trace), [BreakKind::Ambiguous]);
    assert!(!trace.complete());
    // Asked about without names, the artifact itself is ambiguous ...
    let trace = up(steps.clone(), notes.clone(), &file("clean", "clean"));
    assert_eq!(kinds(&trace), [BreakKind::Ambiguous]);
    // ... and with them it is not.
    assert!(up(steps, notes, &tree("clean", "clean", "clean names")).complete());
}

#[test]
fn a_statement_that_does_not_verify_is_shown_and_proves_nothing() {
    let (mut steps, notes) = pipeline();
    steps[0] = unverified(steps[0].clone());
    let trace = up(steps, notes, &file("model.bin", "model"));
    assert_eq!(kinds(&trace), [BreakKind::Unverified]);
    assert!(trace.breaks[0].message.contains("signer-not-expected"));
    assert_eq!(trace.steps.len(), 2, "the step is still shown");
    assert_eq!(trace.to_facts().steps.len(), 1, "and is no fact");
    let text = Tree::of(&trace, TreeOptions::default()).to_string();
    assert!(
        text.contains("made by clean  log #1  isolation none  !! not verified"),
        "{text}"
    );
}

#[test]
fn an_unverified_copy_of_a_statement_does_not_displace_the_verified_one() {
    let (mut steps, notes) = pipeline();
    let forged = unverified(steps[0].clone());
    steps.insert(0, forged);
    assert!(up(steps, notes, &file("model.bin", "model")).complete());
}

#[test]
fn a_failed_step_grounds_nothing() {
    let (mut steps, notes) = pipeline();
    steps[0].exit_status = Some(1);
    let trace = up(steps, notes, &file("model.bin", "model"));
    assert_eq!(kinds(&trace), [BreakKind::FailedStep]);
}

#[test]
fn a_step_without_input_grounds_nothing() {
    let model = file("m", "m");
    let trace = up(
        vec![step(1, "make", &[], std::slice::from_ref(&model))],
        Vec::new(),
        &model,
    );
    assert_eq!(kinds(&trace), [BreakKind::NoInput]);
    // Unless a dataset statement vouches for it.
    let notes = vec![dataset(2, model.clone())];
    assert!(
        up(
            vec![step(1, "make", &[], std::slice::from_ref(&model))],
            notes,
            &model
        )
        .complete()
    );
}

#[test]
fn a_circle_grounds_nothing() {
    let (a, b) = (file("a", "a"), file("b", "b"));
    let own = vec![step(
        1,
        "touch",
        std::slice::from_ref(&a),
        std::slice::from_ref(&a),
    )];
    assert_eq!(kinds(&up(own.clone(), Vec::new(), &a)), [BreakKind::Cycle]);
    let ring = vec![
        step(
            1,
            "there",
            std::slice::from_ref(&a),
            std::slice::from_ref(&b),
        ),
        step(
            2,
            "back",
            std::slice::from_ref(&b),
            std::slice::from_ref(&a),
        ),
        step(3, "use", std::slice::from_ref(&b), &[file("c", "c")]),
    ];
    let trace = up(ring, Vec::new(), &file("c", "c"));
    assert_eq!(kinds(&trace), [BreakKind::Cycle]);
    assert!(
        Tree::of(&trace, TreeOptions::default())
            .to_string()
            .contains("(shown above)")
    );
    // A circle beside a good origin does no harm.
    assert!(up(own, vec![dataset(0, a.clone())], &a).complete());
}

#[test]
fn two_causes_are_two_breaks() {
    let steps = vec![
        step(1, "loop", &[file("x", "x")], &[file("x", "x")]),
        step(
            2,
            "join",
            &[file("x", "x"), file("y", "y")],
            &[file("z", "z")],
        ),
    ];
    let mut found = kinds(&up(steps, Vec::new(), &file("z", "z")));
    found.sort_unstable();
    assert_eq!(found, [BreakKind::UnknownSource, BreakKind::Cycle]);
}

#[test]
fn a_second_maker_without_origin_does_not_break_a_good_one() {
    let (mut steps, notes) = pipeline();
    let clean = tree("clean", "clean", "clean names");
    steps.push(step(
        9,
        "again",
        &[file("elsewhere", "elsewhere")],
        &[clean],
    ));
    assert!(up(steps, notes, &file("model.bin", "model")).complete());
}

#[test]
fn weak_or_made_up_digests_join_nothing() {
    let weak = |name: &str| {
        let mut digest = DigestSet::new();
        digest.insert_raw("md5", "d41d8cd98f00b204e9800998ecf8427e");
        NamedArtifact::new(name, digest)
    };
    let raw = file("raw", "raw");
    let steps = vec![
        step(1, "make", std::slice::from_ref(&raw), &[weak("a")]),
        step(2, "use", &[weak("a")], &[file("b", "b")]),
    ];
    let trace = up(steps, vec![dataset(0, raw)], &file("b", "b"));
    assert!(!trace.complete());
    assert!(!trace.to_facts().complete);
}

#[test]
fn an_input_without_a_digest_does_not_vanish() {
    let (mut steps, notes) = pipeline();
    let nameless = NamedArtifact::new("something", DigestSet::new());
    steps[1].inputs.push((Role::Input, nameless));
    let trace = up(steps, notes, &file("model.bin", "model"));
    assert_eq!(kinds(&trace), [BreakKind::UnknownSource]);
    assert_eq!(trace.breaks[0].name, "something");
    assert!(trace.breaks[0].message.contains("no digest"));
}

#[test]
fn a_dataset_is_its_own_source() {
    let raw = tree("raw", "raw", "raw names");
    let facts = up(Vec::new(), vec![dataset(0, raw.clone())], &raw).to_facts();
    assert!(facts.complete);
    assert_eq!(facts.sources.len(), 1);
    assert!(facts.sources[0].dataset.as_ref().unwrap().known);
}

#[test]
fn an_artifact_that_no_statement_mentions_says_why() {
    let (steps, notes) = pipeline();
    let trace = up(steps.clone(), notes.clone(), &file("stranger", "stranger"));
    assert_eq!(kinds(&trace), [BreakKind::UnknownSource]);
    let trace = up(
        steps.clone(),
        notes.clone(),
        &file("model.bin", "one byte changed"),
    );
    assert_eq!(kinds(&trace), [BreakKind::ProductChanged]);
    assert!(trace.breaks[0].message.contains("step `train` (log #3)"));
    let trace = up(steps, notes, &tree("clean", "clean", "renamed"));
    assert_eq!(kinds(&trace), [BreakKind::DigestConflict]);
}

#[test]
fn limits_are_said_and_end_in_a_break() {
    let (steps, notes) = pipeline();
    let limits = LineageLimits {
        max_nodes: 20_000,
        max_depth: 1,
    };
    let graph = Lineage::build(steps.clone(), notes.clone(), limits);
    let trace = graph.trace(&file("report.json", "report"), Direction::Upstream);
    assert!(trace.truncated && !trace.complete());
    assert_eq!(kinds(&trace), [BreakKind::Truncated]);
    let limits = LineageLimits {
        max_nodes: 4,
        max_depth: 256,
    };
    assert!(Lineage::build(steps, notes, limits).truncated());
}

#[test]
fn a_deep_chain_neither_overflows_nor_loses_anything() {
    let steps = (0..5_000)
        .map(|i| {
            step(
                i,
                "s",
                &[file("f", &i.to_string())],
                &[file("f", &(i + 1).to_string())],
            )
        })
        .collect();
    let limits = LineageLimits {
        max_nodes: 100_000,
        max_depth: 10_000,
    };
    let graph = Lineage::build(steps, vec![dataset(9_000, file("f", "0"))], limits);
    let trace = graph.trace(&file("f", "5000"), Direction::Upstream);
    assert!(trace.complete());
    assert_eq!(trace.steps.len(), 5_000);
    let tree = Tree::of(&trace, TreeOptions::default());
    assert_eq!(tree.rows.len(), 2_001);
    assert!(tree.rows[2_000].label.starts_with("… and"));
}

#[test]
fn names_cannot_escape_the_drawing() {
    let evil = "a\u{1b}[2J\"];\n}\u{202e}x\\";
    let trace = up(
        vec![step(1, evil, &[file(evil, "i")], &[file(evil, "o")])],
        vec![],
        &file(evil, "o"),
    );
    let tree = Tree::of(&trace, TreeOptions::default());
    for row in &tree.rows {
        let text = row.to_string();
        assert!(
            !text.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{text:?}"
        );
    }
    let dot = trace.to_dot();
    assert!(!dot.contains('\u{1b}') && !dot.contains("x\\\""), "{dot}");
    assert_eq!(dot.matches("\\\"];").count(), 3, "{dot}");
}

#[test]
fn no_character_of_a_name_moves_hides_or_reorders_others() {
    let hostile = "a\"b\\c\n\r\t\u{1b}[2J\u{9b}1m\u{202e}\u{2066}\u{200d}\u{ad}\u{3164}&#8238;&lt;";
    let model = file(hostile, "model");
    let trace = up(
        vec![step(
            1,
            hostile,
            &[file(hostile, "in")],
            std::slice::from_ref(&model),
        )],
        Vec::new(),
        &model,
    );
    let tree = Tree::of(&trace, TreeOptions::default()).to_string();
    let dot = trace.to_dot();
    for text in [&tree, &dot] {
        assert_eq!(*text, visible(text), "nothing is left to replace");
    }
    assert_eq!(tree.lines().count(), 3, "{tree}");
    assert!(!dot.contains("&#") && dot.contains("&amp;#8238;"), "{dot}");
    // Each string ends where it was meant to.
    for line in dot.lines().filter(|line| line.contains("label=")) {
        let label = line.split_once("label=\"").unwrap().1;
        let end = label
            .replace("\\\\", "")
            .replace("\\\"", "")
            .find('"')
            .unwrap();
        assert!(end > 0, "{line}");
        let rest = label
            .replace("\\\\", "")
            .replace("\\\"", "")
            .split_off(end + 1);
        assert!(rest.starts_with("];") || rest.starts_with(", "), "{line}");
    }
}

#[test]
fn a_hundred_thousand_nodes_in_one_step_one_chain_or_one_circle() {
    let limits = LineageLimits {
        max_nodes: 400_000,
        max_depth: 400_000,
    };
    let node = |n: usize| file(&format!("n{n}"), &n.to_string());
    let count = 100_000;
    // One step that reads them all: wide.
    let inputs: Vec<_> = (1..count).map(node).collect();
    let wide = Lineage::build(
        vec![step(1, "all", &inputs, &[node(0)])],
        Vec::new(),
        limits,
    );
    let trace = wide.trace(&node(0), Direction::Upstream);
    assert_eq!(trace.artifacts.len(), count);
    assert!(!trace.complete() && trace.breaks.len() == ground::MAX_BREAKS);
    let tree = Tree::of(&trace, TreeOptions::default());
    assert_eq!(tree.rows.len(), 2_001);
    assert_eq!(
        tree.rows[2_000].label,
        format!("… and {} branches more", count + 1 - 2_000)
    );
    assert_eq!(trace.to_dot().matches(" -> ").count(), count);
    // One behind the other, to a dataset and in a circle: as many artifacts as steps.
    let count = count / 2;
    let chain = |last: usize| -> Vec<StepRecord> {
        let steps = (0..last).map(|n| {
            let (input, output) = (node((n + 1) % count), node(n));
            step(u64::try_from(n).unwrap() + 1, "s", &[input], &[output])
        });
        steps.collect()
    };
    let long = Lineage::build(chain(count - 1), vec![dataset(0, node(count - 1))], limits);
    let trace = long.trace(&node(0), Direction::Upstream);
    assert!(trace.complete(), "{:?}", trace.breaks);
    assert_eq!(trace.steps.len(), count - 1);
    let circle = Lineage::build(chain(count), Vec::new(), limits);
    let trace = circle.trace(&node(0), Direction::Upstream);
    assert_eq!(kinds(&trace), [BreakKind::Cycle]);
    // The default limits leave most of it out, and say so.
    let small = build(chain(count - 1), vec![dataset(0, node(count - 1))]);
    let trace = small.trace(&node(0), Direction::Upstream);
    assert!(small.truncated() && trace.truncated && !trace.complete());
    assert!(kinds(&trace).contains(&BreakKind::Truncated));
}

#[test]
fn dot_names_every_node_and_edge() {
    let (steps, notes) = pipeline();
    let trace = up(steps, notes, &file("model.bin", "model"));
    let dot = trace.to_dot();
    assert_eq!(dot.matches("shape=box").count(), trace.artifacts.len());
    assert_eq!(dot.matches("shape=ellipse").count(), trace.steps.len());
    assert!(
        dot.contains("style=dotted"),
        "a tool's edge is dotted: {dot}"
    );
    let value = serde_json::to_value(&trace).unwrap();
    assert_eq!(value["schema"], SCHEMA);
    assert_eq!(value["steps"][0]["name"], "train");
    assert_eq!(value["steps"][0]["standing"]["state"], "verified");
}

// Random small graphs over few contents, so that joins, diamonds and circles are common.
fn any_records() -> impl Strategy<Value = (Vec<StepRecord>, Vec<NoteRecord>)> {
    let artifact = (0_u8..12, 0_u8..3).prop_map(|(content, names)| {
        let (content, names) = (format!("c{content}"), format!("n{names}"));
        if names == "n0" {
            file(&content, &content)
        } else {
            tree(&content, &content, &names)
        }
    });
    let side = prop::collection::vec(artifact.clone(), 0..4);
    let steps = prop::collection::vec((side.clone(), side, any::<bool>(), 0_i64..8), 0..16);
    let notes = prop::collection::vec((artifact, any::<bool>()), 0..4);
    (steps, notes).prop_map(|(steps, notes)| {
        let steps = (0_u64..)
            .zip(steps)
            .map(|(i, (inputs, outputs, good, status))| {
                let mut record = step(i, &format!("s{i}"), &inputs, &outputs);
                record.exit_status = Some(i64::from(status == 7));
                if good { record } else { unverified(record) }
            });
        let notes = (100_u64..).zip(notes).map(|(i, (subject, good))| {
            let mut note = dataset(i, subject);
            if !good {
                note.head.standing = Standing::Unverified {
                    code: "c".into(),
                    message: "m".into(),
                };
            }
            note
        });
        (steps.collect(), notes.collect())
    })
}

proptest! {
    #[test]
    fn grounded_and_broken_exclude_each_other(
        (steps, notes) in any_records(), content in 0_u8..12,
    ) {
        let root = tree("r", &format!("c{content}"), "n1");
        let trace = up(steps, notes, &root);
        prop_assert_eq!(trace.artifacts[0].grounded && !trace.truncated, trace.complete());
        prop_assert_eq!(trace.breaks.is_empty(), trace.complete());
        let tree = Tree::of(&trace, TreeOptions::default());
        prop_assert!(tree.rows.len() <= 2_001);
        let closed = trace.to_dot().ends_with("}\n");
        prop_assert!(closed);
    }

    #[test]
    fn the_order_of_records_does_not_matter(
        (steps, notes) in any_records(), content in 0_u8..12, turn in 0_usize..16,
    ) {
        let root = tree("r", &format!("c{content}"), "n1");
        let first = up(steps.clone(), notes.clone(), &root);
        let mut turned = steps;
        let by = turn % turned.len().max(1);
        turned.rotate_left(by);
        turned.reverse();
        let mut notes = notes;
        notes.reverse();
        prop_assert_eq!(first, up(turned, notes, &root));
    }

    #[test]
    fn what_is_not_verified_neither_helps_nor_hurts((steps, notes) in any_records(), content in 0_u8..12) {
        let root = tree("r", &format!("c{content}"), "n1");
        let with = up(steps.clone(), notes.clone(), &root);
        let verified = |head: &RecordHead| head.standing.signer().is_some();
        let steps: Vec<_> = steps.into_iter().filter(|s| verified(&s.head)).collect();
        let notes: Vec<_> = notes.into_iter().filter(|n| verified(&n.head)).collect();
        let without = up(steps, notes, &root);
        prop_assert_eq!(with.complete(), without.complete());
        prop_assert_eq!(with.to_facts().steps, without.to_facts().steps);
        let digests = |trace: &Trace| {
            let mut sources = trace.to_facts().sources;
            sources.sort_by_key(|source| source.digest.iter().map(|(_, hex)| hex.to_owned()).collect::<Vec<_>>());
            sources
        };
        prop_assert_eq!(digests(&with), digests(&without));
    }

    #[test]
    fn upstream_and_downstream_mirror_each_other((steps, notes) in any_records()) {
        let graph = build(steps, notes);
        for root in 0..12_u8 {
            let root = tree("r", &format!("c{root}"), "n2");
            let down = graph.trace(&root, Direction::Downstream);
            for step in &down.steps {
                // Every step found downstream has, upstream of its products, the artifact.
                for output in step.outputs.iter().filter_map(|o| down.artifacts.get(o.artifact)) {
                    let up = graph.trace(
                        &NamedArtifact::new("", output.digest.clone()), Direction::Upstream);
                    prop_assert!(up.steps.iter().any(|other| other.statement == step.statement));
                }
            }
        }
    }
}
