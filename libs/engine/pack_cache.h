// SPDX-License-Identifier: Apache-2.0
// Purpose: tier L1: the blocks that this process had in its hands a moment ago, in front of another
//   source of packs. A request is probed and then answered with the same memories, and so is the
//   conversation's next turn: neither waits for kv again.
//
//   Blocks live for `lifetime` after they were loaded, however often they are used, and are then
//   dropped, also while nothing happens: what was erased elsewhere is soon gone here (P7), without
//   this process having to hear of it.
// Thread-safety: thread-safe. Ownership: the source must outlive it. Owns a thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/engine/pack_source.h"

namespace dki::engine {

class PackCache : public PackSource {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    int64_t budget_bytes = int64_t{256} << 20;
    std::chrono::milliseconds lifetime{20'000};
  };
  PackCache(const Options& options, PackSource* source);
  ~PackCache() override;
  PackCache(const PackCache&) = delete;

  // A pack whose blocks are all at hand is served from here, any other comes from the source as a
  // whole. The tier is kDevice; to the request that they were loaded for, which now comes again, it
  // is still the one that they were loaded from.
  absl::StatusOr<std::vector<LoadedBlock>> Load(const PackRequest& request,
                                                const injection::PackPlan& plan) override;

  int64_t size_bytes() const;

 private:
  struct Entry {
    std::string key;
    LoadedBlock loaded;
    std::string request_id;  // that it was loaded for
    int64_t n_bytes = 0;
    Clock::time_point expires;
  };
  using Entries = std::list<Entry>;

  bool Find(const PackRequest& request, const injection::PackPlan& plan,
            std::vector<LoadedBlock>* blocks) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Insert(const PackRequest& request, const LoadedBlock& block)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Erase(Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropExpired();  // the thread

  const Options options_;
  PackSource* const source_;
  mutable Mutex mutex_;
  CondVar changed_;
  // Oldest first, which is also the order in which they expire.
  Entries entries_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<std::string, Entries::iterator> index_ ABSL_GUARDED_BY(mutex_);
  int64_t size_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dki::engine
