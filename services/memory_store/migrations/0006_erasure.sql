-- SPDX-License-Identifier: Apache-2.0
-- Erasure: what attended to a memory, what was erased, and what the other services say of it.

-- Of each decision what an erasure must find. texts_erased: no text of it is kept any more, neither
-- beside the chain nor in its conversation.
CREATE TABLE audit_decisions (
  tenant_id       text NOT NULL,
  decision_id     text NOT NULL,
  conversation_id text NOT NULL,
  user_id         text NOT NULL,
  session_id      text NOT NULL,
  agent_id        text NOT NULL,
  texts_erased    boolean NOT NULL DEFAULT false,
  PRIMARY KEY (tenant_id, decision_id)
);
CREATE INDEX audit_decisions_by_conversation ON audit_decisions (tenant_id, conversation_id)
  WHERE conversation_id <> '';
CREATE INDEX audit_decisions_by_user ON audit_decisions (tenant_id, user_id) WHERE user_id <> '';
CREATE INDEX audit_decisions_by_session ON audit_decisions (tenant_id, session_id)
  WHERE session_id <> '';
CREATE INDEX audit_decisions_by_agent ON audit_decisions (tenant_id, agent_id)
  WHERE agent_id <> '';
-- The memories that were handed to the model.
CREATE TABLE audit_attended (
  tenant_id   text NOT NULL,
  memory_id   text NOT NULL,
  decision_id text NOT NULL,
  PRIMARY KEY (tenant_id, memory_id, decision_id)
);

-- They outlive their tenant. Its changes in the feed lie behind after_position, up to position.
-- statement: a dki.erasure.v1.ErasureStatement without parts.
CREATE TABLE erasures (
  id             text PRIMARY KEY,
  tenant_id      text NOT NULL,
  after_position bigint NOT NULL,
  position       bigint NOT NULL,
  drop_contexts  boolean NOT NULL,
  statement      bytea NOT NULL,
  create_us      bigint NOT NULL
);
CREATE INDEX erasures_by_age ON erasures (create_us);
-- One row per service that must report. report: a dki.erasure.v1.ServiceReport as it was signed.
CREATE TABLE erasure_reports (
  erasure_id text NOT NULL REFERENCES erasures (id) ON DELETE CASCADE,
  service    text NOT NULL,
  report     bytea,
  signature  bytea,
  PRIMARY KEY (erasure_id, service)
);
CREATE INDEX erasure_reports_due ON erasure_reports (service) WHERE report IS NULL;
-- Who follows the feed, and so must report; and every key that has ever signed.
CREATE TABLE feed_followers (
  service   text PRIMARY KEY,
  create_us bigint NOT NULL
);
CREATE TABLE signing_keys (
  service    text NOT NULL,
  public_key bytea NOT NULL,
  create_us  bigint NOT NULL,
  PRIMARY KEY (service, public_key)
);

-- A request's hash is of its text and could confirm a guess, so it goes with what it made ('' then:
-- the id stays taken). What that is: memory_id (0003) for a single memory, subjects (memories or a
-- conversation) for all others.
ALTER TABLE requests ADD COLUMN subjects text[];
CREATE INDEX requests_by_memory ON requests (tenant_id, memory_id) WHERE memory_id IS NOT NULL;
CREATE INDEX requests_by_subject ON requests USING gin (subjects) WHERE subjects IS NOT NULL;

-- The planner's statistics would hold samples of texts, and nothing is searched by them.
ALTER TABLE memories ALTER COLUMN text SET STATISTICS 0, ALTER COLUMN metadata SET STATISTICS 0;
ALTER TABLE memory_versions ALTER COLUMN text SET STATISTICS 0;
ALTER TABLE memory_vectors ALTER COLUMN values_le SET STATISTICS 0;
ALTER TABLE messages ALTER COLUMN content SET STATISTICS 0;
ALTER TABLE audit_texts ALTER COLUMN salted_text SET STATISTICS 0;

-- As in 0003, but that a hash may have been erased.
CREATE OR REPLACE FUNCTION create_memory(
  the_tenant text, the_request text, the_hash text, now_us bigint,
  the_id text, the_user text, the_session text, the_agent text, the_text text, the_content_hash text,
  the_tags text[], the_metadata text, the_source_class int, the_pinned boolean, the_priority int,
  the_expire_us bigint,  -- 0: never
  the_vector bytea, the_fingerprint text,
  OUT outcome text, OUT memory_id text, OUT new_position bigint, OUT is_new boolean,
  OUT old_response bytea)
LANGUAGE plpgsql AS $$
DECLARE
  head  record;
  known record;
BEGIN
  -- Until the commit nobody else writes the tenant's memories or claims its request ids. What is
  -- read next is therefore what is there, but only because it is read by statements of their own:
  -- one that had to wait for the lock keeps its older snapshot for all other rows.
  SELECT h.position, h.erased INTO head FROM feed_heads h WHERE h.tenant_id = the_tenant FOR UPDATE;
  IF NOT FOUND THEN
    INSERT INTO feed_heads (tenant_id) VALUES (the_tenant) ON CONFLICT DO NOTHING;
    SELECT h.position, h.erased INTO head FROM feed_heads h WHERE h.tenant_id = the_tenant FOR UPDATE;
  END IF;
  IF head.erased THEN
    outcome := 'erased';
    RETURN;
  END IF;
  SELECT r.hash, r.response, r.memory_id, r.position, r.created,
         m.id, m.expire_us, m.feed_position INTO known
    FROM (VALUES (true)) AS always
    LEFT JOIN requests r ON r.tenant_id = the_tenant AND r.request_id = the_request
    LEFT JOIN memories m ON m.tenant_id = the_tenant AND m.user_id = the_user
                        AND m.session_id = the_session AND m.agent_id = the_agent
                        AND m.content_hash = the_content_hash;

  IF known.hash IS NOT NULL THEN
    outcome := CASE WHEN known.hash IN ('', the_hash) THEN 'ok' ELSE 'reused' END;
    memory_id := known.memory_id;
    new_position := known.position;
    is_new := known.created;
    old_response := known.response;
    RETURN;
  END IF;

  outcome := 'ok';
  IF known.id IS NOT NULL AND (known.expire_us IS NULL OR known.expire_us > now_us) THEN
    memory_id := known.id;
    new_position := known.feed_position;
    is_new := false;
    INSERT INTO requests (tenant_id, request_id, hash, create_us, memory_id, position, created)
    VALUES (the_tenant, the_request, the_hash, now_us, memory_id, new_position, is_new);
    RETURN;
  END IF;

  new_position := head.position + 1;
  IF known.id IS NOT NULL THEN
    -- One that has expired is deleted first and does not count.
    DELETE FROM memories m WHERE m.tenant_id = the_tenant AND m.id = known.id;
    INSERT INTO feed (tenant_id, position, kind, memory_id)
    VALUES (the_tenant, new_position, 2, known.id);
    new_position := new_position + 1;
  END IF;
  memory_id := the_id;
  is_new := true;
  WITH m AS (
    INSERT INTO memories (tenant_id, id, user_id, session_id, agent_id, text, content_hash, tags,
                          metadata, source_class, pinned, priority, expire_us, version,
                          create_us, update_us, feed_position, create_position)
    VALUES (the_tenant, the_id, the_user, the_session, the_agent, the_text, the_content_hash,
            the_tags, the_metadata, the_source_class, the_pinned, the_priority,
            NULLIF(the_expire_us, 0), 1, now_us, now_us, new_position, new_position)
  ), v AS (
    INSERT INTO memory_vectors (tenant_id, memory_id, dimension, values_le, fingerprint)
    VALUES (the_tenant, the_id, octet_length(the_vector) / 4, the_vector, the_fingerprint)
  ), f AS (
    INSERT INTO feed (tenant_id, position, kind, memory_id)
    VALUES (the_tenant, new_position, 1, the_id)
  ), h AS (
    UPDATE feed_heads SET position = new_position WHERE tenant_id = the_tenant
  )
  INSERT INTO requests (tenant_id, request_id, hash, create_us, memory_id, position, created)
  VALUES (the_tenant, the_request, the_hash, now_us, the_id, new_position, true);
END
$$;
