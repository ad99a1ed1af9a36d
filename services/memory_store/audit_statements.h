// SPDX-License-Identifier: Apache-2.0
// The statements of PostgresAuditRepository.
#pragma once

#include "services/memory_store/database.h"

namespace dki::memory_store {

inline constexpr Statement kLockChain{
    "lock_chain", "SELECT sequence, hash, erased FROM audit_heads WHERE tenant_id = $1 FOR UPDATE"};
inline constexpr Statement kReadChain{
    "read_chain", "SELECT sequence, hash, erased FROM audit_heads WHERE tenant_id = $1"};
inline constexpr Statement kMakeChain{
    "make_chain",
    "INSERT INTO audit_heads (tenant_id, sequence, hash) VALUES ($1, 0, $2) ON CONFLICT DO "
    "NOTHING"};
// The link, and the head that it moves.
inline constexpr Statement kAppendLink{
    "append_link",
    "WITH l AS (INSERT INTO audit_links (tenant_id, sequence, kind, decision_id, user_id, payload, "
    "  previous_hash, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)) "
    "UPDATE audit_heads SET sequence = $2, hash = $8 WHERE tenant_id = $1"};
inline constexpr Statement kFindLink{
    "find_link",
    "SELECT sequence, payload FROM audit_links WHERE tenant_id = $1 AND decision_id = $2 AND kind "
    "= $3"};

// A decision that is open, with what erasures look for; $8 and $9: ids and versions of the
// memories handed to the model. Gives how many of them are there in that version.
inline constexpr Statement kInsertOpen{
    "insert_open",
    "WITH o AS (INSERT INTO audit_open (tenant_id, decision_id, open_us) VALUES ($1, $2, $3)), "
    "d AS (INSERT INTO audit_decisions (tenant_id, decision_id, conversation_id, user_id, "
    "  session_id, agent_id) VALUES ($1, $2, $4, $5, $6, $7)), "
    "c AS (SELECT DISTINCT id, version FROM unnest($8::text[], $9::bigint[]) AS u(id, version)), "
    "a AS (INSERT INTO audit_attended (tenant_id, memory_id, decision_id) "
    "  SELECT DISTINCT $1, id, $2 FROM c) "
    "SELECT (SELECT count(*) FROM c), (SELECT count(*) FROM c JOIN memories m ON m.tenant_id = $1 "
    "  AND m.id = c.id AND m.version = c.version)"};
inline constexpr Statement kDeleteOpen{
    "delete_open",
    "DELETE FROM audit_open WHERE tenant_id = $1 AND decision_id = $2 RETURNING texts_erased"};
inline constexpr Statement kMarkOpen{
    "mark_open",
    "UPDATE audit_open SET texts_erased = true WHERE tenant_id = $1 AND decision_id = $2"};
inline constexpr Statement kMarkTextsErased{
    "mark_texts_erased",
    "UPDATE audit_decisions SET texts_erased = true WHERE tenant_id = $1 AND decision_id = $2"};
inline constexpr Statement kInsertText{
    "insert_text",
    "INSERT INTO audit_texts (tenant_id, decision_id, kind, salted_text) VALUES ($1, $2, $3, $4)"};
inline constexpr Statement kDeleteTexts{
    "delete_texts", "DELETE FROM audit_texts WHERE tenant_id = $1 AND decision_id = $2"};
inline constexpr Statement kCountTexts{"count_texts",
                                       "SELECT count(*) FROM audit_texts WHERE tenant_id = $1"};

// A decision with its outcome and texts: columns of ReadDecision, from column 0 on.
#define DKI_DECISION_COLUMNS "d.payload, o.payload, q.salted_text, a.salted_text, d.sequence"
#define DKI_DECISION_TABLES                                                                 \
  "audit_links d "                                                                          \
  "LEFT JOIN audit_links o ON o.tenant_id = d.tenant_id AND o.decision_id = d.decision_id " \
  "  AND o.kind = 'outcome' "                                                               \
  "LEFT JOIN audit_texts q ON q.tenant_id = d.tenant_id AND q.decision_id = d.decision_id " \
  "  AND q.kind = 'query' "                                                                 \
  "LEFT JOIN audit_texts a ON a.tenant_id = d.tenant_id AND a.decision_id = d.decision_id " \
  "  AND a.kind = 'answer' "

inline constexpr Statement kGetDecision{
    "get_decision", "SELECT " DKI_DECISION_COLUMNS " FROM " DKI_DECISION_TABLES
                    "WHERE d.tenant_id = $1 AND d.decision_id = $2 AND d.kind = 'decision'"};
// $2: below this sequence; $3: user or ''; $4: limit.
inline constexpr Statement kListDecisions{
    "list_decisions", "SELECT " DKI_DECISION_COLUMNS " FROM " DKI_DECISION_TABLES
                      "WHERE d.tenant_id = $1 AND d.kind = 'decision' AND d.sequence < $2 "
                      "AND ($3 = '' OR d.user_id = $3) ORDER BY d.sequence DESC LIMIT $4"};
inline constexpr Statement kReadLinks{
    "read_links",
    "SELECT l.sequence, l.kind, l.decision_id, l.payload, l.previous_hash, l.hash, l.user_id, "
    "t.salted_text FROM audit_links l LEFT JOIN audit_texts t ON t.tenant_id = l.tenant_id AND "
    "t.decision_id = l.decision_id AND "
    "t.kind = CASE l.kind WHEN 'decision' THEN 'query' ELSE 'answer' END "
    "WHERE l.tenant_id = $1 AND l.sequence > $2 ORDER BY l.sequence LIMIT $3"};

inline constexpr Statement kAbandonedTenants{
    "abandoned_tenants", "SELECT DISTINCT tenant_id FROM audit_open WHERE open_us <= $1"};
inline constexpr Statement kAbandonedDecisions{
    "abandoned_decisions",
    "SELECT decision_id FROM audit_open WHERE tenant_id = $1 AND open_us <= $2 "
    "ORDER BY open_us, decision_id LIMIT $3"};

inline constexpr Statement kEraseChain{
    "erase_chain",
    "INSERT INTO audit_heads (tenant_id, sequence, hash, erased) VALUES ($1, 0, $2, true) ON "
    "CONFLICT (tenant_id) DO UPDATE SET sequence = 0, hash = $2, erased = true"};
inline constexpr Statement kOpenChain{
    "open_chain",
    "INSERT INTO audit_heads (tenant_id, sequence, hash) VALUES ($1, 0, $2) ON CONFLICT "
    "(tenant_id) DO UPDATE SET erased = false"};
inline constexpr Statement kEraseLinks{"erase_links",
                                       "DELETE FROM audit_links WHERE tenant_id = $1"};
inline constexpr Statement kEraseOpen{"erase_open", "DELETE FROM audit_open WHERE tenant_id = $1"};
inline constexpr Statement kEraseDecisions{"erase_decisions",
                                           "DELETE FROM audit_decisions WHERE tenant_id = $1"};
inline constexpr Statement kEraseAttended{"erase_attended",
                                          "DELETE FROM audit_attended WHERE tenant_id = $1"};
inline constexpr Statement kEraseAuditTexts{"erase_audit_texts",
                                            "DELETE FROM audit_texts WHERE tenant_id = $1"};

}  // namespace dki::memory_store
