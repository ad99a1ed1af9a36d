// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/postgres_feed_source.h"

#include "services/memory_store/memory_rules.h"
#include "services/memory_store/postgres_rows.h"

namespace dki::memory_store {
namespace {

using v1::FeedEntry;

// How long a follower waits for a connection before it tries again.
constexpr std::chrono::seconds kPatience{10};

constexpr Statement kHeads{
    "feed_heads", "SELECT tenant_id, position FROM feed_heads WHERE $1 = '' OR tenant_id = $1"};
// One statement is one snapshot: the changes and the states they are joined with belong together.
// LIMIT 1 keeps the joins what they should be, a look at one row for each change: else a reader
// that lags behind may have all memories of the tenant read for some changes.
constexpr Statement kRead{
    "read_feed",
    "SELECT f.position, f.kind, f.memory_id, m.user_id, m.session_id, m.agent_id, m.version, "
    "m.expire_us, m.pinned, m.tags, v.fingerprint, v.values_le, m.update_us, "
    "CASE WHEN $4::boolean THEN m.text END FROM (SELECT position, kind, "
    "memory_id FROM feed WHERE tenant_id = $1 AND position > $2 ORDER BY position LIMIT $3) f "
    "LEFT JOIN LATERAL (SELECT * FROM memories "
    "WHERE tenant_id = $1 AND id = f.memory_id LIMIT 1) m ON true "
    "LEFT JOIN LATERAL (SELECT fingerprint, values_le FROM memory_vectors "
    "WHERE $4::boolean AND tenant_id = $1 AND memory_id = m.id LIMIT 1) v ON true "
    "ORDER BY f.position"};

void ReadState(const pqxx::row& row, FeedEntry* entry) {
  *entry->mutable_scope() = ReadScope(row, 3);
  entry->set_version(row[6].as<int64_t>());
  if (!row[7].is_null()) *entry->mutable_expire_time() = FromMicros(row[7].as<int64_t>());
  entry->set_pinned(row[8].as<bool>());
  for (const std::string& tag : ReadTextArray(row[9])) entry->add_tags(tag);
  if (!row[10].is_null()) {
    entry->mutable_vector()->set_embedding_fingerprint(row[10].c_str());
    entry->mutable_vector()->set_values(pqxx::binarystring(row[11]).str());
  }
  *entry->mutable_update_time() = FromMicros(row[12].as<int64_t>());
  if (!row[13].is_null()) entry->set_text(row[13].c_str());
}

}  // namespace

absl::StatusOr<std::vector<FeedHead>> PostgresFeedSource::ReadHeads(const std::string& tenant_id) {
  std::vector<FeedHead> heads;
  const auto deadline = std::chrono::system_clock::now() + kPatience;
  DKI_RETURN_IF_ERROR(database_->Read(deadline, [&](pqxx::transaction_base& work) {
    heads.clear();
    for (const pqxx::row& row : Exec(work, kHeads, tenant_id)) {
      heads.push_back({row[0].as<std::string>(), row[1].as<int64_t>()});
    }
    return absl::OkStatus();
  }));
  return heads;
}

absl::StatusOr<FeedBatch> PostgresFeedSource::ReadFeed(const std::string& tenant_id,
                                                       int64_t after_position, int limit,
                                                       bool with_vectors) {
  FeedBatch batch;
  const auto deadline = std::chrono::system_clock::now() + kPatience;
  DKI_RETURN_IF_ERROR(database_->Read(deadline, [&](pqxx::transaction_base& work) {
    batch = FeedBatch{.entries = {}, .position = after_position, .full = false};
    const pqxx::result rows = Exec(work, kRead, tenant_id, after_position, limit, with_vectors);
    batch.full = static_cast<int>(rows.size()) == limit;
    for (const pqxx::row& row : rows) {
      batch.position = row[0].as<int64_t>();
      FeedEntry entry;
      entry.set_tenant_id(tenant_id);
      entry.set_position(batch.position);
      entry.set_kind(static_cast<FeedEntry::Kind>(row[1].as<int>()));
      entry.set_memory_id(row[2].c_str());
      if (entry.kind() == FeedEntry::KIND_UPSERT) {
        const bool is_deleted = row[6].is_null();
        if (is_deleted) continue;
        ReadState(row, &entry);
      }
      batch.entries.push_back(std::move(entry));
    }
    return absl::OkStatus();
  }));
  return batch;
}

}  // namespace dki::memory_store
