// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/eviction_policy.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "libs/base/check.h"

namespace dki::kvcache {
namespace {

// Entries in the order of a number; LRU and GreedyDual differ in the number alone.
class RankedPolicy : public EvictionPolicy {
 public:
  void OnInsert(const std::string& key, int64_t size_bytes, double recompute_seconds) override {
    OnErase(key);
    Entry entry;
    entry.value = recompute_seconds / static_cast<double>(std::max<int64_t>(size_bytes, 1));
    entry.frequency = 1;
    Place(key, &entry);
  }
  void OnHit(const std::string& key) override {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    Entry entry = found->second;
    order_.erase({entry.rank, entry.sequence, key});
    ++entry.frequency;
    Place(key, &entry);
  }
  void OnErase(const std::string& key) override {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    order_.erase({found->second.rank, found->second.sequence, key});
    entries_.erase(found);
  }
  std::string Victim() override {
    DKI_CHECK(!order_.empty());
    OnVictim(std::get<0>(*order_.begin()));
    return std::get<2>(*order_.begin());
  }

 protected:
  struct Entry {
    double value = 0;  // cost per byte
    int64_t frequency = 0;
    double rank = 0;
    int64_t sequence = 0;  // of the last use: breaks ties
  };
  virtual double Rank(const Entry& entry) const = 0;
  virtual void OnVictim(double) {}

 private:
  void Place(const std::string& key, Entry* entry) {
    entry->sequence = ++sequence_;
    entry->rank = Rank(*entry);
    order_.insert({entry->rank, entry->sequence, key});
    entries_[key] = *entry;
  }

  int64_t sequence_ = 0;
  std::unordered_map<std::string, Entry> entries_;
  std::set<std::tuple<double, int64_t, std::string>> order_;
};

class GreedyDualPolicy : public RankedPolicy {
  double Rank(const Entry& entry) const override { return clock_ + entry.frequency * entry.value; }
  void OnVictim(double rank) override { clock_ = std::max(clock_, rank); }
  double clock_ = 0;
};

class LruPolicy : public RankedPolicy {
  double Rank(const Entry&) const override { return 0; }
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeGreedyDualPolicy() {
  return std::make_unique<GreedyDualPolicy>();
}
std::unique_ptr<EvictionPolicy> MakeLruPolicy() {
  return std::make_unique<LruPolicy>();
}

}  // namespace dki::kvcache
