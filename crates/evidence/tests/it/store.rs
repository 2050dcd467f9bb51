//! Opening, writing and reading, and each way in which they fail.

use std::time::Duration;

use custos_core::digest::{Algorithm, DigestSet};
use custos_core::statement::{Statement, Subject};
use custos_evidence::parts::PartsError;
use custos_evidence::store::{
    Draft, MAX_INLINE_BYTES, SCHEMA_VERSION, Store, StoreError, StoreOptions,
};
use custos_trust::seal::sign_statement;
use custos_trust::signer::Signer as _;
use sqlx::Connection as _;

use crate::world::{NOW, World, clean, key, model, provenance, raw};

// Runs SQL on the database beside the store, as an attacker or a later version would.
pub fn sql(path: &std::path::Path, statements: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(false);
        let mut connection = sqlx::SqliteConnection::connect_with(&options)
            .await
            .unwrap();
        sqlx::raw_sql(statements)
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    });
}

fn unlogged(statement: &Statement) -> Vec<u8> {
    sign_statement(statement, &key(), None)
        .unwrap()
        .to_bytes()
        .unwrap()
}

fn large() -> Statement {
    let subject = Subject::new("big", Algorithm::Sha256.digest(b"big"));
    Statement::new(
        vec![subject],
        "https://example.com/p",
        &"x".repeat(MAX_INLINE_BYTES),
    )
    .unwrap()
}

fn open(path: &std::path::Path, options: StoreOptions) -> Result<Store, StoreError> {
    Store::open(path, options, NOW)
}

#[test]
fn what_is_recorded_is_found_again() {
    let world = World::new();
    let kept = world.record(&provenance("clean", &[raw()], &[clean()]), &world.data);
    assert_eq!(world.store.bundle(&kept.digest).unwrap(), kept.bundle);
    assert_eq!(world.store.staged().unwrap(), []);
    assert_eq!(
        world.store.bundles().unwrap(),
        [kept.digest],
        "the draft is gone"
    );
    let about = world.store.about(&clean().digest).unwrap();
    assert_eq!(about.len(), 1);
    assert_eq!(
        (about[0].bundle_digest, about[0].log_index),
        (kept.digest, Some(0))
    );
    let key_id = world.data.public_key().id().to_string();
    assert_eq!(about[0].key_id.as_deref(), Some(key_id.as_str()));
    assert_eq!(world.store.using(&raw().digest).unwrap(), about);
    assert_eq!(world.store.signed_with(&key_id).unwrap(), about);
    assert_eq!(world.store.about(&model().digest).unwrap(), []);
    assert!(
        world
            .store
            .gaps(crate::world::ORIGIN, 1)
            .unwrap()
            .is_empty()
    );
    assert_eq!(world.store.inspect().unwrap(), Vec::<String>::new());
}

#[test]
fn indexing_twice_changes_nothing() {
    let world = World::new();
    let kept = world.record(&provenance("clean", &[raw()], &[clean()]), &world.data);
    world
        .store
        .commit(vec![kept.bundle.clone().into()], NOW)
        .unwrap();
    assert_eq!(world.store.about(&clean().digest).unwrap().len(), 1);
    assert_eq!(world.store.bundles().unwrap(), [kept.digest]);
}

#[test]
fn a_large_bundle_lies_in_a_file_of_its_own() {
    let world = World::new();
    let kept = world.record(&large(), &world.data);
    assert_eq!(world.store.bundle(&kept.digest).unwrap(), kept.bundle);
    let hex = kept.digest.to_hex();
    let path = world
        .dir
        .path()
        .join("blobs/sha256")
        .join(&hex[..2])
        .join(&hex);
    assert_eq!(std::fs::read(&path).unwrap(), kept.bundle);
    let files = || -> usize {
        let shards = std::fs::read_dir(world.dir.path().join("blobs/sha256")).unwrap();
        shards
            .map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count())
            .sum()
    };
    assert_eq!(files(), 1, "the draft's file is gone");
    std::fs::write(&path, b"forged").unwrap();
    assert!(matches!(
        world.store.bundle(&kept.digest),
        Err(StoreError::DigestMismatch { .. })
    ));
    world.store.erase(&kept.digest).unwrap();
    assert_eq!(files(), 0);
    let digest = kept.digest;
    assert_eq!(
        world.store.bundle(&digest),
        Err(StoreError::NotFound { digest })
    );
}

#[test]
fn a_store_that_may_not_be_written_says_so() {
    let world = World::new();
    let kept = world.record(&provenance("clean", &[raw()], &[clean()]), &world.data);
    let store = open(&world.path(), StoreOptions::read_only()).unwrap();
    assert_eq!(store.bundle(&kept.digest).unwrap(), kept.bundle);
    let path = world.path();
    let refused = StoreError::ReadOnly { path };
    assert_eq!(
        store.commit(vec![kept.bundle.into()], NOW),
        Err(refused.clone())
    );
    assert_eq!(store.erase(&kept.digest), Err(refused));
    let nowhere = world.dir.path().join("none.db");
    assert_eq!(
        open(&nowhere, StoreOptions::read_only()).unwrap_err(),
        StoreError::NoStore {
            path: nowhere.clone()
        }
    );
    assert!(!nowhere.exists());
}

#[test]
fn a_later_schema_is_refused() {
    let world = World::new();
    sql(
        &world.path(),
        "INSERT INTO schema_version VALUES (99, 'later', 0)",
    );
    for options in [StoreOptions::read_only(), StoreOptions::read_write()] {
        assert_eq!(
            open(&world.path(), options).unwrap_err(),
            StoreError::NewerSchema {
                path: world.path(),
                found: 99,
                known: SCHEMA_VERSION
            }
        );
    }
}

#[test]
fn an_earlier_schema_is_brought_up_to_date_by_whoever_may_write() {
    let world = World::new();
    world.pipeline();
    let bundles = world.store.bundles().unwrap();
    sql(
        &world.path(),
        "DROP TABLE leaf; DROP TABLE leaf_signer; DELETE FROM schema_version WHERE version = 2;",
    );
    assert_eq!(
        open(&world.path(), StoreOptions::read_only()).unwrap_err(),
        StoreError::OlderSchema {
            path: world.path(),
            found: 1
        }
    );
    let store = open(&world.path(), StoreOptions::read_write()).unwrap();
    assert_eq!(store.bundles().unwrap(), bundles);
    assert!(store.unseen(crate::world::ORIGIN, 5).unwrap().is_empty());
    open(&world.path(), StoreOptions::read_only()).unwrap();
}

#[test]
fn a_file_that_is_no_database_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custos.db");
    std::fs::write(&path, vec![b'x'; 8192]).unwrap();
    for options in [StoreOptions::read_only(), StoreOptions::read_write()] {
        let error = open(&path, options).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    }
    assert_eq!(
        std::fs::read(&path).unwrap(),
        vec![b'x'; 8192],
        "it is left as it was"
    );
}

#[test]
fn damaged_pages_are_found() {
    let world = World::new();
    for number in 0..40 {
        let product = crate::world::file("p", &number.to_string());
        world.record(&provenance("clean", &[raw()], &[product]), &world.data);
    }
    let path = world.path();
    drop(world.store);
    let bytes = std::fs::read(&path).unwrap();
    let pages = bytes.len() / 4096;
    let damage = |from: usize| {
        let mut bytes = bytes.clone();
        for page in bytes.chunks_mut(4096).skip(from) {
            page[..64].fill(0xee);
        }
        std::fs::write(&path, bytes).unwrap();
    };
    // Behind the schema: it opens, and what is read is found to be damaged.
    damage(pages / 2);
    let store = open(&path, StoreOptions::read_only()).unwrap();
    let inspected = store.inspect();
    let found = matches!(&inspected, Err(StoreError::Corrupt { .. }))
        || inspected.as_ref().is_ok_and(|lines| !lines.is_empty());
    assert!(found, "{inspected:?}");
    drop(store);
    // Everything: it does not open.
    damage(1);
    let error = open(&path, StoreOptions::read_only()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

#[test]
fn bytes_that_somebody_changed_are_not_handed_out() {
    let world = World::new();
    let kept = world.record(&provenance("clean", &[raw()], &[clean()]), &world.data);
    sql(&world.path(), "UPDATE blob SET data = CAST('{}' AS BLOB)");
    assert_eq!(
        world.store.bundle(&kept.digest).unwrap_err(),
        StoreError::DigestMismatch {
            digest: kept.digest,
            found: Algorithm::Sha256.digest(b"{}"),
        }
    );
}

#[test]
fn another_writer_that_does_not_let_go_is_named() {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(world.path());
    let mut other = runtime
        .block_on(sqlx::SqliteConnection::connect_with(&options))
        .unwrap();
    runtime
        .block_on(sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other))
        .unwrap();
    let hasty = StoreOptions::read_write().with_patience(Duration::from_millis(50));
    let store = open(&world.path(), hasty).unwrap();
    let bundle = unlogged(&provenance("clean", &[raw()], &[clean()]));
    let busy = StoreError::Busy { path: world.path() };
    assert_eq!(store.commit(vec![bundle.clone().into()], NOW), Err(busy));
    // Reading goes on, and writing after it has let go.
    assert_eq!(store.bundles().unwrap(), []);
    runtime
        .block_on(sqlx::raw_sql("ROLLBACK").execute(&mut other))
        .unwrap();
    assert_eq!(store.commit(vec![bundle.into()], NOW).unwrap().len(), 1);
}

#[test]
fn a_full_store_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custos.db");
    let store = open(&path, StoreOptions::read_write().with_quota(200 << 10)).unwrap();
    let small = unlogged(&provenance("clean", &[raw()], &[clean()]));
    let first = store.commit(vec![small.into()], NOW).unwrap();
    let subject = Subject::new("m", Algorithm::Sha256.digest(b"m"));
    let statement = Statement::new(
        vec![subject],
        "https://example.com/p",
        &"x".repeat(300 << 10),
    )
    .unwrap();
    let draft = Draft {
        bundle: unlogged(&statement),
        leaf: b"leaf".to_vec(),
    };
    assert_eq!(
        store.stage(vec![draft], NOW),
        Err(StoreError::DiskFull { path })
    );
    assert_eq!(store.staged().unwrap(), []);
    assert_eq!(store.bundles().unwrap(), first);
    assert_eq!(store.inspect().unwrap(), Vec::<String>::new());
}

#[test]
fn scopes_do_not_see_each_other() {
    let world = World::new();
    let kept = world.record(&provenance("clean", &[raw()], &[clean()]), &world.data);
    let other = open(
        &world.path(),
        StoreOptions::read_write().in_scope("acme", "vision"),
    )
    .unwrap();
    let digest = kept.digest;
    assert_eq!(other.bundle(&digest), Err(StoreError::NotFound { digest }));
    assert_eq!(other.about(&clean().digest).unwrap(), []);
    other.commit(vec![kept.bundle.into()], NOW).unwrap();
    world.store.erase(&digest).unwrap();
    assert_eq!(other.about(&clean().digest).unwrap().len(), 1);
}

#[test]
fn what_cannot_be_indexed_is_refused_before_it_is_logged() {
    let world = World::new();
    let subjects =
        (0..10_001).map(|n: u32| Subject::new("s", Algorithm::Sha256.digest(&n.to_le_bytes())));
    let many = Statement::new(subjects.collect(), "https://example.com/p", &1).unwrap();
    let mut digest = DigestSet::from(Algorithm::Sha256.digest(b"x"));
    digest.insert_raw("other", "0".repeat(5_000));
    let long =
        Statement::new(vec![Subject::new("s", digest)], "https://example.com/p", &1).unwrap();
    let stage = |statement: &Statement| {
        let draft = Draft {
            bundle: unlogged(statement),
            leaf: b"leaf".to_vec(),
        };
        world.store.stage(vec![draft], NOW).unwrap_err()
    };
    assert_eq!(
        stage(&many),
        StoreError::Bundle(PartsError::TooManyReferences { found: 10_001 })
    );
    assert!(matches!(
        stage(&long),
        StoreError::Bundle(PartsError::TextNotIndexable { .. })
    ));
    let draft = Draft {
        bundle: b"{}".to_vec(),
        leaf: b"leaf".to_vec(),
    };
    let error = world.store.stage(vec![draft], NOW).unwrap_err();
    assert!(
        matches!(error, StoreError::Bundle(PartsError::Bundle(_))),
        "{error:?}"
    );
    assert_eq!(world.store.bundles().unwrap(), []);
}

#[test]
fn another_bundle_does_not_finish_a_draft() {
    let world = World::new();
    let one = unlogged(&provenance("clean", &[raw()], &[clean()]));
    let two = unlogged(&provenance("train", &[clean()], &[model()]));
    let draft = Draft {
        bundle: one,
        leaf: b"leaf".to_vec(),
    };
    let staged = world.store.stage(vec![draft], NOW).unwrap();
    let entry = custos_evidence::store::Entry {
        bundle: two,
        staged: Some(staged[0].clone()),
    };
    assert_eq!(
        world.store.commit(vec![entry], NOW),
        Err(StoreError::NotTheStagedOne)
    );
    assert_eq!(world.store.staged().unwrap(), staged);
    world.store.drop_staged(&staged).unwrap();
    assert_eq!(world.store.staged().unwrap(), []);
    assert_eq!(world.store.bundles().unwrap(), []);
}

#[test]
fn the_blocking_store_refuses_to_stop_a_runtime() {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        assert_eq!(world.store.bundles(), Err(StoreError::InsideRuntime));
        let error = open(&world.path(), StoreOptions::read_only()).unwrap_err();
        assert_eq!(error, StoreError::InsideRuntime);
    });
}

#[test]
fn gaps_are_counted_and_listed() {
    let world = World::new();
    for number in 0..9 {
        let product = crate::world::file("p", &number.to_string());
        world.record(&provenance("clean", &[raw()], &[product]), &world.data);
    }
    let gaps = |size| {
        let gaps = world.store.gaps(crate::world::ORIGIN, size).unwrap();
        (gaps.count, gaps.indexes().collect::<Vec<_>>())
    };
    assert_eq!(gaps(0), (0, vec![]));
    assert_eq!(gaps(9), (0, vec![]));
    assert_eq!(gaps(11), (2, vec![9, 10]));
    sql(
        &world.path(),
        "DELETE FROM statement WHERE log_index IN (0, 3, 4, 8);
         UPDATE statement SET log_index = -5 WHERE log_index = 6;",
    );
    assert_eq!(gaps(9), (5, vec![0, 3, 4, 6, 8]));
    assert_eq!(gaps(4), (2, vec![0, 3]));
    let elsewhere = world.store.gaps("example.com/other", 3).unwrap();
    assert_eq!(elsewhere.indexes().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn names_that_look_like_sql_are_only_names() {
    let world = World::new();
    let name = "x'; DROP TABLE statement; --\" $1 ?1 %_\\";
    let mut artifact = crate::world::file(name, "content");
    artifact.digest.insert_raw("md5' OR '1'='1", "0' OR 1=1 --");
    world.record(
        &provenance(name, &[raw()], std::slice::from_ref(&artifact)),
        &world.data,
    );
    world.record(&provenance("other", &[raw()], &[clean()]), &world.data);
    assert_eq!(world.store.about(&artifact.digest).unwrap().len(), 1);
    let mut digest = DigestSet::new();
    digest.insert_raw("md5' OR '1'='1", "0' OR 1=1 --");
    assert_eq!(world.store.about(&digest).unwrap().len(), 1);
    assert_eq!(world.store.signed_with("x' OR '1'='1").unwrap(), []);
    let provenance_type = "https://slsa.dev/provenance/v1";
    let store = world.store.inner();
    let named = world
        .store
        .wait(store.named(name, provenance_type, 9))
        .unwrap();
    assert_eq!(named.len(), 1);
    let hostile = "a' OR org <> 'a";
    let options = StoreOptions::read_write().in_scope(hostile, hostile);
    let other = open(&world.path(), options).unwrap();
    assert_eq!(other.about(&artifact.digest).unwrap(), []);
    assert_eq!(other.bundles().unwrap(), []);
    assert_eq!(world.store.inspect().unwrap(), Vec::<String>::new());
}

#[test]
fn a_migration_that_fails_leaves_the_database_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custos.db");
    // Somebody else's tables, one of them under a name that is needed late.
    std::fs::write(&path, b"").unwrap();
    sql(
        &path,
        "CREATE TABLE step (mine TEXT); INSERT INTO step VALUES ('kept');",
    );
    let error = open(&path, StoreOptions::read_write()).unwrap_err();
    assert!(matches!(error, StoreError::Database { .. }), "{error:?}");
    // Neither the version nor the tables before it are there.
    sql(
        &path,
        "CREATE TABLE blob (x); CREATE TABLE schema_version (x); INSERT INTO step VALUES ('2');",
    );
}

#[test]
fn a_database_without_a_schema_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custos.db");
    std::fs::write(&path, b"").unwrap();
    assert_eq!(
        open(&path, StoreOptions::read_only()).unwrap_err(),
        StoreError::NoStore { path: path.clone() }
    );
    let store = open(&path, StoreOptions::read_write()).unwrap();
    assert_eq!(store.bundles().unwrap(), []);
    drop(store);
    open(&path, StoreOptions::read_only()).unwrap();
}
