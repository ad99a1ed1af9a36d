// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/kv_commands.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/time/time.h"
#include "libs/base/ids.h"
#include "libs/rpc/call.h"
#include "tools/dki/explanation.h"

namespace dki::cli {

namespace api = orchestrator::v1;

namespace {

constexpr int kMaxPage = 1000;

std::string MiB(int64_t bytes) {
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1 << 20));
}

std::string Age(int64_t seconds) {
  return absl::FormatDuration(absl::Seconds(seconds));
}

std::string Expiry(const common::v1::MemoryAttributes& attributes) {
  if (!attributes.has_expire_time()) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S",
                          absl::FromUnixSeconds(attributes.expire_time().seconds()),
                          absl::UTCTimeZone());
}

std::vector<std::string> Row(const kv::v1::BlockEntry& block) {
  const char* pinned = block.pinned() ? "yes" : block.attributes().pinned() ? "beyond share" : "-";
  return {TierName(block.tier()),
          block.memory_id().empty() ? "(header, footer)" : block.memory_id(),
          std::to_string(block.chain_memory_ids_size()),
          std::to_string(block.n_tokens()),
          std::to_string(block.bytes()),
          std::to_string(block.hits()),
          Age(block.age_seconds()),
          pinned,
          std::to_string(block.attributes().priority()),
          Expiry(block.attributes()),
          block.key().substr(0, 12)};
}

void PrintBlocks(const Output& output,
                 const google::protobuf::RepeatedPtrField<kv::v1::BlockEntry>& blocks) {
  std::vector<std::vector<std::string>> rows = {{"tier", "memory", "chain", "tokens", "bytes",
                                                 "hits", "age", "pinned", "priority", "expires",
                                                 "key"}};
  for (const auto& block : blocks) rows.push_back(Row(block));
  output.Table(rows);
}

}  // namespace

absl::Status KvStats(Context& context) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::GetKvStatsResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->GetKvStats(call.get(), {}, &response)));
  const Output& output = context.output();
  const kv::v1::GetStatsResponse& stats = response.stats();
  if (output.json()) {
    output.Json(ToJson(stats));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {{"tier", "blocks", "size", "pinned", "all tenants",
                                                 "hits", "misses", "evicted", "expired", "damaged",
                                                 "failures", "pins refused"}};
  for (const auto& tier : stats.tiers()) {
    rows.push_back({TierName(tier.tier()), std::to_string(tier.tenant_blocks()),
                    MiB(tier.tenant_bytes()), MiB(tier.tenant_pinned_bytes()), MiB(tier.bytes()),
                    std::to_string(tier.hits()), std::to_string(tier.misses()),
                    std::to_string(tier.evicted()), std::to_string(tier.expired()),
                    std::to_string(tier.corrupt()), std::to_string(tier.failures()),
                    std::to_string(tier.pins_refused())});
  }
  output.Table(rows);
  output.Line(absl::StrFormat("computed since start: %d blocks; model %s", stats.computed(),
                              stats.model_fingerprint().substr(0, 16)));
  return absl::OkStatus();
}

absl::Status ListKvBlocks(Context& context, const KvOptions& options) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::ListKvBlocksRequest request;
  request.mutable_list()->set_memory_id(options.memory_id);
  kv::v1::ListBlocksResponse listed;
  while (listed.blocks_size() < options.limit) {
    request.mutable_list()->set_page_size(std::min(kMaxPage, options.limit - listed.blocks_size()));
    api::ListKvBlocksResponse response;
    const auto call = context.NewCall();
    DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->ListKvBlocks(call.get(), request, &response)));
    listed.mutable_blocks()->Add(response.page().blocks().begin(), response.page().blocks().end());
    listed.set_next_page_token(response.page().next_page_token());
    request.mutable_list()->set_page_token(listed.next_page_token());
    if (listed.next_page_token().empty()) break;
  }
  const Output& output = context.output();
  if (output.json()) {
    nlohmann::json json = nlohmann::json::array();
    for (const auto& block : listed.blocks()) json.push_back(ToJson(block));
    output.Json({{"blocks", json}, {"more", !listed.next_page_token().empty()}});
    return absl::OkStatus();
  }
  PrintBlocks(output, listed.blocks());
  if (!listed.next_page_token().empty()) output.Line(output.Dim("there are more: --limit N"));
  return absl::OkStatus();
}

absl::Status VerifyKvBlocks(Context& context) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::VerifyKvBlocksResponse response;
  const auto call = context.NewCall(std::chrono::seconds(600));
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->VerifyKvBlocks(call.get(), {}, &response)));
  const kv::v1::VerifyBlocksResponse& result = response.result();
  const Output& output = context.output();
  if (output.json()) output.Json(ToJson(result));
  if (result.n_damaged() > 0) {
    if (!output.json()) PrintBlocks(output, result.damaged());
    return DataLoss("%d of %d blocks were damaged; they are dropped and will be computed again",
                    result.n_damaged(), result.checked());
  }
  if (!output.json()) {
    output.Line(output.Green("sound") +
                absl::StrFormat(": %d blocks, %s", result.checked(), MiB(result.bytes())));
  }
  return absl::OkStatus();
}

absl::Status PinMemory(Context& context, const KvOptions& options, bool pinned) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::UpdateMemoryRequest request;
  request.set_request_id(NewId("req_"));
  request.set_id(options.memory_id);
  request.mutable_update_mask()->add_paths("pinned");
  request.mutable_memory()->set_pinned(pinned);
  api::UpdateMemoryResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->UpdateMemory(call.get(), request, &response)));
  const Output& output = context.output();
  if (output.json()) {
    output.Json({{"memory", ToJson(response.memory())}});
  } else {
    output.Line(options.memory_id + (pinned ? " is pinned" : " is not pinned"));
  }
  return absl::OkStatus();
}

absl::Status EvictKvBlocks(Context& context, const KvOptions& options) {
  if (options.memory_id.empty() != options.all) {
    return InvalidArgument("evict: name a memory, or --all for every block of the tenant");
  }
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::EvictKvBlocksRequest request;
  request.mutable_evict()->set_memory_id(options.memory_id);
  request.mutable_evict()->set_all(options.all);
  api::EvictKvBlocksResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->EvictKvBlocks(call.get(), request, &response)));
  const Output& output = context.output();
  if (output.json()) {
    output.Json(ToJson(response.result()));
  } else {
    output.Line(absl::StrFormat("evicted %d blocks, %s", response.result().blocks(),
                                MiB(response.result().bytes())));
  }
  return absl::OkStatus();
}

}  // namespace dki::cli
