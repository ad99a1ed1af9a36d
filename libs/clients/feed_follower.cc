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

namespace {

constexpr std::chrono::milliseconds kWakeTimeout{1000};

bool HasErasure(const FollowFeedResponse& response) {
  return std::ranges::any_of(response.entries(), [](const memory::v1::FeedEntry& entry) {
    return entry.kind() == memory::v1::FeedEntry::KIND_DELETE ||
           entry.kind() == memory::v1::FeedEntry::KIND_ERASE_TENANT;
  });
}

}  // namespace

FeedFollower::FeedFollower(Connect connect, FeedConsumer* consumer, rpc::ServiceRuntime* runtime,
                           Options options)
    : connect_(std::move(connect)),
      consumer_(consumer),
      runtime_(runtime),
      options_(options),
      stub_(connect_()) {}

std::shared_ptr<FeedFollower::Stub> FeedFollower::stub() {
  MutexLock lock(&mutex_);
  return stub_;
}

void FeedFollower::Hurry() {
  // The call that runs may have come before what is waited for; one that waits has not.
  wakes_.Offer(rpc::OutgoingContext(runtime_->cluster_key(), "", NewId("wake_"), kWakeTimeout),
               [this](grpc::ClientContext* context) {
                 memory::v1::WakeFeedResponse response;
                 stub()->WakeFeed(context, {}, &response).ok();  // else the feed comes by itself
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
  // Something was erased since the connection was made, or while the last one was given up.
  bool is_stale = false;
  do {
    const Followed followed =
        FollowOnce(is_stale ? std::optional(options_.renew_after) : std::nullopt);
    is_stale = followed.erased || (is_stale && !followed.renews);
    if (followed.renews) {
      MutexLock lock(&mutex_);
      stub_ = connect_();
      if (stopping_) return;
      continue;
    }
    SetConnected(false);
    absl::Status status = followed.status;
    if (absl::IsOutOfRange(status)) status = consumer_->StartOver(status);
    if (followed.progressed) {
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

FeedFollower::Followed FeedFollower::FollowOnce(std::optional<std::chrono::milliseconds> at_most) {
  Followed followed;
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
                                            at_most.value_or(std::chrono::milliseconds(0)));
  if (!SetContext(context.get())) {
    followed.status = Cancelled("stopping");
    return followed;
  }
  if (options_.connections != nullptr) options_.connections->Increment();
  const std::shared_ptr<Stub> stub = this->stub();
  const auto reader = stub->FollowFeed(context.get(), request);
  FollowFeedResponse response;
  absl::Status applied;
  while (applied.ok() && reader->Read(&response)) {
    if (!std::exchange(followed.progressed, true)) {
      SetConnected(true);
      log::Info("feed connected");
    }
    applied = consumer_->Apply(response);
    followed.erased = followed.erased || HasErasure(response);
    // A stream that ends by itself goes on: what else is erased meanwhile needs no further one.
    if (applied.ok() && followed.erased && !at_most) {
      followed.renews = true;
      break;
    }
  }
  if (!applied.ok() || followed.renews) context->TryCancel();
  const absl::Status ended = rpc::FromGrpcStatus(reader->Finish());
  SetContext(nullptr);
  if (followed.renews) return followed;
  followed.renews = at_most && applied.ok() && absl::IsDeadlineExceeded(ended);
  // Never OUT_OF_RANGE: that is the store's to say.
  if (!applied.ok()) {
    followed.status = Unavailable("%s", ToStd(applied.message()));
  } else {
    followed.status = ended.ok() ? Unavailable("the store ended the feed") : ended;
  }
  return followed;
}

}  // namespace dki::clients
