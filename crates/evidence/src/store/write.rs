//! What is written, and in which order.

use std::collections::BTreeSet;

use custos_core::clock::Timestamp;
use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::limits::{Limits, MAX_ENTRY_BYTES};
use sqlx::{Row as _, Sqlite, SqliteExecutor, Transaction};

use super::{AsyncStore, MAX_INLINE_BYTES, Mode, StoreError, digest_of};
use crate::parts::{Material, Parts, Reference};

/// A signed bundle before it is logged, and the leaf that will stand in the log.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "two byte strings with names")]
pub struct Draft {
    /// The bundle, without a log entry.
    pub bundle: Vec<u8>,
    /// The log leaf.
    pub leaf: Vec<u8>,
}

/// A draft that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Staged {
    /// SHA-256 of the leaf.
    pub leaf_digest: Digest,
    /// The leaf.
    pub leaf: Vec<u8>,
    /// SHA-256 of the bundle without log entry.
    pub bundle_digest: Digest,
}

/// A bundle to index: of a staged draft with its log entry, or one that came from elsewhere.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "an argument with names")]
pub struct Entry {
    /// The bundle.
    pub bundle: Vec<u8>,
    /// The draft that it finishes.
    pub staged: Option<Staged>,
}

impl From<Vec<u8>> for Entry {
    fn from(bundle: Vec<u8>) -> Self {
        Self {
            bundle,
            staged: None,
        }
    }
}

impl AsyncStore {
    /// Makes signed bundles durable before they are logged, all of them or none.
    ///
    /// A bundle that would not be indexed is refused here already: what is in the log cannot be
    /// taken back.
    pub async fn stage(
        &self,
        drafts: Vec<Draft>,
        now: Timestamp,
    ) -> Result<Vec<Staged>, StoreError> {
        self.must_be_writable()?;
        let mut staged = Vec::with_capacity(drafts.len());
        let mut transaction = self.begin().await?;
        for draft in drafts {
            if draft.leaf.len() > MAX_ENTRY_BYTES {
                let found = u64::try_from(draft.leaf.len()).unwrap_or(u64::MAX);
                return Err(StoreError::TooLarge {
                    limit: MAX_ENTRY_BYTES,
                    found,
                });
            }
            Parts::read(&draft.bundle)?;
            let bundle_digest = self.write_blob(&mut transaction, draft.bundle, now).await?;
            let leaf_digest = Algorithm::Sha256.digest(&draft.leaf);
            let sql =
                "INSERT INTO staged (org, project, leaf_digest, leaf, bundle_digest, added_at)
                VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
            self.scoped(sql)
                .bind(leaf_digest.to_string())
                .bind(draft.leaf.as_slice())
                .bind(bundle_digest.to_string())
                .bind(now.as_micros())
                .execute(&mut *transaction)
                .await
                .map_err(|error| self.fail(&error))?;
            staged.push(Staged {
                leaf_digest,
                leaf: draft.leaf,
                bundle_digest,
            });
        }
        transaction
            .commit()
            .await
            .map_err(|error| self.fail(&error))?;
        Ok(staged)
    }

    /// Stores and indexes bundles after the log has acknowledged them, all of them or none, and
    /// returns their digests. Doing it again changes nothing.
    pub async fn commit(
        &self,
        entries: Vec<Entry>,
        now: Timestamp,
    ) -> Result<Vec<Digest>, StoreError> {
        self.must_be_writable()?;
        let mut digests = Vec::with_capacity(entries.len());
        let mut finished = Vec::new();
        let mut transaction = self.begin().await?;
        for Entry { bundle, staged } in entries {
            let parts = Parts::read(&bundle)?;
            if let Some(staged) = &staged {
                match self.read(&mut *transaction, &staged.bundle_digest).await {
                    Ok(bytes)
                        if Parts::read(&bytes)?.statement_digest != parts.statement_digest =>
                    {
                        return Err(StoreError::NotTheStagedOne);
                    }
                    // Without the draft it was finished before: a signature that comes out the
                    // same twice has one leaf, and one draft.
                    Ok(_) | Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            self.write_blob(&mut transaction, bundle, now).await?;
            self.write_index(&mut transaction, &parts, now).await?;
            if let Some(staged) = staged {
                self.forget(&mut transaction, &staged).await?;
                finished.push(staged.bundle_digest);
            }
            digests.push(parts.bundle_digest);
        }
        transaction
            .commit()
            .await
            .map_err(|error| self.fail(&error))?;
        for draft in finished {
            self.remove_file(&draft).await?;
        }
        Ok(digests)
    }

    /// Returns what was staged and neither finished nor dropped, in the order of leaf digests.
    pub async fn staged(&self) -> Result<Vec<Staged>, StoreError> {
        self.staged_in(&self.pool).await
    }

    pub(super) async fn staged_in(
        &self,
        from: impl SqliteExecutor<'_>,
    ) -> Result<Vec<Staged>, StoreError> {
        let sql = "SELECT leaf_digest, leaf, bundle_digest FROM staged
            WHERE org = $1 AND project = $2 ORDER BY leaf_digest";
        let rows = self.scoped(sql).fetch_all(from).await;
        let rows = rows.map_err(|error| self.fail(&error))?;
        let staged = |row| {
            Ok(Staged {
                leaf_digest: digest_of(row, 0, "staged")?,
                leaf: row.try_get(1).map_err(|error| self.fail(&error))?,
                bundle_digest: digest_of(row, 2, "staged")?,
            })
        };
        rows.iter().map(staged).collect()
    }

    /// Forgets staged drafts that will not be logged.
    pub async fn drop_staged(&self, staged: &[Staged]) -> Result<(), StoreError> {
        self.must_be_writable()?;
        let mut transaction = self.begin().await?;
        for draft in staged {
            self.forget(&mut transaction, draft).await?;
        }
        transaction
            .commit()
            .await
            .map_err(|error| self.fail(&error))?;
        for draft in staged {
            self.remove_file(&draft.bundle_digest).await?;
        }
        Ok(())
    }

    /// Erases a bundle and its rows. What the log holds of it, digests, stays.
    pub async fn erase(&self, digest: &Digest) -> Result<(), StoreError> {
        self.must_be_writable()?;
        let mut transaction = self.begin().await?;
        for sql in [
            "DELETE FROM staged WHERE org = $1 AND project = $2 AND bundle_digest = $3",
            "DELETE FROM statement WHERE org = $1 AND project = $2 AND bundle_digest = $3",
            "DELETE FROM blob WHERE org = $1 AND project = $2 AND digest = $3",
        ] {
            self.scoped(sql)
                .bind(digest.to_string())
                .execute(&mut *transaction)
                .await
                .map_err(|error| self.fail(&error))?;
        }
        transaction
            .commit()
            .await
            .map_err(|error| self.fail(&error))?;
        self.remove_file(digest).await
    }

    /// Rebuilds the index from the stored bundles. What cannot be read is left out, and
    /// [`AsyncStore::survey`] names it; nothing that is staged is touched.
    pub async fn rebuild(&self, now: Timestamp) -> Result<(), StoreError> {
        self.must_be_writable()?;
        // One transaction: what another process stores meanwhile waits, and is not swept away.
        let mut transaction = self.begin().await?;
        for digest in self.stray_files(&mut transaction).await? {
            let folder = self.folder.clone();
            let bytes = self.in_background(move || folder.get(&digest)).await?;
            self.write_blob_row(&mut transaction, (&digest, bytes.len(), None), now)
                .await?;
        }
        let drafts = self.staged_in(&mut *transaction).await?;
        let drafts: BTreeSet<Digest> = drafts.iter().map(|draft| draft.bundle_digest).collect();
        for sql in [
            "DELETE FROM leaf WHERE org = $1 AND project = $2",
            "DELETE FROM leaf_signer WHERE org = $1 AND project = $2",
            "DELETE FROM step WHERE org = $1 AND project = $2",
            "DELETE FROM signer WHERE org = $1 AND project = $2",
            "DELETE FROM material WHERE org = $1 AND project = $2",
            "DELETE FROM subject WHERE org = $1 AND project = $2",
            "DELETE FROM statement WHERE org = $1 AND project = $2",
        ] {
            let outcome = self.scoped(sql).execute(&mut *transaction).await;
            outcome.map_err(|error| self.fail(&error))?;
        }
        let bundles = self.bundles_in(&mut *transaction).await?;
        for digest in bundles.iter().filter(|digest| !drafts.contains(digest)) {
            match self.parts(&mut *transaction, digest).await {
                Ok(parts) => self.write_index(&mut transaction, &parts, now).await?,
                Err(error) if error.is_of_one_bundle() => {}
                Err(error) => return Err(error),
            }
        }
        transaction
            .commit()
            .await
            .map_err(|error| self.fail(&error))
    }

    /// Reads a bundle as the index sees it.
    pub(super) async fn parts(
        &self,
        from: impl SqliteExecutor<'_>,
        digest: &Digest,
    ) -> Result<Parts, StoreError> {
        let bytes = self.read(from, digest).await?;
        Ok(Parts::read(&bytes)?)
    }

    // Removes the file of a bundle that no row names any more, in this scope or another.
    async fn remove_file(&self, digest: &Digest) -> Result<(), StoreError> {
        let sql = "SELECT COUNT(*) FROM blob WHERE digest = $1";
        let rows: i64 = sqlx::query(sql)
            .bind(digest.to_string())
            .fetch_one(&self.pool)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| self.fail(&error))?;
        if rows > 0 {
            return Ok(());
        }
        let (folder, digest) = (self.folder.clone(), *digest);
        self.in_background(move || folder.remove(&digest)).await
    }

    pub(super) fn must_be_writable(&self) -> Result<(), StoreError> {
        match self.options.mode {
            Mode::ReadWrite => Ok(()),
            Mode::ReadOnly => Err(StoreError::ReadOnly {
                path: self.path.clone(),
            }),
        }
    }

    // The write lock first: a transaction that reads and then writes could not wait for it.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|error| self.fail(&error))
    }

    async fn write_blob(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        bytes: Vec<u8>,
        now: Timestamp,
    ) -> Result<Digest, StoreError> {
        let len = bytes.len();
        if len > Limits::BUNDLE.max_bytes {
            let found = u64::try_from(len).unwrap_or(u64::MAX);
            return Err(StoreError::TooLarge {
                limit: Limits::BUNDLE.max_bytes,
                found,
            });
        }
        let digest = Algorithm::Sha256.digest(&bytes);
        let inline = if len <= MAX_INLINE_BYTES {
            Some(bytes)
        } else {
            // The file is durable before the row that names it.
            let folder = self.folder.clone();
            self.in_background(move || folder.put(&bytes)).await?;
            None
        };
        self.write_blob_row(transaction, (&digest, len, inline), now)
            .await?;
        Ok(digest)
    }

    async fn write_blob_row(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        (digest, len, inline): (&Digest, usize, Option<Vec<u8>>),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO blob (org, project, digest, size, data, added_at)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        self.scoped(sql)
            .bind(digest.to_string())
            .bind(i64::try_from(len).unwrap_or(i64::MAX))
            .bind(inline)
            .bind(now.as_micros())
            .execute(&mut **transaction)
            .await
            .map_err(|error| self.fail(&error))?;
        Ok(())
    }

    async fn write_index(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        parts: &Parts,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let bundle = parts.bundle_digest.to_string();
        let sql = "INSERT INTO statement (org, project, bundle_digest, statement_digest,
              predicate_type, predicate_digest, log_origin, log_index, added_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        let (origin, index) = parts.log.clone().unzip();
        let outcome = self
            .scoped(sql)
            .bind(&bundle)
            .bind(parts.statement_digest.to_string())
            .bind(&parts.predicate_type)
            .bind(parts.predicate_digest.map(|digest| digest.to_string()))
            .bind(origin)
            .bind(index.and_then(|index| i64::try_from(index).ok()))
            .bind(now.as_micros())
            .execute(&mut **transaction)
            .await
            .map_err(|error| self.fail(&error))?;
        if outcome.rows_affected() == 0 {
            // It is indexed already, whole, since this is one transaction.
            return Ok(());
        }
        let subjects = "INSERT INTO subject (org, project, bundle_digest, position, digest, name)
            VALUES ($1, $2, $3, $4, $5, $6)";
        for (position, subject) in (0_i64..).zip(&parts.subjects) {
            self.write_digests(transaction, subjects, (&bundle, position, subject))
                .await?;
        }
        for (position, material) in (0_i64..).zip(&parts.materials) {
            self.write_material(transaction, (&bundle, position, material))
                .await?;
        }
        self.write_claims(transaction, &bundle, parts).await
    }

    async fn write_digests(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        sql: &'static str,
        (bundle, position, reference): (&str, i64, &Reference),
    ) -> Result<(), StoreError> {
        for digest in texts(&reference.digest) {
            self.scoped(sql)
                .bind(bundle)
                .bind(position)
                .bind(digest)
                .bind(reference.name.as_str())
                .execute(&mut **transaction)
                .await
                .map_err(|error| self.fail(&error))?;
        }
        Ok(())
    }

    async fn write_material(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        (bundle, position, material): (&str, i64, &Material),
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO material (org, project, bundle_digest, position, digest, name, role)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        for digest in texts(&material.artifact.digest) {
            self.scoped(sql)
                .bind(bundle)
                .bind(position)
                .bind(digest)
                .bind(material.artifact.name.as_str())
                .bind(material.role.as_str())
                .execute(&mut **transaction)
                .await
                .map_err(|error| self.fail(&error))?;
        }
        Ok(())
    }

    async fn write_claims(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        bundle: &str,
        parts: &Parts,
    ) -> Result<(), StoreError> {
        if let Some(key_id) = &parts.key_id {
            let sql = "INSERT INTO signer (org, project, bundle_digest, key_id)
                VALUES ($1, $2, $3, $4)";
            self.scoped(sql)
                .bind(bundle)
                .bind(key_id)
                .execute(&mut **transaction)
                .await
                .map_err(|error| self.fail(&error))?;
        }
        if let Some(step) = &parts.step {
            let sql = "INSERT INTO step (org, project, bundle_digest, name, build_type,
                  started_at, finished_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7)";
            self.scoped(sql)
                .bind(bundle)
                .bind(&step.name)
                .bind(&step.build_type)
                .bind(step.started.map(Timestamp::as_micros))
                .bind(step.finished.map(Timestamp::as_micros))
                .execute(&mut **transaction)
                .await
                .map_err(|error| self.fail(&error))?;
        }
        Ok(())
    }

    // Removes the row, and the draft's bytes unless something else needs them.
    async fn forget(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        staged: &Staged,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM staged WHERE org = $1 AND project = $2 AND leaf_digest = $3";
        self.scoped(sql)
            .bind(staged.leaf_digest.to_string())
            .execute(&mut **transaction)
            .await
            .map_err(|error| self.fail(&error))?;
        let sql = "DELETE FROM blob WHERE org = $1 AND project = $2 AND digest = $3
            AND NOT EXISTS (SELECT 1 FROM statement s WHERE s.org = blob.org
              AND s.project = blob.project AND s.bundle_digest = blob.digest)
            AND NOT EXISTS (SELECT 1 FROM staged d WHERE d.org = blob.org
              AND d.project = blob.project AND d.bundle_digest = blob.digest)";
        self.scoped(sql)
            .bind(staged.bundle_digest.to_string())
            .execute(&mut **transaction)
            .await
            .map_err(|error| self.fail(&error))?;
        Ok(())
    }
}

pub(super) fn texts(digest: &DigestSet) -> impl Iterator<Item = String> {
    digest
        .iter()
        .map(|(name, hex)| format!("{name}:{hex}"))
        .collect::<Vec<_>>()
        .into_iter()
}
