-- SPDX-License-Identifier: Apache-2.0
-- Memories, their history and vectors, conversations, the change feed, and the results of requests.
-- All times are microseconds since 1970. Scope fields are '' where not set. Everything is keyed by
-- tenant first. A migration that has been released is never changed.

-- One row per tenant, locked (FOR UPDATE) by every transaction that writes the tenant's memories:
-- positions therefore grow in the order of commits. It outlives the tenant, so that followers that
-- were away learn of the erasure and positions are never used twice.
CREATE TABLE feed_heads (
  tenant_id text PRIMARY KEY,
  position  bigint NOT NULL DEFAULT 0,
  erased    boolean NOT NULL DEFAULT false
);

-- kind: as in dki.memory.v1.FeedEntry.Kind.
CREATE TABLE feed (
  tenant_id text NOT NULL,
  position  bigint NOT NULL,
  kind      smallint NOT NULL,
  memory_id text NOT NULL,
  PRIMARY KEY (tenant_id, position)
);

-- The current state of each memory. Deleting the row deletes history and vector with it.
CREATE TABLE memories (
  tenant_id       text NOT NULL,
  id              text NOT NULL,
  user_id         text NOT NULL,
  session_id      text NOT NULL,
  agent_id        text NOT NULL,
  text            text NOT NULL,
  content_hash    text NOT NULL,
  tags            text[] NOT NULL,
  metadata        text NOT NULL,       -- JSON object, '' when there is none
  source_class    smallint NOT NULL,
  pinned          boolean NOT NULL,
  priority        int NOT NULL,
  expire_us       bigint,              -- NULL: never
  version         bigint NOT NULL,
  create_us       bigint NOT NULL,
  update_us       bigint NOT NULL,
  feed_position   bigint NOT NULL,
  create_position bigint NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
-- The same text in the same scope is stored once.
CREATE UNIQUE INDEX memories_by_content
  ON memories (tenant_id, user_id, session_id, agent_id, content_hash);
CREATE INDEX memories_by_age ON memories (tenant_id, create_position);
CREATE INDEX memories_by_expiry ON memories (expire_us) WHERE expire_us IS NOT NULL;

-- Past states: what a version was until the next one replaced it.
CREATE TABLE memory_versions (
  tenant_id    text NOT NULL,
  memory_id    text NOT NULL,
  version      bigint NOT NULL,
  text         text NOT NULL,
  content_hash text NOT NULL,
  update_us    bigint NOT NULL,
  PRIMARY KEY (tenant_id, memory_id, version),
  FOREIGN KEY (tenant_id, memory_id) REFERENCES memories (tenant_id, id) ON DELETE CASCADE
);

-- values_le: little-endian float32, unit length.
CREATE TABLE memory_vectors (
  tenant_id   text NOT NULL,
  memory_id   text NOT NULL,
  dimension   int NOT NULL,
  values_le   bytea NOT NULL,
  fingerprint text NOT NULL,
  PRIMARY KEY (tenant_id, memory_id),
  FOREIGN KEY (tenant_id, memory_id) REFERENCES memories (tenant_id, id) ON DELETE CASCADE,
  CHECK (octet_length(values_le) = 4 * dimension)
);

-- What a request id has done: the hash of what was asked, and the response without texts.
CREATE TABLE requests (
  tenant_id  text NOT NULL,
  request_id text NOT NULL,
  hash       text NOT NULL,
  response   bytea,
  create_us  bigint NOT NULL,
  PRIMARY KEY (tenant_id, request_id)
);
CREATE INDEX requests_by_age ON requests (create_us);

CREATE TABLE conversations (
  tenant_id  text NOT NULL,
  id         text NOT NULL,
  user_id    text NOT NULL,
  session_id text NOT NULL,
  agent_id   text NOT NULL,
  n_messages bigint NOT NULL DEFAULT 0,
  create_us  bigint NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE TABLE messages (
  tenant_id       text NOT NULL,
  conversation_id text NOT NULL,
  sequence        bigint NOT NULL,
  role            text NOT NULL,
  content         text NOT NULL,
  create_us       bigint NOT NULL,
  PRIMARY KEY (tenant_id, conversation_id, sequence),
  FOREIGN KEY (tenant_id, conversation_id) REFERENCES conversations (tenant_id, id) ON DELETE CASCADE
);

-- Random secrets of this database; 'page_token' authenticates page tokens.
CREATE TABLE secrets (
  name  text PRIMARY KEY,
  value bytea NOT NULL
);
INSERT INTO secrets VALUES
  ('page_token', sha256((gen_random_uuid()::text || gen_random_uuid()::text)::bytea));
