// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/feed_follower.h"

#include <algorithm>
#include <utility>

#include "libs/base/ids.h"
#include "libs/rpc/call.h"
#include "libs/rpc/client.h"
#include "libs/telemetry/log.h"

namespace dki::retrieval {

using memory::v1::FeedEntry;
using memory::v1::FollowFeedRequest;
using memory::v1::FollowFeedResponse;

FeedFollower::FeedFollower(std::unique_ptr<memory::v1::MemoryStoreService::StubInterface> stub,
                           TenantIndexes* indexes, rpc::ServiceRuntime* runtime, Options options)
    : stub_(std::move(stub)),
      indexes_(indexes),
      runtime_(runtime),
      options_(options),
      connected_(runtime->metrics().GetGauge("dki_retrieval_feed_connected",
                                             "1 while the change feed is being followed.")),
      entries_(runtime->metrics().GetCounter("dki_retrieval_feed_entries_total",
                                             "Entries of the change feed applied.")),
      connections_(runtime->metrics().GetCounter("dki_retrieval_feed_connections_total",
                                                 "Times that the change feed was opened.")) {}

FeedFollower::~FeedFollower() {
  Stop();
}

void FeedFollower::Start() {
  thread_ = std::thread([this] { Run(); });
}

void FeedFollower::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
    stopped_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

bool FeedFollower::SetContext(grpc::ClientContext* context) {
  MutexLock lock(&mutex_);
  context_ = context;
  return !stopping_;
}

bool FeedFollower::Pause(std::chrono::milliseconds duration) {
  const auto until = std::chrono::steady_clock::now() + duration;
  MutexLock lock(&mutex_);
  while (!stopping_) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    stopped_.WaitFor(&mutex_, left);
  }
  return !stopping_;
}

void FeedFollower::Run() {
  auto backoff = options_.min_backoff;
  bool was_away = false;
  do {
    bool progressed = false;
    const absl::Status status = FollowOnce(&progressed);
    connected_->Set(0);
    if (absl::IsOutOfRange(status)) {
      log::Warning("the feed is another one; building the indexes anew",
                   {{"error", ToString(status)}});
      runtime_->SetReady(false);
      indexes_->Reset();
    }
    if (progressed) {
      backoff = options_.min_backoff;
      was_away = false;
    }
    if (!Pause(backoff)) return;
    if (!std::exchange(was_away, true)) {
      log::Warning("feed lost; reconnecting", {{"error", ToString(status)}});
    }
    backoff = std::min(backoff * 2, options_.max_backoff);
  } while (true);
}

absl::Status FeedFollower::FollowOnce(bool* progressed) {
  FollowFeedRequest request;
  for (const auto& [tenant_id, position] : indexes_->Positions()) {
    FollowFeedRequest::Start* start = request.add_starts();
    start->set_tenant_id(tenant_id);
    start->set_after_position(position);
  }
  const auto context = rpc::OutgoingContext(runtime_->cluster_key(), "", NewId("feed_"),
                                            std::chrono::milliseconds(0));
  if (!SetContext(context.get())) return Cancelled("stopping");
  connections_->Increment();
  const auto reader = stub_->FollowFeed(context.get(), request);
  FollowFeedResponse response;
  while (reader->Read(&response)) {
    if (!std::exchange(*progressed, true)) {
      connected_->Set(1);
      log::Info("feed connected");
    }
    ApplyAll(response);
  }
  const absl::Status status = rpc::FromGrpcStatus(reader->Finish());
  SetContext(nullptr);
  return status.ok() ? Unavailable("the store ended the feed") : status;
}

void FeedFollower::ApplyAll(const FollowFeedResponse& response) {
  entries_->Increment(response.entries_size());
  for (const FeedEntry& entry : response.entries()) {
    if (entry.kind() == FeedEntry::KIND_CAUGHT_UP && entry.tenant_id().empty()) {
      // The backlog of all tenants has been sent.
      runtime_->SetReady(true);
      indexes_->SetCaughtUp();
    } else {
      indexes_->Apply(entry);
    }
  }
}

}  // namespace dki::retrieval
