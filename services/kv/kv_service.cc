// SPDX-License-Identifier: Apache-2.0
#include "services/kv/kv_service.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace dki::kv {
namespace {

constexpr size_t kChunkBytes = 1 << 20;
constexpr size_t kMaxPrefetchIdBytes = 256;

absl::Status CheckPrefetchId(const std::string& id, size_t min) {
  if (id.size() >= min && id.size() <= kMaxPrefetchIdBytes) return absl::OkStatus();
  return InvalidArgument("prefetch_id: has %d bytes, must have %d to %d", id.size(), min,
                         kMaxPrefetchIdBytes);
}

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

// Unset where no tier had it, so that there was nothing to choose.
void SetChoice(const LoadedBlock& block, v1::GetPackResponse::BlockStart* start) {
  if (!block.had_choice) return;
  const kvcache::PathChoice& choice = block.choice;
  common::v1::LoadChoice* proto = start->mutable_choice();
  if (choice.path == kvcache::LoadPath::kRecompute) {
    proto->set_path(common::v1::LoadChoice::PATH_RECOMPUTE);
  } else {
    proto->set_path(choice.explores ? common::v1::LoadChoice::PATH_EXPLORE
                                    : common::v1::LoadChoice::PATH_LOAD);
  }
  if (choice.load_estimate >= absl::ZeroDuration()) {
    proto->set_load_estimate_us(absl::ToInt64Microseconds(choice.load_estimate));
  }
  if (choice.recompute_estimate >= absl::ZeroDuration()) {
    proto->set_recompute_estimate_us(absl::ToInt64Microseconds(choice.recompute_estimate));
  }
}

absl::Status StillWanted(const rpc::Call& call) {
  if (call.IsCancelled()) return Cancelled("the caller is gone");
  if (std::chrono::system_clock::now() > call.deadline()) {
    return DeadlineExceeded("the pack was not ready in time");
  }
  return absl::OkStatus();
}

absl::Status CheckFormat(const std::string& wanted, kernels::KvFormat kept) {
  if (wanted.empty() || wanted == kernels::Name(kept)) return absl::OkStatus();
  return FailedPrecondition(
      "block_format: %s, this worker keeps blocks in %s; runtime.block_format must be the same in "
      "kv and generation",
      wanted.substr(0, 16), kernels::Name(kept));
}

telemetry::Counter* BlocksSent(telemetry::Metrics* metrics, const char* way) {
  return metrics->GetCounter("dki_kv_blocks_sent_total",
                             "Blocks sent, by way: handoff (side socket) or stream.",
                             {{"way", way}});
}

// The tag of a block that went over the side socket; empty: it must be streamed.
std::string HandOver(const kvcache::BlockBytes& bytes, transfer::HandoffGiver::Lease* handoff) {
  if (handoff == nullptr) return "";
  const absl::StatusOr<kvcache::BlockBytes> sealed = kvcache::Seal(bytes);
  if (!sealed.ok()) return "";
  return handoff->Give(*sealed->sealed()).value_or("");
}

absl::Status Send(const injection::PlannedBlock& planned, const LoadedBlock& block,
                  const std::string& handoff_tag, grpc::ServerWriter<v1::GetPackResponse>* writer) {
  const std::string_view bytes = *block.bytes;
  v1::GetPackResponse response;
  v1::GetPackResponse::BlockStart* start = response.mutable_start();
  start->set_kind(ToProto(planned.kind));
  start->set_memory_id(planned.identity.memory_id);
  start->set_n_tokens(static_cast<int32_t>(planned.tokens.size()));
  start->set_tier(ToProto(block.origin));
  start->set_load_us(absl::ToInt64Microseconds(block.load_time));
  start->set_n_bytes(static_cast<int64_t>(bytes.size()));
  SetChoice(block, start);
  start->set_handoff_tag(handoff_tag);
  bool open = writer->Write(response);
  for (size_t at = 0; handoff_tag.empty() && open && at < bytes.size(); at += kChunkBytes) {
    response.set_chunk(bytes.data() + at, std::min(kChunkBytes, bytes.size() - at));
    open = writer->Write(response);
  }
  return open ? absl::OkStatus() : Cancelled("the caller is gone");
}

}  // namespace

KvService::KvService(rpc::ServiceRuntime* runtime)
    : runtime_(runtime),
      handed_over_(BlocksSent(&runtime->metrics(), "handoff")),
      streamed_(BlocksSent(&runtime->metrics(), "stream")) {}

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

absl::StatusOr<const KvService::Parts*> KvService::ReadyFor(const rpc::Call& call) const {
  DKI_ASSIGN_OR_RETURN(const Parts* const parts, Ready());
  if (call.caller().tenant_id.empty()) {
    return PermissionDenied("the call must be made on behalf of a tenant");
  }
  return parts;
}

absl::StatusOr<PackRequest> KvService::ReadRequest(const rpc::Call& call, const v1::PackSpec& pack,
                                                   const std::string& model_fingerprint) const {
  DKI_ASSIGN_OR_RETURN(const Parts* const parts, ReadyFor(call));
  if (model_fingerprint != parts->model_fingerprint) {
    return FailedPrecondition("model_fingerprint: %s, this worker's model is %s",
                              model_fingerprint.substr(0, 64), parts->model_fingerprint);
  }
  return ReadPackSpec(call.caller().tenant_id, pack);
}

grpc::Status KvService::GetPack(grpc::ServerContext* context, const v1::GetPackRequest* request,
                                grpc::ServerWriter<v1::GetPackResponse>* writer) {
  return rpc::Handle(
      *runtime_, context, "GetPack", rpc::Requirement::ClusterOnly(),
      [&](const rpc::Call& call) -> absl::Status {
        DKI_ASSIGN_OR_RETURN(const PackRequest pack,
                             ReadRequest(call, request->pack(), request->model_fingerprint()));
        DKI_RETURN_IF_ERROR(CheckFormat(request->block_format(), parts_.loader->block_format()));
        const auto handoff =
            parts_.handoff == nullptr ? nullptr : parts_.handoff->Take(request->handoff_token());
        return parts_.loader->Load(
            pack, Urgency::kRequest, [&] { return StillWanted(call); },
            [&](const injection::PlannedBlock& planned, const LoadedBlock& block) {
              const std::string tag = HandOver(block.bytes, handoff.get());
              (tag.empty() ? streamed_ : handed_over_)->Increment();
              return Send(planned, block, tag, writer);
            });
      });
}

grpc::Status KvService::Prefetch(grpc::ServerContext* context, const v1::PrefetchRequest* request,
                                 v1::PrefetchResponse* response) {
  return rpc::Handle(
      *runtime_, context, "Prefetch", rpc::Requirement::ClusterOnly(),
      [&](const rpc::Call& call) -> absl::Status {
        DKI_ASSIGN_OR_RETURN(PackRequest pack,
                             ReadRequest(call, request->pack(), request->model_fingerprint()));
        DKI_RETURN_IF_ERROR(CheckPrefetchId(request->prefetch_id(), 0));
        response->set_accepted(parts_.prefetcher->Offer(std::move(pack), request->prefetch_id()));
        return absl::OkStatus();
      });
}

grpc::Status KvService::CancelPrefetch(grpc::ServerContext* context,
                                       const v1::CancelPrefetchRequest* request,
                                       v1::CancelPrefetchResponse* response) {
  return rpc::Handle(*runtime_, context, "CancelPrefetch", rpc::Requirement::ClusterOnly(),
                     [&](const rpc::Call& call) -> absl::Status {
                       DKI_ASSIGN_OR_RETURN(const Parts* const parts, Ready());
                       DKI_RETURN_IF_ERROR(CheckPrefetchId(request->prefetch_id(), 1));
                       response->set_found(parts->prefetcher->Cancel(call.caller().tenant_id,
                                                                     request->prefetch_id()));
                       return absl::OkStatus();
                     });
}

grpc::Status KvService::GetStats(grpc::ServerContext* context, const v1::GetStatsRequest*,
                                 v1::GetStatsResponse* response) {
  return rpc::Handle(*runtime_, context, "GetStats", rpc::Requirement::ClusterOnly(),
                     [&](const rpc::Call& call) -> absl::Status {
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
                       parts->operators->AddStats(call.caller().tenant_id, response);
                       return absl::OkStatus();
                     });
}

grpc::Status KvService::ListBlocks(grpc::ServerContext* context,
                                   const v1::ListBlocksRequest* request,
                                   v1::ListBlocksResponse* response) {
  return rpc::Handle(*runtime_, context, "ListBlocks", rpc::Requirement::ClusterOnly(),
                     [&](const rpc::Call& call) -> absl::Status {
                       DKI_ASSIGN_OR_RETURN(const Parts* const parts, ReadyFor(call));
                       return parts->operators->List(call.caller().tenant_id, *request, response);
                     });
}

grpc::Status KvService::VerifyBlocks(grpc::ServerContext* context, const v1::VerifyBlocksRequest*,
                                     v1::VerifyBlocksResponse* response) {
  return rpc::Handle(*runtime_, context, "VerifyBlocks", rpc::Requirement::ClusterOnly(),
                     [&](const rpc::Call& call) -> absl::Status {
                       DKI_ASSIGN_OR_RETURN(const Parts* const parts, ReadyFor(call));
                       return parts->operators->Verify(
                           call.caller().tenant_id, [&] { return StillWanted(call); }, response);
                     });
}

grpc::Status KvService::EvictBlocks(grpc::ServerContext* context,
                                    const v1::EvictBlocksRequest* request,
                                    v1::EvictBlocksResponse* response) {
  return rpc::Handle(*runtime_, context, "EvictBlocks", rpc::Requirement::ClusterOnly(),
                     [&](const rpc::Call& call) -> absl::Status {
                       DKI_ASSIGN_OR_RETURN(const Parts* const parts, ReadyFor(call));
                       return parts->operators->Evict(call.caller().tenant_id, *request, response);
                     });
}

}  // namespace dki::kv
