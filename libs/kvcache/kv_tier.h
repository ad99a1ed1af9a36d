// SPDX-License-Identifier: Apache-2.0
// Purpose: a place that keeps encoded blocks. K/V is disposable: a tier may forget anything at any
//   time, and a failure of its medium is a miss, never an error of the request. What it must not
//   do: serve a block that is not the one asked for (P5), or keep one that was erased (P7).
// Thread-safety: thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "libs/base/status.h"
#include "libs/kvcache/block.h"
#include "libs/kvcache/block_bytes.h"

namespace dki::kvcache {

enum class TierName { kRam, kDisk, kRemote };

// What must hold of stored bytes before they may be served as that block; DATA_LOSS otherwise.
using BlockVerifier = std::function<absl::Status(std::string_view bytes, const BlockIdentity&)>;

// What the memories of a block's chain ask of those who keep it. No part of its identity: the same
// K/V may be asked for with other attributes later.
struct BlockAttributes {
  std::string user_id = {};  // whose memories are in the chain; empty: no user's
  bool pinned = false;       // its own memory is
  int priority = 0;          // of its own memory, [-100, 100]
  absl::Time expire_time = absl::InfiniteFuture();  // the earliest of the chain
  bool operator==(const BlockAttributes&) const = default;
};

struct StoredBlock {
  BlockIdentity identity;
  std::vector<std::string> chain_memory_ids;
  BlockBytes bytes;              // encoded; shared, so that a hit in RAM copies nothing
  double recompute_seconds = 0;  // what losing it costs
  int n_tokens = 0;
  BlockAttributes attributes = {};
};

struct TierHit {
  StoredBlock block;
  TierName tier = TierName::kRam;
};

// Where a block seems to lie.
struct TierPlace {
  TierName tier = TierName::kRam;
  int64_t bytes = 0;
};

// What an operator is shown of a block.
struct BlockInfo {
  BlockIdentity identity;
  std::vector<std::string> chain_memory_ids;
  TierName tier = TierName::kRam;
  int n_tokens = 0;
  int64_t bytes = 0;
  int64_t hits = 0;  // in this tier, since start
  absl::Time added;
  BlockAttributes attributes;
  bool pinned = false;  // kept as pinned: asked for, and within the tenant's share
};

// Counters since start, but for the first two.
struct TierStats {
  int64_t bytes = 0;
  int64_t blocks = 0;
  int64_t hits = 0;
  int64_t misses = 0;
  int64_t corrupt = 0;  // found on read, dropped
  int64_t evicted = 0;
  int64_t erased = 0;        // by Erase
  int64_t failures = 0;      // of the medium
  int64_t expired = 0;       // dropped because a memory of their chain has expired
  int64_t pinned_bytes = 0;  // now
  int64_t pins_refused = 0;  // beyond the tenant's share, so kept as ordinary blocks
};

class KvTier {
 public:
  virtual ~KvTier() = default;

  // The block, verified now; nothing when it is absent or damaged (then it is dropped and counted).
  virtual std::optional<TierHit> Get(const BlockIdentity& identity) = 0;
  // Where Get would find it, by tables in memory alone: nothing is read, verified or counted, and
  // Get may still miss. Nothing: not here, or not known.
  virtual std::optional<TierPlace> Find(const BlockIdentity&) const { return std::nullopt; }
  // The same of several, one for each; a tier that shares a server may ask it, once for all.
  virtual std::vector<std::optional<TierPlace>> Locate(
      std::span<const BlockIdentity> identities) const {
    std::vector<std::optional<TierPlace>> places;
    for (const BlockIdentity& identity : identities) places.push_back(Find(identity));
    return places;
  }
  // Keeps it if it can, making room by its policy.
  virtual void Put(const StoredBlock& block) = 0;
  // Forgets every block of the tenant that has the memory in its chain; with an empty `memory_id`,
  // all of the tenant. When it returns OK, no restart brings them back.
  virtual absl::Status Erase(const std::string& tenant_id, const std::string& memory_id) = 0;
  virtual TierStats Stats() const = 0;
  // Forgets what has expired; Get never serves it, swept or not. Returns how many.
  virtual int64_t DropExpired() { return 0; }
  // The tenant's blocks, those of the memory's chain alone where one is given, sorted by tier and
  // key. Of stacked tiers a block is named once for each that has it.
  virtual std::vector<BlockInfo> List(const std::string& /*tenant_id*/,
                                      const std::string& /*memory_id*/) const {
    return {};
  }
};

}  // namespace dki::kvcache
