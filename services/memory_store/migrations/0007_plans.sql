-- SPDX-License-Identifier: Apache-2.0
-- The plans of statements that add memories.

-- PostgreSQL makes a new plan at every call where it takes that for cheaper than a kept one. Here
-- every plan is the same, and making it costs more than running it.
ALTER FUNCTION create_memories SET plan_cache_mode = force_generic_plan;

-- An empty table has no statistics, and without them any index that begins with the tenant looks as
-- good as the one that finds a single row: each look at one memory then read all of its tenant, until
-- the table was analysed. What is inserted here says that a tenant has many memories.
DO $$
BEGIN
  LOCK TABLE memories IN ACCESS EXCLUSIVE MODE;
  IF EXISTS (SELECT 1 FROM memories) THEN
    RETURN;
  END IF;
  INSERT INTO memories (tenant_id, id, user_id, session_id, agent_id, text, content_hash, tags,
                        metadata, source_class, pinned, priority, expire_us, version,
                        create_us, update_us, feed_position, create_position)
  SELECT 'tenant' || n % 4, 'mem_' || n, 'user' || n % 40, '', '', 'text ' || n, md5(n::text), '{}',
         '', 1, false, 0, NULL, 1, n, n, n, n
    FROM generate_series(1, 2000) AS n;
  ANALYZE memories;
  TRUNCATE memories CASCADE;  -- the statistics stay
END
$$;
