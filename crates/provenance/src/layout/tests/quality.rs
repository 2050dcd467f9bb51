//! What a layout asks of evaluations and of the code.

use super::*;

const ASKED: &str = r#"
[evaluation]
model = "train/model"
plan_signers = ["lead"]
signers = ["evaluator"]
[[evaluation.metric]]
name = "auc"
direction = "higher-is-better"
threshold = 0.7
"#;

struct Scene {
    plans: Vec<PlanRecord>,
    evaluations: Vec<EvaluationRecord>,
}

fn scene() -> Scene {
    let plan = EvaluationPlan {
        name: "release".into(),
        dataset: ResourceDescriptor::new("heldout", digest("h")),
        method: "held-out".into(),
        metrics: vec![PlannedMetric {
            name: "accuracy".into(),
            slice: None,
            direction: Direction::HigherIsBetter,
            threshold: 0.8,
            min_n: Some(100),
        }],
    };
    let plan_digest = custos_core::predicate::digest(&plan).unwrap();
    let metric = |name: &str| Metric {
        name: name.into(),
        value: 0.9,
        n: 200,
        interval: None,
    };
    let evaluation = Evaluation {
        plan: PlanReference {
            digest: plan_digest.into(),
            log_index: Some(2),
        },
        model: ResourceDescriptor::new("model", digest("m")),
        dataset: ResourceDescriptor::new("heldout", digest("h")),
        metrics: vec![metric("accuracy"), metric("auc")],
        slices: Vec::new(),
    };
    Scene {
        plans: vec![PlanRecord {
            source: signed("lead", 2),
            plan,
            digest: plan_digest,
        }],
        evaluations: vec![EvaluationRecord {
            source: signed("evaluator", 20),
            evaluation,
            digests: vec![digest("m").into()],
        }],
    }
}

fn violations(change: impl FnOnce(&mut Scene)) -> Vec<Violation> {
    let mut scene = scene();
    change(&mut scene);
    let steps = records();
    let evidence = Evidence {
        steps: &steps,
        plans: &scene.plans,
        evaluations: &scene.evaluations,
        ..Evidence::default()
    };
    report_of(&format!("{}{ASKED}", text()), &evidence, "a").violations
}

#[test]
fn a_good_result_under_an_earlier_plan_is_enough() {
    assert_eq!(violations(|_| {}), []);
}

#[test]
fn the_plan_comes_before_the_result() {
    for index in [Some(20), Some(21), None] {
        assert_eq!(
            violations(|scene| scene.plans[0].source.log_index = index),
            [Violation::EvaluationNotPlanned],
            "{index:?}"
        );
    }
}

#[test]
fn plan_and_evaluation_are_by_the_right_people_and_about_this_model() {
    let missing = |what, signer: &str| {
        vec![Violation::EvaluationMissing {
            what,
            signers: vec![signer.into()],
        }]
    };
    assert_eq!(
        violations(|scene| scene.evaluations[0].source = signed("trainer", 20)),
        missing("evaluation", "evaluator")
    );
    assert_eq!(
        violations(|scene| scene.plans[0].source = signed("evaluator", 2)),
        missing("evaluation plan", "lead")
    );
    assert_eq!(
        violations(|scene| scene.evaluations[0].digests = vec![digest("other").into()]),
        missing("evaluation", "evaluator")
    );
    assert_eq!(
        violations(|scene| {
            scene.evaluations[0].evaluation.dataset.digest = digest("easier").into();
        }),
        missing("evaluation plan", "lead")
    );
    assert_eq!(
        violations(|scene| scene.plans.clear()),
        missing("evaluation plan", "lead")
    );
}

#[test]
fn values_meet_the_plan_and_the_layout() {
    let not_met = |metric: &str, answer| {
        vec![Violation::EvaluationNotMet {
            metric: metric.into(),
            answer,
        }]
    };
    assert_eq!(
        violations(|scene| scene.evaluations[0].evaluation.metrics[0].value = 0.79),
        not_met(
            "accuracy",
            Answer::Missed {
                value: 0.79,
                threshold: 0.8
            }
        )
    );
    assert_eq!(
        violations(|scene| drop(scene.evaluations[0].evaluation.metrics.pop())),
        not_met("auc", Answer::Missing)
    );
    assert_eq!(
        violations(|scene| scene.evaluations[0].evaluation.metrics[0].n = 99),
        not_met("accuracy", Answer::TooFew { n: 99, min_n: 100 })
    );
}

#[test]
fn a_bad_result_is_not_hidden_behind_a_good_one() {
    let found = violations(|scene| {
        let mut bad = scene.evaluations[0].clone();
        bad.source = signed("evaluator", 19);
        bad.evaluation.metrics[0].value = 0.5;
        scene.evaluations.push(bad);
    });
    assert_eq!(
        found,
        [Violation::EvaluationNotMet {
            metric: "accuracy".into(),
            answer: Answer::Missed {
                value: 0.5,
                threshold: 0.8
            }
        }]
    );
}

#[test]
fn a_pinned_plan_is_the_only_one() {
    let pinned = |digest: &Digest| {
        let text = format!("{}{ASKED}", text());
        text.replace(
            "plan_signers",
            &format!("plan = \"{digest}\"\nplan_signers"),
        )
    };
    let (scene, steps) = (scene(), records());
    let evidence = Evidence {
        steps: &steps,
        plans: &scene.plans,
        evaluations: &scene.evaluations,
        ..Evidence::default()
    };
    assert!(report_of(&pinned(&scene.plans[0].digest), &evidence, "a").is_met());
    assert!(!report_of(&pinned(&digest("other")), &evidence, "a").is_met());
}
