// SPDX-License-Identifier: Apache-2.0
// Purpose: who a bearer key belongs to, asked of the store and remembered for a moment, so that a
//   chat costs no extra round trip and a revoked key stops working within `fresh_for`. Remembers
//   hashes of secrets, never secrets.
//
// While the store is away, what is known goes on for `stale_for` (0: not at all): nobody can revoke
// a key then either. Bad keys are not remembered.
// Thread-safety: thread-safe. Ownership: the clock must outlive it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>

#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/rpc/service_runtime.h"

namespace dki::orchestrator {

class KeyCache {
 public:
  struct Options {
    absl::Duration fresh_for = absl::Seconds(5);
    absl::Duration stale_for = absl::ZeroDuration();
    size_t max_entries = 10'000;
  };
  // `verify` asks the store: UNAUTHENTICATED for a bad key, a transient error when it is away.
  KeyCache(const Options& options, rpc::KeyVerifier verify, const Clock* clock)
      : options_(options), verify_(std::move(verify)), clock_(clock) {}

  absl::StatusOr<rpc::Caller> Verify(const std::string& secret);

 private:
  struct Entry {
    rpc::Caller caller;
    absl::Time verified;     // by the store
    absl::Time fresh_until;  // no need to ask before
  };
  std::optional<Entry> Find(const std::string& hash);
  void Store(const std::string& hash, const Entry& entry);
  void Forget(const std::string& hash);

  const Options options_;
  const rpc::KeyVerifier verify_;
  const Clock* const clock_;
  Mutex mutex_;
  // By hexadecimal SHA-256 of the secret.
  std::unordered_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::orchestrator
