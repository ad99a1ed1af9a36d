// SPDX-License-Identifier: Apache-2.0
// Purpose: the taking end of handoff.h: connections to the giver, kept for the next call.
// Thread-safety: thread-safe; a Lease is thread-compatible and must not outlive the taker.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/base/status.h"
#include "libs/transfer/message_socket.h"
#include "libs/transfer/sealed_memory.h"

namespace dki::transfer {

class HandoffTaker {
 public:
  struct Options {
    std::string path;
    // How long a giver may be silent: for its first message, and for a block that it says it has
    // sent.
    std::chrono::milliseconds patience{2000};
    // After a failure nobody tries to connect for so long.
    std::chrono::milliseconds pause{1000};
    size_t max_idle = 32;
  };
  explicit HandoffTaker(Options options) : options_(std::move(options)) {}

  // One call's use of a connection. It is closed with the lease unless the call came to its good
  // end: else a late message of this call could be waiting for the next one.
  class Lease {
   public:
    Lease(const Lease&) = delete;
    ~Lease();

    const std::string& token() const { return token_; }
    // The next block, mapped; it must be the one with the tag, sealed, and of `n_bytes`. Its
    // contents are still to be verified. Any error says that the connection is of no more use.
    absl::StatusOr<std::shared_ptr<const SealedMemory>> Take(const std::string& tag,
                                                             size_t n_bytes);
    // The call is over, and all its blocks have been taken.
    void Done() { done_ = true; }

   private:
    friend class HandoffTaker;
    Lease(HandoffTaker* taker, FileDescriptor socket, std::string token)
        : taker_(taker), socket_(std::move(socket)), token_(std::move(token)) {}

    HandoffTaker* const taker_;
    FileDescriptor socket_;
    const std::string token_;
    bool done_ = false;
  };
  // UNAVAILABLE: nobody listens, or that is not long ago. PERMISSION_DENIED: the giver is another
  // user's. DEADLINE_EXCEEDED, DATA_LOSS: it does not behave.
  absl::StatusOr<std::unique_ptr<Lease>> Take();

 private:
  struct Idle {
    FileDescriptor socket;
    std::string token;
  };

  std::unique_ptr<Lease> TakeIdle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::unique_ptr<Lease>> Open();

  const Options options_;
  Mutex mutex_;
  std::vector<Idle> idle_ ABSL_GUARDED_BY(mutex_);
  Deadline not_before_ ABSL_GUARDED_BY(mutex_) = Deadline::min();
};

}  // namespace dki::transfer
