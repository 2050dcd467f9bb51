//! Entries of a log whose statements are not here: what others logged, and what was lost.
//!
//! A leaf says whose signature it records, and nothing of what was signed. That is enough to tell
//! what lacks (a statement by an expected signer) from what is none of our business. Who is
//! expected may change, so rows keep who signed, and each question judges anew.
//!
//! Rows are claims: one that should not be there hides a gap. [`AsyncStore::survey`] believes none.

use std::ops::Range;

use custos_core::digest::{Algorithm, Digest};
use custos_core::entry::{HashedRekord, Verifier};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, Transaction};

use super::{AsyncStore, Store, StoreError, digest_of};

/// Most gaps that are listed; all entries in them are counted.
pub const MAX_GAPS: usize = 1_000;

/// Most signers of entries without a statement that one question looks at.
pub const MAX_LEAF_SIGNERS: usize = 100_000;
/// Most entries of one signer that are listed.
const LISTED: i64 = 8;

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

/// An entry of a log, as far as its leaf tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leaf {
    /// Index in the log.
    pub index: u64,
    /// SHA-256 of the leaf.
    pub digest: Digest,
    /// Whose signature it records; `None` if it is no entry that a bundle can have.
    pub signer: Option<Verifier>,
}

impl Leaf {
    /// Reads a leaf. One that is not of our kind records no signature: verification asks for that
    /// kind, byte for byte.
    pub fn read(index: u64, leaf: &[u8]) -> Self {
        Self {
            index,
            digest: Algorithm::Sha256.digest(leaf),
            signer: HashedRekord::parse(leaf).ok().map(|entry| entry.verifier),
        }
    }
}

/// Entries by one signer without a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unstated {
    /// Who signed.
    pub signer: Verifier,
    /// How many entries.
    pub count: u64,
    /// The first of them.
    pub first: Vec<u64>,
}

// Two questions about the entries of a log that `$known` leaves out: how many, and where. The
// texts are constants, and `sqlx` takes no others.
macro_rules! beside {
    ($known:expr) => {
        Beside {
            count: concat!(
                "SELECT COUNT(*), COALESCE(MAX(log_index) + 1, 0) FROM (",
                $known,
                ")"
            ),
            // Only where two known neighbours are not next to each other.
            ranges: concat!(
                "SELECT before + 1, log_index FROM (
                   SELECT log_index, LAG(log_index, 1, -1) OVER (ORDER BY log_index) AS before
                   FROM (",
                $known,
                ")) WHERE log_index > before + 1 ORDER BY log_index LIMIT $5"
            ),
        }
    };
}

struct Beside {
    count: &'static str,
    ranges: &'static str,
}

const STATED: Beside = beside!(
    "SELECT DISTINCT log_index FROM statement
     WHERE org = $1 AND project = $2 AND log_origin = $3 AND log_index >= 0 AND log_index < $4"
);
const SEEN: Beside = beside!(
    "SELECT log_index FROM statement
     WHERE org = $1 AND project = $2 AND log_origin = $3 AND log_index >= 0 AND log_index < $4
     UNION SELECT log_index FROM leaf
     WHERE org = $1 AND project = $2 AND log_origin = $3 AND log_index >= 0 AND log_index < $4"
);

impl AsyncStore {
    /// Returns which of the log's first `size` entries have no statement here.
    pub async fn gaps(&self, origin: &str, size: u64) -> Result<Gaps, StoreError> {
        self.beside(&STATED, origin, size).await
    }

    /// Returns which of the log's first `size` entries nobody has looked at: they have neither a
    /// statement here, nor is it known who signed them.
    pub async fn unseen(&self, origin: &str, size: u64) -> Result<Gaps, StoreError> {
        self.beside(&SEEN, origin, size).await
    }

    /// Remembers who signed entries of a log.
    pub async fn see(&self, origin: &str, leaves: &[Leaf]) -> Result<(), StoreError> {
        self.must_be_writable()?;
        let mut transaction = self.begin().await?;
        for leaf in leaves {
            let signer = match &leaf.signer {
                Some(signer) => self.write_leaf_signer(&mut transaction, signer).await?,
                None => String::new(),
            };
            let sql = "INSERT INTO leaf (org, project, log_origin, log_index, leaf_digest, signer)
                VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
            let outcome = self
                .scoped(sql)
                .bind(origin)
                .bind(i64::try_from(leaf.index).unwrap_or(i64::MAX))
                .bind(leaf.digest.to_string())
                .bind(signer)
                .execute(&mut *transaction)
                .await;
            outcome.map_err(|error| self.fail(&error))?;
        }
        let outcome = transaction.commit().await;
        outcome.map_err(|error| self.fail(&error))
    }

    /// Returns what the index says about the leaves of a range of entries, in order.
    pub async fn leaves(&self, origin: &str, range: Range<u64>) -> Result<Vec<Leaf>, StoreError> {
        let sql = "SELECT l.log_index, l.leaf_digest, l.signer, k.kind, k.der FROM leaf l
            LEFT JOIN leaf_signer k ON k.org = l.org AND k.project = l.project
              AND k.digest = l.signer
            WHERE l.org = $1 AND l.project = $2 AND l.log_origin = $3
              AND l.log_index >= $4 AND l.log_index < $5 ORDER BY l.log_index";
        let edge = |index: u64| i64::try_from(index).unwrap_or(i64::MAX);
        let (from, to) = (edge(range.start), edge(range.end));
        let rows = self.scoped(sql).bind(origin).bind(from).bind(to);
        let rows = rows.fetch_all(&self.pool).await;
        let rows = rows.map_err(|error| self.fail(&error))?;
        let fail = |error: sqlx::Error| self.fail(&error);
        let leaf = |row: &SqliteRow| {
            let index: i64 = row.try_get(0).map_err(fail)?;
            let kind: Option<String> = row.try_get(3).map_err(fail)?;
            let der: Option<Vec<u8>> = row.try_get(4).map_err(fail)?;
            Ok(Leaf {
                index: u64::try_from(index).unwrap_or(u64::MAX),
                digest: digest_of(row, 1, "leaf")?,
                signer: kind.zip(der).map(|(kind, der)| verifier(&kind, der)),
            })
        };
        rows.iter().map(leaf).collect()
    }

    /// Returns who signed entries among the log's first `size` that have no statement here, at
    /// most [`MAX_LEAF_SIGNERS`] of them.
    pub async fn unstated(&self, origin: &str, size: u64) -> Result<Vec<Unstated>, StoreError> {
        let end = i64::try_from(size).unwrap_or(i64::MAX);
        let sql = "WITH lone AS (
              SELECT log_index, signer FROM leaf l
              WHERE org = $1 AND project = $2 AND log_origin = $3 AND signer <> ''
                AND log_index >= 0 AND log_index < $4
                AND NOT EXISTS (SELECT 1 FROM statement s
                  WHERE s.org = l.org AND s.project = l.project
                    AND s.log_origin = l.log_origin AND s.log_index = l.log_index)),
            placed AS (
              SELECT signer, log_index, COUNT(*) OVER (PARTITION BY signer) AS number,
                ROW_NUMBER() OVER (PARTITION BY signer ORDER BY log_index) AS place
              FROM lone)
            SELECT k.digest, k.kind, k.der, MAX(p.number), GROUP_CONCAT(p.log_index)
            FROM placed p JOIN leaf_signer k ON k.org = $1 AND k.project = $2
              AND k.digest = p.signer
            WHERE p.place <= $5 GROUP BY k.digest, k.kind, k.der
            ORDER BY MIN(p.log_index) LIMIT $6";
        let limit = i64::try_from(MAX_LEAF_SIGNERS).unwrap_or(i64::MAX);
        let rows = self
            .scoped(sql)
            .bind(origin)
            .bind(end)
            .bind(LISTED)
            .bind(limit.saturating_add(1))
            .fetch_all(&self.pool)
            .await;
        let rows = rows.map_err(|error| self.fail(&error))?;
        if rows.len() > MAX_LEAF_SIGNERS {
            return Err(StoreError::TooMany {
                limit: MAX_LEAF_SIGNERS,
            });
        }
        rows.iter()
            .map(|row| self.unstated_of(row))
            .collect::<Result<_, _>>()
    }

    async fn beside(&self, known: &Beside, origin: &str, size: u64) -> Result<Gaps, StoreError> {
        let end = i64::try_from(size).unwrap_or(i64::MAX);
        let row = self.scoped(known.count).bind(origin).bind(end);
        let row = row.fetch_one(&self.pool).await;
        let row = row.map_err(|error| self.fail(&error))?;
        let number = |row: &SqliteRow, column: usize| -> Result<u64, StoreError> {
            let number: i64 = row.try_get(column).map_err(|error| self.fail(&error))?;
            // Nothing that is counted or asked for here is negative.
            Ok(u64::try_from(number).unwrap_or(0))
        };
        let (found, after_last) = (number(&row, 0)?, number(&row, 1)?);
        let count = size.saturating_sub(found);
        if count == 0 {
            return Ok(Gaps::default());
        }
        let limit = i64::try_from(MAX_GAPS).unwrap_or(i64::MAX);
        let rows = self.scoped(known.ranges).bind(origin).bind(end).bind(limit);
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

    fn unstated_of(&self, row: &SqliteRow) -> Result<Unstated, StoreError> {
        let fail = |error: sqlx::Error| self.fail(&error);
        let kind: String = row.try_get(1).map_err(fail)?;
        let der: Vec<u8> = row.try_get(2).map_err(fail)?;
        let number: i64 = row.try_get(3).map_err(fail)?;
        let listed: String = row.try_get(4).map_err(fail)?;
        let mut first: Vec<u64> = listed
            .split(',')
            .filter_map(|index| index.parse().ok())
            .collect();
        first.sort_unstable();
        Ok(Unstated {
            signer: verifier(&kind, der),
            count: u64::try_from(number).unwrap_or(0),
            first,
        })
    }

    async fn write_leaf_signer(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        signer: &Verifier,
    ) -> Result<String, StoreError> {
        let (kind, der) = match signer {
            Verifier::PublicKey(der) => ("key", der),
            Verifier::Certificate(der) => ("certificate", der),
        };
        let digest = Algorithm::Sha256.digest(der).to_string();
        let sql = "INSERT INTO leaf_signer (org, project, digest, kind, der)
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let outcome = self
            .scoped(sql)
            .bind(digest.as_str())
            .bind(kind)
            .bind(der.as_slice())
            .execute(&mut **transaction)
            .await;
        outcome.map_err(|error| self.fail(&error))?;
        Ok(digest)
    }
}

fn verifier(kind: &str, der: Vec<u8>) -> Verifier {
    match kind {
        "key" => Verifier::PublicKey(der),
        _ => Verifier::Certificate(der),
    }
}

impl Store {
    /// Returns which entries of a log have no statement here; see [`AsyncStore::gaps`].
    pub fn gaps(&self, origin: &str, size: u64) -> Result<Gaps, StoreError> {
        self.wait(self.inner().gaps(origin, size))
    }

    /// Returns which entries nobody has looked at; see [`AsyncStore::unseen`].
    pub fn unseen(&self, origin: &str, size: u64) -> Result<Gaps, StoreError> {
        self.wait(self.inner().unseen(origin, size))
    }

    /// Remembers who signed entries of a log; see [`AsyncStore::see`].
    pub fn see(&self, origin: &str, leaves: &[Leaf]) -> Result<(), StoreError> {
        self.wait(self.inner().see(origin, leaves))
    }

    /// Returns what the index says about leaves; see [`AsyncStore::leaves`].
    pub fn leaves(&self, origin: &str, range: Range<u64>) -> Result<Vec<Leaf>, StoreError> {
        self.wait(self.inner().leaves(origin, range))
    }

    /// Returns who signed entries without a statement; see [`AsyncStore::unstated`].
    pub fn unstated(&self, origin: &str, size: u64) -> Result<Vec<Unstated>, StoreError> {
        self.wait(self.inner().unstated(origin, size))
    }
}
