// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/index_upkeep.h"

#include <chrono>

namespace dki::retrieval {
namespace {

// How often an index that has grown is noticed.
constexpr std::chrono::milliseconds kPause(1000);

}  // namespace

void IndexUpkeep::Start() {
  thread_ = std::thread([this] { Run(); });
}

void IndexUpkeep::Stop() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
    stopped_changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void IndexUpkeep::Run() {
  while (true) {
    const bool had_work = indexes_->RunUpkeep();
    MutexLock lock(&mutex_);
    if (!had_work && !stopped_) stopped_changed_.WaitFor(&mutex_, kPause);
    if (stopped_) return;
  }
}

}  // namespace dki::retrieval
