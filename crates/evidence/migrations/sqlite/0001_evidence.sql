-- Evidence: bundles, and an index over what they claim. Rows are an index, never evidence.
-- Digests are text `<algorithm>:<hex>`, times are UTC microseconds. The same tables exist for
-- PostgreSQL; only the type of bytes differs.

CREATE TABLE blob (
  org      TEXT   NOT NULL,
  project  TEXT   NOT NULL,
  digest   TEXT   NOT NULL,
  size     BIGINT NOT NULL,
  -- Absent: the bytes lie in the folder, under their digest.
  data     BLOB,
  added_at BIGINT NOT NULL,
  PRIMARY KEY (org, project, digest)
);

-- Signed bundles on their way into the log: written before the log, removed after the index.
CREATE TABLE staged (
  org           TEXT   NOT NULL,
  project       TEXT   NOT NULL,
  leaf_digest   TEXT   NOT NULL,
  leaf          BLOB   NOT NULL,
  bundle_digest TEXT   NOT NULL,
  added_at      BIGINT NOT NULL,
  PRIMARY KEY (org, project, leaf_digest),
  FOREIGN KEY (org, project, bundle_digest) REFERENCES blob (org, project, digest)
);

CREATE TABLE statement (
  org              TEXT   NOT NULL,
  project          TEXT   NOT NULL,
  bundle_digest    TEXT   NOT NULL,
  statement_digest TEXT   NOT NULL,
  predicate_type   TEXT   NOT NULL,
  -- Of plans that results refer to by digest.
  predicate_digest TEXT,
  log_origin       TEXT,
  log_index        BIGINT,
  added_at         BIGINT NOT NULL,
  PRIMARY KEY (org, project, bundle_digest),
  FOREIGN KEY (org, project, bundle_digest) REFERENCES blob (org, project, digest)
);
CREATE INDEX statement_by_log ON statement (org, project, log_origin, log_index);
CREATE INDEX statement_by_digest ON statement (org, project, statement_digest);
CREATE INDEX statement_by_predicate ON statement (org, project, predicate_digest);

-- One row for each digest of each subject.
CREATE TABLE subject (
  org           TEXT   NOT NULL,
  project       TEXT   NOT NULL,
  bundle_digest TEXT   NOT NULL,
  position      BIGINT NOT NULL,
  digest        TEXT   NOT NULL,
  name          TEXT   NOT NULL,
  PRIMARY KEY (org, project, bundle_digest, position, digest),
  FOREIGN KEY (org, project, bundle_digest) REFERENCES statement (org, project, bundle_digest)
    ON DELETE CASCADE
);
CREATE INDEX subject_by_digest ON subject (org, project, digest);
CREATE INDEX subject_by_name ON subject (org, project, name);

-- One row for each digest of each thing that a step read or used.
CREATE TABLE material (
  org           TEXT   NOT NULL,
  project       TEXT   NOT NULL,
  bundle_digest TEXT   NOT NULL,
  position      BIGINT NOT NULL,
  digest        TEXT   NOT NULL,
  name          TEXT   NOT NULL,
  role          TEXT   NOT NULL,
  PRIMARY KEY (org, project, bundle_digest, position, digest),
  FOREIGN KEY (org, project, bundle_digest) REFERENCES statement (org, project, bundle_digest)
    ON DELETE CASCADE
);
CREATE INDEX material_by_digest ON material (org, project, digest);

-- Who a bundle claims to be signed by.
CREATE TABLE signer (
  org           TEXT   NOT NULL,
  project       TEXT   NOT NULL,
  bundle_digest TEXT   NOT NULL,
  key_id        TEXT   NOT NULL,
  PRIMARY KEY (org, project, bundle_digest, key_id),
  FOREIGN KEY (org, project, bundle_digest) REFERENCES statement (org, project, bundle_digest)
    ON DELETE CASCADE
);
CREATE INDEX signer_by_key ON signer (org, project, key_id);

CREATE TABLE step (
  org           TEXT   NOT NULL,
  project       TEXT   NOT NULL,
  bundle_digest TEXT   NOT NULL,
  name          TEXT   NOT NULL,
  build_type    TEXT   NOT NULL,
  started_at    BIGINT,
  finished_at   BIGINT,
  PRIMARY KEY (org, project, bundle_digest),
  FOREIGN KEY (org, project, bundle_digest) REFERENCES statement (org, project, bundle_digest)
    ON DELETE CASCADE
);
CREATE INDEX step_by_name ON step (org, project, name);
