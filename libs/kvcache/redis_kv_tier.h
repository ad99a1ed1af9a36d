// SPDX-License-Identifier: Apache-2.0
// Purpose: the remote tier: encoded blocks in a Valkey or Redis server that several kv workers
//   share. Its budget is the server's (maxmemory); blocks expire there. A server that is away is a
//   miss and keeps nothing, counted; Erase then fails and has to be repeated.
//
//   Keys, T being the hexadecimal tenant (in braces: one cluster slot for each tenant):
//     <prefix>{T}:b:<block key>   the block: head (RemoteHead in the .cc), then its bytes; expires
//     <prefix>{T}:m:<memory>      sorted set of the keys of blocks that have the memory in their
//                                 chain, by when they expire. With an empty memory: all of the
//                                 tenant. Never expires: whoever evicts it loses an erasure.
//   So the server must evict what has a time to live alone (maxmemory-policy noeviction or
//   volatile-*), and must not restore an old snapshot when it starts (no RDB, no AOF).
// Thread-safety: thread-safe. Ownership: the pool must outlive it.
#pragma once

#include <string>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/kvcache/kv_tier.h"
#include "libs/kvcache/redis_pool.h"

namespace dki::kvcache {

class RedisKvTier : public KvTier {
 public:
  struct Options {
    std::string prefix = "dki:";
    absl::Duration ttl = absl::Hours(24);
    // What of the bytes is checked on read. REQUIRED.
    BlockVerifier verify = {};
  };
  RedisKvTier(RedisPool* pool, Options options, const Clock* clock = RealClock());

  std::optional<TierHit> Get(const BlockIdentity& identity) override;
  std::vector<std::optional<TierPlace>> Locate(
      std::span<const BlockIdentity> identities) const override;
  void Put(const StoredBlock& block) override;
  absl::Status Erase(const std::string& tenant_id, const std::string& memory_id) override;
  // Sizes are the server's own matter: 0.
  TierStats Stats() const override;

  // FAILED_PRECONDITION when the server would evict the index or bring erased blocks back from a
  // snapshot; what cannot be found out (a managed server) passes. UNAVAILABLE when it is away.
  // Until this has passed once, which every call sees to, the tier does nothing.
  absl::Status CheckServer();

 private:
  // CheckServer until it has passed.
  bool IsUsable();
  bool WasChecked() const;
  std::string Key(const std::string& tenant_id, const std::string& kind,
                  const std::string& name) const;

  RedisPool* const pool_;
  const Options options_;
  const Clock* const clock_;
  mutable Mutex mutex_;
  bool is_checked_ ABSL_GUARDED_BY(mutex_) = false;
  TierStats stats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::kvcache
