// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/disk_scrubber.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace dki::kvcache {

DiskScrubber::DiskScrubber(std::function<absl::Status()> rewrite, bool is_pending, Options options,
                           telemetry::Gauge* pending)
    : rewrite_(std::move(rewrite)), options_(options), pending_(pending), written_(Clock::now()) {
  {
    MutexLock lock(&mutex_);
    if (is_pending) pending_since_ = Clock::now();
    Tell();
  }
  thread_ = std::thread([this] { Run(); });
}

DiskScrubber::~DiskScrubber() {
  {
    MutexLock lock(&mutex_);
    is_stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void DiskScrubber::OnWrite(bool made_garbage) {
  MutexLock lock(&mutex_);
  written_ = Clock::now();
  if (made_garbage) is_dirty_ = true;
}

void DiskScrubber::OnErasure() {
  MutexLock lock(&mutex_);
  written_ = Clock::now();
  if (!is_dirty_ || pending_since_) return;
  pending_since_ = Clock::now();
  Tell();
  changed_.NotifyAll();
}

std::optional<absl::Time> DiskScrubber::GoneTime(absl::Time time) const {
  MutexLock lock(&mutex_);
  if (time < began_) return ended_;
  if (!is_dirty_ && !is_rewriting_) return std::max(time, ended_);
  return std::nullopt;
}

bool DiskScrubber::IsPending() const {
  MutexLock lock(&mutex_);
  return pending_since_.has_value() || is_rewriting_;
}

void DiskScrubber::Tell() {
  if (pending_ != nullptr) pending_->Set(pending_since_ || is_rewriting_ ? 1 : 0);
}

bool DiskScrubber::WaitUntilDue() {
  MutexLock lock(&mutex_);
  while (!is_stopping_) {
    if (!pending_since_) {
      changed_.Wait(&mutex_);
      continue;
    }
    const auto due = std::max(
        not_before_, std::min(written_ + options_.quiet, *pending_since_ + options_.at_latest));
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - Clock::now());
    if (left.count() <= 0) break;
    changed_.WaitFor(&mutex_, left);
  }
  if (is_stopping_) return false;
  // What comes from here on waits for the next one.
  pending_since_.reset();
  is_dirty_ = false;
  is_rewriting_ = true;
  return true;
}

void DiskScrubber::Run() {
  while (WaitUntilDue()) {
    const absl::Time began = absl::Now();
    const absl::Status rewritten = rewrite_();
    MutexLock lock(&mutex_);
    is_rewriting_ = false;
    if (rewritten.ok()) {
      began_ = began;
      ended_ = absl::Now();
      Tell();
      continue;
    }
    is_dirty_ = true;
    if (!pending_since_) pending_since_ = Clock::now();
    not_before_ = Clock::now() + options_.retry;
  }
}

}  // namespace dki::kvcache
