//! What the index lacks: a short question for every decision, and a long look at every bundle.
//!
//! [`AsyncStore::gaps`] asks the rows which entries of a log they know. Rows are claims; a row that
//! should not be there hides a gap from this question. [`AsyncStore::survey`] believes no row: it
//! reads every bundle, and compares what the rows say with what the bytes say.

use std::collections::BTreeSet;
use std::ops::Range;

use custos_core::digest::Digest;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, Transaction};

use super::write::texts;
use super::{AsyncStore, Staged, Store, StoreError};
use crate::parts::Parts;

/// Most gaps that are listed; all entries in them are counted.
pub const MAX_GAPS: usize = 1_000;

/// Entries of a log that the index does not know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Gaps {
    /// How many entries.
    pub count: u64,
    /// Where they are, from the first: at most [`MAX_GAPS`] ranges.
    pub ranges: Vec<Range<u64>>,
}

impl Gaps {
    /// Returns true if every entry is known.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the entries in the listed gaps, in order.
    pub fn indexes(&self) -> impl DoubleEndedIterator<Item = u64> + '_ {
        self.ranges.iter().cloned().flatten()
    }
}

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
    /// Returns which of the log's first `size` entries the index does not know.
    pub async fn gaps(&self, origin: &str, size: u64) -> Result<Gaps, StoreError> {
        let end = i64::try_from(size).unwrap_or(i64::MAX);
        let sql = "SELECT COUNT(DISTINCT log_index), COALESCE(MAX(log_index) + 1, 0) FROM statement
            WHERE org = $1 AND project = $2 AND log_origin = $3
              AND log_index >= 0 AND log_index < $4";
        let row = self.scoped(sql).bind(origin).bind(end);
        let row = row.fetch_one(&self.pool).await;
        let row = row.map_err(|error| self.fail(&error))?;
        let number = |row: &SqliteRow, column: usize| -> Result<u64, StoreError> {
            let number: i64 = row.try_get(column).map_err(|error| self.fail(&error))?;
            // Nothing that is counted or asked for here is negative.
            Ok(u64::try_from(number).unwrap_or(0))
        };
        let (known, after_last) = (number(&row, 0)?, number(&row, 1)?);
        let count = size.saturating_sub(known);
        if count == 0 {
            return Ok(Gaps::default());
        }
        // Only where two known neighbours are not next to each other.
        let sql = "SELECT before + 1, log_index FROM (
              SELECT log_index, LAG(log_index, 1, -1) OVER (ORDER BY log_index) AS before
              FROM (SELECT DISTINCT log_index FROM statement
                WHERE org = $1 AND project = $2 AND log_origin = $3
                  AND log_index >= 0 AND log_index < $4) AS known) AS pairs
            WHERE log_index > before + 1 ORDER BY log_index LIMIT $5";
        let limit = i64::try_from(MAX_GAPS).unwrap_or(i64::MAX);
        let rows = self.scoped(sql).bind(origin).bind(end).bind(limit);
        let rows = rows.fetch_all(&self.pool).await;
        let rows = rows.map_err(|error| self.fail(&error))?;
        let mut ranges = Vec::with_capacity(rows.len());
        for row in &rows {
            ranges.push(number(row, 0)?..number(row, 1)?);
        }
        if after_last < size && ranges.len() < MAX_GAPS {
            ranges.push(after_last..size);
        }
        Ok(Gaps { count, ranges })
    }

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
    /// Returns which entries of a log the index does not know; see [`AsyncStore::gaps`].
    pub fn gaps(&self, origin: &str, size: u64) -> Result<Gaps, StoreError> {
        self.wait(self.inner().gaps(origin, size))
    }

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
