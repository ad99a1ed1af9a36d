// SPDX-License-Identifier: Apache-2.0
// Purpose: the SQL of erasures. $1 is the tenant wherever rows are a tenant's; lists of ids are
//   text[] parameters.
#pragma once

#include "services/memory_store/database.h"

// clang-format off
namespace dki::memory_store {

// A row is within the scope in $2, $3, $4: each field that is set there equals the row's.
#define DKI_WITHIN_SCOPE                                                                     \
    "($2 = '' OR user_id = $2) AND ($3 = '' OR session_id = $3) AND ($4 = '' OR agent_id = $4)"

inline constexpr Statement kLockChainHead{"lock_chain_head",
    "SELECT 1 FROM audit_heads WHERE tenant_id = $1 FOR UPDATE"};
inline constexpr Statement kScopeMemories{"scope_memories",
    "SELECT id FROM memories WHERE tenant_id = $1 AND " DKI_WITHIN_SCOPE};
inline constexpr Statement kScopeConversations{"scope_conversations",
    "SELECT id FROM conversations WHERE tenant_id = $1 AND " DKI_WITHIN_SCOPE};
inline constexpr Statement kScopeDecisions{"scope_decisions",
    "SELECT decision_id FROM audit_decisions WHERE tenant_id = $1 AND " DKI_WITHIN_SCOPE};
inline constexpr Statement kConversationDecisions{"conversation_decisions",
    "SELECT decision_id FROM audit_decisions "
    "WHERE tenant_id = $1 AND conversation_id <> '' AND conversation_id = ANY($2::text[])"};

// Decisions that attended to the memories $2, with their conversation where it is still there.
inline constexpr Statement kAttending{"attending_decisions", R"(
    SELECT DISTINCT d.decision_id, c.id
      FROM audit_attended a
      JOIN audit_decisions d ON d.tenant_id = a.tenant_id AND d.decision_id = a.decision_id
      LEFT JOIN conversations c ON c.tenant_id = d.tenant_id AND c.id = d.conversation_id
     WHERE a.tenant_id = $1 AND a.memory_id = ANY($2::text[]))"};

inline constexpr Statement kCountParts{"count_memory_parts", R"(
    SELECT (SELECT count(*) FROM memory_versions
             WHERE tenant_id = $1 AND memory_id = ANY($2::text[])),
           (SELECT count(*) FROM memory_vectors
             WHERE tenant_id = $1 AND memory_id = ANY($2::text[])))"};

inline constexpr Statement kEmptyConversations{"empty_conversations",
    "UPDATE conversations SET n_messages = 0 WHERE tenant_id = $1 AND id = ANY($2::text[])"};
inline constexpr Statement kEraseMessages{"erase_messages",
    "DELETE FROM messages WHERE tenant_id = $1 AND conversation_id = ANY($2::text[])"};
inline constexpr Statement kDeleteConversations{"delete_conversations",
    "DELETE FROM conversations WHERE tenant_id = $1 AND id = ANY($2::text[])"};

inline constexpr Statement kEraseTextsOf{"erase_texts_of",
    "DELETE FROM audit_texts WHERE tenant_id = $1 AND decision_id = ANY($2::text[])"};
// Answers that are still being written leave no text either.
inline constexpr Statement kMarkOpenOf{"mark_open_of",
    "UPDATE audit_open SET texts_erased = true "
    "WHERE tenant_id = $1 AND decision_id = ANY($2::text[])"};
inline constexpr Statement kMarkErased{"mark_erased",
    "UPDATE audit_decisions SET texts_erased = true "
    "WHERE tenant_id = $1 AND decision_id = ANY($2::text[])"};
inline constexpr Statement kForgetAttended{"forget_attended",
    "DELETE FROM audit_attended WHERE tenant_id = $1 AND memory_id = ANY($2::text[])"};

// Hashes of requests that held the texts of what is in $2.
inline constexpr Statement kForgetHashes{"forget_hashes",
    "UPDATE requests SET hash = '' WHERE tenant_id = $1 AND hash <> '' "
    "AND (memory_id = ANY($2::text[]) OR subjects && $2::text[])"};

// Deletes, and appends to the feed behind position $3, oldest memory first.
inline constexpr Statement kDeleteIntoFeed{"delete_into_feed", R"(
    WITH gone AS (DELETE FROM memories WHERE tenant_id = $1 AND id = ANY($2::text[])
                  RETURNING id, create_position)
    INSERT INTO feed (tenant_id, position, kind, memory_id)
    SELECT $1, $3 + row_number() OVER (ORDER BY create_position), 2, id FROM gone)"};

inline constexpr Statement kCountTenant{"count_tenant", R"(
    SELECT (SELECT count(*) FROM memories WHERE tenant_id = $1),
           (SELECT count(*) FROM memory_versions WHERE tenant_id = $1),
           (SELECT count(*) FROM memory_vectors WHERE tenant_id = $1),
           (SELECT count(*) FROM conversations WHERE tenant_id = $1),
           (SELECT count(*) FROM messages WHERE tenant_id = $1),
           (SELECT count(*) FROM audit_texts WHERE tenant_id = $1),
           (SELECT count(*) FROM requests WHERE tenant_id = $1),
           (SELECT count(*) FROM data_keys WHERE tenant_id = $1))"};

inline constexpr Statement kInsertErasure{"insert_erasure",
    "INSERT INTO erasures (id, tenant_id, after_position, position, drop_contexts, statement, "
    "create_us) VALUES ($1, $2, $3, $4, $5, $6, $7)"};
inline constexpr Statement kExpectReports{"expect_reports",
    "INSERT INTO erasure_reports (erasure_id, service) SELECT $1, service FROM feed_followers"};

inline constexpr Statement kGetErasure{"get_erasure",
    "SELECT statement FROM erasures WHERE id = $1 AND ($2 = '' OR tenant_id = $2)"};
inline constexpr Statement kNewestErasure{"newest_erasure",
    "SELECT coalesce(max(create_us), 0) FROM erasures"};
inline constexpr Statement kListReports{"list_reports",
    "SELECT service, report, signature FROM erasure_reports WHERE erasure_id = $1 "
    "ORDER BY service"};
inline constexpr Statement kListDue{"list_due_erasures", R"(
    SELECT e.id, e.tenant_id, e.after_position, e.position, e.drop_contexts
      FROM erasure_reports r JOIN erasures e ON e.id = r.erasure_id
     WHERE r.service = $1 AND r.report IS NULL ORDER BY e.create_us, e.id LIMIT $2)"};
inline constexpr Statement kStoreReport{"store_report",
    "UPDATE erasure_reports SET report = COALESCE(report, $3), signature = COALESCE(signature, $4) "
    "WHERE erasure_id = $1 AND service = $2"};
inline constexpr Statement kFindKeys{"find_signing_keys",
    "SELECT public_key FROM signing_keys WHERE service = $1"};
inline constexpr Statement kListSigningKeys{"list_signing_keys",
    "SELECT service, public_key FROM signing_keys ORDER BY service, create_us, public_key"};
inline constexpr Statement kAddSigningKey{"add_signing_key",
    "INSERT INTO signing_keys (service, public_key, create_us) VALUES ($1, $2, $3) "
    "ON CONFLICT DO NOTHING"};
inline constexpr Statement kAddFollower{"add_follower",
    "INSERT INTO feed_followers (service, create_us) VALUES ($1, $2) ON CONFLICT DO NOTHING"};
inline constexpr Statement kRemoveFollower{"remove_follower",
    "DELETE FROM feed_followers WHERE service = $1"};
inline constexpr Statement kExpectNothing{"expect_nothing",
    "DELETE FROM erasure_reports WHERE service = $1 AND report IS NULL"};

#undef DKI_WITHIN_SCOPE

}  // namespace dki::memory_store
// clang-format on
