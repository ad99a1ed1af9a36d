// SPDX-License-Identifier: Apache-2.0
// Purpose: a place that keeps encoded blocks. K/V is disposable: a tier may forget anything at any
//   time, and a failure of its medium is a miss, never an error of the request. What it must not
//   do: serve a block that is not the one asked for (P5), or keep one that was erased (P7).
// Thread-safety: thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libs/base/status.h"
#include "libs/kvcache/block.h"

namespace dki::kvcache {

enum class TierName { kRam, kDisk };

struct StoredBlock {
  BlockIdentity identity;
  std::vector<std::string> chain_memory_ids;
  std::shared_ptr<const std::string> bytes;  // encoded; shared, so that a hit in RAM copies nothing
  double recompute_seconds = 0;              // what losing it costs
};

struct TierHit {
  StoredBlock block;
  TierName tier = TierName::kRam;
};

// Counters since start, but for the first two.
struct TierStats {
  int64_t bytes = 0;
  int64_t blocks = 0;
  int64_t hits = 0;
  int64_t misses = 0;
  int64_t corrupt = 0;  // found on read, dropped
  int64_t evicted = 0;
  int64_t erased = 0;    // by Erase
  int64_t failures = 0;  // of the medium
};

class KvTier {
 public:
  virtual ~KvTier() = default;

  // The block, verified now; nothing when it is absent or damaged (then it is dropped and counted).
  virtual std::optional<TierHit> Get(const BlockIdentity& identity) = 0;
  // Keeps it if it can, making room by its policy.
  virtual void Put(const StoredBlock& block) = 0;
  // Forgets every block of the tenant that has the memory in its chain; with an empty `memory_id`,
  // all of the tenant. When it returns OK, no restart brings them back.
  virtual absl::Status Erase(const std::string& tenant_id, const std::string& memory_id) = 0;
  virtual TierStats Stats() const = 0;
};

}  // namespace dki::kvcache
