//! Holding records against a layout.
//!
//! From the final artifact backwards: each input must be the product that the layout names, of a
//! record that one of the allowed signers signed. Then the steps that feed nothing further are
//! looked up by their inputs. Among records of one step that came to the same (a step that was
//! run again) the one that fits the order in the log is taken.

use std::collections::{BTreeMap, BTreeSet};

use custos_core::clock::Timestamp;
use custos_core::digest::{Digest, DigestSet};
use custos_core::predicate::evaluation_plan::Answer;

use super::record::{DatasetRecord, EvaluationRecord, PlanRecord, StepRecord};
use super::{Layout, Origin, Step, quality};

/// Everything that a layout is held against.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct Evidence<'a> {
    /// Steps.
    pub steps: &'a [StepRecord],
    /// Datasets.
    pub datasets: &'a [DatasetRecord],
    /// Evaluation plans.
    pub plans: &'a [PlanRecord],
    /// Evaluations.
    pub evaluations: &'a [EvaluationRecord],
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayoutReport {
    /// What is wrong; the layout is met exactly if this is empty.
    pub violations: Vec<Violation>,
    /// The step records that were taken, with the digest of their bundle, by step name.
    pub covered: BTreeMap<String, Digest>,
}

impl LayoutReport {
    /// Returns true if nothing is wrong.
    pub fn is_met(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Holds records against a layout: does `target` come out of the declared pipeline?
pub fn evaluate(
    layout: &Layout,
    evidence: &Evidence<'_>,
    target: &DigestSet,
    now: Timestamp,
) -> LayoutReport {
    let mut run = Evaluation {
        layout,
        evidence,
        chosen: BTreeMap::new(),
        traced: BTreeSet::new(),
        violations: Vec::new(),
    };
    if now >= layout.expires() {
        run.add(Violation::Expired {
            at: layout.expires(),
        });
    }
    if let Origin::Product { step, product } = layout.final_artifact() {
        run.demand((step, product), target, None);
    }
    // Each step demands its inputs; producers stand before consumers, so backwards reaches all
    // that feeds the final artifact. Only then is it known what the other steps must have read.
    for step in layout.steps().iter().rev() {
        run.trace_inputs(step);
    }
    for step in layout.steps().iter().rev() {
        run.cover_remaining(step);
        run.trace_inputs(step);
    }
    for step in layout.steps() {
        run.check_step(step);
    }
    run.check_foreign_steps();
    if let Some(quality) = layout.quality() {
        let model = Origin::parse(&quality.model).and_then(|origin| run.digest_of(&origin));
        run.violations
            .extend(quality::check(quality, evidence, model.as_ref()));
    }
    let covered = run
        .chosen
        .iter()
        .map(|(name, record)| ((*name).to_owned(), record.bundle()))
        .collect();
    LayoutReport {
        violations: run.violations,
        covered,
    }
}

/// Something that is not as the layout says.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A step ran another command.
    #[error("the step `{step}` ran another command than the layout says: {}", command.join(" "))]
    CommandNotExpected {
        /// The step.
        step: String,
        /// What it ran.
        command: Vec<String>,
    },
    /// Two records of one step came to the same product from different inputs, or different
    /// products of it were used.
    #[error("the step `{step}` stands in the chain twice, with different artifacts")]
    DuplicateStep {
        /// The step.
        step: String,
    },
    /// The evaluation says something else about the model than the plan or layout asks for.
    #[error("the metric `{metric}` is not met: {}", answer_text(answer))]
    EvaluationNotMet {
        /// The metric.
        metric: String,
        /// What became of it.
        answer: Answer,
    },
    /// No plan, or no evaluation, of an allowed signer for this model.
    #[error("there is no {what} by one of: {}", signers.join(", "))]
    EvaluationMissing {
        /// `evaluation plan` or `evaluation`.
        what: &'static str,
        /// Who may sign it.
        signers: Vec<String>,
    },
    /// The plan was not logged before the evaluation.
    #[error("the evaluation plan does not stand in the log before the evaluation")]
    EvaluationNotPlanned,
    /// The layout is no longer valid.
    #[error("the layout expired at {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// A step that the layout does not know made something in the chain.
    #[error("the foreign step `{step}` made `{artifact}`")]
    ForeignStep {
        /// The step's name.
        step: String,
        /// What it made, as the layout calls it.
        artifact: String,
    },
    /// A step read something that the layout does not know.
    #[error("the step `{step}` read `{input}`, which the layout does not know")]
    InputNotDeclared {
        /// The step.
        step: String,
        /// The input.
        input: String,
    },
    /// A step did not read what the layout says.
    #[error("the step `{step}` has no input `{input}`")]
    InputMissing {
        /// The step.
        step: String,
        /// The input.
        input: String,
    },
    /// No record of a step.
    #[error("the step `{step}` is missing")]
    MissingStep {
        /// The step.
        step: String,
    },
    /// A step is not in the log, so that nothing can be said of its order.
    #[error("the step `{step}` is not in the log")]
    NotLogged {
        /// The step.
        step: String,
    },
    /// What was used is not what the step made.
    #[error("what `{consumer}` used is not what `{product}` is recorded to be")]
    ProductMismatch {
        /// The product, `STEP/PRODUCT`.
        product: String,
        /// Who used it: `STEP/INPUT`, or `the artifact`.
        consumer: String,
    },
    /// A step made something that the layout does not know.
    #[error("the step `{step}` made `{product}`, which the layout does not know")]
    ProductNotDeclared {
        /// The step.
        step: String,
        /// The product.
        product: String,
    },
    /// A step stands in the log before one that it follows.
    #[error("the step `{later}` stands in the log before `{earlier}`, which it follows")]
    Reordered {
        /// The step that should have come first.
        earlier: String,
        /// The step that should have come later.
        later: String,
    },
    /// A step was signed by others than the layout allows.
    #[error("the step `{step}` is signed by {found}; allowed are: {}", allowed.join(", "))]
    SignerNotAllowed {
        /// The step.
        step: String,
        /// Who signed.
        found: String,
        /// Who may sign.
        allowed: Vec<String>,
    },
    /// An input is not a dataset that the source allows.
    #[error("`{input}` is not a known dataset of the source `{name}`")]
    UnknownDataset {
        /// The source.
        name: String,
        /// The input, `STEP/INPUT`.
        input: String,
    },
}

fn answer_text(answer: &Answer) -> String {
    match answer {
        Answer::Met { value } => format!("{value} is good enough"),
        Answer::Missed { value, threshold } => format!("{value}, the threshold is {threshold}"),
        Answer::TooFew { n, min_n } => format!("measured on {n} examples of at least {min_n}"),
        _ => "it was not measured".to_owned(),
    }
}

struct Evaluation<'a> {
    layout: &'a Layout,
    evidence: &'a Evidence<'a>,
    chosen: BTreeMap<&'a str, &'a StepRecord>,
    // Steps whose inputs were looked up.
    traced: BTreeSet<&'a str>,
    violations: Vec<Violation>,
}

impl<'a> Evaluation<'a> {
    fn add(&mut self, violation: Violation) {
        if !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }

    fn step(&self, name: &str) -> Option<&'a Step> {
        self.layout.steps().iter().find(|step| step.name == name)
    }

    // Somebody used `digest` as the product of a step: finds the record that made it.
    fn demand(
        &mut self,
        (step, product): (&str, &str),
        digest: &DigestSet,
        consumer: Option<(&StepRecord, &str)>,
    ) {
        let Some(step) = self.step(step) else { return };
        if let Some(record) = self.chosen.get(step.name.as_str()) {
            // A second consumer must have used the same product of the same run.
            if !record
                .product(product)
                .is_some_and(|own| own.agrees_with(digest))
            {
                self.add(Violation::DuplicateStep {
                    step: step.name.clone(),
                });
            }
            return;
        }
        let makers: Vec<&'a StepRecord> = self
            .evidence
            .steps
            .iter()
            .filter(|record| record.step == step.name)
            .filter(|record| {
                record
                    .product(product)
                    .is_some_and(|own| own.agrees_with(digest))
            })
            .collect();
        let before = consumer.and_then(|(record, _)| record.log_index());
        match self.choose(step, &makers, before) {
            Some(record) => {
                self.chosen.insert(&step.name, record);
            }
            None if self
                .evidence
                .steps
                .iter()
                .any(|record| record.step == step.name) =>
            {
                let name =
                    |(record, input): (&StepRecord, &str)| format!("{}/{input}", record.step);
                self.add(Violation::ProductMismatch {
                    product: format!("{}/{product}", step.name),
                    consumer: consumer.map_or_else(|| "the artifact".to_owned(), name),
                });
            }
            None => self.add(Violation::MissingStep {
                step: step.name.clone(),
            }),
        }
        self.name_foreign_makers(&format!("{}/{product}", step.name), digest);
    }

    // Of records that came to the same: one by an allowed signer, the last before its consumer.
    fn choose(
        &mut self,
        step: &Step,
        makers: &[&'a StepRecord],
        before: Option<u64>,
    ) -> Option<&'a StepRecord> {
        let allowed: Vec<&'a StepRecord> = makers
            .iter()
            .copied()
            .filter(|record| record.source.is_signed_by(&step.signers))
            .collect();
        let pool = if allowed.is_empty() { makers } else { &allowed };
        let fits = |record: &&&StepRecord| match (record.log_index(), before) {
            (Some(own), Some(before)) => own < before,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let best = pool
            .iter()
            .filter(fits)
            .max_by_key(|record| record.log_index())
            .or_else(|| pool.iter().min_by_key(|record| record.log_index()))
            .copied()?;
        if pool.iter().any(|other| !came_from_the_same(best, other)) {
            self.add(Violation::DuplicateStep {
                step: step.name.clone(),
            });
        }
        Some(best)
    }

    fn trace_inputs(&mut self, step: &'a Step) {
        let Some(record) = self.chosen.get(step.name.as_str()).copied() else {
            return;
        };
        if !self.traced.insert(&step.name) {
            return;
        }
        for input in &step.inputs {
            let Some(digest) = record.input(&input.name) else {
                self.add(Violation::InputMissing {
                    step: step.name.clone(),
                    input: input.name.clone(),
                });
                continue;
            };
            match input.origin() {
                Some(Origin::Product {
                    step: maker,
                    product,
                }) => {
                    self.demand((&maker, &product), digest, Some((record, &input.name)));
                }
                Some(Origin::Source(name)) if !self.is_known(&name, digest) => {
                    let input = format!("{}/{}", step.name, input.name);
                    self.add(Violation::UnknownDataset { name, input });
                }
                // No origin at all was ruled out when the layout was parsed.
                Some(Origin::Source(_)) | None => {}
            }
        }
    }

    fn is_known(&self, name: &str, digest: &DigestSet) -> bool {
        let Some(source) = self
            .layout
            .sources()
            .iter()
            .find(|source| source.name == name)
        else {
            return false;
        };
        source.digests.iter().any(|known| digest.contains(known))
            || self.evidence.datasets.iter().any(|record| {
                record.source.is_signed_by(&source.signers)
                    && record.digests.iter().any(|own| own.agrees_with(digest))
            })
    }

    // A step that nothing led to, such as an evaluation: it must have read what the chain made.
    fn cover_remaining(&mut self, step: &'a Step) {
        if self.chosen.contains_key(step.name.as_str()) || self.is_reported(&step.name) {
            return;
        }
        let named: Vec<&'a StepRecord> = self
            .evidence
            .steps
            .iter()
            .filter(|record| record.step == step.name)
            .collect();
        let fitting: Vec<&'a StepRecord> = named
            .iter()
            .copied()
            .filter(|record| self.reads_the_chain(step, record))
            .collect();
        let last = fitting.iter().copied().max_by_key(|record| {
            (
                record.source.is_signed_by(&step.signers),
                record.log_index(),
            )
        });
        match (last, named.first()) {
            (Some(record), _) => {
                self.chosen.insert(&step.name, record);
            }
            (None, Some(record)) => self.explain_unfit(step, record),
            (None, None) => self.add(Violation::MissingStep {
                step: step.name.clone(),
            }),
        }
    }

    fn is_reported(&self, name: &str) -> bool {
        self.violations.iter().any(|violation| match violation {
            Violation::MissingStep { step } => step == name,
            Violation::ProductMismatch { product, .. } => product
                .split_once('/')
                .is_some_and(|(step, _)| step == name),
            _ => false,
        })
    }

    fn reads_the_chain(&self, step: &Step, record: &StepRecord) -> bool {
        step.inputs
            .iter()
            .all(|input| match (input.origin(), record.input(&input.name)) {
                (Some(Origin::Source(name)), Some(digest)) => self.is_known(&name, digest),
                (Some(origin), Some(digest)) => match self.digest_of(&origin) {
                    Some(made) => made.agrees_with(digest),
                    // Its maker is missing, which is told elsewhere.
                    None => true,
                },
                _ => false,
            })
    }

    fn explain_unfit(&mut self, step: &Step, record: &StepRecord) {
        for input in &step.inputs {
            let origin = input.origin();
            let violation = match (origin, record.input(&input.name)) {
                (_, None) => Violation::InputMissing {
                    step: step.name.clone(),
                    input: input.name.clone(),
                },
                (Some(Origin::Source(name)), Some(digest)) if !self.is_known(&name, digest) => {
                    Violation::UnknownDataset {
                        name,
                        input: format!("{}/{}", step.name, input.name),
                    }
                }
                (Some(origin @ Origin::Product { .. }), Some(digest))
                    if self
                        .digest_of(&origin)
                        .is_some_and(|made| !made.agrees_with(digest)) =>
                {
                    Violation::ProductMismatch {
                        product: origin.to_string(),
                        consumer: format!("{}/{}", step.name, input.name),
                    }
                }
                _ => continue,
            };
            self.add(violation);
        }
    }

    fn digest_of(&self, origin: &Origin) -> Option<DigestSet> {
        let Origin::Product { step, product } = origin else {
            return None;
        };
        self.chosen.get(step.as_str())?.product(product).cloned()
    }

    fn check_step(&mut self, step: &'a Step) {
        let Some(record) = self.chosen.get(step.name.as_str()).copied() else {
            return;
        };
        let name = || step.name.clone();
        if !record.source.is_signed_by(&step.signers) {
            self.add(Violation::SignerNotAllowed {
                step: name(),
                found: record.source.names(),
                allowed: step.signers.clone(),
            });
        }
        for (input, _) in record
            .inputs
            .iter()
            .filter(|(input, _)| step.input(input).is_none())
        {
            self.add(Violation::InputNotDeclared {
                step: name(),
                input: input.clone(),
            });
        }
        for (product, _) in record
            .products
            .iter()
            .filter(|(own, _)| !step.products.contains(own))
        {
            self.add(Violation::ProductNotDeclared {
                step: name(),
                product: product.clone(),
            });
        }
        for product in step
            .products
            .iter()
            .filter(|own| record.product(own).is_none())
        {
            let consumer = "the layout".to_owned();
            let product = format!("{}/{product}", step.name);
            self.add(Violation::ProductMismatch { product, consumer });
        }
        if step
            .command
            .as_ref()
            .is_some_and(|pattern| !matches(pattern, &record.command))
        {
            self.add(Violation::CommandNotExpected {
                step: name(),
                command: record.command.clone(),
            });
        }
        self.check_order(step, record);
    }

    fn check_order(&mut self, step: &Step, record: &StepRecord) {
        let Some(own) = record.log_index() else {
            return self.add(Violation::NotLogged {
                step: step.name.clone(),
            });
        };
        let makers = step
            .inputs
            .iter()
            .filter_map(|input| match input.origin()? {
                Origin::Product { step, .. } => Some(step),
                Origin::Source(_) => None,
            });
        for earlier in makers.chain(step.after.iter().cloned()) {
            let index = self
                .chosen
                .get(earlier.as_str())
                .and_then(|record| record.log_index());
            // A step that is missing or not logged is told elsewhere.
            if index.is_some_and(|index| index >= own) {
                self.add(Violation::Reordered {
                    earlier,
                    later: step.name.clone(),
                });
            }
        }
    }

    fn check_foreign_steps(&mut self) {
        let made: Vec<(String, DigestSet)> = self
            .chosen
            .values()
            .flat_map(|record| {
                let name = |product: &str| format!("{}/{product}", record.step);
                record
                    .products
                    .iter()
                    .map(move |(product, digest)| (name(product), digest.clone()))
            })
            .collect();
        for (artifact, digest) in made {
            self.name_foreign_makers(&artifact, &digest);
        }
    }

    fn name_foreign_makers(&mut self, artifact: &str, digest: &DigestSet) {
        let foreign: Vec<String> = self
            .evidence
            .steps
            .iter()
            .filter(|record| self.step(&record.step).is_none())
            .filter(|record| {
                record
                    .products
                    .iter()
                    .any(|(_, own)| own.agrees_with(digest))
            })
            .map(|record| record.step.clone())
            .collect();
        for step in foreign {
            self.add(Violation::ForeignStep {
                step,
                artifact: artifact.to_owned(),
            });
        }
    }
}

fn came_from_the_same(one: &StepRecord, other: &StepRecord) -> bool {
    one.inputs.len() == other.inputs.len()
        && one
            .inputs
            .iter()
            .all(|(name, digest)| other.input(name).is_some_and(|own| own.agrees_with(digest)))
}

// `*` in a word stands for any text, a last word `**` for any more words.
fn matches(pattern: &[String], command: &[String]) -> bool {
    let (pattern, open) = match pattern.split_last() {
        Some((last, rest)) if last == "**" => (rest, true),
        _ => (pattern, false),
    };
    let length = if open {
        command.len() >= pattern.len()
    } else {
        command.len() == pattern.len()
    };
    length
        && pattern
            .iter()
            .zip(command)
            .all(|(pattern, word)| word_matches(pattern, word))
}

fn word_matches(pattern: &str, word: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| word.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        // The earliest place leaves the most for what follows.
        match rest
            .find(part)
            .and_then(|at| rest.get(at.saturating_add(part.len())..))
        {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_match_with_stars() {
        for (pattern, word, expected) in [
            ("python", "python", true),
            ("python", "python3", false),
            ("python*", "python3", true),
            ("*/custos", "/usr/bin/custos", true),
            ("*/custos", "custos", false),
            ("--seed=*", "--seed=1", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
        ] {
            assert_eq!(word_matches(pattern, word), expected, "{pattern} {word}");
        }
    }

    #[test]
    fn a_command_matches_word_by_word() {
        let words = |text: &str| -> Vec<String> { text.split(' ').map(String::from).collect() };
        assert!(matches(
            &words("python train.py"),
            &words("python train.py")
        ));
        assert!(!matches(
            &words("python train.py"),
            &words("python train.py --evil")
        ));
        assert!(matches(
            &words("python train.py **"),
            &words("python train.py --seed 1")
        ));
        assert!(matches(
            &words("python train.py **"),
            &words("python train.py")
        ));
        assert!(!matches(&words("python train.py **"), &words("python")));
        assert!(!matches(&words("python *"), &words("python")));
    }
}
