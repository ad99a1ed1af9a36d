-- SPDX-License-Identifier: Apache-2.0
-- Tenants, their API keys, and the audit chain. Times are microseconds since 1970.

CREATE TABLE tenants (
  id        text PRIMARY KEY,
  create_us bigint NOT NULL
);

-- Secrets are kept as SHA-256 of salt and secret.
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

-- One row per tenant, locked by every append.
CREATE TABLE audit_heads (
  tenant_id text PRIMARY KEY,
  sequence  bigint NOT NULL,
  hash      bytea NOT NULL
);

-- hash covers previous_hash, sequence, kind, decision_id and payload (audit_chain.h).
CREATE TABLE audit_links (
  tenant_id     text NOT NULL,
  sequence      bigint NOT NULL,
  kind          text NOT NULL,
  decision_id   text NOT NULL,
  payload       bytea NOT NULL,
  previous_hash bytea NOT NULL,
  hash          bytea NOT NULL,
  PRIMARY KEY (tenant_id, sequence),
  UNIQUE (tenant_id, decision_id, kind)
);

-- What lists and the sweep look for; derived from the links.
CREATE TABLE audit_decisions (
  tenant_id   text NOT NULL,
  decision_id text NOT NULL,
  sequence    bigint NOT NULL,
  user_id     text NOT NULL,
  create_us   bigint NOT NULL,
  closed      boolean NOT NULL DEFAULT false,
  PRIMARY KEY (tenant_id, decision_id)
);
CREATE INDEX audit_decisions_by_age ON audit_decisions (tenant_id, sequence);
CREATE INDEX audit_decisions_open ON audit_decisions (create_us) WHERE NOT closed;

-- Texts beside the chain; NULL once erased.
CREATE TABLE audit_texts (
  tenant_id   text NOT NULL,
  decision_id text NOT NULL,
  kind        text NOT NULL,
  salt        bytea,
  text        text,
  PRIMARY KEY (tenant_id, decision_id, kind)
);
