// SPDX-License-Identifier: Apache-2.0
// Purpose: the tiers that a worker keeps blocks in, composed from its configuration:
//
//   serving = Tombstone( ReadThrough( RAM, ReadThrough( disk, remote ) ) )
//   disk    = WriteBehind( Encrypted( RocksDB ) )
//   remote  = Tombstone( WriteBehind( Encrypted( Redis ) ) )     shared with other workers
//
//   Either of disk and remote may be missing. Erasures of the remote tier follow the feed on their
//   own (serving's Erase leaves it out), so that a remote that is away holds up no other erasure.
// Thread-safety: thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "libs/kvcache/data_keys.h"
#include "libs/kvcache/kv_tier.h"
#include "libs/kvcache/redis_kv_tier.h"
#include "libs/kvcache/rocksdb_kv_tier.h"
#include "libs/telemetry/metrics.h"
#include "services/kv/config.h"
#include "services/kv/tombstone_kv_tier.h"

namespace dki::kv {

class TierStack {
 public:
  // FAILED_PRECONDITION: the disk tier's folder is in use, or the remote server is not set up for
  // this. A disk that does not work, and a remote server that is away, are logged and counted, and
  // done without (the remote is tried again).
  // `keys`, which outlives it, are what disk and remote are encrypted with; null: not at all.
  static absl::StatusOr<std::unique_ptr<TierStack>> Open(const Settings& settings,
                                                         const model::KvShape& shape,
                                                         kvcache::DataKeys* keys,
                                                         telemetry::Metrics* metrics);

  ~TierStack();

  TombstoneKvTier* serving() { return serving_; }
  TombstoneKvTier* remote() { return remote_; }     // null: none
  kvcache::RocksDbKvTier* disk() { return disk_; }  // null: none
  kvcache::KvTier* ram() { return ram_; }
  kvcache::KvTier* remote_server() { return redis_; }  // null: none

 private:
  TierStack(const model::KvShape& shape, kvcache::DataKeys* keys, telemetry::Metrics* metrics)
      : shape_(shape), keys_(keys), metrics_(metrics) {}

  // Those below stand on those above.
  template <typename T, typename... Args>
  T* Add(Args&&... args) {
    auto tier = std::make_unique<T>(std::forward<Args>(args)...);
    T* raw = tier.get();
    tiers_.push_back(std::move(tier));
    return raw;
  }
  absl::Status AddDisk(const Settings& settings);
  absl::Status AddRemote(const Settings& settings);
  // A medium under all that it needs above it.
  kvcache::KvTier* Behind(kvcache::KvTier* medium, const std::string& name);
  // What a medium checks when it reads.
  kvcache::BlockVerifier Verifier() const;

  const model::KvShape shape_;
  kvcache::DataKeys* const keys_;
  telemetry::Metrics* const metrics_;
  std::unique_ptr<kvcache::RedisPool> pool_;
  std::vector<std::unique_ptr<kvcache::KvTier>> tiers_;  // taken down from the last to the first
  kvcache::KvTier* ram_ = nullptr;
  kvcache::RocksDbKvTier* disk_ = nullptr;
  kvcache::RedisKvTier* redis_ = nullptr;
  kvcache::KvTier* below_ram_ = nullptr;
  TombstoneKvTier* remote_ = nullptr;
  TombstoneKvTier* serving_ = nullptr;
};

}  // namespace dki::kv
