//! A long look at every bundle: [`AsyncStore::survey`] believes no row. It reads every bundle, and
//! compares what the rows say with what the bytes say.

use std::collections::BTreeSet;

use custos_core::digest::Digest;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, Transaction};

use super::write::texts;
use super::{AsyncStore, Staged, Store, StoreError};
use crate::parts::Parts;

/// Every bundle of the store, as its bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Survey {
    /// How many bundles there are, drafts left out.
    pub bundles: usize,
    /// Places in logs that bundles claim, by origin and index.
    pub claims: Vec<Claim>,
    /// What is staged.
    pub drafts: Vec<Staged>,
    /// Bundles that are no longer what they were.
    pub damaged: Vec<(Digest, StoreError)>,
    /// Bundles that the index does not know, or about which it says something else than they do.
    pub unindexed: Vec<Digest>,
}

/// A place in a log that a bundle claims.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Claim {
    /// Origin of the log.
    pub origin: String,
    /// Index in it.
    pub index: u64,
    /// SHA-256 of the leaf, if it commits to the bundle's envelope.
    pub leaf_digest: Option<Digest>,
    /// SHA-256 of the bundle.
    pub bundle_digest: Digest,
}

impl AsyncStore {
    /// Reads every bundle, and compares what the index says with what they say. One snapshot;
    /// nothing is changed.
    pub async fn survey(&self) -> Result<Survey, StoreError> {
        let transaction = self.pool.begin().await;
        let mut transaction = transaction.map_err(|error| self.fail(&error))?;
        let drafts = self.staged_in(&mut *transaction).await?;
        let staged: BTreeSet<Digest> = drafts.iter().map(|draft| draft.bundle_digest).collect();
        let mut survey = Survey {
            unindexed: self.stray_files(&mut transaction).await?,
            drafts,
            ..Survey::default()
        };
        for digest in self.bundles_in(&mut *transaction).await? {
            let draft = staged.contains(&digest);
            survey.bundles = survey.bundles.saturating_add(usize::from(!draft));
            match self.parts(&mut *transaction, &digest).await {
                Ok(_) if draft => {}
                Ok(parts) => {
                    if self.indexed(&mut transaction, &digest).await? != lines(&parts) {
                        survey.unindexed.push(digest);
                    }
                    survey.claims.extend(parts.log.map(|(origin, index)| Claim {
                        origin,
                        index,
                        leaf_digest: parts.leaf_digest,
                        bundle_digest: digest,
                    }));
                }
                Err(error) if error.is_of_one_bundle() => survey.damaged.push((digest, error)),
                Err(error) => return Err(error),
            }
        }
        survey.claims.sort_unstable();
        Ok(survey)
    }

    /// Returns bundles that lie in the folder and have a log entry, and that no row names: a
    /// database from a backup beside a newer folder.
    pub(super) async fn stray_files(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
    ) -> Result<Vec<Digest>, StoreError> {
        let folder = self.folder.clone();
        let files = self.in_background(move || folder.list()).await?;
        let known: BTreeSet<Digest> = self
            .bundles_in(&mut **transaction)
            .await?
            .into_iter()
            .collect();
        let mut strays = Vec::new();
        for digest in files.into_iter().filter(|digest| !known.contains(digest)) {
            let folder = self.folder.clone();
            // A damaged file without a row is no bundle of ours.
            let Ok(bytes) = self.in_background(move || folder.get(&digest)).await else {
                continue;
            };
            // Without a log entry it is a draft that nobody waits for.
            if Parts::read(&bytes).is_ok_and(|parts| parts.log.is_some()) {
                strays.push(digest);
            }
        }
        Ok(strays)
    }

    // Everything that the index says about a bundle, in the form of `lines`.
    async fn indexed(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        digest: &Digest,
    ) -> Result<Vec<Line>, StoreError> {
        let sql = "SELECT 'statement', COALESCE(log_index, -1), statement_digest, predicate_type,
              COALESCE(predicate_digest, '') || ' ' || COALESCE(log_origin, '')
            FROM statement WHERE org = $1 AND project = $2 AND bundle_digest = $3
            UNION ALL SELECT 'subject', position, digest, name, ''
            FROM subject WHERE org = $1 AND project = $2 AND bundle_digest = $3
            UNION ALL SELECT 'material', position, digest, name, role
            FROM material WHERE org = $1 AND project = $2 AND bundle_digest = $3
            UNION ALL SELECT 'signer', 0, key_id, '', ''
            FROM signer WHERE org = $1 AND project = $2 AND bundle_digest = $3
            UNION ALL SELECT 'step', 0, name, build_type,
              COALESCE(CAST(started_at AS TEXT), '') || ' '
                || COALESCE(CAST(finished_at AS TEXT), '')
            FROM step WHERE org = $1 AND project = $2 AND bundle_digest = $3";
        let rows = self.scoped(sql).bind(digest.to_string());
        let rows = rows.fetch_all(&mut **transaction).await;
        let rows = rows.map_err(|error| self.fail(&error))?;
        let line = |row: &SqliteRow| {
            Ok((
                row.try_get(0)?,
                row.try_get(1)?,
                row.try_get(2)?,
                row.try_get(3)?,
                row.try_get(4)?,
            ))
        };
        let lines: Result<Vec<Line>, sqlx::Error> = rows.iter().map(line).collect();
        // A row that this store never writes agrees with no bundle.
        let mut lines = lines.unwrap_or_default();
        lines.sort_unstable();
        Ok(lines)
    }
}

impl Store {
    /// Reads every bundle; see [`AsyncStore::survey`].
    pub fn survey(&self) -> Result<Survey, StoreError> {
        self.wait(self.inner().survey())
    }
}

// A row of the index: table, position, and three texts.
type Line = (String, i64, String, String, String);

// The rows that a bundle has when it is indexed, in order.
fn lines(parts: &Parts) -> Vec<Line> {
    let text = |value: Option<String>| value.unwrap_or_default();
    let (origin, index) = parts.log.clone().unzip();
    let index = index.and_then(|index| i64::try_from(index).ok());
    let plan = text(parts.predicate_digest.map(|digest| digest.to_string()));
    let mut lines = vec![(
        "statement".to_owned(),
        index.unwrap_or(-1),
        parts.statement_digest.to_string(),
        parts.predicate_type.clone(),
        format!("{plan} {}", text(origin)),
    )];
    for (position, subject) in (0_i64..).zip(&parts.subjects) {
        let rows = texts(&subject.digest).map(|digest| {
            (
                "subject".to_owned(),
                position,
                digest,
                subject.name.clone(),
                String::new(),
            )
        });
        lines.extend(rows);
    }
    for (position, material) in (0_i64..).zip(&parts.materials) {
        let (name, role) = (&material.artifact.name, &material.role);
        let rows = texts(&material.artifact.digest).map(|digest| {
            (
                "material".to_owned(),
                position,
                digest,
                name.clone(),
                role.clone(),
            )
        });
        lines.extend(rows);
    }
    if let Some(key) = &parts.key_id {
        lines.push((
            "signer".to_owned(),
            0,
            key.clone(),
            String::new(),
            String::new(),
        ));
    }
    if let Some(step) = &parts.step {
        let time = |time: Option<custos_core::clock::Timestamp>| {
            text(time.map(|time| time.as_micros().to_string()))
        };
        let times = format!("{} {}", time(step.started), time(step.finished));
        let (name, build_type) = (step.name.clone(), step.build_type.clone());
        lines.push(("step".to_owned(), 0, name, build_type, times));
    }
    lines.sort_unstable();
    lines
}
