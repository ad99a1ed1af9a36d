// SPDX-License-Identifier: Apache-2.0
// Purpose: the change feed as it lies in the store. Positions of a tenant grow in the order of
//   commits: who has read up to p has read every change up to p, for ever.
//   Implementations as in memory_repository.h.
// Thread-safety: thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dki/memory/v1/memory.pb.h"
#include "libs/base/status.h"

namespace dki::memory_store {

struct FeedHead {
  std::string tenant_id;
  int64_t position = 0;  // of the tenant's last change
};

struct FeedBatch {
  // In the order of positions. An UPSERT carries the memory as it is now; it is left out when the
  // memory has been deleted since, whose DELETE comes later.
  std::vector<memory::v1::FeedEntry> entries;
  // Everything up to here has been read, left out or not.
  int64_t position = 0;
  // As many changes as asked were there: there may be more.
  bool full = false;
};

class FeedSource {
 public:
  virtual ~FeedSource() = default;

  // Of one tenant, or of all where `tenant_id` is empty, erased ones included.
  virtual absl::StatusOr<std::vector<FeedHead>> ReadHeads(const std::string& tenant_id) = 0;
  // The first `limit` changes after `after_position`; `with_vectors`: and texts.
  virtual absl::StatusOr<FeedBatch> ReadFeed(const std::string& tenant_id, int64_t after_position,
                                             int limit, bool with_vectors) = 0;
};

}  // namespace dki::memory_store
