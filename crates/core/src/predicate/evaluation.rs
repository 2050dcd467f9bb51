//! `urn:custos:attestation:evaluation:v1`: what was measured of a model on a dataset, under a
//! plan.
//!
//! The subject is the model. Fields: `docs/predicates/evaluation.md`. It holds no verdict:
//! [`EvaluationPlan::judge`](super::evaluation_plan::EvaluationPlan::judge) and policy give that.

use serde::{Deserialize, Serialize};

use super::Predicate;
use super::check::{Check, Fault, Problem};
use crate::digest::{Digest, DigestSet};
use crate::statement::ResourceDescriptor;

/// An evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// The plan that was followed.
    pub plan: PlanReference,
    /// The model, by digest: the subject again, for readers that see only the predicate.
    pub model: ResourceDescriptor,
    /// The dataset, by digest.
    pub dataset: ResourceDescriptor,
    /// Metrics over the whole dataset; at least one here or in a slice.
    pub metrics: Vec<Metric>,
    /// Metrics over parts of the dataset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Slice>,
}

/// A reference to a logged plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanReference {
    /// Digest of the plan's predicate, see [`predicate::digest`](super::digest).
    pub digest: DigestSet,
    /// Index of the plan's statement in the log, a hint for people; policy takes it from the
    /// plan's own log proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_index: Option<u64>,
}

/// One measured value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Name, such as `accuracy`.
    pub name: String,
    /// The value.
    pub value: f64,
    /// Number of examples that it rests on.
    pub n: u64,
    /// How sure it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

/// A confidence interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// Confidence level, above 0 and below 1.
    pub level: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// How it was computed, such as `wilson` or `bootstrap`.
    pub method: String,
}

/// Metrics over a part of the dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slice {
    /// Name of the part.
    pub name: String,
    /// Its metrics.
    pub metrics: Vec<Metric>,
}

impl Evaluation {
    /// Returns the metric of this name over the whole dataset, or over a slice.
    pub fn metric(&self, name: &str, slice: Option<&str>) -> Option<&Metric> {
        let metrics = match slice {
            None => &self.metrics,
            Some(slice) => &self.slices.iter().find(|part| part.name == slice)?.metrics,
        };
        metrics.iter().find(|metric| metric.name == name)
    }

    /// Returns true if the evaluation says that it followed the plan with this
    /// [digest](super::digest), on that plan's dataset.
    pub fn follows(&self, plan: &super::evaluation_plan::EvaluationPlan, digest: &Digest) -> bool {
        self.plan.digest.contains(digest) && self.dataset.digest.agrees_with(&plan.dataset.digest)
    }
}

impl Predicate for Evaluation {
    const TYPE: &'static str = own_type!("evaluation:v1");

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        check.digests("plan.digest", &self.plan.digest);
        check.descriptor("model", &self.model);
        check.descriptor("dataset", &self.dataset);
        let nothing = self.metrics.is_empty() && self.slices.is_empty();
        check.fail_if(nothing, "metrics", Problem::Empty);
        check_metrics(&mut check, "metrics", &self.metrics);
        check.unique(
            "slices",
            "name",
            self.slices.iter().map(|slice| slice.name.as_str()),
        );
        for (index, slice) in self.slices.iter().enumerate() {
            let path = format!("slices[{index}].metrics");
            check.fail_if(slice.metrics.is_empty(), path.as_str(), Problem::Empty);
            check_metrics(&mut check, &path, &slice.metrics);
        }
        check.done()
    }
}

fn check_metrics(check: &mut Check, list: &str, metrics: &[Metric]) {
    check.unique(
        list,
        "name",
        metrics.iter().map(|metric| metric.name.as_str()),
    );
    for (index, metric) in metrics.iter().enumerate() {
        let path = format!("{list}[{index}]");
        check.finite(format!("{path}.value"), metric.value);
        check.fail_if(metric.n == 0, format!("{path}.n"), Problem::Zero);
        let Some(interval) = &metric.interval else {
            continue;
        };
        let level = interval.level > 0.0 && interval.level < 1.0;
        check.fail_if(
            !level,
            format!("{path}.interval.level"),
            Problem::OutOfRange,
        );
        check.finite(format!("{path}.interval.low"), interval.low);
        check.finite(format!("{path}.interval.high"), interval.high);
        let reversed = interval.low > interval.high;
        check.fail_if(reversed, format!("{path}.interval.high"), Problem::Reversed);
        let outside = metric.value < interval.low || metric.value > interval.high;
        check.fail_if(
            outside && !reversed,
            format!("{path}.value"),
            Problem::Contradiction,
        );
        check.text(format!("{path}.interval.method"), &interval.method);
    }
}

#[cfg(test)]
impl Evaluation {
    pub(crate) fn example() -> Self {
        use crate::digest::Algorithm;
        let digest = |name: &str| Algorithm::Sha256.digest(name.as_bytes());
        Self {
            plan: PlanReference {
                digest: digest("plan").into(),
                log_index: Some(7),
            },
            model: ResourceDescriptor::new("model", digest("model")),
            dataset: ResourceDescriptor::new("heldout", digest("heldout")),
            metrics: vec![Metric {
                name: "error".into(),
                value: 0.1,
                n: 200,
                interval: Some(Interval {
                    level: 0.95,
                    low: 0.07,
                    high: 0.15,
                    method: "wilson".into(),
                }),
            }],
            slices: vec![Slice {
                name: "night".into(),
                metrics: vec![Metric {
                    name: "accuracy".into(),
                    value: 0.85,
                    n: 60,
                    interval: Some(Interval {
                        level: 0.9,
                        low: 0.8,
                        high: 0.9,
                        method: "bootstrap".into(),
                    }),
                }],
            }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::evaluation_plan::EvaluationPlan;
    use super::*;

    #[test]
    fn numbers_that_prove_nothing_are_faults() {
        let mut evaluation = Evaluation::example();
        assert_eq!(evaluation.faults(), []);
        evaluation.metrics[0].value = f64::NAN;
        evaluation.metrics[0].n = 0;
        let interval = evaluation.metrics[0].interval.as_mut().unwrap();
        interval.level = 95.0;
        interval.high = 0.01;
        evaluation.slices[0].metrics.clear();
        assert_eq!(
            evaluation.faults(),
            [
                Fault::new("metrics[0].value", Problem::NotFinite),
                Fault::new("metrics[0].n", Problem::Zero),
                Fault::new("metrics[0].interval.level", Problem::OutOfRange),
                Fault::new("metrics[0].interval.high", Problem::Reversed),
                Fault::new("slices[0].metrics", Problem::Empty),
            ]
        );
    }

    #[test]
    fn a_value_outside_of_its_interval_is_a_contradiction() {
        let mut evaluation = Evaluation::example();
        evaluation.metrics[0].value = 0.5;
        assert_eq!(
            evaluation.faults(),
            [Fault::new("metrics[0].value", Problem::Contradiction)]
        );
    }

    #[test]
    fn a_nan_never_gets_into_a_statement() {
        use crate::statement::Subject;
        let mut evaluation = Evaluation::example();
        evaluation.metrics[0].interval = None;
        evaluation.metrics[0].value = f64::INFINITY;
        let subject = vec![Subject::new(
            "m",
            crate::digest::Algorithm::Sha256.digest(b"m"),
        )];
        assert!(super::super::write(subject, &evaluation).is_err());
    }

    #[test]
    fn follows_a_plan_by_digest_and_dataset() {
        let plan = EvaluationPlan::example();
        let digest = super::super::digest(&plan).unwrap();
        let mut evaluation = Evaluation::example();
        assert!(!evaluation.follows(&plan, &digest));
        evaluation.plan.digest = digest.into();
        assert!(evaluation.follows(&plan, &digest));
        evaluation.dataset.digest = crate::digest::Algorithm::Sha256.digest(b"easier").into();
        assert!(!evaluation.follows(&plan, &digest));
    }
}
