// SPDX-License-Identifier: Apache-2.0
// Purpose: the SQL of PostgresMemoryRepository. $1 is the tenant wherever rows are a tenant's.
#pragma once

#include "services/memory_store/database.h"
#include "services/memory_store/postgres_rows.h"

// clang-format off
namespace dki::memory_store {

inline constexpr Statement kFindByContent{"find_by_content",
    "SELECT " DKI_MEMORY_COLUMNS R"(
       FROM memories m
      WHERE tenant_id = $1 AND user_id = $2 AND session_id = $3 AND agent_id = $4
        AND content_hash = $5)"};

// Memory, vector and feed entry at position $15.
inline constexpr Statement kInsert{"insert_memory", R"(
    WITH m AS (
      INSERT INTO memories (tenant_id, id, user_id, session_id, agent_id, text, content_hash, tags,
                            metadata, source_class, pinned, priority, expire_us, version,
                            create_us, update_us, feed_position, create_position)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text[], $9, $10, $11, $12, NULLIF($13::bigint, 0), 1,
              $14, $14, $15, $15)),
    v AS (
      INSERT INTO memory_vectors (tenant_id, memory_id, dimension, values_le, fingerprint)
      VALUES ($1, $2, octet_length($16::bytea) / 4, $16, $17))
    INSERT INTO feed (tenant_id, position, kind, memory_id) VALUES ($1, $15, 1, $2))"};

inline constexpr Statement kGet{"get_memories",
    "SELECT " DKI_MEMORY_COLUMNS R"(
       FROM memories m
      WHERE m.tenant_id = $1 AND m.id = ANY($2::text[])
        AND (m.expire_us IS NULL OR m.expire_us > $3)
        AND )" DKI_VISIBLE("m", "$4", "$5", "$6", "$7")};

// $3 0: expired ones too.
inline constexpr Statement kGetOne{"get_memory",
    "SELECT " DKI_MEMORY_COLUMNS R"(
       FROM memories m
      WHERE m.tenant_id = $1 AND m.id = $2
        AND ($3::bigint = 0 OR m.expire_us IS NULL OR m.expire_us > $3)
        AND )" DKI_VISIBLE("m", "$4", "$5", "$6", "$7")};

inline constexpr Statement kList{"list_memories",
    "SELECT " DKI_MEMORY_COLUMNS R"(
       FROM memories m
      WHERE m.tenant_id = $1 AND m.create_position > $2
        AND (m.expire_us IS NULL OR m.expire_us > $3)
        AND )" DKI_VISIBLE("m", "$4", "$5", "$6", "$7") R"(
        AND ($8 = '' OR $8 = ANY(m.tags))
      ORDER BY m.create_position LIMIT $9)"};

inline constexpr Statement kKeepVersion{"keep_version", R"(
    INSERT INTO memory_versions (tenant_id, memory_id, version, text, content_hash, update_us)
    SELECT tenant_id, id, version, text, content_hash, update_us
      FROM memories WHERE tenant_id = $1 AND id = $2)"};

inline constexpr Statement kUpdate{"update_memory", R"(
    UPDATE memories
       SET text = $3, content_hash = $4, tags = $5::text[], metadata = $6, pinned = $7,
           priority = $8, expire_us = NULLIF($9::bigint, 0), version = $10, update_us = $11,
           feed_position = $12
     WHERE tenant_id = $1 AND id = $2)"};

inline constexpr Statement kUpdateVector{"update_vector", R"(
    UPDATE memory_vectors
       SET values_le = $3, dimension = octet_length($3::bytea) / 4, fingerprint = $4
     WHERE tenant_id = $1 AND memory_id = $2)"};

inline constexpr Statement kVersions{"list_versions", R"(
    SELECT version, text, content_hash, update_us
      FROM memory_versions WHERE tenant_id = $1 AND memory_id = $2 ORDER BY version)"};

inline constexpr Statement kDelete{"delete_memory",
    "DELETE FROM memories WHERE tenant_id = $1 AND id = $2"};

// Deletes, and appends to the feed behind position $2, oldest memory first.
#define DKI_DELETE_INTO_FEED(condition)                                                     \
    "WITH gone AS (DELETE FROM memories WHERE tenant_id = $1 AND " condition                \
    "              RETURNING id, create_position) "                                         \
    "INSERT INTO feed (tenant_id, position, kind, memory_id) "                              \
    "SELECT $1, $2 + row_number() OVER (ORDER BY create_position), 2, id FROM gone"

inline constexpr Statement kDeleteExpired{"delete_expired",
    DKI_DELETE_INTO_FEED("expire_us <= $3")};

inline constexpr Statement kTenantsWithExpired{"tenants_with_expired",
    "SELECT DISTINCT tenant_id FROM memories WHERE expire_us <= $1 LIMIT $2"};

inline constexpr Statement kForgetRequests{"forget_requests",
    "DELETE FROM requests WHERE create_us < $1"};

inline constexpr Statement kPageSecret{"page_secret",
    "SELECT value FROM secrets WHERE name = 'page_token'"};

#undef DKI_DELETE_INTO_FEED

}  // namespace dki::memory_store
// clang-format on
