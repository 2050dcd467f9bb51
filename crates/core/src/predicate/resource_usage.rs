//! `urn:custos:attestation:resource-usage:v1`: what a run used, and how sure that is.
//!
//! The subjects are those of the run's provenance. Fields: `docs/predicates/resource-usage.md`.
//! Each reading carries its confidence: a number is never invented, and what nobody measured
//! says `unknown`.

use serde::{Deserialize, Serialize};

use super::Predicate;
use super::check::{Check, Fault, Problem};
use crate::amount::Amount;

/// What a run used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceUsage {
    /// The run, as in its provenance.
    pub invocation_id: String,
    /// Time from start to end, in microseconds.
    pub wall_micros: Reading<u64>,
    /// CPU time in user mode, all processes of the run, in microseconds.
    pub cpu_user_micros: Reading<u64>,
    /// CPU time in the kernel, all processes of the run, in microseconds.
    pub cpu_system_micros: Reading<u64>,
    /// Largest resident memory of one process, in bytes.
    pub peak_memory_bytes: Reading<u64>,
    /// Bytes fetched from storage.
    pub read_bytes: Reading<u64>,
    /// Bytes sent to storage.
    pub written_bytes: Reading<u64>,
    /// Accelerators; empty if none was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accelerators: Vec<Accelerator>,
    /// Energy, in microjoules.
    pub energy_microjoules: Reading<u64>,
    /// What it cost.
    pub cost: Reading<Amount>,
}

/// One accelerator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accelerator {
    /// Model name.
    pub name: String,
    /// Time busy, in microseconds.
    pub busy_micros: Reading<u64>,
    /// Largest memory in use, in bytes.
    pub peak_memory_bytes: Reading<u64>,
}

/// A value, how sure it is, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading<T> {
    /// The value; absent exactly if the confidence is `unknown`.
    #[serde(default = "nothing", skip_serializing_if = "Option::is_none")]
    pub value: Option<T>,
    /// How sure it is.
    pub confidence: Confidence,
    /// How it was found, or why it is unknown; required unless measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// How sure a reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Computed from something else, by the method named.
    Estimated,
    /// Read from an instrument that counts it.
    Measured,
    /// Not known.
    Unknown,
}

impl<T> Reading<T> {
    /// Returns a measured value.
    pub fn measured(value: T, method: impl Into<String>) -> Self {
        Self {
            value: Some(value),
            confidence: Confidence::Measured,
            method: Some(method.into()),
        }
    }

    /// Returns an estimate made by `method`.
    pub fn estimated(value: T, method: impl Into<String>) -> Self {
        Self {
            value: Some(value),
            confidence: Confidence::Estimated,
            method: Some(method.into()),
        }
    }

    /// Returns no value, and why.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self {
            value: None,
            confidence: Confidence::Unknown,
            method: Some(reason.into()),
        }
    }

    fn check(&self, check: &mut Check, path: &str) {
        let known = self.confidence != Confidence::Unknown;
        let mismatch = known != self.value.is_some();
        check.fail_if(
            mismatch,
            format!("{path}.value"),
            Problem::ConfidenceMismatch,
        );
        if self.confidence != Confidence::Measured {
            check.text(
                format!("{path}.method"),
                self.method.as_deref().unwrap_or_default(),
            );
        }
    }
}

impl Predicate for ResourceUsage {
    const TYPE: &'static str = own_type!("resource-usage:v1");

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        check.text("invocationId", &self.invocation_id);
        self.wall_micros.check(&mut check, "wallMicros");
        self.cpu_user_micros.check(&mut check, "cpuUserMicros");
        self.cpu_system_micros.check(&mut check, "cpuSystemMicros");
        self.peak_memory_bytes.check(&mut check, "peakMemoryBytes");
        self.read_bytes.check(&mut check, "readBytes");
        self.written_bytes.check(&mut check, "writtenBytes");
        for (index, accelerator) in self.accelerators.iter().enumerate() {
            let path = format!("accelerators[{index}]");
            check.text(format!("{path}.name"), &accelerator.name);
            accelerator
                .busy_micros
                .check(&mut check, &format!("{path}.busyMicros"));
            accelerator
                .peak_memory_bytes
                .check(&mut check, &format!("{path}.peakMemoryBytes"));
        }
        self.energy_microjoules
            .check(&mut check, "energyMicrojoules");
        self.cost.check(&mut check, "cost");
        let negative = self.cost.value.is_some_and(|cost| cost.is_negative());
        check.fail_if(negative, "cost.value", Problem::Negative);
        check.done()
    }
}

const fn nothing<T>() -> Option<T> {
    None
}

#[cfg(test)]
impl ResourceUsage {
    pub(crate) fn example() -> Self {
        Self {
            invocation_id: "urn:custos:run:00".into(),
            wall_micros: Reading::measured(1_500_000, "monotonic clock"),
            cpu_user_micros: Reading::measured(1_000_000, "wait4"),
            cpu_system_micros: Reading::measured(200_000, "wait4"),
            peak_memory_bytes: Reading::measured(64 << 20, "wait4"),
            read_bytes: Reading::measured(0, "/proc"),
            written_bytes: Reading::measured(4096, "/proc"),
            accelerators: vec![Accelerator {
                name: "NVIDIA H100".into(),
                busy_micros: Reading::estimated(900_000, "sampled each second"),
                peak_memory_bytes: Reading::measured(1 << 30, "driver"),
            }],
            energy_microjoules: Reading::estimated(30_000_000, "package energy by CPU share"),
            cost: Reading::estimated("0.012 USD".parse().unwrap(), "0.29 USD an hour"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_there_exactly_if_it_is_known() {
        let mut usage = ResourceUsage::example();
        assert_eq!(usage.faults(), []);
        usage.read_bytes.confidence = Confidence::Unknown;
        usage.energy_microjoules.value = None;
        usage.cost = Reading::measured("-1 USD".parse().unwrap(), "invoice");
        usage.accelerators[0].busy_micros.method = Some(" ".into());
        assert_eq!(
            usage.faults(),
            [
                Fault::new("readBytes.value", Problem::ConfidenceMismatch),
                Fault::new("accelerators[0].busyMicros.method", Problem::Empty),
                Fault::new("energyMicrojoules.value", Problem::ConfidenceMismatch),
                Fault::new("cost.value", Problem::Negative),
            ]
        );
    }

    #[test]
    fn negative_readings_do_not_parse() {
        let json = serde_json::to_string(&ResourceUsage::example()).unwrap();
        assert!(super::super::parse::<ResourceUsage>(json.as_bytes()).is_ok());
        let negative = json.replace("1500000", "-1500000");
        assert!(super::super::parse::<ResourceUsage>(negative.as_bytes()).is_err());
        let floating = json.replace(r#""0.012""#, "0.012");
        assert!(super::super::parse::<ResourceUsage>(floating.as_bytes()).is_err());
    }
}
