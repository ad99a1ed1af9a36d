// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/background.h"

#include <algorithm>

#include "libs/telemetry/log.h"

namespace dki::memory_store {

absl::Status Background::Start() {
  const absl::Status status = work_.prepare();
  if (absl::IsFailedPrecondition(status)) return status;
  if (!status.ok()) log::Warning("waiting for the database", {{"error", ToString(status)}});
  thread_ = std::thread([this, prepared = status.ok()] { Run(prepared); });
  return absl::OkStatus();
}

void Background::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    stop_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Background::Run(bool prepared) {
  std::chrono::milliseconds retry = options_.first_retry;
  while (!prepared) {
    if (!Sleep(retry)) return;
    retry = std::min(2 * retry, options_.longest_retry);
    const absl::Status status = work_.prepare();
    prepared = status.ok();
    if (absl::IsFailedPrecondition(status)) {
      log::Error("the database does not fit", {{"error", ToString(status)}});
    }
  }
  work_.ready();
  DoChores();
}

void Background::DoChores() {
  using Clock = std::chrono::steady_clock;
  if (work_.chores.empty()) return;
  std::vector<Clock::time_point> due(work_.chores.size(), Clock::now());
  while (true) {
    const auto next = std::min_element(due.begin(), due.end());
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now());
    if (!Sleep(left)) return;
    const Chore& chore = work_.chores[static_cast<size_t>(next - due.begin())];
    const absl::Status status = chore.run();
    if (!status.ok()) log::Warning("chore failed", {{"error", ToString(status)}});
    *next = Clock::now() + chore.interval;
  }
}

bool Background::Sleep(std::chrono::milliseconds duration) {
  const auto until = std::chrono::steady_clock::now() + duration;
  MutexLock lock(&mutex_);
  while (!stopping_) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return true;
    stop_.WaitFor(&mutex_, left);
  }
  return false;
}

}  // namespace dki::memory_store
