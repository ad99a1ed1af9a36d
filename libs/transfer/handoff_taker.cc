// SPDX-License-Identifier: Apache-2.0
#include "libs/transfer/handoff_taker.h"

#include <utility>

#include "libs/transfer/handoff.h"

namespace dki::transfer {

absl::StatusOr<std::unique_ptr<HandoffTaker::Lease>> HandoffTaker::Take() {
  {
    const MutexLock lock(&mutex_);
    if (auto lease = TakeIdle()) return lease;
    if (std::chrono::steady_clock::now() < not_before_) {
      return Unavailable("%s: failed a moment ago", options_.path);
    }
  }
  absl::StatusOr<std::unique_ptr<Lease>> lease = Open();
  if (!lease.ok()) {
    const MutexLock lock(&mutex_);
    not_before_ = std::chrono::steady_clock::now() + options_.pause;
  }
  return lease;
}

std::unique_ptr<HandoffTaker::Lease> HandoffTaker::TakeIdle() {
  while (!idle_.empty()) {
    Idle idle = std::move(idle_.back());
    idle_.pop_back();
    // Gone, or it has said something that nobody asked for: closed.
    if (!IsQuiet(idle.socket.get())) continue;
    return std::unique_ptr<Lease>(new Lease(this, std::move(idle.socket), std::move(idle.token)));
  }
  return nullptr;
}

absl::StatusOr<std::unique_ptr<HandoffTaker::Lease>> HandoffTaker::Open() {
  DKI_ASSIGN_OR_RETURN(FileDescriptor socket, Connect(options_.path));
  DKI_RETURN_IF_ERROR(CheckPeer(socket.get()));
  DKI_ASSIGN_OR_RETURN(const Message hello,
                       Receive(socket.get(), std::chrono::steady_clock::now() + options_.patience));
  if (hello.bytes.size() != kHello.size() + kTokenBytes || !hello.bytes.starts_with(kHello) ||
      hello.descriptor.is_open()) {
    return DataLoss("%s: the giver speaks another language", options_.path);
  }
  return std::unique_ptr<Lease>(
      new Lease(this, std::move(socket), hello.bytes.substr(kHello.size())));
}

HandoffTaker::Lease::~Lease() {
  if (!done_) return;
  const MutexLock lock(&taker_->mutex_);
  if (taker_->idle_.size() < taker_->options_.max_idle) {
    taker_->idle_.push_back({std::move(socket_), token_});
  }
}

absl::StatusOr<std::shared_ptr<const SealedMemory>> HandoffTaker::Lease::Take(
    const std::string& tag, size_t n_bytes) {
  DKI_ASSIGN_OR_RETURN(Message message, Receive(socket_.get(), std::chrono::steady_clock::now() +
                                                                   taker_->options_.patience));
  if (tag.size() != kTagBytes || message.bytes != tag) {
    return DataLoss("another block than the one announced");
  }
  if (!message.descriptor.is_open()) return DataLoss("a block without its memory");
  return SealedMemory::Map(std::move(message.descriptor), n_bytes);
}

}  // namespace dki::transfer
