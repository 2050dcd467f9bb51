//! Places in a log: which stored bundle stands where, and what was here by when.

use custos_core::clock::Timestamp;
use custos_core::digest::Digest;

use super::{AsyncStore, Store, StoreError, digest_of, index_of};

/// Most places that one question returns.
pub const MAX_PLACES: usize = 1_000_000;

impl AsyncStore {
    /// Returns index and bundle of every stored statement that claims a place in this log from
    /// index `from` on, in the order of the log.
    pub async fn places(&self, origin: &str, from: u64) -> Result<Vec<(u64, Digest)>, StoreError> {
        let sql = "SELECT log_index, bundle_digest FROM statement
            WHERE org = $1 AND project = $2 AND log_origin = $3 AND log_index >= $4
            ORDER BY log_index LIMIT $5";
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let limit = i64::try_from(MAX_PLACES).unwrap_or(i64::MAX);
        let rows = self
            .scoped(sql)
            .bind(origin)
            .bind(from)
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

    /// Returns the highest index in this log whose bundle was stored before `time` by the clock
    /// of whoever stored it. A log only grows: what stands below it is older still.
    pub async fn last_before(
        &self,
        origin: &str,
        time: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT MAX(s.log_index) FROM statement s
            JOIN blob b ON b.org = s.org AND b.project = s.project AND b.digest = s.bundle_digest
            WHERE s.org = $1 AND s.project = $2 AND s.log_origin = $3 AND b.added_at < $4";
        let row = self
            .scoped(sql)
            .bind(origin)
            .bind(time.as_micros())
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.fail(&error))?;
        index_of(&row, 0)
    }
}

impl Store {
    /// Returns who stands where in a log; see [`AsyncStore::places`].
    pub fn places(&self, origin: &str, from: u64) -> Result<Vec<(u64, Digest)>, StoreError> {
        self.wait(self.inner().places(origin, from))
    }

    /// Returns the last index that was stored before a time; see [`AsyncStore::last_before`].
    pub fn last_before(&self, origin: &str, time: Timestamp) -> Result<Option<u64>, StoreError> {
        self.wait(self.inner().last_before(origin, time))
    }
}
