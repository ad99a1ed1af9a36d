// SPDX-License-Identifier: Apache-2.0
#include "services/generation/kv_pack_source.h"

#include <algorithm>
#include <string>

#include "libs/clients/memory_attributes.h"
#include "libs/rpc/call.h"
#include "libs/rpc/client.h"
#include "libs/telemetry/log.h"
#include "services/generation/convert.h"

namespace dki::generation {
namespace {

// What a block may have beside its planes: identity, chain, token ids.
constexpr int64_t kMaxHeaderBytes = 1 << 20;

absl::StatusOr<std::chrono::milliseconds> Timeout(std::chrono::milliseconds most,
                                                  std::chrono::system_clock::time_point deadline) {
  if (deadline == std::chrono::system_clock::time_point::max()) return most;
  const auto half = std::chrono::duration_cast<std::chrono::milliseconds>(
      (deadline - std::chrono::system_clock::now()) / 2);
  if (half.count() <= 0) return DeadlineExceeded("no time is left to ask kv for a pack");
  return std::min(most, half);
}

telemetry::Counter* Packs(telemetry::Metrics* metrics, const char* way) {
  return metrics->GetCounter("dki_generation_packs_total",
                             "Packs from kv, by way: handoff (side socket) or stream.",
                             {{"way", way}});
}

// Collects the parts of a pack's stream into verified blocks.
class BlockAssembler {
 public:
  // `handoff`: where kv may hand blocks over. Null: nowhere.
  BlockAssembler(const injection::PackPlan& plan, const model::PlaneCodec& codec,
                 transfer::HandoffTaker::Lease* handoff)
      : plan_(plan), codec_(codec), handoff_(handoff) {}

  // The last error came over the side socket.
  bool handoff_failed() const { return handoff_failed_; }
  int n_handed_over() const { return n_handed_over_; }

  absl::Status Add(const kv::v1::GetPackResponse& part) {
    if (part.has_start()) {
      DKI_RETURN_IF_ERROR(FinishBlock());
      if (blocks_.size() == plan_.blocks.size()) {
        return DataLoss("kv sent more than the pack's %d blocks", plan_.blocks.size());
      }
      start_ = part.start();
      if (!start_.handoff_tag().empty()) {
        const absl::Status taken = TakeHandedOver();
        handoff_failed_ = !taken.ok();
        return taken;
      }
      in_block_ = true;
      bytes_.clear();
      return absl::OkStatus();
    }
    if (!in_block_) return DataLoss("kv sent bytes that belong to no block");
    bytes_ += part.chunk();
    return CheckSize(static_cast<int64_t>(bytes_.size()));
  }

  absl::StatusOr<std::vector<engine::LoadedBlock>> Finish() {
    DKI_RETURN_IF_ERROR(FinishBlock());
    if (blocks_.size() != plan_.blocks.size()) {
      return DataLoss("kv sent %d of the pack's %d blocks", blocks_.size(), plan_.blocks.size());
    }
    return std::move(blocks_);
  }

 private:
  // Of the block that is under way.
  absl::Status CheckSize(int64_t n_bytes) const {
    const int64_t most =
        kMaxHeaderBytes + static_cast<int64_t>(codec_.shape().bytes_per_token() *
                                               plan_.blocks[blocks_.size()].tokens.size());
    if (n_bytes < 0 || n_bytes > most) {
      return DataLoss("block %d has more than the %d bytes it can have", blocks_.size(), most);
    }
    return absl::OkStatus();
  }

  absl::Status TakeHandedOver() {
    if (handoff_ == nullptr) return DataLoss("kv hands over what was not asked for so");
    DKI_RETURN_IF_ERROR(CheckSize(start_.n_bytes()));
    DKI_ASSIGN_OR_RETURN(const auto memory, handoff_->Take(start_.handoff_tag(), start_.n_bytes()));
    ++n_handed_over_;
    return Decode(memory->bytes());
  }

  absl::Status FinishBlock() {
    if (!in_block_) return absl::OkStatus();
    in_block_ = false;
    return Decode(bytes_);
  }

  absl::Status Decode(std::string_view bytes) {
    const injection::PlannedBlock& planned = plan_.blocks[blocks_.size()];
    absl::StatusOr<kvcache::Block> block = kvcache::DecodeBlock(bytes, planned.identity, codec_);
    if (!block.ok()) return Annotate(block.status(), absl::StrFormat("block %d", blocks_.size()));
    if (block->tokens != planned.tokens ||
        block->kv.size() != static_cast<int>(planned.tokens.size())) {
      return DataLoss("block %d has other tokens than planned", blocks_.size());
    }
    blocks_.push_back(
        {*std::move(block), ToTier(start_.tier()), start_.load_us(), ToChoice(start_.choice())});
    return absl::OkStatus();
  }

  const injection::PackPlan& plan_;
  const model::PlaneCodec& codec_;
  transfer::HandoffTaker::Lease* const handoff_;
  bool handoff_failed_ = false;
  int n_handed_over_ = 0;
  std::vector<engine::LoadedBlock> blocks_;
  kv::v1::GetPackResponse::BlockStart start_;
  std::string bytes_;
  bool in_block_ = false;
};

}  // namespace

KvPackSource::KvPackSource(Options options, rpc::ClusterKey key,
                           std::unique_ptr<kv::v1::KvService::StubInterface> stub,
                           telemetry::Metrics* metrics)
    : options_(std::move(options)),
      key_(std::move(key)),
      stub_(std::move(stub)),
      handoff_({.path = options_.handoff_socket}),
      handed_over_(Packs(metrics, "handoff")),
      streamed_(Packs(metrics, "stream")),
      handoff_failures_(metrics->GetCounter(
          "dki_generation_handoff_failures_total",
          "The side socket to kv was not there or not as it must be; K/V was streamed.")) {}

absl::StatusOr<std::vector<engine::LoadedBlock>> KvPackSource::Load(
    const engine::PackRequest& request, const injection::PackPlan& plan) {
  if (const auto handoff = TakeHandoff()) {
    bool failed = false;
    auto blocks = LoadOnce(request, plan, handoff.get(), &failed);
    if (!failed) return blocks;
    handoff_failures_->Increment();
    log::Warning("K/V could not be handed over; streaming it",
                 {{"error", ToString(blocks.status())}});
  }
  bool failed = false;
  return LoadOnce(request, plan, nullptr, &failed);
}

std::unique_ptr<transfer::HandoffTaker::Lease> KvPackSource::TakeHandoff() {
  if (options_.handoff_socket.empty()) return nullptr;
  auto lease = handoff_.Take();
  if (lease.ok()) return *std::move(lease);
  handoff_failures_->Increment();
  return nullptr;
}

absl::StatusOr<std::vector<engine::LoadedBlock>> KvPackSource::LoadOnce(
    const engine::PackRequest& request, const injection::PackPlan& plan,
    transfer::HandoffTaker::Lease* handoff, bool* handoff_failed) {
  DKI_ASSIGN_OR_RETURN(const std::chrono::milliseconds timeout,
                       Timeout(options_.timeout, request.deadline));
  kv::v1::GetPackRequest proto;
  proto.mutable_pack()->set_context_system_prompt(request.context_system_prompt);
  for (const injection::PackMemoryText& memory : request.memories) {
    kv::v1::PackMemory* sent = proto.mutable_pack()->add_memories();
    sent->set_memory_id(memory.memory_id);
    sent->set_text(memory.text);
    *sent->mutable_attributes() = clients::ToProto(memory.attributes);
  }
  proto.set_block_format(kernels::Name(plan.format));
  proto.mutable_pack()->set_composition(injection::ToString(request.composition));
  if (!plan.blocks.empty()) {
    proto.set_model_fingerprint(plan.blocks.front().identity.model_fingerprint);
  }

  if (handoff != nullptr) proto.set_handoff_token(handoff->token());
  const auto context = rpc::OutgoingContext(key_, request.tenant_id, request.request_id, timeout);
  const auto reader = stub_->GetPack(context.get(), proto);
  BlockAssembler assembler(plan, options_.codec, handoff);
  absl::Status status;
  kv::v1::GetPackResponse part;
  while (status.ok() && reader->Read(&part)) status = assembler.Add(part);
  if (!status.ok()) {
    context->TryCancel();
    while (reader->Read(&part)) {
    }
    reader->Finish().ok();  // cancelled by us
    *handoff_failed = assembler.handoff_failed();
    return status;
  }
  const absl::Status finished = rpc::FromGrpcStatus(reader->Finish());
  // Another model or block format: every request goes without memory until somebody mends it.
  if (absl::IsFailedPrecondition(finished)) {
    log::Error("kv is configured otherwise than this service", {{"error", ToString(finished)}});
  }
  DKI_RETURN_IF_ERROR(finished);
  if (handoff != nullptr) handoff->Done();
  (assembler.n_handed_over() > 0 ? handed_over_ : streamed_)->Increment();
  return assembler.Finish();
}

}  // namespace dki::generation
