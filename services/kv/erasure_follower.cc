// SPDX-License-Identifier: Apache-2.0
#include "services/kv/erasure_follower.h"

#include <algorithm>
#include <utility>

#include "libs/base/ids.h"
#include "libs/rpc/call.h"
#include "libs/rpc/client.h"
#include "libs/telemetry/log.h"

namespace dki::kv {

using memory::v1::FeedEntry;
using memory::v1::FollowFeedRequest;
using memory::v1::FollowFeedResponse;

ErasureFollower::ErasureFollower(
    std::unique_ptr<memory::v1::MemoryStoreService::StubInterface> stub, TombstoneKvTier* tier,
    kvcache::RocksDbKvTier* disk, rpc::ServiceRuntime* runtime, Options options)
    : stub_(std::move(stub)),
      tier_(tier),
      disk_(disk),
      runtime_(runtime),
      options_(options),
      connected_(runtime->metrics().GetGauge("dki_kv_feed_connected",
                                             "1 while the change feed is being followed.")),
      erasures_(runtime->metrics().GetCounter("dki_kv_erasures_total",
                                              "Memories and tenants whose blocks were erased.")) {}

absl::Status ErasureFollower::Start() {
  if (disk_ != nullptr) {
    DKI_ASSIGN_OR_RETURN(Positions positions, disk_->ReadMarks());
    MutexLock lock(&mutex_);
    positions_ = std::move(positions);
  }
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void ErasureFollower::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

bool ErasureFollower::SetContext(grpc::ClientContext* context) {
  MutexLock lock(&mutex_);
  context_ = context;
  return !stopping_;
}

bool ErasureFollower::Pause(std::chrono::milliseconds duration) {
  const auto until = std::chrono::steady_clock::now() + duration;
  MutexLock lock(&mutex_);
  while (!stopping_) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    changed_.WaitFor(&mutex_, left);
  }
  return !stopping_;
}

void ErasureFollower::Run() {
  auto backoff = options_.min_backoff;
  bool was_away = false;
  do {
    bool progressed = false;
    absl::Status status = FollowOnce(&progressed);
    connected_->Set(0);
    if (absl::IsOutOfRange(status)) {
      log::Warning("the feed is another one; erasing all blocks", {{"error", ToString(status)}});
      status = StartOver();
    }
    if (progressed) {
      backoff = options_.min_backoff;
      was_away = false;
    }
    if (!Pause(backoff)) return;
    if (!status.ok() && !std::exchange(was_away, true)) {
      log::Warning("feed lost; reconnecting", {{"error", ToString(status)}});
    }
    backoff = std::min(backoff * 2, options_.max_backoff);
  } while (true);
}

absl::Status ErasureFollower::FollowOnce(bool* progressed) {
  FollowFeedRequest request;
  request.set_without_vectors(true);
  {
    MutexLock lock(&mutex_);
    for (const auto& [tenant_id, position] : positions_) {
      FollowFeedRequest::Start* start = request.add_starts();
      start->set_tenant_id(tenant_id);
      start->set_after_position(position);
    }
  }
  const auto context = rpc::OutgoingContext(runtime_->cluster_key(), "", NewId("feed_"),
                                            std::chrono::milliseconds(0));
  if (!SetContext(context.get())) return Cancelled("stopping");
  const auto reader = stub_->FollowFeed(context.get(), request);
  FollowFeedResponse response;
  absl::Status applied;
  while (applied.ok() && reader->Read(&response)) {
    if (!std::exchange(*progressed, true)) {
      connected_->Set(1);
      log::Info("feed connected");
    }
    applied = Apply(response);
  }
  if (!applied.ok()) context->TryCancel();
  const absl::Status ended = rpc::FromGrpcStatus(reader->Finish());
  SetContext(nullptr);
  if (!applied.ok()) return Unavailable("erasing: %s", ToString(applied));
  return ended.ok() ? Unavailable("the store ended the feed") : ended;
}

absl::Status ErasureFollower::Apply(const FollowFeedResponse& response) {
  Positions reached;
  for (const FeedEntry& entry : response.entries()) {
    if (entry.tenant_id().empty()) continue;  // the whole backlog has been sent
    DKI_RETURN_IF_ERROR(ApplyEntry(entry));
    int64_t& position = reached[entry.tenant_id()];
    position = std::max<int64_t>(position, entry.position());
  }
  // After the erasures, which are durable by now.
  if (disk_ != nullptr) DKI_RETURN_IF_ERROR(disk_->WriteMarks(reached));
  MutexLock lock(&mutex_);
  for (const auto& [tenant_id, position] : reached) positions_[tenant_id] = position;
  changed_.NotifyAll();
  return absl::OkStatus();
}

absl::Status ErasureFollower::ApplyEntry(const FeedEntry& entry) {
  switch (entry.kind()) {
    case FeedEntry::KIND_UPSERT:
      tier_->ReviveTenant(entry.tenant_id());
      // The first version: nothing can have been computed of an older one.
      if (entry.version() == 1) return absl::OkStatus();
      return Erased(tier_->Erase(entry.tenant_id(), entry.memory_id()));
    case FeedEntry::KIND_DELETE:
      return Erased(tier_->EraseForGood(entry.tenant_id(), entry.memory_id()));
    case FeedEntry::KIND_ERASE_TENANT:
      return Erased(tier_->EraseForGood(entry.tenant_id(), ""));
    default:
      return absl::OkStatus();
  }
}

absl::Status ErasureFollower::Erased(absl::Status status) {
  if (status.ok()) erasures_->Increment();
  return status;
}

absl::Status ErasureFollower::StartOver() {
  Positions positions;
  {
    MutexLock lock(&mutex_);
    positions = positions_;
  }
  for (const auto& [tenant_id, position] : positions) {
    DKI_RETURN_IF_ERROR(tier_->Erase(tenant_id, ""));
  }
  if (disk_ != nullptr) DKI_RETURN_IF_ERROR(disk_->ClearMarks());
  MutexLock lock(&mutex_);
  positions_.clear();
  return absl::OkStatus();
}

}  // namespace dki::kv
