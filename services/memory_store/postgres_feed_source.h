// SPDX-License-Identifier: Apache-2.0
// Purpose: the change feed, read from PostgreSQL. Thread-safety: thread-safe.
#pragma once

#include "services/memory_store/database.h"
#include "services/memory_store/feed_source.h"

namespace dki::memory_store {

class PostgresFeedSource : public FeedSource {
 public:
  explicit PostgresFeedSource(Database* database) : database_(database) {}

  absl::StatusOr<std::vector<FeedHead>> ReadHeads(const std::string& tenant_id) override;
  absl::StatusOr<FeedBatch> ReadFeed(const std::string& tenant_id, int64_t after_position,
                                     int limit, bool with_vectors) override;

 private:
  Database* const database_;
};

}  // namespace dki::memory_store
