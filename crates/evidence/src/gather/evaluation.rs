//! Evaluations, joined to the plans that were logged before them.
//!
//! A plan that was made after the result proves nothing. "Before" compares the two positions in
//! one log, never wall clocks.

use std::collections::BTreeSet;

use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::facts::{EvaluationFacts, EvaluationResult, Section};
use custos_core::predicate::evaluation::{Evaluation, Metric};
use custos_core::predicate::evaluation_plan::{Answer, EvaluationPlan, PlannedMetric};
use custos_core::predicate::{self, Predicate as _};
use custos_core::statement::Statement;
use custos_trust::Verified;

use super::Search;
use crate::judge::{VerifiedStatement, signer_of};
use crate::store::StoreError;

/// Most plans of one digest that are looked at: the same plan, signed and logged again.
const MAX_PLANS: usize = 64;

// A plan that an evaluation follows.
struct Plan {
    content: EvaluationPlan,
    verified: VerifiedStatement,
    index: Option<u64>,
}

impl Search<'_> {
    pub(super) async fn evaluation(&mut self) -> Result<Section<EvaluationFacts>, StoreError> {
        let found: Vec<VerifiedStatement> = self
            .verified
            .iter()
            .filter(|one| one.statement().predicate_type() == Evaluation::TYPE)
            .cloned()
            .collect();
        if found.is_empty() {
            return Ok(Section::unknown(
                "no verified evaluation of it, or of anything that it was made from",
            ));
        }
        let mut results = Vec::new();
        let mut missing = Vec::new();
        for verified in found {
            let Ok(evaluation) = predicate::read::<Evaluation>(verified.statement()) else {
                continue;
            };
            let Some(model) = subject_of(verified.statement(), &evaluation) else {
                missing.push("an evaluation names another model than its subject".to_owned());
                continue;
            };
            let plan = self.plan_of(&evaluation).await?;
            let facts = Facts {
                evaluation: &evaluation,
                verified: &verified,
                model,
                plan,
            };
            missing.extend(facts.unanswered());
            results.extend(facts.results(self.context.origin));
        }
        // The search for plans may have met a bound as well.
        missing.splice(..0, self.missing.iter().cloned());
        results.sort_by(|a, b| {
            (a.evaluation_log_index, &a.metric).cmp(&(b.evaluation_log_index, &b.metric))
        });
        Ok(Section::gathered(
            self.context.log_size,
            EvaluationFacts { results },
            missing,
        ))
    }

    // The earliest verified plan with the digest that the evaluation names.
    async fn plan_of(&mut self, evaluation: &Evaluation) -> Result<Option<Plan>, StoreError> {
        let Some(digest) = evaluation.plan.digest.get(Algorithm::Sha256) else {
            return Ok(None);
        };
        let hits = self.store.plans(&digest).await;
        let mut plans = Vec::new();
        for hit in self.bounded(hits)?.into_iter().take(MAX_PLANS) {
            let Some(bytes) = self.read(&hit).await? else {
                continue;
            };
            let sought = &evaluation.dataset.digest;
            match self.judge(&hit, &bytes, sought) {
                Ok(verified) => {
                    plans.extend(self.plan(verified, evaluation, &digest));
                }
                Err(rejected) => {
                    if self.seen.insert(hit.bundle_digest) {
                        self.rejected.push(rejected);
                    }
                }
            }
        }
        plans.sort_by_key(|plan: &Plan| plan.index.unwrap_or(u64::MAX));
        let earliest = plans.into_iter().next();
        if let Some(plan) = &earliest
            && self.seen.insert(plan.verified.bundle_digest())
        {
            self.verified.push(plan.verified.clone());
        }
        Ok(earliest)
    }

    fn plan(
        &self,
        verified: VerifiedStatement,
        evaluation: &Evaluation,
        digest: &Digest,
    ) -> Option<Plan> {
        let content: EvaluationPlan = predicate::read(verified.statement()).ok()?;
        // The row said so; the bytes have to.
        let own = predicate::digest_of_statement(verified.statement()).ok()?;
        if own != *digest || !evaluation.follows(&content, digest) {
            return None;
        }
        let index = verified.index_in(self.context.origin);
        Some(Plan {
            content,
            verified,
            index,
        })
    }
}

// The subject that the evaluation says it measured.
fn subject_of(statement: &Statement, evaluation: &Evaluation) -> Option<DigestSet> {
    let named = &evaluation.model.digest;
    let subject = statement
        .subject()
        .iter()
        .find(|subject| subject.digest.agrees_with(named));
    subject.map(|subject| subject.digest.clone())
}

struct Facts<'a> {
    evaluation: &'a Evaluation,
    verified: &'a Verified<Statement>,
    model: DigestSet,
    plan: Option<Plan>,
}

impl Facts<'_> {
    // What the plan asks for and the evaluation does not report.
    fn unanswered(&self) -> Vec<String> {
        let Some(plan) = &self.plan else {
            return Vec::new();
        };
        let judgements = plan.content.judge(self.evaluation);
        judgements
            .into_iter()
            .filter(|judgement| judgement.answer == Answer::Missing)
            .map(|judgement| {
                let metric = full_name(judgement.slice.as_deref(), &judgement.metric);
                format!("the plan asks for `{metric}`, the evaluation does not report it")
            })
            .collect()
    }

    fn results(&self, origin: &str) -> Vec<EvaluationResult> {
        let whole = self.evaluation.metrics.iter().map(|metric| (None, metric));
        let slices = self.evaluation.slices.iter().flat_map(|slice| {
            slice
                .metrics
                .iter()
                .map(|metric| (Some(slice.name.as_str()), metric))
        });
        let met = self.met();
        whole
            .chain(slices)
            .map(|(slice, metric)| self.result(origin, (slice, metric), &met))
            .collect()
    }

    // Metrics that the plan asks for and that are good enough.
    fn met(&self) -> BTreeSet<(Option<String>, String)> {
        let judgements = self
            .plan
            .as_ref()
            .map(|plan| plan.content.judge(self.evaluation))
            .unwrap_or_default();
        judgements
            .into_iter()
            .filter(|judgement| matches!(judgement.answer, Answer::Met { .. }))
            .map(|judgement| (judgement.slice, judgement.metric))
            .collect()
    }

    fn result(
        &self,
        origin: &str,
        (slice, metric): (Option<&str>, &Metric),
        met: &BTreeSet<(Option<String>, String)>,
    ) -> EvaluationResult {
        let planned = self.planned(slice, &metric.name);
        let plan = self.plan.as_ref().filter(|_| planned.is_some());
        let index = self.verified.index_in(origin);
        let plan_index = plan.and_then(|plan| plan.index);
        let before = matches!((plan_index, index), (Some(plan), Some(own)) if plan < own);
        let key = (slice.map(str::to_owned), metric.name.clone());
        EvaluationResult {
            metric: full_name(slice, &metric.name),
            slice: slice.map(str::to_owned),
            value: metric.value,
            n: Some(metric.n),
            threshold: planned.map(|planned| planned.threshold),
            direction: planned.map(|planned| planned.direction),
            plan_log_index: plan_index,
            evaluation_log_index: index,
            plan_signer: plan.map(|plan| signer_of(&plan.verified)),
            evaluation_signer: signer_of(self.verified),
            passed: before && met.contains(&key),
            model_digest: self.model.clone(),
        }
    }

    fn planned(&self, slice: Option<&str>, name: &str) -> Option<&PlannedMetric> {
        let plan = self.plan.as_ref()?;
        plan.content
            .metrics
            .iter()
            .find(|planned| planned.name == name && planned.slice.as_deref() == slice)
    }
}

fn full_name(slice: Option<&str>, metric: &str) -> String {
    match slice {
        Some(slice) => format!("{slice}/{metric}"),
        None => metric.to_owned(),
    }
}
