-- Entries of a log whose statements are not here, and whose signature each records. Like all rows
-- they are an index: the log can be read again.

CREATE TABLE leaf (
  org         TEXT   NOT NULL,
  project     TEXT   NOT NULL,
  log_origin  TEXT   NOT NULL,
  log_index   BIGINT NOT NULL,
  leaf_digest TEXT   NOT NULL,
  -- SHA-256 of the key or certificate; empty if the entry records no signature, so that no
  -- statement can stand behind it.
  signer      TEXT   NOT NULL,
  PRIMARY KEY (org, project, log_origin, log_index)
);
CREATE INDEX leaf_by_signer ON leaf (org, project, log_origin, signer);

CREATE TABLE leaf_signer (
  org     TEXT NOT NULL,
  project TEXT NOT NULL,
  digest  TEXT NOT NULL,
  -- `key` or `certificate`.
  kind    TEXT NOT NULL,
  der     BLOB NOT NULL,
  PRIMARY KEY (org, project, digest)
);
