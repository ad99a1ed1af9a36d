// SPDX-License-Identifier: Apache-2.0
#include "libs/clients/feed_follower.h"

#include <algorithm>
#include <utility>

#include "libs/base/ids.h"
#include "libs/rpc/call.h"
#include "libs/rpc/client.h"
#include "libs/telemetry/log.h"

namespace dki::clients {

using memory::v1::FollowFeedRequest;
using memory::v1::FollowFeedResponse;

constexpr std::chrono::milliseconds kWakeTimeout{1000};

FeedFollower::FeedFollower(std::unique_ptr<memory::v1::MemoryStoreService::StubInterface> stub,
                           FeedConsumer* consumer, rpc::ServiceRuntime* runtime, Options options)
    : stub_(std::move(stub)), consumer_(consumer), runtime_(runtime), options_(options) {}

void FeedFollower::Hurry() {
  // The call that runs may have come before what is waited for; one that waits has not.
  wakes_.Offer(rpc::OutgoingContext(runtime_->cluster_key(), "", NewId("wake_"), kWakeTimeout),
               [this](grpc::ClientContext* context) {
                 memory::v1::WakeFeedResponse response;
                 stub_->WakeFeed(context, {}, &response).ok();  // else the feed comes by itself
               });
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

void FeedFollower::SetConnected(bool connected) {
  if (options_.connected != nullptr) options_.connected->Set(connected ? 1 : 0);
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
    absl::Status status = FollowOnce(&progressed);
    SetConnected(false);
    if (absl::IsOutOfRange(status)) status = consumer_->StartOver(status);
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

absl::Status FeedFollower::FollowOnce(bool* progressed) {
  FollowFeedRequest request;
  request.set_without_vectors(options_.without_vectors);
  if (options_.reports_erasures) {
    request.set_service(runtime_->instance());
    request.set_public_key(runtime_->signing_key().public_key());
  }
  for (const auto& [tenant_id, position] : consumer_->Positions()) {
    FollowFeedRequest::Start* start = request.add_starts();
    start->set_tenant_id(tenant_id);
    start->set_after_position(position);
  }
  const auto context = rpc::OutgoingContext(runtime_->cluster_key(), "", NewId("feed_"),
                                            std::chrono::milliseconds(0));
  if (!SetContext(context.get())) return Cancelled("stopping");
  if (options_.connections != nullptr) options_.connections->Increment();
  const auto reader = stub_->FollowFeed(context.get(), request);
  FollowFeedResponse response;
  absl::Status applied;
  while (applied.ok() && reader->Read(&response)) {
    if (!std::exchange(*progressed, true)) {
      SetConnected(true);
      log::Info("feed connected");
    }
    applied = consumer_->Apply(response);
  }
  if (!applied.ok()) context->TryCancel();
  const absl::Status ended = rpc::FromGrpcStatus(reader->Finish());
  SetContext(nullptr);
  // Never OUT_OF_RANGE: that is the store's to say.
  if (!applied.ok()) return Unavailable("%s", ToStd(applied.message()));
  return ended.ok() ? Unavailable("the store ended the feed") : ended;
}

}  // namespace dki::clients
