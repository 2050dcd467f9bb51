//! Layouts against records, one test for each way in which a pipeline can be other than declared.

use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::predicate::evaluation::{Evaluation, Metric, PlanReference};
use custos_core::predicate::evaluation_plan::{Answer, Direction, EvaluationPlan, PlannedMetric};
use custos_core::predicate::step::Isolation;
use custos_core::statement::ResourceDescriptor;
use proptest::prelude::*;

use super::record::Source as Signed;
use super::*;

const LAYOUT: &str = r#"
schema = "custos.layout/1"
name = "signs"
expires = 2027-01-01T00:00:00Z
final = "package/archive"

[[source]]
name = "raw"
digests = ["sha256:RAW"]

[[step]]
name = "prepare"
signers = ["data-team"]
command = ["python", "prepare.py", "**"]
products = ["train", "heldout"]
input = [{ name = "raw", from = "source:raw" }]

[[step]]
name = "train"
signers = ["trainer"]
products = ["model"]
input = [{ name = "data", from = "prepare/train" }]

[[step]]
name = "evaluate"
signers = ["evaluator"]
products = ["report"]
input = [
  { name = "model", from = "train/model" },
  { name = "data", from = "prepare/heldout" },
]

[[step]]
name = "package"
signers = ["trainer", "release"]
products = ["archive"]
input = [{ name = "model", from = "train/model" }]
after = ["evaluate"]
"#;

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

fn digest(text: &str) -> Digest {
    Algorithm::Sha256.digest(text.as_bytes())
}

fn text() -> String {
    LAYOUT.replace("RAW", &digest("raw").to_hex())
}

fn signed(signer: &str, index: u64) -> Signed {
    Signed {
        signers: [signer.to_owned()].into(),
        log_index: Some(index),
        bundle: digest(&format!("{signer} {index}")),
    }
}

fn record(
    index: u64,
    (step, signer): (&str, &str),
    inputs: &[(&str, &str)],
    products: &[(&str, &str)],
) -> StepRecord {
    let named = |list: &[(&str, &str)]| {
        list.iter()
            .map(|(name, of)| ((*name).to_owned(), DigestSet::from(digest(of))))
            .collect()
    };
    StepRecord {
        source: signed(signer, index),
        step: step.to_owned(),
        command: ["python", "prepare.py", "--fast"]
            .map(String::from)
            .to_vec(),
        inputs: named(inputs),
        products: named(products),
        isolation: Isolation::None,
    }
}

fn records() -> Vec<StepRecord> {
    vec![
        record(
            10,
            ("prepare", "data-team"),
            &[("raw", "raw")],
            &[("train", "t"), ("heldout", "h")],
        ),
        record(
            11,
            ("train", "trainer"),
            &[("data", "t")],
            &[("model", "m")],
        ),
        record(
            12,
            ("evaluate", "evaluator"),
            &[("model", "m"), ("data", "h")],
            &[("report", "r")],
        ),
        record(
            13,
            ("package", "release"),
            &[("model", "m")],
            &[("archive", "a")],
        ),
    ]
}

fn report_of(text: &str, evidence: &Evidence<'_>, target: &str) -> LayoutReport {
    let layout = Layout::parse(text).unwrap();
    evaluate(&layout, evidence, &digest(target).into(), NOW)
}

fn violations(steps: &[StepRecord]) -> Vec<Violation> {
    report_of(
        &text(),
        &Evidence {
            steps,
            ..Evidence::default()
        },
        "a",
    )
    .violations
}

fn changed(change: impl FnOnce(&mut Vec<StepRecord>)) -> Vec<Violation> {
    let mut steps = records();
    change(&mut steps);
    violations(&steps)
}

#[test]
fn the_declared_pipeline_is_met_in_any_order_of_records() {
    let mut steps = records();
    for _ in 0..steps.len() {
        steps.rotate_left(1);
        let evidence = Evidence {
            steps: &steps,
            ..Evidence::default()
        };
        let report = report_of(&text(), &evidence, "a");
        assert_eq!(report.violations, []);
        assert!(report.is_met());
        assert_eq!(report.covered.len(), 4);
        assert_eq!(report.covered["train"], digest("trainer 11"));
    }
}

#[test]
fn a_missing_step_is_named_wherever_it_stands() {
    for (at, step) in ["prepare", "train", "evaluate", "package"]
        .into_iter()
        .enumerate()
    {
        let found = changed(|steps| drop(steps.remove(at)));
        assert_eq!(
            found,
            [Violation::MissingStep { step: step.into() }],
            "{step}"
        );
    }
    let none: Vec<String> = violations(&[]).iter().map(ToString::to_string).collect();
    assert_eq!(none.len(), 4, "{none:?}");
}

#[test]
fn another_artifact_is_not_the_final_one() {
    let steps = records();
    let evidence = Evidence {
        steps: &steps,
        ..Evidence::default()
    };
    let report = report_of(&text(), &evidence, "changed");
    assert_eq!(
        report.violations,
        [Violation::ProductMismatch {
            product: "package/archive".into(),
            consumer: "the artifact".into()
        }]
    );
    // What led there is not covered by an artifact that is not its result.
    assert!(!report.is_met());
}

#[test]
fn a_swapped_product_is_named_with_its_consumer() {
    let mismatch = |product: &str, consumer: &str| Violation::ProductMismatch {
        product: product.into(),
        consumer: consumer.into(),
    };
    let swapped = |at: usize, input: usize| {
        changed(|steps| steps[at].inputs[input].1 = digest("other").into())
    };
    assert_eq!(swapped(1, 0), [mismatch("prepare/train", "train/data")]);
    assert_eq!(swapped(2, 0), [mismatch("train/model", "evaluate/model")]);
    assert_eq!(
        swapped(2, 1),
        [mismatch("prepare/heldout", "evaluate/data")]
    );
    assert_eq!(swapped(3, 0), [mismatch("train/model", "package/model")]);
}

#[test]
fn a_step_between_that_nobody_declared_is_foreign() {
    let foreign = changed(|steps| {
        steps.push(record(
            14,
            ("tamper", "trainer"),
            &[("model", "m")],
            &[("model", "m2")],
        ));
        steps[3].inputs[0].1 = digest("m2").into();
    });
    assert!(foreign.contains(&Violation::ForeignStep {
        step: "tamper".into(),
        artifact: "train/model".into()
    }));
    // Also one that claims to have made what a declared step made.
    let claim = changed(|steps| {
        steps.push(record(
            14,
            ("copy", "trainer"),
            &[("x", "m")],
            &[("y", "a")],
        ));
    });
    assert_eq!(
        claim,
        [Violation::ForeignStep {
            step: "copy".into(),
            artifact: "package/archive".into()
        }]
    );
    // One that only reads is none of the layout's business.
    assert_eq!(
        changed(|steps| {
            steps.push(record(
                14,
                ("plot", "trainer"),
                &[("model", "m")],
                &[("figure", "f")],
            ));
        }),
        []
    );
}

#[test]
fn only_the_allowed_sign_a_step() {
    let found = changed(|steps| steps[1].source = signed("data-team", 11));
    assert_eq!(
        found,
        [Violation::SignerNotAllowed {
            step: "train".into(),
            found: "data-team".into(),
            allowed: vec!["trainer".into()]
        }]
    );
    // A record of somebody else beside the right one neither helps nor hurts.
    assert_eq!(
        changed(|steps| {
            let mut copy = steps[1].clone();
            copy.source = signed("data-team", 9);
            copy.inputs[0].1 = digest("elsewhere").into();
            steps.insert(0, copy);
        }),
        []
    );
}

#[test]
fn order_is_that_of_the_log() {
    let reordered = |earlier: &str, later: &str| Violation::Reordered {
        earlier: earlier.into(),
        later: later.into(),
    };
    let moved = |at: usize, index: u64| changed(|steps| steps[at].source.log_index = Some(index));
    assert_eq!(
        moved(0, 20),
        [
            reordered("prepare", "train"),
            reordered("prepare", "evaluate")
        ]
    );
    assert_eq!(
        moved(2, 20),
        [reordered("evaluate", "package")],
        "`after` counts as well"
    );
    assert_eq!(moved(3, 13), []);
    assert_eq!(
        changed(|steps| steps[1].source.log_index = None),
        [Violation::NotLogged {
            step: "train".into()
        }]
    );
}

#[test]
fn a_step_that_was_run_again_with_the_same_result_is_one_step() {
    let again = changed(|steps| {
        let mut copy = steps[1].clone();
        copy.source = signed("trainer", 40);
        steps.insert(0, copy);
    });
    assert_eq!(again, []);
}

#[test]
fn two_derivations_of_one_product_are_ambiguous() {
    let duplicate = Violation::DuplicateStep {
        step: "train".into(),
    };
    let found = changed(|steps| {
        let mut copy = steps[1].clone();
        copy.source = signed("trainer", 9);
        copy.inputs[0].1 = digest("other data").into();
        steps.push(copy);
    });
    assert!(found.contains(&duplicate), "{found:?}");
    // Two consumers that used two runs of one step.
    let found = changed(|steps| {
        steps.push(record(
            5,
            ("prepare", "data-team"),
            &[("raw", "raw")],
            &[("train", "t2"), ("heldout", "h2")],
        ));
        steps[2].inputs[1].1 = digest("h2").into();
    });
    assert_eq!(
        found,
        [Violation::ProductMismatch {
            product: "prepare/heldout".into(),
            consumer: "evaluate/data".into()
        }]
    );
}

#[test]
fn inputs_and_products_are_exactly_the_declared_ones() {
    assert_eq!(
        changed(|steps| steps[1].inputs.push(("extra".into(), digest("x").into()))),
        [Violation::InputNotDeclared {
            step: "train".into(),
            input: "extra".into()
        }]
    );
    assert_eq!(
        changed(|steps| steps[1].inputs[0].0 = "renamed".into()),
        [
            Violation::InputMissing {
                step: "train".into(),
                input: "data".into()
            },
            Violation::InputNotDeclared {
                step: "train".into(),
                input: "renamed".into()
            },
        ]
    );
    assert_eq!(
        changed(|steps| steps[1].products.push(("extra".into(), digest("x").into()))),
        [Violation::ProductNotDeclared {
            step: "train".into(),
            product: "extra".into()
        }]
    );
    let found = changed(|steps| drop(steps[0].products.pop()));
    assert!(
        found
            .iter()
            .any(|v| matches!(v, Violation::ProductMismatch { .. })),
        "{found:?}"
    );
}

#[test]
fn another_command_is_told() {
    let found = changed(|steps| steps[0].command[1] = "evil.py".into());
    assert!(
        matches!(&found[..], [Violation::CommandNotExpected { step, .. }] if step == "prepare")
    );
}

#[test]
fn data_of_unknown_origin_is_told() {
    let unknown = Violation::UnknownDataset {
        name: "raw".into(),
        input: "prepare/raw".into(),
    };
    let swap = |steps: &mut Vec<StepRecord>| steps[0].inputs[0].1 = digest("poisoned").into();
    assert_eq!(changed(swap), std::slice::from_ref(&unknown));

    // A dataset statement of an allowed signer makes it known, one of another does not.
    let by_statement = text().replace(
        &format!("digests = [\"sha256:{}\"]", digest("raw").to_hex()),
        "signers = [\"data-team\"]",
    );
    let steps = records();
    for (signer, about, expected) in [
        ("data-team", "raw", vec![]),
        ("trainer", "raw", vec![unknown.clone()]),
        ("data-team", "other", vec![unknown]),
    ] {
        let datasets = [DatasetRecord {
            source: signed(signer, 1),
            dataset: dataset(),
            digests: vec![digest(about).into()],
        }];
        let evidence = Evidence {
            steps: &steps,
            datasets: &datasets,
            ..Evidence::default()
        };
        assert_eq!(
            report_of(&by_statement, &evidence, "a").violations,
            expected,
            "{signer}"
        );
    }
}

fn dataset() -> custos_core::predicate::dataset::Dataset {
    custos_core::predicate::dataset::Dataset {
        name: "signs".into(),
        version: "1".into(),
        licence: "CC0-1.0".into(),
        sources: vec![ResourceDescriptor::default().with_uri("https://example.com/")],
        records: 1,
        modalities: vec!["text".into()],
        pairing: None,
        splits: Vec::new(),
        rows: None,
    }
}

#[test]
fn an_expired_layout_is_told() {
    let steps = records();
    let layout = Layout::parse(&text()).unwrap();
    let evidence = Evidence {
        steps: &steps,
        ..Evidence::default()
    };
    let at = layout.expires();
    let last = evaluate(&layout, &evidence, &digest("a").into(), at.plus_micros(-1));
    assert!(last.is_met());
    let late = evaluate(&layout, &evidence, &digest("a").into(), at);
    assert_eq!(late.violations, [Violation::Expired { at }]);
}

mod quality;

#[test]
fn unknown_keys_are_errors_at_every_level() {
    for (at, extra) in [
        ("name = \"signs\"", "name = \"signs\"\nowner = \"x\""),
        (
            "name = \"raw\"\ndigests",
            "name = \"raw\"\nurl = \"x\"\ndigests",
        ),
        (
            "signers = [\"trainer\"]",
            "signers = [\"trainer\"]\nthreshold = 1",
        ),
        (
            "from = \"source:raw\" }",
            "from = \"source:raw\", optional = true }",
        ),
    ] {
        assert!(text().contains(at), "{at}");
        let changed = text().replacen(at, extra, 1);
        assert!(
            matches!(Layout::parse(&changed), Err(LayoutError::Toml { line, .. }) if line > 0),
            "{extra}"
        );
    }
}

#[test]
fn a_layout_that_would_allow_anything_is_none() {
    let parse = |from: &str, to: &str| {
        assert!(text().contains(from), "{from}");
        Layout::parse(&text().replacen(from, to, 1)).unwrap_err()
    };
    let head = text().split("[[step]]").next().unwrap().to_owned();
    assert_eq!(Layout::parse(&head), Err(LayoutError::NoSteps));
    let without = |step: &str, what| LayoutError::StepWithout {
        step: step.into(),
        what,
    };
    assert_eq!(
        parse("signers = [\"trainer\"]", "signers = []"),
        without("train", "signers")
    );
    assert_eq!(
        parse("products = [\"model\"]", "products = []"),
        without("train", "products")
    );
    assert_eq!(
        parse(
            "input = [{ name = \"data\", from = \"prepare/train\" }]",
            ""
        ),
        without("train", "inputs")
    );
    let digests = format!("digests = [\"sha256:{}\"]", digest("raw").to_hex());
    assert_eq!(
        parse(&digests, ""),
        LayoutError::SourceOfAnybody { name: "raw".into() }
    );
    assert_eq!(
        parse("final = \"package/archive\"", "final = \"source:raw\""),
        LayoutError::NotAReference {
            text: "source:raw".into()
        }
    );
}

fn rejected(cases: &[(&str, &str, LayoutError)]) {
    for (from, to, expected) in cases {
        assert!(text().contains(from), "{from}");
        let changed = text().replacen(from, to, 1);
        assert_eq!(Layout::parse(&changed).as_ref(), Err(expected), "{to}");
    }
}

#[test]
fn references_lead_to_earlier_steps_only() {
    let unknown = |from: &str| LayoutError::UnknownReference { from: from.into() };
    rejected(&[
        (
            "from = \"prepare/train\"",
            "from = \"package/archive\"",
            unknown("package/archive"),
        ),
        (
            "from = \"prepare/train\"",
            "from = \"train/model\"",
            unknown("train/model"),
        ),
        (
            "from = \"prepare/train\"",
            "from = \"prepare/absent\"",
            unknown("prepare/absent"),
        ),
        (
            "from = \"source:raw\"",
            "from = \"source:absent\"",
            unknown("source:absent"),
        ),
        (
            "after = [\"evaluate\"]",
            "after = [\"package\"]",
            unknown("package"),
        ),
        (
            "final = \"package/archive\"",
            "final = \"package/x\"",
            unknown("package/x"),
        ),
    ]);
}

#[test]
fn names_and_schema_are_strict() {
    rejected(&[
        (
            "custos.layout/1",
            "custos.layout/2",
            LayoutError::Schema {
                found: "custos.layout/2".into(),
            },
        ),
        (
            "from = \"prepare/train\"",
            "from = \"prepare\"",
            LayoutError::NotAReference {
                text: "prepare".into(),
            },
        ),
        (
            "name = \"train\"",
            "name = \"prepare\"",
            LayoutError::Duplicate {
                what: "step",
                name: "prepare".into(),
            },
        ),
        (
            "name = \"train\"",
            "name = \"a/b\"",
            LayoutError::NotAName { text: "a/b".into() },
        ),
    ]);
    let large = format!("{}# {}", text(), "x".repeat(MAX_BYTES));
    assert!(matches!(
        Layout::parse(&large),
        Err(LayoutError::TooLarge { .. })
    ));
}

#[test]
fn the_example_of_the_reference_page_is_a_layout() {
    let page = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/layout.md"),
    )
    .unwrap();
    let example = page
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let example = example.replace("9f2c...", &digest("raw").to_hex());
    let layout = Layout::parse(&example).unwrap();
    assert_eq!(layout.final_artifact().to_string(), "package/archive");
    assert_eq!(layout.quality().unwrap().metrics.len(), 1);
}

#[test]
fn everybody_it_names_is_known() {
    let layout = Layout::parse(&text()).unwrap();
    let signers: Vec<&str> = layout.signers().into_iter().collect();
    assert_eq!(signers, ["data-team", "evaluator", "release", "trainer"]);
}

proptest! {
    // Whatever is taken away or changed, a report without violations means the declared chain.
    #[test]
    fn no_single_change_of_an_artifact_goes_unseen(
        at in 0_usize..4, side in any::<bool>(), part in 0_usize..2, to in "[a-z]{1,2}",
    ) {
        let mut steps = records();
        let step = &mut steps[at];
        let list = if side { &mut step.inputs } else { &mut step.products };
        let part = part % list.len();
        let before = list[part].1.clone();
        list[part].1 = digest(&to).into();
        prop_assume!(list[part].1 != before);
        // The report of the evaluation feeds nothing, so that any report will do.
        prop_assume!(at != 2 || side);
        prop_assert!(!violations(&steps).is_empty());
    }

    #[test]
    fn parsing_never_panics(cut in 0_usize..2000, text in "\\PC{0,60}") {
        let whole = super::tests::text();
        let cut = whole.char_indices().map(|(at, _)| at).find(|at| *at >= cut).unwrap_or(0);
        fuzz_layout(format!("{}{text}{}", &whole[..cut], &whole[cut..]).as_bytes());
        fuzz_layout(&whole.as_bytes()[..cut]);
    }
}
