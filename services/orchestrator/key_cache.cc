// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/key_cache.h"

#include "libs/base/sha256.h"
#include "services/orchestrator/upstreams.h"

namespace dki::orchestrator {

absl::StatusOr<rpc::Caller> KeyCache::Verify(const std::string& secret) {
  const std::string hash = Sha256Hex(secret);
  const absl::Time now = clock_->Now();
  const std::optional<Entry> known = Find(hash);
  if (known && now < known->fresh_until) return known->caller;

  const absl::StatusOr<rpc::Caller> caller = verify_(secret);
  if (caller.ok()) {
    Store(hash, {*caller, now, now + options_.fresh_for});
    return caller;
  }
  if (absl::IsUnauthenticated(caller.status())) {
    Forget(hash);
    return caller.status();
  }
  if (known && now < known->verified + options_.stale_for) {
    // Asking a store that hangs takes its whole time limit: not for each call.
    Store(hash, {known->caller, known->verified, now + options_.fresh_for});
    return known->caller;
  }
  return Unavailable("the API key cannot be checked now: %s", ToStd(caller.status().message()));
}

std::optional<KeyCache::Entry> KeyCache::Find(const std::string& hash) {
  MutexLock lock(&mutex_);
  const auto found = entries_.find(hash);
  if (found == entries_.end()) return std::nullopt;
  return found->second;
}

void KeyCache::Store(const std::string& hash, const Entry& entry) {
  MutexLock lock(&mutex_);
  if (entries_.size() >= options_.max_entries && entries_.count(hash) == 0) {
    const absl::Time now = clock_->Now();
    std::erase_if(entries_, [&](const auto& item) { return item.second.fresh_until <= now; });
    // All in use: begin anew, at the price of one question each.
    if (entries_.size() >= options_.max_entries) entries_.clear();
  }
  entries_[hash] = entry;
}

void KeyCache::Forget(const std::string& hash) {
  MutexLock lock(&mutex_);
  entries_.erase(hash);
}

}  // namespace dki::orchestrator
