//! A `CycloneDX` bill of materials as predicate: a typed head, the rest kept as it came.
//!
//! Spec: <https://cyclonedx.org/specification/overview/> and in-toto/attestation,
//! `spec/predicates/cyclonedx.md`. Model and data cards are ML-BOMs in this format.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Predicate;
use super::check::{Check, Fault, Problem};

/// A `CycloneDX` BOM.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CycloneDx {
    /// Always `CycloneDX`.
    pub bom_format: String,
    /// Version of the specification, such as `1.6`.
    pub spec_version: String,
    /// `urn:uuid:...` of this BOM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// Version of this BOM, from 1.
    #[serde(default = "first_version")]
    pub version: u64,
    /// Components, services, metadata and everything else, as written.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Type URI that carries the version of the specification, which readers meet in the wild.
pub const VERSIONED_TYPE_PREFIX: &str = "https://cyclonedx.org/bom/v";

impl CycloneDx {
    /// Returns the components, none if there is no such list.
    pub fn components(&self) -> &[Value] {
        self.rest
            .get("components")
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }
}

impl Predicate for CycloneDx {
    const TYPE: &'static str = "https://cyclonedx.org/bom";

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        check.fail_if(
            self.bom_format != "CycloneDX",
            "bomFormat",
            Problem::OutOfRange,
        );
        check.text("specVersion", &self.spec_version);
        check.fail_if(self.version == 0, "version", Problem::Zero);
        check.done()
    }
}

const fn first_version() -> u64 {
    1
}

#[cfg(test)]
impl CycloneDx {
    pub(crate) fn example() -> Self {
        Self {
            bom_format: "CycloneDX".into(),
            spec_version: "1.6".into(),
            serial_number: Some("urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79".into()),
            version: 1,
            rest: Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_it_has_no_type_for() {
        let text = br#"{"bomFormat":"CycloneDX","specVersion":"1.6","version":2,
            "components":[{"type":"machine-learning-model","name":"m"}],"x":{"y":[1,2]}}"#;
        let bom: CycloneDx = super::super::parse(text).unwrap();
        assert_eq!(bom.components().len(), 1);
        let again: Value = serde_json::to_value(&bom).unwrap();
        assert_eq!(again, serde_json::from_slice::<Value>(text).unwrap());
    }

    #[test]
    fn another_format_is_a_fault() {
        let bom = CycloneDx {
            bom_format: "SPDX".into(),
            version: 0,
            ..CycloneDx::example()
        };
        assert_eq!(
            bom.faults(),
            [
                Fault::new("bomFormat", Problem::OutOfRange),
                Fault::new("version", Problem::Zero)
            ]
        );
    }
}
