// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/encrypted_kv_tier.h"

#include <utility>

#include "libs/kvcache/byte_codec.h"
#include "libs/kvcache/checksum.h"

namespace dki::kvcache {
namespace {

constexpr std::string_view kMagic = "DKIS";
constexpr uint32_t kVersion = 1;
constexpr size_t kBlockKeySize = 64;
constexpr size_t kFrontSize = 4 + 4 + 8;
constexpr size_t kHeaderSize = kFrontSize + kChecksumSize + kBlockKeySize + kDataKeyIdSize;

// What is authenticated beside the ciphertext.
std::string Associated(std::string_view header, const std::vector<std::string>& chain) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.Raw(header.substr(0, kFrontSize));
  out.Raw(header.substr(kFrontSize + kChecksumSize, kBlockKeySize + kDataKeyIdSize));
  out.Strings(chain);
  return bytes;
}

std::string Seal(const StoredBlock& block, const DataKey& key) {
  std::string trailer = block.attributes.user_id;
  ByteWriter(&trailer).U32(static_cast<uint32_t>(block.attributes.user_id.size()));
  const size_t total = kHeaderSize + SecretKey::kOverhead + block.bytes->size() + trailer.size();
  std::string bytes;
  bytes.reserve(total);
  ByteWriter out(&bytes);
  out.Raw(kMagic);
  out.U32(kVersion);
  out.U64(total);
  bytes.append(kChecksumSize, '\0');
  out.Raw(BlockKey(block.identity));
  out.Raw(key.id);
  const std::string associated = Associated(bytes, block.chain_memory_ids);
  key.key.Seal(associated, *block.bytes, trailer, &bytes);
  bytes.replace(kFrontSize, kChecksumSize,
                Checksum(std::string_view(bytes).substr(kFrontSize + kChecksumSize)));
  return bytes;
}

// Takes the user id off the end of what was opened.
absl::StatusOr<std::string> TakeUserId(std::string* plain) {
  if (plain->size() < 4) return DataLoss("sealed: cut off");
  ByteReader in(std::string_view(*plain).substr(plain->size() - 4));
  const size_t size = in.U32();
  if (size > plain->size() - 4) return DataLoss("sealed: a user id of %d bytes", size);
  std::string user_id = plain->substr(plain->size() - 4 - size, size);
  plain->resize(plain->size() - 4 - size);
  return user_id;
}

}  // namespace

absl::Status VerifySealed(std::string_view bytes, const BlockIdentity& identity) {
  ByteReader in(bytes);
  if (in.Raw(kMagic.size()) != kMagic) return DataLoss("not a sealed block");
  if (const uint32_t version = in.U32(); version != kVersion) {
    return DataLoss("sealed: version %d, not %d", version, kVersion);
  }
  const uint64_t total = in.U64();
  const std::string_view checksum = in.Raw(kChecksumSize);
  if (!in.ok() || total != bytes.size() || total < kHeaderSize + SecretKey::kOverhead) {
    return DataLoss("sealed: %d bytes where the block says %d", bytes.size(), total);
  }
  if (checksum != Checksum(in.rest())) return DataLoss("sealed: checksum mismatch");
  if (in.Raw(kBlockKeySize) != BlockKey(identity)) {
    return DataLoss("sealed: the block is another one's");
  }
  return absl::OkStatus();
}

absl::StatusOr<StoredBlock> EncryptedKvTier::Open(const StoredBlock& sealed) const {
  const std::string_view bytes = *sealed.bytes;
  DKI_RETURN_IF_ERROR(VerifySealed(bytes, sealed.identity));
  const std::string key_id(bytes.substr(kHeaderSize - kDataKeyIdSize, kDataKeyIdSize));
  DKI_ASSIGN_OR_RETURN(const DataKeys::Held key, keys_->ById(sealed.identity.tenant_id, key_id));
  DKI_ASSIGN_OR_RETURN(std::string plain, key->key.Open(Associated(bytes, sealed.chain_memory_ids),
                                                        bytes.substr(kHeaderSize)));
  StoredBlock block = sealed;
  DKI_ASSIGN_OR_RETURN(block.attributes.user_id, TakeUserId(&plain));
  DKI_RETURN_IF_ERROR(verify_(plain, sealed.identity));
  block.bytes = std::move(plain);
  return block;
}

std::optional<TierHit> EncryptedKvTier::Get(const BlockIdentity& identity) {
  absl::StatusOr<StoredBlock> opened = Unavailable("keys cannot be had");
  TierName tier = TierName::kDisk;
  if (keys_->IsUp()) {
    const std::optional<TierHit> hit = tier_->Get(identity);
    opened = NotFound("no such block");
    if (hit) {
      tier = hit->tier;
      opened = Open(hit->block);
    }
  }
  MutexLock lock(&mutex_);
  if (opened.ok()) {
    ++n_hits_;
    return TierHit{*std::move(opened), tier};
  }
  ++n_misses_;
  if (absl::IsDataLoss(opened.status())) {
    ++n_corrupt_;
  } else if (!absl::IsNotFound(opened.status())) {
    ++n_keyless_;
  }
  return std::nullopt;
}

void EncryptedKvTier::Put(const StoredBlock& block) {
  const absl::StatusOr<DataKeys::Held> key =
      keys_->ForUser(block.identity.tenant_id, block.attributes.user_id);
  if (!key.ok()) {
    MutexLock lock(&mutex_);
    ++n_keyless_;
    return;
  }
  StoredBlock sealed = block;
  sealed.bytes = Seal(block, **key);
  sealed.attributes.user_id.clear();  // nothing below needs to know
  tier_->Put(sealed);
}

TierStats EncryptedKvTier::Stats() const {
  TierStats stats = tier_->Stats();
  MutexLock lock(&mutex_);
  stats.hits = n_hits_;
  stats.misses = n_misses_;
  stats.corrupt += n_corrupt_;
  stats.failures += n_keyless_;
  return stats;
}

}  // namespace dki::kvcache
