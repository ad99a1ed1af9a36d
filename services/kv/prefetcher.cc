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
                                   {{"result", "dropped"}})),
      cancelled_(metrics->GetCounter("dki_kv_prefetches_total", "Prefetches asked for.",
                                     {{"result", "cancelled"}})) {}

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

bool Prefetcher::Offer(PackRequest request, const std::string& id) {
  MutexLock lock(&mutex_);
  if (stopping_ || waiting_.size() >= max_waiting_) {
    dropped_->Increment();
    return false;
  }
  accepted_->Increment();
  waiting_.push_back({id, std::move(request)});
  changed_.NotifyAll();
  return true;
}

bool Prefetcher::Cancel(const std::string& tenant_id, const std::string& id) {
  MutexLock lock(&mutex_);
  const size_t n_dropped = std::erase_if(waiting_, [&](const Waiting& waiting) {
    return waiting.id == id && waiting.request.tenant_id == tenant_id;
  });
  const bool runs = busy_ && !cancel_running_ && running_ == std::pair(tenant_id, id);
  if (runs) cancel_running_ = true;
  if (n_dropped == 0 && !runs) return false;
  cancelled_->Increment();
  return true;
}

void Prefetcher::WaitUntilIdle() {
  MutexLock lock(&mutex_);
  while (!stopping_ && (busy_ || !waiting_.empty())) changed_.Wait(&mutex_);
}

absl::Status Prefetcher::GoOn() {
  MutexLock lock(&mutex_);
  if (stopping_) return Cancelled("shutting down");
  return cancel_running_ ? Cancelled("not needed any more") : absl::OkStatus();
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
      request = std::move(waiting_.front().request);
      running_ = {request.tenant_id, waiting_.front().id};
      cancel_running_ = false;
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
