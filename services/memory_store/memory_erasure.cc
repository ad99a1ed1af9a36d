// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/memory_erasure.h"

#include "dki/memory/v1/memory.pb.h"
#include "services/memory_store/database.h"

namespace dki::memory_store {
namespace {

constexpr Statement kOpenHead{
    "open_head",
    "INSERT INTO feed_heads (tenant_id) VALUES ($1) ON CONFLICT (tenant_id) DO UPDATE SET erased = "
    "false"};
constexpr Statement kEraseHead{
    "erase_head",
    "INSERT INTO feed_heads AS h (tenant_id, position, erased) VALUES ($1, 1, true) ON CONFLICT "
    "(tenant_id) DO UPDATE SET position = h.position + 1, erased = true RETURNING position"};
constexpr Statement kEraseMemories{"erase_memories", "DELETE FROM memories WHERE tenant_id = $1"};
constexpr Statement kEraseConversations{"erase_conversations",
                                        "DELETE FROM conversations WHERE tenant_id = $1"};
constexpr Statement kEraseRequests{"erase_requests", "DELETE FROM requests WHERE tenant_id = $1"};
constexpr Statement kEraseDataKeys{"erase_data_keys", "DELETE FROM data_keys WHERE tenant_id = $1"};
constexpr Statement kEraseFeed{"erase_feed", "DELETE FROM feed WHERE tenant_id = $1"};
constexpr Statement kAppendErasure{
    "append_erasure",
    "INSERT INTO feed (tenant_id, position, kind, memory_id) VALUES ($1, $2, $3, '')"};

}  // namespace

int64_t EraseTenantMemories(pqxx::work& work, const std::string& tenant_id,
                            const std::function<void()>& before) {
  // First the head: its lock keeps the tenant's writers out until the erasure is committed.
  const auto position = Exec(work, kEraseHead, tenant_id)[0][0].as<int64_t>();
  before();
  Exec(work, kEraseMemories, tenant_id);
  Exec(work, kEraseConversations, tenant_id);
  Exec(work, kEraseRequests, tenant_id);
  Exec(work, kEraseDataKeys, tenant_id);
  Exec(work, kEraseFeed, tenant_id);
  Exec(work, kAppendErasure, tenant_id, position,
       static_cast<int>(memory::v1::FeedEntry::KIND_ERASE_TENANT));
  return position;
}

void OpenTenantMemories(pqxx::work& work, const std::string& tenant_id) {
  Exec(work, kOpenHead, tenant_id);
}

}  // namespace dki::memory_store
