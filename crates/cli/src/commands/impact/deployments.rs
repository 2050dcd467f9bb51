//! Where affected artifacts run: the last word in the log on each workload.

use std::collections::BTreeMap;

use custos_core::predicate::deployment::{Deployment, DeploymentState};
use custos_core::predicate::{self, Predicate as _};
use custos_evidence::parts::Parts;
use custos_trust::verify::{Material, unverified_statement};

use super::{Search, key_of};
use crate::{Failure, stores};

/// Environment and workload.
type Place = (String, String);

/// What runs where, as far as it is affected.
#[derive(Default)]
pub(super) struct Deployments(BTreeMap<Place, Deployed>);

/// What a statement says of a workload.
pub(super) struct Deployed {
    pub(super) index: Option<u64>,
    pub(super) artifact: String,
    pub(super) said: Deployment,
    pub(super) verified: bool,
}

impl Deployments {
    /// Reads every deployment statement of the store: a workload that has moved on to something
    /// else since does not run what is affected, and only its later statement says so.
    ///
    /// What verifies counts before what does not, whatever the latter claims: nobody must be able
    /// to hide a workload by saying that it has stopped.
    pub(super) fn read(search: &mut Search<'_>) -> Result<Self, Failure> {
        let all = search.store.of_type(Deployment::TYPE);
        let mut last: BTreeMap<Place, Deployed> = BTreeMap::new();
        for digest in all.map_err(|error| stores::failure(&error))? {
            let Some((bytes, parts)) = search.read(&digest)? else {
                continue;
            };
            let said = unverified_statement(Material::Bundle(&bytes))
                .ok()
                .and_then(|statement| predicate::read::<Deployment>(&statement).ok());
            let Some(said) = said else {
                let text = format!("the deployment {digest} cannot be read");
                search.missing.push(text);
                continue;
            };
            let checked = search.check((&bytes, &parts), &search.trusting.signers, true);
            let one = Deployed {
                index: checked.as_ref().ok().copied().flatten(),
                artifact: affected(search, &parts),
                said,
                verified: checked.is_ok(),
            };
            let place = (one.said.environment.clone(), one.said.workload.clone());
            match last.get(&place) {
                Some(known) if known.weight() >= one.weight() => {}
                _ => {
                    last.insert(place, one);
                }
            }
        }
        last.retain(|_, one| !one.artifact.is_empty());
        Ok(Self(last))
    }

    /// Returns all of them, by environment and workload.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Deployed> {
        self.0.values()
    }

    /// Returns those that are at work.
    pub(super) fn running(&self) -> impl Iterator<Item = &Deployed> {
        self.iter().filter(|one| one.runs())
    }
}

impl Deployed {
    fn runs(&self) -> bool {
        self.said.state == DeploymentState::Running
    }

    // What verifies comes first, the latest of it; then what is affected, and of that what runs.
    fn weight(&self) -> (bool, Option<u64>, bool, bool) {
        let affected = !self.artifact.is_empty();
        (self.verified, self.index, affected, self.runs())
    }
}

// The affected artifact that a statement is about; empty if it is about none.
fn affected(search: &Search<'_>, parts: &Parts) -> String {
    let mut keys = parts.subjects.iter().map(|subject| key_of(&subject.digest));
    keys.find(|key| search.artifacts.contains_key(key))
        .unwrap_or_default()
}
