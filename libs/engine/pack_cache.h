// SPDX-License-Identifier: Apache-2.0
// Purpose: tier L1: the blocks that this process had in its hands before, in the runtime's own
//   format, in front of another source of packs. A request is probed and then answered with the
//   same memories, and so is the conversation's next turn: neither waits for kv again.
//
//   What is erased must go (P7). While somebody tells this cache of erasures (SetFollowing), blocks
//   stay until the budget needs their room. Otherwise they live for `lifetime` after they were
//   loaded, or after it was last told, and are then dropped, also while nothing happens.
//   A request whose memory has been deleted gets no pack, wherever its blocks lie. One that has its
//   pack keeps it to its end.
// Thread-safety: thread-safe. Ownership: the source must outlive it. Owns a thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/engine/pack_source.h"
#include "libs/kvcache/tier_budget.h"

namespace dki::engine {

class PackCache : public PackSource {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    int64_t budget_bytes = int64_t{256} << 20;
    std::chrono::milliseconds lifetime{20'000};
    // Deletions that are remembered. Ids of memories are never used again.
    size_t max_tombstones = 65536;
    // Tenants do not evict each other: kvcache::TierBudget.
    kvcache::PolicyFactory policy = kvcache::MakeGreedyDualPolicy;
  };
  struct Stats {
    int64_t bytes = 0;
    int64_t blocks = 0;
    int64_t hits = 0;  // blocks, since start
    int64_t misses = 0;
    int64_t erased = 0;
  };
  PackCache(const Options& options, PackSource* source);
  ~PackCache() override;
  PackCache(const PackCache&) = delete;

  // A pack whose blocks are all at hand is served from here, any other comes from the source as a
  // whole. The tier is kDevice; to the request that they were loaded for, which now comes again, it
  // is still the one that they were loaded from. NOT_FOUND: one of its memories has been deleted.
  absl::StatusOr<std::vector<LoadedBlock>> Load(const PackRequest& request,
                                                const injection::PackPlan& plan) override;

  // Whether every erasure up to now has been told, and each to come will be. False at first.
  void SetFollowing(bool following);
  // The memory is another one now: drops the blocks that have it in their chain; with an empty
  // `memory_id` all of the tenant's. Returns how many.
  int64_t Erase(const std::string& tenant_id, const std::string& memory_id);
  // The same, and it does not come back.
  int64_t EraseForGood(const std::string& tenant_id, const std::string& memory_id);
  // A tenant of that name exists again.
  void ReviveTenant(const std::string& tenant_id);
  void Clear();

  Stats stats() const;
  int64_t size_bytes() const { return stats().bytes; }

 private:
  using Owner = std::pair<std::string, std::string>;  // tenant; memory, or empty: all of them
  struct Entry {
    LoadedBlock loaded;
    std::string request_id;  // that it was loaded for
    Clock::time_point loaded_at;
  };

  bool Find(const PackRequest& request, const injection::PackPlan& plan,
            std::vector<LoadedBlock>* blocks) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Insert(const PackRequest& request, const LoadedBlock& block)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(const std::string& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int64_t DropOwned(const Owner& owner) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckDeleted(const PackRequest& request) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // REQUIRES: nobody tells of erasures.
  Clock::time_point Expires(const Entry& entry) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::max(entry.loaded_at, told_until_) + options_.lifetime;
  }
  void DropExpired();  // the thread

  const Options options_;
  PackSource* const source_;
  mutable Mutex mutex_;
  CondVar changed_;
  kvcache::TierBudget budget_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::map<Owner, std::set<std::string>> keys_of_ ABSL_GUARDED_BY(mutex_);
  std::set<Owner> tombstones_ ABSL_GUARDED_BY(mutex_);
  std::deque<Owner> oldest_tombstones_ ABSL_GUARDED_BY(mutex_);
  // What was loaded before an erasure is not kept after it.
  int64_t n_erasures_ ABSL_GUARDED_BY(mutex_) = 0;
  bool following_ ABSL_GUARDED_BY(mutex_) = false;
  Clock::time_point told_until_ ABSL_GUARDED_BY(mutex_);  // the past, as long as nobody has
  Stats stats_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dki::engine
