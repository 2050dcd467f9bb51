//! The declared pipeline: which steps there are, who may sign each, which product feeds which
//! input, and whether what was recorded is that pipeline.
//!
//! A [`Layout`] is a strict TOML file, kept in Git and signed like any other artifact; its fields
//! are on `docs/reference/layout.md`. [`evaluate`] is pure: it takes records that were verified
//! before and returns each violation by name. It is modelled on in-toto's ITE-10, without its
//! traps: nothing passes because a claim is absent, and an empty layout is not a layout.

mod code;
mod evaluate;
mod quality;
mod record;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use custos_core::clock::Timestamp;
use custos_core::digest::Digest;
use custos_core::predicate::evaluation_plan::{Direction, PlannedMetric};
use serde::Deserialize;

pub use evaluate::{Evidence, LayoutReport, Violation, evaluate};
pub use record::{DatasetRecord, EvaluationRecord, PlanRecord, RecordError, StepRecord};

/// Largest layout file, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Most steps, sources, inputs or products.
pub const MAX_PARTS: usize = 1000;

/// The schema that a layout file names.
pub const SCHEMA: &str = "custos.layout/1";

/// A declared pipeline. It is sound by construction: [`Layout::parse`] is the only way to one.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    wire: Wire,
    final_artifact: Origin,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    schema: String,
    name: String,
    #[serde(deserialize_with = "timestamp")]
    expires: Timestamp,
    #[serde(rename = "final")]
    final_artifact: String,
    #[serde(default, rename = "source")]
    sources: Vec<Source>,
    #[serde(default, rename = "step")]
    steps: Vec<Step>,
    #[serde(default)]
    evaluation: Option<Quality>,
}

/// Data that the pipeline may start from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Source {
    /// Name, unique among the sources.
    pub name: String,
    /// Digests that are accepted, each as `sha256:<hex>`.
    #[serde(default)]
    pub digests: Vec<Digest>,
    /// Who may vouch for other digests by a dataset statement.
    #[serde(default)]
    pub signers: Vec<String>,
}

/// A declared step.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Step {
    /// Name, unique among the steps.
    pub name: String,
    /// Who may sign it, by name in the settings; at least one.
    pub signers: Vec<String>,
    /// The command that it must have run, word by word: `*` stands for any text in a word, a
    /// last word `**` for any more words. Any command if absent.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// What it reads; at least one.
    #[serde(default, rename = "input")]
    pub inputs: Vec<StepInput>,
    /// Names of what it makes; at least one.
    pub products: Vec<String>,
    /// Steps that must stand in the log before it although it reads nothing of theirs.
    #[serde(default)]
    pub after: Vec<String>,
}

/// A declared input.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StepInput {
    /// Name, unique among the inputs of the step.
    pub name: String,
    /// `STEP/PRODUCT` of an earlier step, or `source:NAME`.
    pub from: String,
}

/// What is asked of the quality of a product.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Quality {
    /// The model that is evaluated: `STEP/PRODUCT`.
    pub model: String,
    /// Digest of the plan's predicate; any plan of the right signer if absent.
    #[serde(default)]
    pub plan: Option<Digest>,
    /// Who may sign the plan; at least one.
    pub plan_signers: Vec<String>,
    /// Who may sign the evaluation; at least one.
    pub signers: Vec<String>,
    /// Thresholds on top of the plan's own.
    #[serde(default, rename = "metric")]
    pub metrics: Vec<Threshold>,
}

/// One threshold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Threshold {
    /// The metric.
    pub name: String,
    /// The slice of the data; the whole if absent.
    #[serde(default)]
    pub slice: Option<String>,
    /// Which way is better.
    pub direction: Direction,
    /// The value that is still good enough.
    pub threshold: f64,
    /// Fewest examples that the value must rest on.
    #[serde(default)]
    pub min_n: Option<u64>,
}

impl Quality {
    fn planned(&self) -> Vec<PlannedMetric> {
        let planned = |metric: &Threshold| PlannedMetric {
            name: metric.name.clone(),
            slice: metric.slice.clone(),
            direction: metric.direction,
            threshold: metric.threshold,
            min_n: metric.min_n,
        };
        self.metrics.iter().map(planned).collect()
    }
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums, reason = "an input has no third origin")]
pub enum Origin {
    /// A declared source.
    Source(String),
    /// The product of a step.
    Product {
        /// The step.
        step: String,
        /// The product.
        product: String,
    },
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(name) => write!(f, "source:{name}"),
            Self::Product { step, product } => write!(f, "{step}/{product}"),
        }
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix("source:") {
            return is_name(name).then(|| Self::Source(name.to_owned()));
        }
        let (step, product) = text.split_once('/')?;
        let sound = is_name(step) && is_name(product);
        sound.then(|| Self::Product {
            step: step.to_owned(),
            product: product.to_owned(),
        })
    }
}

impl Layout {
    /// Parses a layout of at most [`MAX_BYTES`]; unknown keys are errors.
    ///
    /// ```
    /// let text = r#"
    /// schema = "custos.layout/1"
    /// name = "signs"
    /// expires = "2027-01-01T00:00:00Z"
    /// final = "train/model"
    ///
    /// [[source]]
    /// name = "raw"
    /// signers = ["data-team"]
    ///
    /// [[step]]
    /// name = "train"
    /// signers = ["trainer"]
    /// products = ["model"]
    /// input = [{ name = "data", from = "source:raw" }]
    /// "#;
    /// let layout = custos_provenance::layout::Layout::parse(text).unwrap();
    /// assert_eq!(layout.steps()[0].name, "train");
    /// assert!(custos_provenance::layout::Layout::parse(&text.replace("final", "last")).is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, LayoutError> {
        if text.len() > MAX_BYTES {
            return Err(LayoutError::TooLarge {
                limit: MAX_BYTES,
                found: text.len(),
            });
        }
        let wire: Wire = toml::from_str(text).map_err(|error| LayoutError::Toml {
            message: error.message().to_owned(),
            line: error.span().map_or(0, |span| {
                text.get(..span.start)
                    .map_or(0, |before| before.matches('\n').count() + 1)
            }),
        })?;
        let final_artifact = check(&wire)?;
        Ok(Self {
            wire,
            final_artifact,
        })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.wire.name
    }

    /// Returns the moment from which it is no longer valid.
    pub const fn expires(&self) -> Timestamp {
        self.wire.expires
    }

    /// Returns what comes out at the end.
    pub const fn final_artifact(&self) -> &Origin {
        &self.final_artifact
    }

    /// Returns the sources.
    pub fn sources(&self) -> &[Source] {
        &self.wire.sources
    }

    /// Returns the steps, producers before their consumers; never empty.
    pub fn steps(&self) -> &[Step] {
        &self.wire.steps
    }

    /// Returns what is asked of the quality.
    pub const fn quality(&self) -> Option<&Quality> {
        self.wire.evaluation.as_ref()
    }

    /// Returns everybody whom it names as a signer.
    pub fn signers(&self) -> BTreeSet<&str> {
        let steps = self.wire.steps.iter().flat_map(|step| &step.signers);
        let sources = self.wire.sources.iter().flat_map(|source| &source.signers);
        let quality = self
            .wire
            .evaluation
            .iter()
            .flat_map(|q| q.signers.iter().chain(&q.plan_signers));
        steps
            .chain(sources)
            .chain(quality)
            .map(String::as_str)
            .collect()
    }
}

impl StepInput {
    /// Returns where it comes from.
    pub fn origin(&self) -> Option<Origin> {
        Origin::parse(&self.from)
    }
}

impl Step {
    fn input(&self, name: &str) -> Option<&StepInput> {
        self.inputs.iter().find(|input| input.name == name)
    }
}

fn check(wire: &Wire) -> Result<Origin, LayoutError> {
    if wire.schema != SCHEMA {
        return Err(LayoutError::Schema {
            found: wire.schema.clone(),
        });
    }
    name(&wire.name)?;
    if wire.steps.is_empty() {
        return Err(LayoutError::NoSteps);
    }
    many(wire.steps.len().max(wire.sources.len()))?;
    unique(
        "source",
        wire.sources.iter().map(|source| source.name.as_str()),
    )?;
    for source in &wire.sources {
        if source.digests.is_empty() && source.signers.is_empty() {
            return Err(LayoutError::SourceOfAnybody {
                name: source.name.clone(),
            });
        }
    }
    unique("step", wire.steps.iter().map(|step| step.name.as_str()))?;
    // Steps that stand before, with their products: only those can be referred to.
    let mut earlier: BTreeMap<&str, &[String]> = BTreeMap::new();
    for step in &wire.steps {
        check_step(wire, step, &earlier)?;
        earlier.insert(&step.name, &step.products);
    }
    if let Some(quality) = &wire.evaluation {
        check_quality(quality, &earlier)?;
    }
    product(&wire.final_artifact, &earlier)
}

fn check_step(
    wire: &Wire,
    step: &Step,
    earlier: &BTreeMap<&str, &[String]>,
) -> Result<(), LayoutError> {
    let empty = |what| {
        Err(LayoutError::StepWithout {
            step: step.name.clone(),
            what,
        })
    };
    if step.signers.is_empty() {
        return empty("signers");
    }
    if step.products.is_empty() {
        return empty("products");
    }
    // A step from nothing breaks the chain to a known dataset.
    if step.inputs.is_empty() {
        return empty("inputs");
    }
    if step.command.as_ref().is_some_and(Vec::is_empty) {
        return empty("words in its command");
    }
    many(step.inputs.len().max(step.products.len()))?;
    unique("product", step.products.iter().map(String::as_str))?;
    unique("input", step.inputs.iter().map(|input| input.name.as_str()))?;
    for input in &step.inputs {
        match input.origin() {
            Some(Origin::Source(name)) => {
                if !wire.sources.iter().any(|source| source.name == name) {
                    return Err(LayoutError::UnknownReference {
                        from: input.from.clone(),
                    });
                }
            }
            Some(Origin::Product { .. }) => {
                product(&input.from, earlier)?;
            }
            None => {
                return Err(LayoutError::NotAReference {
                    text: input.from.clone(),
                });
            }
        }
    }
    match step
        .after
        .iter()
        .find(|name| !earlier.contains_key(name.as_str()))
    {
        Some(name) => Err(LayoutError::UnknownReference { from: name.clone() }),
        None => Ok(()),
    }
}

fn check_quality(quality: &Quality, steps: &BTreeMap<&str, &[String]>) -> Result<(), LayoutError> {
    product(&quality.model, steps)?;
    if quality.signers.is_empty() || quality.plan_signers.is_empty() {
        return Err(LayoutError::EvaluationOfAnybody);
    }
    match quality
        .metrics
        .iter()
        .find(|metric| !metric.threshold.is_finite())
    {
        Some(metric) => Err(LayoutError::Threshold {
            metric: metric.name.clone(),
        }),
        None => Ok(()),
    }
}

fn product(text: &str, steps: &BTreeMap<&str, &[String]>) -> Result<Origin, LayoutError> {
    match Origin::parse(text) {
        Some(Origin::Product { step, product }) => {
            let there = steps
                .get(step.as_str())
                .is_some_and(|names| names.contains(&product));
            if there {
                Ok(Origin::Product { step, product })
            } else {
                Err(LayoutError::UnknownReference {
                    from: text.to_owned(),
                })
            }
        }
        _ => Err(LayoutError::NotAReference {
            text: text.to_owned(),
        }),
    }
}

fn unique<'a>(what: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), LayoutError> {
    let mut seen = BTreeSet::new();
    for text in names {
        name(text)?;
        if !seen.insert(text) {
            return Err(LayoutError::Duplicate {
                what,
                name: text.to_owned(),
            });
        }
    }
    Ok(())
}

fn name(text: &str) -> Result<(), LayoutError> {
    if is_name(text) {
        Ok(())
    } else {
        Err(LayoutError::NotAName {
            text: text.to_owned(),
        })
    }
}

// The names that a step may have, see `run`.
fn is_name(text: &str) -> bool {
    let starts_well = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    starts_well && plain && text.len() <= 128
}

fn many(found: usize) -> Result<(), LayoutError> {
    if found > MAX_PARTS {
        Err(LayoutError::TooMany {
            limit: MAX_PARTS,
            found,
        })
    } else {
        Ok(())
    }
}

// A time is written as text, as everywhere else in Custos; TOML's own form is accepted as well.
fn timestamp<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        toml::Value::Datetime(time) => time.to_string(),
        _ => {
            return Err(serde::de::Error::custom(
                "a time is written like 2027-01-01T00:00:00Z",
            ));
        }
    };
    text.parse().map_err(serde::de::Error::custom)
}

/// Parses `data` as a layout; a fuzz target.
#[doc(hidden)]
pub fn fuzz_layout(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(layout) = Layout::parse(text) {
        assert!(!layout.steps().is_empty() && !layout.signers().is_empty());
        // Nothing recorded never meets a layout.
        let target = custos_core::digest::Algorithm::Sha256.digest(data).into();
        let report = evaluate(&layout, &Evidence::default(), &target, Timestamp::default());
        assert!(!report.is_met());
    }
}

/// Why a text is not a layout.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Two parts have one name.
    #[error("the {what} `{name}` is declared twice")]
    Duplicate {
        /// `step`, `source`, `input` or `product`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// An evaluation that anybody may sign.
    #[error("the evaluation names nobody who may sign it or its plan")]
    EvaluationOfAnybody,
    /// A layout without steps would be met by everything.
    #[error("the layout has no steps, so that it would allow anything")]
    NoSteps,
    /// A name with other characters.
    #[error("`{text}` is not a name: letters, digits, `.`, `_` and `-`")]
    NotAName {
        /// The text.
        text: String,
    },
    /// Neither `STEP/PRODUCT` nor `source:NAME`.
    #[error("`{text}` is neither `STEP/PRODUCT` nor `source:NAME`")]
    NotAReference {
        /// The text.
        text: String,
    },
    /// Another schema.
    #[error("the layout says schema `{found}`, expected is `custos.layout/1`")]
    Schema {
        /// The schema named.
        found: String,
    },
    /// A source that neither a digest nor a signer vouches for.
    #[error("the source `{name}` names neither digests nor signers")]
    SourceOfAnybody {
        /// Its name.
        name: String,
    },
    /// A step without something that every step has.
    #[error("the step `{step}` has no {what}")]
    StepWithout {
        /// Its name.
        step: String,
        /// What is missing.
        what: &'static str,
    },
    /// A threshold that is not a number.
    #[error("the threshold of `{metric}` is not a finite number")]
    Threshold {
        /// The metric.
        metric: String,
    },
    /// Not TOML of the right shape.
    #[error("{message} (line {line})")]
    Toml {
        /// What the parser says.
        message: String,
        /// Line, from 1; 0 if unknown.
        line: usize,
    },
    /// Too many bytes.
    #[error("{found} bytes, the limit is {limit}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// Bytes found.
        found: usize,
    },
    /// Too many steps, sources, inputs or products.
    #[error("{found} parts of one kind, the limit is {limit}")]
    TooMany {
        /// The limit.
        limit: usize,
        /// Number found.
        found: usize,
    },
    /// A reference to something that no earlier step makes.
    #[error("`{from}` is not there, or only made by a later step")]
    UnknownReference {
        /// The reference.
        from: String,
    },
}
