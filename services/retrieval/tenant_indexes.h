// SPDX-License-Identifier: Apache-2.0
// Purpose: every tenant's index and how far it has come along the change feed. The feed's follower
//   writes, searches read; a search sees whole entries only, and at least the position it asks for.
// Thread-safety: thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dki/memory/v1/memory.pb.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/telemetry/metrics.h"
#include "services/retrieval/hybrid_index.h"

namespace dki::retrieval {

// How long a search may wait for the feed.
struct Patience {
  std::chrono::steady_clock::time_point until;
  std::function<bool()> is_cancelled = [] { return false; };
  // Called when it waits for the feed.
  std::function<void()> on_wait = [] {};
};

class TenantIndexes {
 public:
  using IndexFactory = std::function<std::unique_ptr<VectorIndex>()>;

  struct Query {
    std::string tenant_id;
    std::vector<float> vector;  // [dimension]
    search::WordQuery words;    // empty: by meaning alone
    search::RankingOptions ranking;
    bool without_duplicates = false;
    int k = 1;
    std::optional<float> threshold;
    Scope scope;
    std::string tag;
    std::set<std::string> ids;
    int64_t min_position = 0;
  };
  struct Result {
    std::vector<RankedHit> hits;
    int n_below_threshold = 0;
    int64_t position = 0;
  };
  struct TenantStatus {
    int64_t position = 0;
    int64_t n_memories = 0;
  };

  // Vectors of another `embedding_fingerprint` are counted and never compared.
  TenantIndexes(IndexFactory factory, std::string embedding_fingerprint, const Clock* clock,
                telemetry::Metrics* metrics);

  // The next entry of the feed. Returns how many memories left the index with it.
  int64_t Apply(const memory::v1::FeedEntry& entry);
  // All backlog has been applied: searches may answer.
  void SetCaughtUp();
  // Forgets everything: the feed starts again from 0.
  void Reset();

  // Where each tenant stands, those beyond 0.
  std::map<std::string, int64_t> Positions() const;

  // UNAVAILABLE when the backlog or `min_position` is not reached in time, CANCELLED.
  absl::StatusOr<Result> Search(const Query& query, const Patience& patience) const;
  // OK once SetCaughtUp was called (since the last Reset); errors as Search.
  absl::Status WaitCaughtUp(const Patience& patience) const;
  // The slow part of one piece of each index's upkeep runs without a lock. False when there was
  // nothing to do. REQUIRES: one thread at a time.
  bool RunUpkeep();
  // An unknown tenant has nothing at position 0.
  TenantStatus StatusOf(const std::string& tenant_id) const;

 private:
  struct Tenant {
    mutable Mutex mutex;
    mutable CondVar advanced;
    std::unique_ptr<HybridIndex> index ABSL_GUARDED_BY(mutex);
    int64_t position ABSL_GUARDED_BY(mutex) = 0;
  };

  // Made on first use; never removed, so the pointer stays good.
  Tenant* GetTenant(const std::string& tenant_id) const;
  void Upsert(const memory::v1::FeedEntry& entry, HybridIndex* index) const;
  void CountSkipped(const char* reason) const;

  const IndexFactory factory_;
  const std::string embedding_fingerprint_;
  const Clock* const clock_;
  telemetry::Metrics* const metrics_;

  mutable Mutex mutex_;
  mutable CondVar caught_up_changed_;
  // Changes under mutex_; read without it by a search that holds its tenant's.
  std::atomic<bool> caught_up_{false};
  mutable std::map<std::string, std::unique_ptr<Tenant>> tenants_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::retrieval
