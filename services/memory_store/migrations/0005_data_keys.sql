-- SPDX-License-Identifier: Apache-2.0
-- The keys that kv encrypts blocks under, sealed by kv under a key that is not in this database.
-- One for each tenant, user ('' for memories that are no user's) and key that seals them.
CREATE TABLE data_keys (
  tenant_id    text NOT NULL,
  user_id      text NOT NULL,
  wrapping_key text NOT NULL,
  key_id       bytea NOT NULL,
  wrapped      bytea NOT NULL,
  create_us    bigint NOT NULL,
  PRIMARY KEY (tenant_id, user_id, wrapping_key),
  UNIQUE (tenant_id, key_id)
);
