// SPDX-License-Identifier: Apache-2.0
#include "services/kv/sweeper.h"

namespace dki::kv {

void Sweeper::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Sweeper::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Sweeper::Run() {
  while (true) {
    tier_->DropExpired();
    MutexLock lock(&mutex_);
    if (!stopping_) changed_.WaitFor(&mutex_, period_);
    if (stopping_) return;
  }
}

}  // namespace dki::kv
