//! A wheel lists its members with their digests. Installers that unpack it do not all compare, so what
//! was put in afterwards is installed like the rest.

use custos_core::digest::Algorithm;

use crate::hub::Recorded;
use crate::recorded;
use crate::rules;
use crate::source::{self, ReadAt, read_all};
use crate::supply::record;
use crate::work::Look;

/// Largest list.
const MAX_RECORD: u64 = 16 << 20;
/// Most members that are told one by one.
const TOLD: usize = 10;

/// The list of a wheel, and what its members are.
pub(super) struct Wheel {
    record: String,
    list: Option<String>,
    members: Vec<(String, Recorded)>,
}

impl Wheel {
    /// Returns a wheel if these are the names of one.
    pub(super) fn of(names: &[&str]) -> Option<Self> {
        let mut records = names.iter().filter(|name| record::base(name) == Some(""));
        let (record, None) = (records.next()?, records.next()) else {
            return None;
        };
        let folder = record.strip_suffix("RECORD")?;
        names
            .contains(&format!("{folder}WHEEL").as_str())
            .then(|| Self {
                record: (*record).to_owned(),
                list: None,
                members: Vec::new(),
            })
    }

    /// Takes note of what a member is.
    pub(super) fn member(&mut self, name: &str, bytes: &dyn ReadAt) {
        if name == self.record {
            let text = (bytes.len() <= MAX_RECORD)
                .then(|| read_all(bytes).ok())
                .flatten();
            self.list = text.and_then(|text| String::from_utf8(text).ok());
            return;
        }
        let mut hasher = Algorithm::Sha256.hasher();
        let read = source::each(bytes, 0..bytes.len(), |_, read| {
            hasher.update(read);
            true
        });
        if let (Ok(()), Some(sum)) = (read, hasher.finish().to_sha256()) {
            self.members.push((name.to_owned(), Recorded::Sha256(sum)));
        }
    }

    /// Compares the members with the list.
    pub(super) fn finish(self, look: &mut Look<'_, '_, '_>) {
        let Some(list) = &self.list else { return };
        let listed: std::collections::BTreeMap<_, _> = record::lines(list).collect();
        let signatures = [".jws", ".p7s"].map(|end| format!("{}{end}", self.record));
        let mut told = 0_usize;
        for (name, is) in &self.members {
            let path = format!("{}!{name}", look.input.path);
            let finding = match listed.get(name.as_str()) {
                Some(Some(said)) if said != is => recorded::changed(&path, said),
                None if !signatures.contains(name) && !name.ends_with('/') => {
                    let mut finding = recorded::changed(&path, is);
                    "its package does not list it".clone_into(&mut finding.message);
                    finding
                }
                _ => continue,
            };
            told = told.saturating_add(1);
            if told <= TOLD {
                look.work.find(finding);
            }
        }
        if told > TOLD {
            let more = told.saturating_sub(TOLD);
            let message = format!("so are {more} more members");
            look.see(&rules::supply::RECORD_DIGEST, None, message);
        }
    }
}
