// SPDX-License-Identifier: Apache-2.0
// Purpose: what a tier holds, whose it is, and what goes first when room is needed. Tenants do not
//   evict each other: one that is over its quota loses its own, and when the whole is full the
//   tenant that holds most does. So a tenant that holds less than its equal share loses nothing,
//   however others flood. Which of a tenant's entries goes is its policy's choice.
//   Pinned entries stay, up to a share of what their tenant may hold; a pin beyond that is an
//   ordinary entry, and counted. Were nothing but pinned entries left to take, they would go.
//   Entries that expire are not to be served from then on.
// Thread-safety: thread-compatible; the tier's lock guards it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/kvcache/eviction_policy.h"

namespace dki::kvcache {

class TierBudget {
 public:
  struct Options {
    int64_t bytes = 0;
    int64_t bytes_per_tenant = 0;  // 0: as many as the tier has
    PolicyFactory policy = MakeGreedyDualPolicy;
    double pinned_share = 0.5;  // of what a tenant may hold, [0, 1]
    const Clock* clock = RealClock();
  };
  // How an entry is to be kept.
  struct Terms {
    bool pinned = false;
    absl::Time expire_time = absl::InfiniteFuture();
  };
  struct EntryInfo {
    int64_t size_bytes = 0;
    int64_t hits = 0;
    absl::Time added;
    bool pinned = false;  // and within the tenant's share
    absl::Time expire_time;
  };
  explicit TierBudget(Options options);

  // Whether an entry of that size can be held at all.
  bool Admits(int64_t size_bytes) const {
    return size_bytes <= options_.bytes && size_bytes <= quota_;
  }
  // What must go first for a new entry of the tenant to fit; nothing: it fits. To be called, and
  // the victim removed, until it fits. REQUIRES: Admits(size_bytes).
  std::optional<std::string> Victim(const std::string& tenant_id, int64_t size_bytes);

  // REQUIRES: `key` is not held, worth.size_bytes > 0.
  void Add(const std::string& key, const std::string& tenant_id, const Worth& worth) {
    Add(key, tenant_id, worth, Terms());
  }
  void Add(const std::string& key, const std::string& tenant_id, const Worth& worth,
           const Terms& terms);
  void Touch(const std::string& key);   // no-op when it is not held
  void Remove(const std::string& key);  // no-op when it is not held

  bool Holds(const std::string& key) const { return entries_.contains(key); }
  // Nothing: not held.
  std::optional<int64_t> SizeOf(const std::string& key) const;
  std::optional<EntryInfo> InfoOf(const std::string& key) const;
  // Held, but not to be served any more.
  bool IsExpired(const std::string& key) const;
  std::vector<std::string> Expired() const;

  int64_t bytes() const { return bytes_; }
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  int64_t bytes_of(const std::string& tenant_id) const;
  int64_t pinned_bytes() const { return pinned_bytes_; }
  // Pins that came when the tenant's share was taken, since start.
  int64_t pins_refused() const { return pins_refused_; }

 private:
  struct Tenant {
    int64_t bytes = 0;
    int64_t pinned_bytes = 0;
    int64_t n_ordinary = 0;
    std::unique_ptr<EvictionPolicy> policy;  // of ordinary entries
    std::unique_ptr<EvictionPolicy> pins;    // of pinned ones
    EvictionPolicy* PolicyOf(bool pinned) const { return pinned ? pins.get() : policy.get(); }
    std::string Victim() const { return PolicyOf(n_ordinary == 0)->Victim(); }
  };
  struct Entry {
    Tenant* tenant = nullptr;
    const std::string* tenant_id = nullptr;
    EntryInfo info;
  };

  void Resize(const std::string& tenant_id, Tenant* tenant, int64_t by_bytes);

  const Options options_;
  const int64_t quota_;
  int64_t bytes_ = 0;
  int64_t pinned_bytes_ = 0;
  int64_t pins_refused_ = 0;
  std::unordered_map<std::string, Entry> entries_;
  std::map<std::string, Tenant> tenants_;  // those that hold something; nodes do not move
  std::set<std::pair<int64_t, std::string>> by_bytes_;
  std::set<std::pair<absl::Time, std::string>> by_expiry_;  // those that expire
};

}  // namespace dki::kvcache
