//! in-toto link v0.3: a step in the form of in-toto 0.9, for tools that read only that.
//!
//! Spec: in-toto/attestation, `spec/predicates/link.md`. The subjects are the products.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Predicate;
use super::check::{Check, Fault};
use crate::statement::ResourceDescriptor;

/// A link.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Name of the step.
    pub name: String,
    /// The command and its arguments.
    #[serde(default)]
    pub command: Vec<String>,
    /// What went in, each with name and digest.
    #[serde(default)]
    pub materials: Vec<ResourceDescriptor>,
    /// Whatever else came out.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub byproducts: Map<String, Value>,
    /// Environment that the author wants to record.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub environment: Map<String, Value>,
}

impl Predicate for Link {
    const TYPE: &'static str = "https://in-toto.io/attestation/link/v0.3";

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        check.text("name", &self.name);
        for (index, material) in self.materials.iter().enumerate() {
            let path = format!("materials[{index}]");
            check.text(
                format!("{path}.name"),
                material.name.as_deref().unwrap_or_default(),
            );
            check.descriptor(&path, material);
        }
        check.done()
    }
}

#[cfg(test)]
impl Link {
    pub(crate) fn example() -> Self {
        use crate::digest::Algorithm;
        let object = || Map::from_iter([("k".to_owned(), Value::from("v"))]);
        Self {
            name: "train".into(),
            command: vec!["python".into(), "train.py".into()],
            materials: vec![ResourceDescriptor::new(
                "data",
                Algorithm::Sha256.digest(b"x"),
            )],
            byproducts: object(),
            environment: object(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Problem;
    use super::*;

    #[test]
    fn a_material_has_a_name_and_a_digest() {
        let mut link = Link::example();
        link.materials = vec![ResourceDescriptor::default()];
        assert_eq!(
            link.faults(),
            [
                Fault::new("materials[0].name", Problem::Empty),
                Fault::new("materials[0].digest", Problem::Empty)
            ]
        );
    }
}
