// SPDX-License-Identifier: Apache-2.0
#include "services/kv/kv_service.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace dki::kv {
namespace {

constexpr size_t kChunkBytes = 1 << 20;

v1::GetPackResponse::BlockStart::Kind ToProto(injection::BlockKind kind) {
  switch (kind) {
    case injection::BlockKind::kHeader:
      return v1::GetPackResponse::BlockStart::KIND_HEADER;
    case injection::BlockKind::kMemory:
      return v1::GetPackResponse::BlockStart::KIND_MEMORY;
    case injection::BlockKind::kFooter:
      return v1::GetPackResponse::BlockStart::KIND_FOOTER;
  }
  return v1::GetPackResponse::BlockStart::KIND_UNSPECIFIED;
}

common::v1::Tier ToProto(BlockOrigin origin) {
  switch (origin) {
    case BlockOrigin::kRam:
      return common::v1::TIER_RAM;
    case BlockOrigin::kDisk:
      return common::v1::TIER_DISK;
    case BlockOrigin::kRemote:
      return common::v1::TIER_REMOTE;
    case BlockOrigin::kComputed:
      return common::v1::TIER_RECOMPUTED;
  }
  return common::v1::TIER_UNSPECIFIED;
}

absl::Status StillWanted(const rpc::Call& call) {
  if (call.IsCancelled()) return Cancelled("the caller is gone");
  if (std::chrono::system_clock::now() > call.deadline()) {
    return DeadlineExceeded("the pack was not ready in time");
  }
  return absl::OkStatus();
}

absl::Status Send(const injection::PlannedBlock& planned, const LoadedBlock& block,
                  grpc::ServerWriter<v1::GetPackResponse>* writer) {
  const std::string& bytes = *block.bytes;
  v1::GetPackResponse response;
  v1::GetPackResponse::BlockStart* start = response.mutable_start();
  start->set_kind(ToProto(planned.kind));
  start->set_memory_id(planned.identity.memory_id);
  start->set_n_tokens(static_cast<int32_t>(planned.tokens.size()));
  start->set_tier(ToProto(block.origin));
  start->set_load_us(absl::ToInt64Microseconds(block.load_time));
  start->set_n_bytes(static_cast<int64_t>(bytes.size()));
  bool open = writer->Write(response);
  for (size_t at = 0; open && at < bytes.size(); at += kChunkBytes) {
    response.set_chunk(bytes.data() + at, std::min(kChunkBytes, bytes.size() - at));
    open = writer->Write(response);
  }
  return open ? absl::OkStatus() : Cancelled("the caller is gone");
}

}  // namespace

void KvService::Serve(Parts parts) {
  parts_ = std::move(parts);
  serving_.store(true, std::memory_order_release);
}

absl::StatusOr<const KvService::Parts*> KvService::Ready() const {
  if (!serving_.load(std::memory_order_acquire)) {
    return Unavailable("the model is being loaded");
  }
  return &parts_;
}

absl::StatusOr<PackRequest> KvService::ReadRequest(const rpc::Call& call, const v1::PackSpec& pack,
                                                   const std::string& model_fingerprint) const {
  DKI_ASSIGN_OR_RETURN(const Parts* const parts, Ready());
  if (call.caller().tenant_id.empty()) {
    return PermissionDenied("the call must be made on behalf of a tenant");
  }
  if (model_fingerprint != parts->model_fingerprint) {
    return FailedPrecondition("model_fingerprint: %s, this worker's model is %s",
                              model_fingerprint.substr(0, 64), parts->model_fingerprint);
  }
  return ReadPackSpec(call.caller().tenant_id, pack);
}

grpc::Status KvService::GetPack(grpc::ServerContext* context, const v1::GetPackRequest* request,
                                grpc::ServerWriter<v1::GetPackResponse>* writer) {
  return rpc::Handle(*runtime_, context, "GetPack", rpc::Requirement::ClusterOnly(),
                     [&](const rpc::Call& call) -> absl::Status {
                       DKI_ASSIGN_OR_RETURN(
                           const PackRequest pack,
                           ReadRequest(call, request->pack(), request->model_fingerprint()));
                       return parts_.loader->Load(
                           pack, Urgency::kRequest, [&] { return StillWanted(call); },
                           [&](const injection::PlannedBlock& planned, const LoadedBlock& block) {
                             return Send(planned, block, writer);
                           });
                     });
}

grpc::Status KvService::Prefetch(grpc::ServerContext* context, const v1::PrefetchRequest* request,
                                 v1::PrefetchResponse* response) {
  return rpc::Handle(*runtime_, context, "Prefetch", rpc::Requirement::ClusterOnly(),
                     [&](const rpc::Call& call) -> absl::Status {
                       DKI_ASSIGN_OR_RETURN(
                           PackRequest pack,
                           ReadRequest(call, request->pack(), request->model_fingerprint()));
                       response->set_accepted(parts_.prefetcher->Offer(std::move(pack)));
                       return absl::OkStatus();
                     });
}

grpc::Status KvService::GetStats(grpc::ServerContext* context, const v1::GetStatsRequest*,
                                 v1::GetStatsResponse* response) {
  return rpc::Handle(*runtime_, context, "GetStats", rpc::Requirement::ClusterOnly(),
                     [&](const rpc::Call&) -> absl::Status {
                       DKI_ASSIGN_OR_RETURN(const Parts* const parts, Ready());
                       const kvcache::TierStats ram = parts->ram->Stats();
                       const kvcache::TierStats disk =
                           parts->disk != nullptr ? parts->disk->Stats() : kvcache::TierStats();
                       const kvcache::TierStats remote =
                           parts->remote != nullptr ? parts->remote->Stats() : kvcache::TierStats();
                       response->set_ram_bytes(ram.bytes);
                       response->set_ram_blocks(ram.blocks);
                       response->set_disk_bytes(disk.bytes);
                       response->set_ram_hits(ram.hits);
                       response->set_disk_hits(disk.hits);
                       response->set_computed(parts->loader->n_computed());
                       response->set_corrupt(ram.corrupt + disk.corrupt + remote.corrupt);
                       response->set_remote_hits(remote.hits);
                       response->set_model_fingerprint(parts->model_fingerprint);
                       return absl::OkStatus();
                     });
}

}  // namespace dki::kv
