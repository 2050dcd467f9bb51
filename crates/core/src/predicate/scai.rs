//! SCAI attribute report v0.3: attributes of an artifact or its producer, with evidence.
//!
//! Spec: in-toto/attestation, `spec/predicates/scai.md`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Predicate;
use super::check::{Check, Fault, Problem};
use crate::statement::ResourceDescriptor;

/// An attribute report.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttributeReport {
    /// One or more assertions.
    pub attributes: Vec<AttributeAssertion>,
    /// Who produced the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<ResourceDescriptor>,
}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttributeAssertion {
    /// The attribute's name.
    pub attribute: String,
    /// What it is about, if not the whole subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ResourceDescriptor>,
    /// Conditions under which it holds.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub conditions: Map<String, Value>,
    /// What supports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<ResourceDescriptor>,
}

impl Predicate for AttributeReport {
    const TYPE: &'static str = "https://in-toto.io/attestation/scai/v0.3";

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        check.fail_if(self.attributes.is_empty(), "attributes", Problem::Empty);
        for (index, assertion) in self.attributes.iter().enumerate() {
            check.text(
                format!("attributes[{index}].attribute"),
                &assertion.attribute,
            );
            if let Some(evidence) = &assertion.evidence {
                check.reference(&format!("attributes[{index}].evidence"), evidence);
            }
        }
        check.done()
    }
}

#[cfg(test)]
impl AttributeReport {
    pub(crate) fn example() -> Self {
        use crate::digest::Algorithm;
        let part = |name: &str| ResourceDescriptor::new(name, Algorithm::Sha256.digest(b"x"));
        Self {
            attributes: vec![AttributeAssertion {
                attribute: "WEIGHTS_ONLY_FORMAT".into(),
                target: Some(part("model")),
                conditions: Map::from_iter([("format".into(), Value::from("safetensors"))]),
                evidence: Some(part("scan")),
            }],
            producer: Some(part("scanner")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_needs_a_name_and_evidence_a_reference() {
        let mut report = AttributeReport::example();
        report.attributes[0].attribute = " ".into();
        report.attributes[0].evidence = Some(ResourceDescriptor::default());
        assert_eq!(
            report.faults(),
            [
                Fault::new("attributes[0].attribute", Problem::Empty),
                Fault::new("attributes[0].evidence", Problem::Empty)
            ]
        );
    }
}
