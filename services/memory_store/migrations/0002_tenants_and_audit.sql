-- SPDX-License-Identifier: Apache-2.0
-- Tenants, their API keys, and the audit chain. All times are microseconds since 1970.

CREATE TABLE tenants (
  id        text PRIMARY KEY,
  create_us bigint NOT NULL
);

-- Of a secret only SHA-256(salt, secret) is kept.
CREATE TABLE api_keys (
  id          text PRIMARY KEY,
  tenant_id   text NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  salt        bytea NOT NULL,
  secret_hash bytea NOT NULL,
  scopes      text NOT NULL,       -- separated by spaces
  note        text NOT NULL,
  create_us   bigint NOT NULL,
  revoked     boolean NOT NULL DEFAULT false
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id);

-- The last link of each tenant's chain, locked (FOR UPDATE) by every transaction that appends. It
-- outlives the tenant, so that an answer that ends late does not start the chain again.
CREATE TABLE audit_heads (
  tenant_id text PRIMARY KEY,
  sequence  bigint NOT NULL,
  hash      bytea NOT NULL,
  erased    boolean NOT NULL DEFAULT false
);

-- Rows are never updated. hash covers previous_hash, sequence, kind, decision_id and payload
-- (audit_chain.h); user_id repeats what the decision's record says, for lists.
CREATE TABLE audit_links (
  tenant_id     text NOT NULL,
  sequence      bigint NOT NULL,
  kind          text NOT NULL,
  decision_id   text NOT NULL,
  user_id       text NOT NULL,
  payload       bytea NOT NULL,
  previous_hash bytea NOT NULL,
  hash          bytea NOT NULL,
  PRIMARY KEY (tenant_id, sequence),
  UNIQUE (tenant_id, decision_id, kind)
);
CREATE INDEX audit_links_by_user ON audit_links (tenant_id, user_id, sequence)
  WHERE kind = 'decision';

-- Decisions without an outcome.
CREATE TABLE audit_open (
  tenant_id    text NOT NULL,
  decision_id  text NOT NULL,
  open_us      bigint NOT NULL,
  -- The decision's texts were erased: the answer's text is not kept either.
  texts_erased boolean NOT NULL DEFAULT false,
  PRIMARY KEY (tenant_id, decision_id)
);
CREATE INDEX audit_open_by_age ON audit_open (open_us);

-- Texts beside the chain, until they are erased. kind: 'query' or 'answer'. salted_text: 16 bytes
-- of salt, then the text; the record holds its SHA-256.
CREATE TABLE audit_texts (
  tenant_id   text NOT NULL,
  decision_id text NOT NULL,
  kind        text NOT NULL,
  salted_text bytea NOT NULL,
  PRIMARY KEY (tenant_id, decision_id, kind)
);
