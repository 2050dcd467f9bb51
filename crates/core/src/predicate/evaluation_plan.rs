//! `urn:custos:attestation:evaluation-plan:v1`: what will be measured, on which data, and what
//! is good enough, written down before the result is known.
//!
//! The subject is the dataset that will be measured on. Fields:
//! `docs/predicates/evaluation-plan.md`. That the plan is older than the result is not said here:
//! it follows from the two log indexes.

use serde::{Deserialize, Serialize};

use super::Predicate;
use super::check::{Check, Fault, Problem};
use super::evaluation::{Evaluation, Metric};
use crate::statement::ResourceDescriptor;

/// An evaluation plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvaluationPlan {
    /// Name.
    pub name: String,
    /// The dataset, by digest.
    pub dataset: ResourceDescriptor,
    /// How it is measured, in words.
    pub method: String,
    /// What is measured, and what is good enough; at least one.
    pub metrics: Vec<PlannedMetric>,
}

/// One metric of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedMetric {
    /// Name, such as `accuracy`.
    pub name: String,
    /// The slice of the data; the whole if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<String>,
    /// Which way is better.
    pub direction: Direction,
    /// The value that is still good enough.
    pub threshold: f64,
    /// Fewest examples that the value must rest on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_n: Option<u64>,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// At least the threshold, as for accuracy.
    HigherIsBetter,
    /// At most the threshold, as for an error rate.
    LowerIsBetter,
}

/// What became of one planned metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The metric's name.
    pub metric: String,
    /// Its slice.
    pub slice: Option<String>,
    /// The answer.
    pub answer: Answer,
}

/// The answer for one planned metric.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// Good enough.
    Met {
        /// The value measured.
        value: f64,
    },
    /// The evaluation does not report it.
    Missing,
    /// Not good enough.
    Missed {
        /// The value measured.
        value: f64,
        /// The value needed.
        threshold: f64,
    },
    /// Measured on fewer examples than planned.
    TooFew {
        /// Examples measured on.
        n: u64,
        /// Examples planned.
        min_n: u64,
    },
}

impl EvaluationPlan {
    /// Judges an evaluation by the plan, one answer for each planned metric.
    ///
    /// It does not ask whether the evaluation refers to this plan, model and dataset: see
    /// [`Evaluation::follows`].
    pub fn judge(&self, evaluation: &Evaluation) -> Vec<Judgement> {
        self.metrics
            .iter()
            .map(|planned| Judgement {
                metric: planned.name.clone(),
                slice: planned.slice.clone(),
                answer: planned.judge(evaluation.metric(&planned.name, planned.slice.as_deref())),
            })
            .collect()
    }
}

impl PlannedMetric {
    fn judge(&self, measured: Option<&Metric>) -> Answer {
        let Some(measured) = measured else {
            return Answer::Missing;
        };
        let min_n = self.min_n.unwrap_or(1).max(1);
        if measured.n < min_n {
            return Answer::TooFew {
                n: measured.n,
                min_n,
            };
        }
        let value = measured.value;
        // A NaN compares false both ways, so it is never met.
        let met = match self.direction {
            Direction::HigherIsBetter => value >= self.threshold,
            Direction::LowerIsBetter => value <= self.threshold,
        };
        if met {
            Answer::Met { value }
        } else {
            Answer::Missed {
                value,
                threshold: self.threshold,
            }
        }
    }
}

impl Predicate for EvaluationPlan {
    const TYPE: &'static str = own_type!("evaluation-plan:v1");

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        check.text("name", &self.name);
        check.descriptor("dataset", &self.dataset);
        check.text("method", &self.method);
        // A plan without a metric would be met by anything.
        check.fail_if(self.metrics.is_empty(), "metrics", Problem::Empty);
        let mut seen = std::collections::BTreeSet::new();
        for (index, metric) in self.metrics.iter().enumerate() {
            let path = format!("metrics[{index}]");
            check.text(format!("{path}.name"), &metric.name);
            if let Some(slice) = &metric.slice {
                check.text(format!("{path}.slice"), slice);
            }
            check.finite(format!("{path}.threshold"), metric.threshold);
            check.fail_if(
                metric.min_n == Some(0),
                format!("{path}.minN"),
                Problem::Zero,
            );
            let new = seen.insert((metric.name.as_str(), metric.slice.as_deref()));
            check.fail_if(!new, format!("{path}.name"), Problem::Duplicate);
        }
        check.done()
    }
}

#[cfg(test)]
impl EvaluationPlan {
    pub(crate) fn example() -> Self {
        use crate::digest::Algorithm;
        Self {
            name: "release".into(),
            dataset: ResourceDescriptor::new("heldout", Algorithm::Sha256.digest(b"heldout")),
            method: "top-1 accuracy over the held-out pairs".into(),
            metrics: vec![
                PlannedMetric {
                    name: "accuracy".into(),
                    slice: Some("night".into()),
                    direction: Direction::HigherIsBetter,
                    threshold: 0.8,
                    min_n: Some(50),
                },
                PlannedMetric {
                    name: "error".into(),
                    slice: None,
                    direction: Direction::LowerIsBetter,
                    threshold: 0.25,
                    min_n: None,
                },
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_each_planned_metric() {
        let plan = EvaluationPlan::example();
        let mut evaluation = Evaluation::example();
        let answers = |evaluation: &Evaluation| -> Vec<Answer> {
            plan.judge(evaluation)
                .into_iter()
                .map(|judgement| judgement.answer)
                .collect()
        };
        assert_eq!(
            answers(&evaluation),
            [Answer::Met { value: 0.85 }, Answer::Met { value: 0.1 }]
        );
        evaluation.slices[0].metrics[0].n = 49;
        evaluation.metrics[0].value = 0.26;
        assert_eq!(
            answers(&evaluation),
            [
                Answer::TooFew { n: 49, min_n: 50 },
                Answer::Missed {
                    value: 0.26,
                    threshold: 0.25
                }
            ]
        );
        evaluation.slices.clear();
        evaluation.metrics[0].value = f64::NAN;
        let answers = answers(&evaluation);
        assert_eq!(answers[0], Answer::Missing);
        assert!(matches!(answers[1], Answer::Missed { .. }));
    }

    #[test]
    fn a_plan_that_anything_meets_is_unsound() {
        let mut plan = EvaluationPlan::example();
        plan.metrics[0].threshold = f64::NEG_INFINITY;
        plan.metrics[0].min_n = Some(0);
        plan.metrics[1].name = "accuracy".into();
        plan.metrics[1].slice = Some("night".into());
        assert_eq!(
            plan.faults(),
            [
                Fault::new("metrics[0].threshold", Problem::NotFinite),
                Fault::new("metrics[0].minN", Problem::Zero),
                Fault::new("metrics[1].name", Problem::Duplicate),
            ]
        );
        plan.metrics.clear();
        assert_eq!(plan.faults(), [Fault::new("metrics", Problem::Empty)]);
    }
}
