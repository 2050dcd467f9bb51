//! What people have dealt with already: suppressions and the report of before.
//!
//! A suppression is about one rule in one file, by the digest of its bytes: a file that was swapped
//! under the same name is looked at as if nobody had ever seen it. It has an owner, a reason and an
//! end. What is not in order suppresses nothing, and is told.

use std::collections::BTreeMap;

use custos_core::clock::Timestamp;
use custos_core::digest::{Algorithm, Digest};
use custos_core::finding::Finding;
use custos_core::json::{self, JsonError};
use custos_core::limits::Limits;
use serde::{Deserialize, Serialize};
use toml::Value;

use crate::document::{FileResult, Listed, SCHEMA};
use crate::rules;

/// Most suppressions in one file.
const MAX_SUPPRESSIONS: usize = 100_000;

/// Whether a finding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(clippy::exhaustive_enums, reason = "part of a versioned schema")]
pub enum Standing {
    /// Nobody has dealt with it.
    New,
    /// The report of before has it.
    Known,
    /// A suppression is about it.
    Suppressed,
}

/// What somebody found out about a finding, in the words of `CycloneDX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "the list of the specification")]
pub enum Analysis {
    /// It hurts.
    Exploitable,
    /// The scanner is wrong.
    FalsePositive,
    /// It is so, and does not hurt here.
    #[default]
    NotAffected,
    /// It was mended where it hurts.
    Resolved,
}

/// What took a finding out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::exhaustive_structs, reason = "part of a versioned schema")]
pub struct Used {
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// From when on it counts no more.
    pub expires: Timestamp,
    /// What was found out.
    pub analysis: Analysis,
}

/// What became of a suppression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::exhaustive_structs, reason = "part of a versioned schema")]
pub struct SuppressionUse {
    /// Its place in the file, from 1.
    pub number: u64,
    /// The rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What became of it.
    pub outcome: SuppressionOutcome,
    /// How many findings it took out.
    pub findings: u64,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// What became of a suppression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(clippy::exhaustive_enums, reason = "part of a versioned schema")]
pub enum SuppressionOutcome {
    /// Its time is over; it suppresses nothing.
    Expired,
    /// It is not in order; it suppresses nothing.
    Malformed,
    /// There is nothing that it is about.
    Unused,
    /// It took something out.
    Used,
}

/// A file of suppressions.
#[derive(Debug, Clone, Default)]
pub struct Suppressions(Vec<Result<Suppression, Malformed>>);

#[derive(Debug, Clone)]
struct Suppression {
    rule: String,
    digest: Digest,
    used: Used,
}

#[derive(Debug, Clone)]
struct Malformed {
    rule: Option<String>,
    sha256: Option<String>,
    fault: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    suppress: Vec<Value>,
}

impl Suppressions {
    /// Reads a file: TOML with a table `[[suppress]]` for each. One that is not in order is kept as
    /// such; only what is no such file at all is an error.
    pub fn parse(text: &str) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|error| error.to_string())?;
        if written.suppress.len() > MAX_SUPPRESSIONS {
            return Err(format!("there are more than {MAX_SUPPRESSIONS}"));
        }
        Ok(Self(written.suppress.iter().map(read).collect()))
    }

    /// Takes findings out, and returns what became of each suppression.
    pub fn apply(&self, files: &mut [FileResult], now: Timestamp) -> Vec<SuppressionUse> {
        let mut by_place: BTreeMap<(&Digest, &str), usize> = BTreeMap::new();
        let mut uses = Vec::new();
        for (at, one) in self.0.iter().enumerate() {
            let number = u64::try_from(at).unwrap_or(u64::MAX).saturating_add(1);
            uses.push(first_use(number, one, now));
            if let Ok(one) = one
                && now < one.used.expires
            {
                by_place.insert((&one.digest, &one.rule), at);
            }
        }
        for file in files {
            let Some(digest) = file.digest else { continue };
            for listed in &mut file.findings {
                let Some(at) = by_place.get(&(&digest, listed.finding.rule.as_str())) else {
                    continue;
                };
                if let (Some(Ok(one)), Some(told)) = (self.0.get(*at), uses.get_mut(*at)) {
                    listed.standing = Standing::Suppressed;
                    listed.suppressed_by = Some(one.used.clone());
                    told.outcome = SuppressionOutcome::Used;
                    told.findings = told.findings.saturating_add(1);
                }
            }
        }
        uses
    }
}

fn first_use(number: u64, one: &Result<Suppression, Malformed>, now: Timestamp) -> SuppressionUse {
    let told = SuppressionUse {
        number,
        rule: None,
        sha256: None,
        outcome: SuppressionOutcome::Unused,
        findings: 0,
        fault: None,
    };
    match one {
        Ok(one) => {
            let used = &one.used;
            let over = now >= used.expires;
            let since = || {
                format!(
                    "it ended at {}; {} answered for it",
                    used.expires, used.owner
                )
            };
            SuppressionUse {
                rule: Some(one.rule.clone()),
                sha256: Some(one.digest.to_hex()),
                outcome: if over {
                    SuppressionOutcome::Expired
                } else {
                    SuppressionOutcome::Unused
                },
                fault: over.then(since),
                ..told
            }
        }
        Err(fault) => SuppressionUse {
            rule: fault.rule.clone(),
            sha256: fault.sha256.clone(),
            outcome: SuppressionOutcome::Malformed,
            fault: Some(fault.fault.clone()),
            ..told
        },
    }
}

fn read(written: &Value) -> Result<Suppression, Malformed> {
    const KEYS: [&str; 6] = ["sha256", "rule", "owner", "reason", "expires", "analysis"];
    let text = |key: &str| match written.get(key) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Datetime(moment)) => Some(moment.to_string()),
        _ => None,
    };
    let malformed = |fault: String| Malformed {
        rule: text("rule"),
        sha256: text("sha256"),
        fault,
    };
    let needed = |key: &str| {
        text(key)
            .filter(|text| !text.trim().is_empty())
            .ok_or_else(|| malformed(format!("`{key}` is missing or empty")))
    };
    let Some(table) = written.as_table() else {
        return Err(malformed("it is no table".to_owned()));
    };
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(malformed(format!("there is no key `{key}`")));
    }
    let hex = needed("sha256")?;
    let hex = hex.strip_prefix("sha256:").unwrap_or(&hex);
    let digest = Digest::from_hex(Algorithm::Sha256, hex)
        .map_err(|error| malformed(format!("`sha256`: {error}")))?;
    let rule = needed("rule")?;
    if rules::find(&rule).is_none() {
        return Err(malformed(format!("there is no rule `{rule}`")));
    }
    let expires = needed("expires")?;
    let expires =
        moment(&expires).ok_or_else(|| malformed(format!("`expires` is no date: {expires}")))?;
    let analysis = match text("analysis") {
        None => Analysis::default(),
        Some(text) => serde_json::from_value(text.clone().into())
            .map_err(|_| malformed(format!("`analysis` is none of the list: {text}")))?,
    };
    Ok(Suppression {
        rule,
        digest,
        used: Used {
            owner: needed("owner")?,
            reason: needed("reason")?,
            expires,
            analysis,
        },
    })
}

// A date is the first moment of that day.
fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let date = format!("{text}T00:00:00Z");
    text.parse().or_else(|_| date.parse()).ok()
}

/// The findings of a report of before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline(BTreeMap<(String, String), u64>);

#[derive(Deserialize)]
struct Before {
    schema: String,
    files: Vec<BeforeFile>,
}

#[derive(Deserialize)]
struct BeforeFile {
    findings: Vec<BeforeFinding>,
}

#[derive(Deserialize)]
struct BeforeFinding {
    rule: String,
    fingerprint: String,
}

impl Baseline {
    /// Reads a report.
    pub fn parse(bytes: &[u8]) -> Result<Self, BaselineError> {
        let before: Before = json::from_slice(bytes, &Limits::STATEMENT)?;
        if before.schema != SCHEMA {
            return Err(BaselineError::Schema {
                found: before.schema,
            });
        }
        let mut known: BTreeMap<(String, String), u64> = BTreeMap::new();
        for one in before.files.into_iter().flat_map(|file| file.findings) {
            let count = known.entry((one.rule, one.fingerprint)).or_default();
            *count = count.saturating_add(1);
        }
        Ok(Self(known))
    }

    /// Marks the findings that it has; of things that were there twice, the third is new.
    pub fn apply(&self, files: &mut [FileResult]) {
        let mut left = self.0.clone();
        for one in files.iter_mut().flat_map(|file| &mut file.findings) {
            let key = (one.finding.rule.clone(), one.fingerprint.clone());
            if let Some(count) = left.get_mut(&key).filter(|count| **count > 0)
                && one.is_new()
            {
                *count = count.saturating_sub(1);
                one.standing = Standing::Known;
            }
        }
    }
}

/// Why a file is no report of before.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// It is not JSON of the right shape.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It is a document of another kind.
    #[error("its schema is `{found}`, expected was `{SCHEMA}`")]
    Schema {
        /// What it says.
        found: String,
    },
}

/// Gives each finding of a file its fingerprint.
///
/// The fingerprint is over the rule, what was seen, and where in the file as far as that has a
/// name: not over the file's own name, its digest, an offset or a line. It stays the same when a
/// file moves or other parts of it change.
pub(crate) fn listed(path: &str, findings: Vec<Finding>) -> Vec<Listed> {
    let list = |finding: Finding| Listed {
        fingerprint: fingerprint(path, &finding),
        finding,
        standing: Standing::New,
        suppressed_by: None,
    };
    findings.into_iter().map(list).collect()
}

fn fingerprint(path: &str, finding: &Finding) -> String {
    // Numbers in a sentence are mostly offsets and sizes.
    let sentence = || {
        let shape = finding.message.replace(path, "");
        shape.chars().filter(|c| !c.is_ascii_digit()).collect()
    };
    let inner = &finding.location.path;
    let inner = inner.strip_prefix(path).unwrap_or(inner);
    let seen = finding.evidence.clone().unwrap_or_else(sentence);
    let pointer = finding.location.pointer.as_deref().unwrap_or_default();
    let mut hasher = Algorithm::Sha256.hasher();
    for part in [finding.rule.as_str(), inner, pointer, &seen] {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hasher.update(&length.to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let mut hex = hasher.finish().to_hex();
    hex.truncate(32);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, scan};

    proptest::proptest! {
        #[test]
        fn whatever_is_read_suppresses_nothing_that_nobody_answers_for(
            lines in proptest::collection::vec(
                "(\\[\\[suppress\\]\\]|(sha256|rule|owner|reason|expires|x) = (\"[a-z/ -]{0,20}\"|20[0-9]{2}-01-01|1))",
                0..12,
            ),
        ) {
            let digest = Algorithm::Sha256.digest(BAD).to_hex();
            let text = lines.join("\n").replace("aa", &digest);
            crate::fuzz::known(text.as_bytes());
        }
    }

    const BAD: &[u8] = b"cos\nsystem\n(S'id'\ntR.";

    fn file(path: &str, bytes: &[u8]) -> FileResult {
        scan(path, &bytes.to_vec(), &Options::default()).into()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_suppression_needs_digest_rule_owner_reason_and_time() {
        let digest = Algorithm::Sha256.digest(BAD).to_hex();
        let good = format!(
            "[[suppress]]\nsha256 = \"{digest}\"\nrule = \"pickle/dangerous-call\"\nowner = \"a\"\n\
             reason = \"a test\"\nexpires = 2027-01-01\n"
        );
        let apply = |text: &str, now: &str| {
            let mut files = [file("x", BAD)];
            let uses = Suppressions::parse(text)
                .unwrap()
                .apply(&mut files, at(now));
            (files[0].findings[0].standing, uses[0].clone())
        };
        let (standing, told) = apply(&good, "2026-12-31T23:59:59Z");
        assert_eq!(standing, Standing::Suppressed);
        assert_eq!((told.outcome, told.findings), (SuppressionOutcome::Used, 1));
        let (standing, told) = apply(&good, "2027-01-01T00:00:00Z");
        assert_eq!(standing, Standing::New);
        assert_eq!(told.outcome, SuppressionOutcome::Expired);
        let other = good.replace(&digest, &"0".repeat(64));
        let (standing, told) = apply(&other, "2026-01-01T00:00:00Z");
        assert_eq!(
            (standing, told.outcome),
            (Standing::New, SuppressionOutcome::Unused)
        );
        for (from, to, fault) in [
            ("owner = \"a\"", "", "`owner` is missing"),
            ("\"a test\"", "\" \"", "`reason` is missing"),
            ("2027-01-01", "\"soon\"", "no date: soon"),
            ("dangerous-call", "nothing", "no rule"),
            ("owner", "ownr", "no key `ownr`"),
            (digest.as_str(), "12", "`sha256`"),
            ("reason =", "analysis = \"fine\"\nreason =", "`analysis`"),
        ] {
            let (standing, told) = apply(&good.replace(from, to), "2026-01-01T00:00:00Z");
            assert_eq!(standing, Standing::New, "{to}");
            assert_eq!(told.outcome, SuppressionOutcome::Malformed, "{to}");
            assert!(told.fault.as_ref().unwrap().contains(fault), "{told:?}");
        }
        assert!(Suppressions::parse("[[supress]]\n").is_err());
        assert!(Suppressions::parse("suppress = 1").is_err());
    }

    #[test]
    fn a_fingerprint_survives_a_move_and_a_shift() {
        let shifted = [b"N0".as_slice(), BAD].concat();
        let prints = |path: &str, bytes: &[u8]| {
            let found = file(path, bytes).findings;
            let call = found
                .into_iter()
                .find(|f| f.finding.rule == "pickle/dangerous-call");
            call.map(|f| f.fingerprint)
        };
        let first = prints("a/x.pkl", BAD).unwrap();
        assert_eq!(prints("b/y.bin", BAD).unwrap(), first);
        assert_eq!(prints("a/x.pkl", &shifted).unwrap(), first);
        let other = prints("a/x.pkl", b"cos\nsystem\n(S'rm'\ntR.").unwrap();
        assert_ne!(other, first);
    }

    #[test]
    fn a_baseline_counts_what_it_knows() {
        let report = crate::document::Report::new(
            crate::document::Settings {
                fail_on: custos_core::finding::Severity::High,
                strict: false,
                osv: None,
                internal_names: None,
                baseline: None,
            },
            vec![file("x", BAD)],
            Vec::new(),
        );
        let bytes = serde_json::to_vec(&report).unwrap();
        let baseline = Baseline::parse(&bytes).unwrap();
        let mut files = [file("moved", BAD), file("copied", BAD)];
        baseline.apply(&mut files);
        assert!(
            files[0]
                .findings
                .iter()
                .all(|one| one.standing == Standing::Known)
        );
        assert!(files[1].findings.iter().all(Listed::is_new));
        assert!(matches!(
            Baseline::parse(br#"{"schema":"custos.verify/1","files":[]}"#),
            Err(BaselineError::Schema { .. })
        ));
        assert!(Baseline::parse(b"[]").is_err());
    }
}
