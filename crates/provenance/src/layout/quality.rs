//! Whether a model was evaluated as the layout asks: under a plan that stood in the log before
//! the result, by the right people, and with values that are good enough.

use custos_core::digest::DigestSet;
use custos_core::predicate::evaluation_plan::{Answer, EvaluationPlan};

use super::Quality;
use super::evaluate::{Evidence, Violation};
use super::record::{EvaluationRecord, PlanRecord};

/// Checks the evaluation of `model`, `None` if the chain does not tell which model that is.
pub(super) fn check(
    quality: &Quality,
    evidence: &Evidence<'_>,
    model: Option<&DigestSet>,
) -> Vec<Violation> {
    let evaluations: Vec<&EvaluationRecord> = evidence
        .evaluations
        .iter()
        .filter(|record| record.source.is_signed_by(&quality.signers))
        .filter(|record| model.is_some_and(|model| is_about(record, model)))
        .collect();
    if evaluations.is_empty() {
        return vec![missing("evaluation", &quality.signers)];
    }
    // One evaluation that meets everything is enough, so the one with the least wrong is told.
    // A bad result cannot be hidden behind a good one of the same plan: see `judge`.
    evaluations
        .iter()
        .map(|record| judge(quality, evidence, record, &evaluations))
        .min_by_key(Vec::len)
        .unwrap_or_default()
}

fn judge(
    quality: &Quality,
    evidence: &Evidence<'_>,
    evaluation: &EvaluationRecord,
    all: &[&EvaluationRecord],
) -> Vec<Violation> {
    let plans = evidence
        .plans
        .iter()
        .filter(|plan| plan.source.is_signed_by(&quality.plan_signers))
        .filter(|plan| quality.plan.is_none_or(|digest| digest == plan.digest))
        .filter(|plan| evaluation.evaluation.follows(&plan.plan, &plan.digest));
    // The same plan may have been logged again: the first time is what counts.
    let Some(plan) = plans.min_by_key(|plan| plan.source.log_index.unwrap_or(u64::MAX)) else {
        return vec![missing("evaluation plan", &quality.plan_signers)];
    };
    let mut violations = Vec::new();
    if !comes_before(plan, evaluation) {
        violations.push(Violation::EvaluationNotPlanned);
    }
    let extra = EvaluationPlan {
        metrics: quality.planned(),
        ..plan.plan.clone()
    };
    // Whoever evaluates until the result is good enough has logged the bad ones as well: each
    // evaluation of this model under this plan counts, and the worst one decides.
    for record in all
        .iter()
        .filter(|other| other.evaluation.plan == evaluation.evaluation.plan)
    {
        for asked in [&plan.plan, &extra] {
            for judgement in asked.judge(&record.evaluation) {
                if !matches!(judgement.answer, Answer::Met { .. }) {
                    let metric = match judgement.slice {
                        Some(slice) => format!("{} of {slice}", judgement.metric),
                        None => judgement.metric,
                    };
                    let answer = judgement.answer;
                    let violation = Violation::EvaluationNotMet { metric, answer };
                    if !violations.contains(&violation) {
                        violations.push(violation);
                    }
                }
            }
        }
    }
    violations
}

fn is_about(record: &EvaluationRecord, model: &DigestSet) -> bool {
    record.evaluation.model.digest.agrees_with(model)
        && record.digests.iter().any(|own| own.agrees_with(model))
}

fn comes_before(plan: &PlanRecord, evaluation: &EvaluationRecord) -> bool {
    match (plan.source.log_index, evaluation.source.log_index) {
        (Some(plan), Some(evaluation)) => plan < evaluation,
        _ => false,
    }
}

fn missing(what: &'static str, signers: &[String]) -> Violation {
    Violation::EvaluationMissing {
        what,
        signers: signers.to_vec(),
    }
}
