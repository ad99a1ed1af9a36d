-- SPDX-License-Identifier: Apache-2.0
-- Many requests for one new memory each, of any tenants, in one transaction: they share the commit
-- and everything else that a statement costs (creation_queue.h).

-- Row i of the arrays is one request; no two rows are of the same tenant and request id, or of the
-- same tenant, scope and text. tags: an array's text each. vectors: one behind the other.
-- Only what is plainly new is done here, of tenants that nobody else is writing. A row that does not
-- come back has changed nothing, and create_memory decides about it: its tenant is new, erased or
-- locked, or its request id or its text is known. So no request waits for another tenant's lock.
CREATE FUNCTION create_memories(
  tenants text[], request_ids text[], hashes text[], times bigint[], ids text[],
  users text[], sessions text[], agents text[], texts text[], content_hashes text[], tag_arrays text[],
  metadatas text[], source_classes int[], pins boolean[], priorities int[],
  expiries bigint[],  -- 0: never
  vector_begins int[], vector_ends int[], vectors bytea, fingerprints text[])
RETURNS TABLE (row_number bigint, new_position bigint)
LANGUAGE plpgsql
-- A table that is small when the plan is made may have grown when it is used.
SET enable_seqscan = off
AS $$
DECLARE
  free_tenants   text[];
  free_positions bigint[];
BEGIN
  -- As in create_memory: what is read by the next statement is what is there until the commit.
  SELECT array_agg(head.tenant_id), array_agg(head.position) INTO free_tenants, free_positions
    FROM (SELECT h.tenant_id, h.position FROM feed_heads h
           WHERE h.tenant_id = ANY (tenants) AND NOT h.erased
             FOR UPDATE SKIP LOCKED) AS head;
  IF free_tenants IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY
  WITH fresh AS MATERIALIZED (
    SELECT w.*, f.position + row_number() OVER (PARTITION BY w.tenant ORDER BY w.i) AS position
      FROM unnest(free_tenants, free_positions) AS f (tenant, position)
      JOIN unnest(tenants, request_ids, hashes, times, ids, users, sessions, agents, texts,
                  content_hashes, tag_arrays, metadatas, source_classes, pins, priorities,
                  expiries, vector_begins, vector_ends, fingerprints)
           WITH ORDINALITY
           AS w (tenant, request_id, hash, now_us, id, user_id, session_id, agent_id, text,
                 content_hash, tags, metadata, source_class, pinned, priority,
                 expire_us, vector_begin, vector_end, fingerprint, i) USING (tenant)
     WHERE (SELECT 1 FROM requests r
             WHERE r.tenant_id = w.tenant AND r.request_id = w.request_id) IS NULL
       AND (SELECT 1 FROM memories m
             WHERE m.tenant_id = w.tenant AND m.user_id = w.user_id
               AND m.session_id = w.session_id AND m.agent_id = w.agent_id
               AND m.content_hash = w.content_hash) IS NULL
  ), m AS (
    INSERT INTO memories (tenant_id, id, user_id, session_id, agent_id, text, content_hash, tags,
                          metadata, source_class, pinned, priority, expire_us, version,
                          create_us, update_us, feed_position, create_position)
    SELECT tenant, id, user_id, session_id, agent_id, text, content_hash, tags::text[], metadata,
           source_class, pinned, priority, NULLIF(expire_us, 0), 1, now_us, now_us, position, position
      FROM fresh
  ), v AS (
    INSERT INTO memory_vectors (tenant_id, memory_id, dimension, values_le, fingerprint)
    SELECT tenant, id, (vector_end - vector_begin) / 4,
           substr(vectors, vector_begin + 1, vector_end - vector_begin), fingerprint
      FROM fresh
  ), f AS (
    INSERT INTO feed (tenant_id, position, kind, memory_id) SELECT tenant, position, 1, id FROM fresh
  ), h AS (
    UPDATE feed_heads SET position = last.position
      FROM (SELECT tenant, max(position) AS position FROM fresh GROUP BY tenant) AS last
     WHERE tenant_id = last.tenant
  ), r AS (
    INSERT INTO requests (tenant_id, request_id, hash, create_us, memory_id, position, created)
    SELECT tenant, request_id, hash, now_us, id, position, true FROM fresh
  )
  SELECT i, position FROM fresh;
END
$$;
