// SPDX-License-Identifier: Apache-2.0
#include "services/kv/prefetcher.h"

#include <utility>

#include "libs/telemetry/log.h"

namespace dki::kv {

Prefetcher::Prefetcher(PackLoader* loader, telemetry::Metrics* metrics, size_t max_waiting)
    : loader_(loader),
      max_waiting_(max_waiting),
      accepted_(metrics->GetCounter("dki_kv_prefetches_total", "Prefetches asked for.",
                                    {{"result", "accepted"}})),
      dropped_(metrics->GetCounter("dki_kv_prefetches_total", "Prefetches asked for.",
                                   {{"result", "dropped"}})) {}

void Prefetcher::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Prefetcher::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    waiting_.clear();
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

bool Prefetcher::Offer(PackRequest request) {
  MutexLock lock(&mutex_);
  if (stopping_ || waiting_.size() >= max_waiting_) {
    dropped_->Increment();
    return false;
  }
  accepted_->Increment();
  waiting_.push_back(std::move(request));
  changed_.NotifyAll();
  return true;
}

void Prefetcher::WaitUntilIdle() {
  MutexLock lock(&mutex_);
  while (!stopping_ && (busy_ || !waiting_.empty())) changed_.Wait(&mutex_);
}

absl::Status Prefetcher::GoOn() {
  MutexLock lock(&mutex_);
  return stopping_ ? Cancelled("shutting down") : absl::OkStatus();
}

void Prefetcher::Run() {
  while (true) {
    PackRequest request;
    {
      MutexLock lock(&mutex_);
      busy_ = false;
      changed_.NotifyAll();
      while (!stopping_ && waiting_.empty()) changed_.Wait(&mutex_);
      if (stopping_) return;
      request = std::move(waiting_.front());
      waiting_.pop_front();
      busy_ = true;
    }
    const absl::Status status = loader_->Load(
        request, Urgency::kPrefetch, [this] { return GoOn(); },
        [](const injection::PlannedBlock&, const LoadedBlock&) { return absl::OkStatus(); });
    if (!status.ok()) {
      log::Debug("prefetch failed", {{"tenant", request.tenant_id}, {"error", ToString(status)}});
    }
  }
}

}  // namespace dki::kv
