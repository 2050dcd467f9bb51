//! Facts and traces: what is proven, what is rejected, and what is said about the rest.

use custos_core::digest::Algorithm;
use custos_core::facts::{Facts, Section};
use custos_core::identity::ExpectedSigner;
use custos_core::lineage::{BreakKind, Direction, LineageLimits, Tree, TreeOptions};
use custos_core::statement::{Statement, Subject};
use custos_evidence::gather::{GatherLimits, Question};
use custos_evidence::recover;
use custos_log::Recorder as _;
use custos_trust::TrustRoot;
use custos_trust::signer::Signer as _;

use crate::store::sql;
use crate::world::{
    NOW, World, clean, dataset, descriptor, evaluation, file, heldout, model, plan, provenance,
    raw, tree, write,
};

fn breaks(facts: &Facts) -> Vec<BreakKind> {
    facts
        .lineage
        .seen()
        .unwrap()
        .breaks
        .iter()
        .map(|broken| broken.kind)
        .collect()
}

#[test]
fn a_whole_pipeline_is_known_down_to_its_data() {
    let world = World::new();
    world.pipeline();
    let facts = world.facts(model());
    let lineage = facts.lineage.known().unwrap();
    assert!(lineage.complete, "{:?}", lineage.breaks);
    let steps: Vec<_> = lineage
        .steps
        .iter()
        .map(|step| (step.name.as_str(), step.signer.name.as_str()))
        .collect();
    assert_eq!(steps, [("clean", "data"), ("train", "trainer")]);
    assert_eq!(lineage.steps[1].isolation, "none");
    assert_eq!(lineage.steps[1].exit_status, Some(0));
    assert_eq!(
        lineage.steps[1].inputs[0].produced_by.as_deref(),
        Some("clean")
    );
    assert_eq!(lineage.sources[0].dataset.as_ref().unwrap().name, "pairs");
    let statements = facts.statements.known().unwrap();
    let indexes: Vec<_> = statements
        .iter()
        .map(|statement| statement.log_index)
        .collect();
    assert_eq!(indexes, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
    assert_eq!(facts.rejected, []);
    assert_eq!(facts.at, 5);
    assert_eq!(facts.layout, Section::unknown("no layout was given"));
    // What was gathered twice is the same, byte for byte.
    assert_eq!(
        facts.digest().unwrap(),
        world.facts(model()).digest().unwrap()
    );
    Facts::parse(&facts.to_canonical().unwrap()).unwrap();
}

#[test]
fn an_evaluation_counts_by_the_plan_that_was_logged_before_it() {
    let world = World::new();
    world.pipeline();
    let facts = world.facts(model());
    let results = &facts.evaluation.known().unwrap().results;
    assert_eq!(results.len(), 2);
    let accuracy = &results[0];
    assert_eq!(
        (accuracy.metric.as_str(), accuracy.passed),
        ("accuracy", true)
    );
    assert_eq!(
        (accuracy.plan_log_index, accuracy.evaluation_log_index),
        (Some(2), Some(4))
    );
    assert_eq!(accuracy.plan_signer.as_ref().unwrap().name, "data");
    assert_eq!(accuracy.model_digest, model().digest);
    let unplanned = &results[1];
    assert_eq!(
        (unplanned.threshold, unplanned.plan_log_index),
        (None, None)
    );
    assert!(
        !unplanned.passed,
        "nobody said beforehand what would be good enough"
    );
}

#[test]
fn a_plan_that_was_logged_after_the_result_proves_nothing() {
    let world = World::new();
    world.record(&write(&model(), &evaluation()), &world.trainer);
    world.record(&write(&heldout(), &plan()), &world.data);
    let facts = world.facts(model());
    let accuracy = &facts.evaluation.known().unwrap().results[0];
    assert_eq!(
        (accuracy.plan_log_index, accuracy.evaluation_log_index),
        (Some(1), Some(0))
    );
    assert!(!accuracy.passed);
}

#[test]
fn a_plan_by_somebody_else_is_no_plan() {
    let world = World::new();
    world.record(&write(&heldout(), &plan()), &world.mallory);
    world.record(&write(&model(), &evaluation()), &world.trainer);
    let facts = world.facts(model());
    assert!(
        facts
            .evaluation
            .known()
            .unwrap()
            .results
            .iter()
            .all(|result| !result.passed)
    );
    assert_eq!(facts.rejected.len(), 1);
    assert_eq!(facts.rejected[0].code, "E0108");
}

#[test]
fn too_few_samples_a_missed_threshold_and_a_missing_metric_do_not_pass() {
    for (value, n) in [(0.9, 49), (0.79, 100)] {
        let world = World::new();
        world.record(&write(&heldout(), &plan()), &world.data);
        let mut poor = evaluation();
        poor.metrics[0].value = value;
        poor.metrics[0].n = n;
        world.record(&write(&model(), &poor), &world.trainer);
        assert!(!world.facts(model()).evaluation.known().unwrap().results[0].passed);
    }
    let world = World::new();
    world.record(&write(&heldout(), &plan()), &world.data);
    let mut silent = evaluation();
    silent.metrics.remove(0);
    world.record(&write(&model(), &silent), &world.trainer);
    let facts = world.facts(model());
    let Section::Incomplete { missing, .. } = &facts.evaluation else {
        panic!("{:?}", facts.evaluation)
    };
    assert!(missing[0].contains("`accuracy`"), "{missing:?}");
}

#[test]
fn an_evaluation_of_another_model_than_its_subject_is_no_result() {
    let world = World::new();
    let mut other = evaluation();
    other.model = descriptor(&file("better.bin", "better"));
    world.record(&write(&model(), &other), &world.trainer);
    let facts = world.facts(model());
    assert_eq!(facts.evaluation.known(), None);
    assert!(facts.evaluation.seen().unwrap().results.is_empty());
}

#[test]
fn a_statement_by_an_unexpected_key_is_rejected_and_named() {
    let world = World::new();
    world.record(&dataset(&raw()), &world.data);
    world.record(&provenance("clean", &[raw()], &[clean()]), &world.data);
    world.record(&provenance("train", &[clean()], &[model()]), &world.mallory);
    let facts = world.facts(model());
    assert_eq!(facts.statements.known().unwrap(), &[]);
    assert_eq!(breaks(&facts), [BreakKind::Unverified]);
    assert_eq!(facts.rejected.len(), 1);
    let rejected = &facts.rejected[0];
    assert_eq!(rejected.code, "E0108");
    let mallory = world.mallory.public_key().id().to_string();
    assert_eq!(rejected.signer_key_id.as_deref(), Some(mallory.as_str()));
    assert_eq!(
        rejected.predicate_type.as_deref(),
        Some("https://slsa.dev/provenance/v1")
    );
    // A trace shows the step, and goes on behind it.
    let trace = world
        .gather(&Question::trace(model(), Direction::Upstream))
        .trace;
    let names: Vec<_> = trace.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["train", "clean"]);
    let text = Tree::of(&trace, TreeOptions::default()).to_string();
    assert!(
        text.contains("made by train  log #2  isolation none  !! not verified: E0108"),
        "{text}"
    );
}

#[test]
fn a_forged_copy_beside_the_real_statement_does_no_harm() {
    let world = World::new();
    world.pipeline();
    let before = world.facts(model());
    world.record(
        &provenance("train", &[file("poison", "poison")], &[model()]),
        &world.mallory,
    );
    let after = world.facts(model());
    assert!(after.lineage.known().unwrap().complete);
    assert_eq!(after.rejected.len(), 1);
    assert_eq!(
        after.lineage.known().unwrap().steps,
        before.lineage.known().unwrap().steps
    );
}

#[test]
fn one_changed_byte_is_named_with_the_step_that_made_the_real_one() {
    let world = World::new();
    world.pipeline();
    let facts = world.facts(file("model.bin", "model with one byte changed"));
    assert_eq!(facts.statements.known().unwrap(), &[]);
    assert_eq!(breaks(&facts), [BreakKind::ProductChanged]);
    let message = &facts.lineage.known().unwrap().breaks[0].message;
    assert!(message.contains("step `train` (log #3)"), "{message}");
}

#[test]
fn an_input_that_was_swapped_between_steps_is_named() {
    let world = World::new();
    world.record(&dataset(&raw()), &world.data);
    world.record(&provenance("clean", &[raw()], &[clean()]), &world.data);
    let swapped = tree("data/clean", "poisoned");
    world.record(&provenance("train", &[swapped], &[model()]), &world.trainer);
    let facts = world.facts(model());
    // The names agree, the contents do not.
    assert_eq!(breaks(&facts), [BreakKind::DigestConflict]);
    let message = &facts.lineage.known().unwrap().breaks[0].message;
    assert!(message.contains("step `clean` (log #1)"), "{message}");
}

#[test]
fn rows_are_no_evidence() {
    let world = World::new();
    world.pipeline();
    // Somebody who can write the database says that the good provenance is about another file.
    let bad = file("bad.bin", "bad");
    let hex = Algorithm::Sha256.digest(b"model").to_hex();
    assert!(model().digest.get_raw("sha256") == Some(&hex));
    sql(
        &world.path(),
        "INSERT INTO subject SELECT org, project, bundle_digest, 7,
           'sha256:66f73870a59e9b24dba7ac4de4e8f9fa6a0ce3f7f5d1b0f4d30a2e1a5a3c5d77', 'bad.bin'
         FROM statement WHERE log_index = 3",
    );
    let mut named = bad.clone();
    named.digest = custos_core::digest::DigestSet::new();
    named.digest.insert_raw(
        "sha256",
        "66f73870a59e9b24dba7ac4de4e8f9fa6a0ce3f7f5d1b0f4d30a2e1a5a3c5d77",
    );
    assert_eq!(
        world.store.about(&named.digest).unwrap().len(),
        1,
        "the row is found"
    );
    let facts = world.facts(named);
    assert!(!facts.lineage.seen().unwrap().complete);
    assert!(facts.lineage.seen().unwrap().steps.is_empty());
}

#[test]
fn an_erased_or_damaged_bundle_is_missing_and_said_to_be() {
    let world = World::new();
    world.pipeline();
    sql(
        &world.path(),
        "UPDATE blob SET data = CAST('{}' AS BLOB)
         WHERE digest = (SELECT bundle_digest FROM statement WHERE log_index = 3);",
    );
    let facts = world.facts(model());
    assert!(!facts.lineage.seen().unwrap().complete);
    assert_eq!(facts.rejected.len(), 1);
    assert_eq!(facts.rejected[0].code, "bundle-damaged");
    assert_eq!(
        missing(&facts),
        ["the statement of log entry #3 cannot be read"]
    );
}

fn missing(facts: &Facts) -> Vec<String> {
    let Section::Incomplete { missing, .. } = &facts.statements else {
        panic!("{:?}", facts.statements)
    };
    assert!(matches!(facts.lineage, Section::Incomplete { .. }));
    assert!(!matches!(facts.evaluation, Section::Known { .. }));
    missing.clone()
}

#[test]
fn a_log_entry_without_its_statement_makes_facts_incomplete() {
    let world = World::new();
    world.pipeline();
    // Logged, and lost before it was indexed: it may have been a revocation of the model.
    let lost = world.record(
        &write(&file("other", "other"), &evaluation()),
        &world.trainer,
    );
    assert!(world.facts(model()).lineage.known().is_some());
    world.store.erase(&lost.digest).unwrap();
    let facts = world.facts(model());
    assert_eq!(
        missing(&facts),
        ["the statements of 1 of 6 log entries are not in the store: #5"]
    );
    assert!(
        facts.lineage.seen().unwrap().complete,
        "what is there holds"
    );
    // An artifact that nobody said anything about is no exception.
    missing(&world.facts(file("stranger", "stranger")));
}

#[test]
fn what_others_logged_takes_nothing_from_what_is_known() {
    let mut world = World::new();
    world.pipeline();
    let log = world.log.reader();
    let look = |world: &World| {
        let checkpoint = log.latest().unwrap();
        recover::look(&world.store, &log, &checkpoint).unwrap()
    };
    // Through the same log, and without a word to this store: no signature at all, and one by
    // somebody whom nobody here expects.
    world.log.record(&[b"not even an entry".to_vec()]).unwrap();
    let foreign = world.record(&write(&model(), &evaluation()), &world.mallory);
    world.store.erase(&foreign.digest).unwrap();
    // Until somebody has looked, these could be anything.
    assert_eq!(
        missing(&world.facts(model())),
        ["the statements of 2 of 7 log entries are not in the store: #5, #6"]
    );
    assert_eq!(look(&world), 2);
    assert_eq!(look(&world), 0, "once is enough");
    assert!(world.facts(model()).lineage.known().is_some());
    // Who is expected may change; then it does lack.
    let mallory = ExpectedSigner::key("mallory", world.mallory.public_key().clone());
    world.expected.push(mallory);
    assert_eq!(
        missing(&world.facts(model())),
        ["the statements of 1 of 7 log entries by expected signers are not in the store: #6"]
    );
    world.expected.pop();
    // So does an entry by an expected signer, as long as its statement does.
    let lost = world.record(&write(&file("o", "o"), &evaluation()), &world.trainer);
    let bytes = world.store.bundle(&lost.digest).unwrap();
    world.store.erase(&lost.digest).unwrap();
    look(&world);
    assert_eq!(
        missing(&world.facts(model())),
        ["the statements of 1 of 8 log entries by expected signers are not in the store: #7"]
    );
    world.store.commit(vec![bytes.into()], NOW).unwrap();
    assert!(world.facts(model()).lineage.known().is_some());
}

#[test]
fn a_step_that_names_thousands_does_not_become_thousands_of_questions() {
    let world = World::new();
    let inputs: Vec<_> = (0..200)
        .map(|n| file(&format!("i{n}"), &n.to_string()))
        .collect();
    world.record(&provenance("train", &inputs, &[model()]), &world.trainer);
    let limits = GatherLimits {
        lineage: LineageLimits {
            max_nodes: 50,
            max_depth: 8,
        },
        ..GatherLimits::default()
    };
    let facts = world
        .gather(&Question::facts(model()).within(limits))
        .facts(None);
    assert_eq!(missing(&facts), ["the lineage has more than 50 artifacts"]);
}

#[test]
fn a_log_that_is_not_trusted_makes_no_facts() {
    let mut world = World::new();
    world.pipeline();
    world.trust_root = TrustRoot::trusting_nothing();
    let facts = world.facts(model());
    assert_eq!(facts.statements.known().unwrap(), &[]);
    assert_eq!(
        facts.rejected.len(),
        2,
        "provenance and evaluation of the model"
    );
}

#[test]
fn answers_are_remembered_and_forgotten_with_the_settings() {
    let mut world = World::new();
    world.pipeline();
    let first = world.facts(model());
    let remembered = world.judge.remembered();
    assert_eq!(remembered, 5);
    assert_eq!(world.facts(model()), first);
    assert_eq!(
        world.judge.remembered(),
        remembered,
        "nothing was verified again"
    );
    // Another list of expected signers is another question.
    world.expected.retain(|signer| signer.name() != "trainer");
    let facts = world.facts(model());
    assert!(world.judge.remembered() > remembered);
    assert_eq!(facts.rejected.len(), 2);
}

#[test]
fn downstream_shows_whatever_used_it() {
    let world = World::new();
    world.pipeline();
    let trace = world
        .gather(&Question::trace(raw(), Direction::Downstream))
        .trace;
    let names: Vec<_> = trace.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["clean", "train"]);
    let script = file("script.py", "script");
    let trace = world
        .gather(&Question::trace(script, Direction::Downstream))
        .trace;
    assert_eq!(trace.steps.len(), 2, "what a bad script touched");
    assert!(
        trace
            .artifacts
            .iter()
            .any(|artifact| artifact.digest == model().digest)
    );
}

#[test]
fn an_unknown_artifact_is_unknown_and_not_an_error() {
    let world = World::new();
    let facts = world.facts(file("stranger", "stranger"));
    assert_eq!(breaks(&facts), [BreakKind::UnknownSource]);
    assert_eq!(facts.statements.known().unwrap(), &[]);
    assert_eq!(facts.evaluation.known(), None);
    assert_eq!(facts.at, 0);
}

#[test]
fn bounds_make_facts_incomplete() {
    let world = World::new();
    world.pipeline();
    let small = GatherLimits {
        max_bundles: 2,
        ..GatherLimits::default()
    };
    let shallow = GatherLimits {
        lineage: LineageLimits {
            max_nodes: 20_000,
            max_depth: 0,
        },
        ..GatherLimits::default()
    };
    for limits in [small, shallow] {
        let facts = world
            .gather(&Question::facts(model()).within(limits))
            .facts(None);
        assert!(
            matches!(facts.statements, Section::Incomplete { .. }),
            "{limits:?}"
        );
        assert_eq!(facts.lineage.known(), None);
        assert!(!facts.lineage.seen().unwrap().complete);
    }
}

#[test]
fn provenance_that_hides_an_input_is_no_fact() {
    let world = World::new();
    world.record(&dataset(&raw()), &world.data);
    // It declares an input and does not say what it was.
    let good = provenance("clean", &[raw(), clean()], &[model()]);
    let mut value: serde_json::Value = serde_json::from_str(good.predicate_json()).unwrap();
    let dependencies = value["buildDefinition"]["resolvedDependencies"]
        .as_array_mut()
        .unwrap();
    dependencies.retain(|dependency| dependency["name"] != "data/clean");
    let subject = vec![Subject::new("model.bin", model().digest)];
    let hiding = Statement::new(subject, good.predicate_type(), &value).unwrap();
    let bundle = custos_trust::seal::sign_statement(&hiding, &world.trainer, Some(&world.log));
    let bundle = bundle.unwrap().to_bytes().unwrap();
    let error = world
        .store
        .commit(vec![bundle.into()], crate::world::NOW)
        .unwrap_err();
    assert!(error.to_string().contains("data/clean"), "{error}");
    assert_eq!(breaks(&world.facts(model())), [BreakKind::UnknownSource]);
}
