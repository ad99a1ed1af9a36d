// SPDX-License-Identifier: Apache-2.0
#include "services/kv/operator_api.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace dki::kv {
namespace {

using kvcache::BlockInfo;

constexpr int kDefaultPage = 100;
constexpr int kMaxPage = 1000;
constexpr int kMaxNamed = 1000;
constexpr size_t kMaxIdBytes = 128;

common::v1::Tier ToProto(kvcache::TierName tier) {
  switch (tier) {
    case kvcache::TierName::kRam:
      return common::v1::TIER_RAM;
    case kvcache::TierName::kDisk:
      return common::v1::TIER_DISK;
    case kvcache::TierName::kRemote:
      return common::v1::TIER_REMOTE;
  }
  return common::v1::TIER_UNSPECIFIED;
}

void ToProto(const BlockInfo& info, absl::Time now, v1::BlockEntry* entry) {
  entry->set_tier(ToProto(info.tier));
  entry->set_key(kvcache::BlockKey(info.identity));
  entry->set_memory_id(info.identity.memory_id);
  entry->mutable_chain_memory_ids()->Add(info.chain_memory_ids.begin(),
                                         info.chain_memory_ids.end());
  entry->set_n_tokens(info.n_tokens);
  entry->set_bytes(info.bytes);
  entry->set_hits(info.hits);
  entry->set_age_seconds(absl::ToInt64Seconds(std::max(now - info.added, absl::ZeroDuration())));
  entry->set_pinned(info.pinned);
  common::v1::MemoryAttributes* attributes = entry->mutable_attributes();
  attributes->set_user_id(info.attributes.user_id);
  attributes->set_pinned(info.attributes.pinned);
  attributes->set_priority(info.attributes.priority);
  if (info.attributes.expire_time != absl::InfiniteFuture()) {
    attributes->mutable_expire_time()->set_seconds(
        absl::ToUnixSeconds(info.attributes.expire_time));
  }
  entry->set_model_fingerprint(info.identity.model_fingerprint);
}

// The order of a listing, and the token of a page that ends with the block.
std::string Place(const BlockInfo& info) {
  return std::to_string(static_cast<int>(info.tier)) + ":" + kvcache::BlockKey(info.identity);
}

}  // namespace

void OperatorApi::AddStats(const std::string& tenant_id, v1::GetStatsResponse* response) const {
  for (const auto& [name, tier] : parts_.tiers) {
    const kvcache::TierStats stats = tier->Stats();
    v1::TierUsage* usage = response->add_tiers();
    usage->set_tier(ToProto(name));
    usage->set_bytes(stats.bytes);
    usage->set_blocks(stats.blocks);
    usage->set_pinned_bytes(stats.pinned_bytes);
    usage->set_hits(stats.hits);
    usage->set_misses(stats.misses);
    usage->set_corrupt(stats.corrupt);
    usage->set_evicted(stats.evicted);
    usage->set_expired(stats.expired);
    usage->set_failures(stats.failures);
    usage->set_pins_refused(stats.pins_refused);
    if (tenant_id.empty()) continue;
    for (const BlockInfo& info : tier->List(tenant_id, "")) {
      usage->set_tenant_bytes(usage->tenant_bytes() + info.bytes);
      usage->set_tenant_blocks(usage->tenant_blocks() + 1);
      if (!info.pinned) continue;
      usage->set_tenant_pinned_bytes(usage->tenant_pinned_bytes() + info.bytes);
    }
  }
}

absl::Status OperatorApi::List(const std::string& tenant_id, const v1::ListBlocksRequest& request,
                               v1::ListBlocksResponse* response) const {
  if (request.memory_id().size() > kMaxIdBytes) {
    return InvalidArgument("memory_id: has %d bytes, at most %d", request.memory_id().size(),
                           kMaxIdBytes);
  }
  if (request.page_size() < 0 || request.page_size() > kMaxPage) {
    return InvalidArgument("page_size: %d, must be 0 to %d", request.page_size(), kMaxPage);
  }
  const int size = request.page_size() > 0 ? request.page_size() : kDefaultPage;
  std::vector<std::pair<std::string, BlockInfo>> blocks;
  for (const auto& [name, tier] : parts_.tiers) {
    for (BlockInfo& info : tier->List(tenant_id, request.memory_id())) {
      std::string place = Place(info);
      if (place > request.page_token()) blocks.emplace_back(std::move(place), std::move(info));
    }
  }
  std::sort(blocks.begin(), blocks.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  const absl::Time now = absl::Now();
  for (const auto& [place, info] : blocks) {
    if (response->blocks_size() == size) break;
    ToProto(info, now, response->add_blocks());
    response->set_next_page_token(place);
  }
  if (response->blocks_size() == static_cast<int>(blocks.size())) {
    response->clear_next_page_token();
  }
  return absl::OkStatus();
}

absl::Status OperatorApi::Verify(const std::string& tenant_id, const GoOn& go_on,
                                 v1::VerifyBlocksResponse* response) const {
  const absl::Time now = absl::Now();
  for (const auto& [name, tier] : parts_.tiers) {
    for (const BlockInfo& info : tier->List(tenant_id, "")) {
      DKI_RETURN_IF_ERROR(go_on());
      const int64_t corrupt = tier->Stats().corrupt;
      const bool sound = tier->Get(info.identity).has_value();
      // Evicted or expired meanwhile: no damage.
      if (!sound && tier->Stats().corrupt == corrupt) continue;
      response->set_checked(response->checked() + 1);
      response->set_bytes(response->bytes() + info.bytes);
      if (sound) continue;
      response->set_n_damaged(response->n_damaged() + 1);
      if (response->damaged_size() < kMaxNamed) ToProto(info, now, response->add_damaged());
    }
  }
  return absl::OkStatus();
}

absl::Status OperatorApi::Evict(const std::string& tenant_id, const v1::EvictBlocksRequest& request,
                                v1::EvictBlocksResponse* response) const {
  if (request.memory_id().empty() != request.all()) {
    return InvalidArgument("memory_id: must be set, or else all");
  }
  if (request.memory_id().size() > kMaxIdBytes) {
    return InvalidArgument("memory_id: has %d bytes, at most %d", request.memory_id().size(),
                           kMaxIdBytes);
  }
  for (const auto& [name, tier] : parts_.tiers) {
    for (const BlockInfo& info : tier->List(tenant_id, request.memory_id())) {
      response->set_blocks(response->blocks() + 1);
      response->set_bytes(response->bytes() + info.bytes);
    }
  }
  DKI_RETURN_IF_ERROR(parts_.serving->Erase(tenant_id, request.memory_id()));
  if (parts_.remote == nullptr) return absl::OkStatus();
  // It lists nothing, but counts what goes.
  const int64_t erased = parts_.remote->Stats().erased;
  DKI_RETURN_IF_ERROR(parts_.remote->Erase(tenant_id, request.memory_id()));
  response->set_blocks(response->blocks() + parts_.remote->Stats().erased - erased);
  return absl::OkStatus();
}

}  // namespace dki::kv
