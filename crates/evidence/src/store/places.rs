//! Places in a log: which stored bundle stands where, and what was here by when.

use std::ops::Range;

use custos_core::clock::Timestamp;
use custos_core::digest::Digest;

use super::{AsyncStore, Store, StoreError, digest_of, index_of};

/// Most places that one question returns.
pub const MAX_PLACES: usize = 1_000_000;
/// Most places that one question for the last ones returns.
pub const MAX_LAST: i64 = 256;

impl AsyncStore {
    /// Returns index and bundle of every stored statement that claims a place in this part of a
    /// log, in the order of the log.
    pub async fn places(
        &self,
        origin: &str,
        part: Range<u64>,
    ) -> Result<Vec<(u64, Digest)>, StoreError> {
        let sql = "SELECT log_index, bundle_digest FROM statement
            WHERE org = $1 AND project = $2 AND log_origin = $3
              AND log_index >= $4 AND log_index < $5
            ORDER BY log_index LIMIT $6";
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let limit = i64::try_from(MAX_PLACES).unwrap_or(i64::MAX);
        let rows = self
            .scoped(sql)
            .bind(origin)
            .bind(number(part.start))
            .bind(number(part.end))
            .bind(limit.saturating_add(1))
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.fail(&error))?;
        if rows.len() > MAX_PLACES {
            return Err(StoreError::TooMany { limit: MAX_PLACES });
        }
        rows.iter()
            .map(|row| {
                let index = index_of(row, 0)?.unwrap_or_default();
                Ok((index, digest_of(row, 1, "statement")?))
            })
            .collect()
    }

    /// Returns every stored bundle that claims no place in this log: what is in no log at all, and
    /// what is in others alone.
    pub async fn unplaced(&self, origin: &str) -> Result<Vec<Digest>, StoreError> {
        let sql = "SELECT bundle_digest FROM statement
            WHERE org = $1 AND project = $2 AND (log_origin IS NULL OR log_origin <> $3)
            ORDER BY bundle_digest LIMIT $4";
        self.digests(sql, origin).await
    }

    /// Returns every stored statement of a predicate type.
    pub async fn of_type(&self, predicate_type: &str) -> Result<Vec<Digest>, StoreError> {
        let sql = "SELECT bundle_digest FROM statement
            WHERE org = $1 AND project = $2 AND predicate_type = $3
            ORDER BY log_index, bundle_digest LIMIT $4";
        self.digests(sql, predicate_type).await
    }

    async fn digests(&self, sql: &'static str, key: &str) -> Result<Vec<Digest>, StoreError> {
        let limit = i64::try_from(MAX_PLACES).unwrap_or(i64::MAX);
        let rows = self
            .scoped(sql)
            .bind(key)
            .bind(limit.saturating_add(1))
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.fail(&error))?;
        if rows.len() > MAX_PLACES {
            return Err(StoreError::TooMany { limit: MAX_PLACES });
        }
        rows.iter()
            .map(|row| digest_of(row, 0, "statement"))
            .collect()
    }

    /// Returns the highest places in this log below `below` whose bundles were stored before `time`
    /// by the clock of whoever stored them, at most [`MAX_LAST`], downwards. A log only grows: what
    /// stands below is older still. A place is a claim like all of the index: whether the bundle
    /// stands there, the log says.
    pub async fn last_before(
        &self,
        origin: &str,
        time: Timestamp,
        below: u64,
    ) -> Result<Vec<(u64, Digest)>, StoreError> {
        let sql = "SELECT s.log_index, s.bundle_digest FROM statement s
            JOIN blob b ON b.org = s.org AND b.project = s.project AND b.digest = s.bundle_digest
            WHERE s.org = $1 AND s.project = $2 AND s.log_origin = $3
              AND b.added_at < $4 AND s.log_index < $5
            ORDER BY s.log_index DESC, s.bundle_digest LIMIT $6";
        let rows = self
            .scoped(sql)
            .bind(origin)
            .bind(time.as_micros())
            .bind(i64::try_from(below).unwrap_or(i64::MAX))
            .bind(MAX_LAST)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.fail(&error))?;
        rows.iter()
            .map(|row| {
                let index = index_of(row, 0)?.unwrap_or_default();
                Ok((index, digest_of(row, 1, "statement")?))
            })
            .collect()
    }
}

impl Store {
    /// Returns who stands where in a log; see [`AsyncStore::places`].
    pub fn places(&self, origin: &str, part: Range<u64>) -> Result<Vec<(u64, Digest)>, StoreError> {
        self.wait(self.inner().places(origin, part))
    }

    /// Returns what claims no place in a log; see [`AsyncStore::unplaced`].
    pub fn unplaced(&self, origin: &str) -> Result<Vec<Digest>, StoreError> {
        self.wait(self.inner().unplaced(origin))
    }

    /// Returns the statements of a type; see [`AsyncStore::of_type`].
    pub fn of_type(&self, predicate_type: &str) -> Result<Vec<Digest>, StoreError> {
        self.wait(self.inner().of_type(predicate_type))
    }

    /// Returns the last places that were filled before a time; see [`AsyncStore::last_before`].
    pub fn last_before(
        &self,
        origin: &str,
        time: Timestamp,
        below: u64,
    ) -> Result<Vec<(u64, Digest)>, StoreError> {
        self.wait(self.inner().last_before(origin, time, below))
    }
}
