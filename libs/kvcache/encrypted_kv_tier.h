// SPDX-License-Identifier: Apache-2.0
// Purpose: encryption at rest: the tier below sees blocks sealed with AES-256-GCM under the key of
//   their tenant and user, and nothing of their contents. What cannot be opened is a miss; while
//   keys cannot be had, so is everything, and nothing is kept.
//
//   Sealed, numbers little-endian:
//     "DKIS", version u32, total bytes u64, XXH3-128 of everything behind it (16 bytes)
//     block key (64 hexadecimal digits), key id (16 bytes)
//     nonce (12 bytes, random), ciphertext, tag (16 bytes)
//   Authenticated with it, not stored: all of that header but the checksum, and the memories of the
//   chain. Plaintext: the encoded block, user id, its length u32.
//   The checksum is for the tier below, which finds damage without a key.
// Thread-safety: thread-safe. Ownership: tier and keys must outlive it.
#pragma once

#include <string>
#include <string_view>

#include "libs/base/mutex.h"
#include "libs/kvcache/data_keys.h"
#include "libs/kvcache/kv_tier.h"

namespace dki::kvcache {

// What the tier below checks: structure, checksum, that it is that block's. DATA_LOSS.
absl::Status VerifySealed(std::string_view bytes, const BlockIdentity& identity);

class EncryptedKvTier : public KvTier {
 public:
  // `verify` checks what has been opened.
  EncryptedKvTier(KvTier* tier, DataKeys* keys, BlockVerifier verify)
      : tier_(tier), keys_(keys), verify_(std::move(verify)) {}

  std::optional<TierHit> Get(const BlockIdentity& identity) override;
  std::optional<TierPlace> Find(const BlockIdentity& identity) const override {
    return keys_->IsUp() ? tier_->Find(identity) : std::nullopt;
  }
  std::vector<std::optional<TierPlace>> Locate(
      std::span<const BlockIdentity> identities) const override {
    return keys_->IsUp() ? tier_->Locate(identities) : KvTier::Locate(identities);
  }
  int64_t DropExpired() override { return tier_->DropExpired(); }
  std::vector<BlockInfo> List(const std::string& tenant_id,
                              const std::string& memory_id) const override {
    return tier_->List(tenant_id, memory_id);
  }
  void Put(const StoredBlock& block) override;
  absl::Status Erase(const std::string& tenant_id, const std::string& memory_id) override {
    return tier_->Erase(tenant_id, memory_id);
  }
  // Of the tier below, but what could not be opened is a miss, and damage or (without keys) a
  // failure.
  TierStats Stats() const override;

 private:
  absl::StatusOr<StoredBlock> Open(const StoredBlock& sealed) const;

  KvTier* const tier_;
  DataKeys* const keys_;
  const BlockVerifier verify_;
  mutable Mutex mutex_;
  int64_t n_hits_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t n_misses_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t n_corrupt_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t n_keyless_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dki::kvcache
