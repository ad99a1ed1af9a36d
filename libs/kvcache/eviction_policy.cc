// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/eviction_policy.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "libs/base/check.h"

namespace dki::kvcache {
namespace {

constexpr double kPriorityDoubles = 20;
constexpr int64_t kMostUses = 8;  // that count: more would take too long to age
constexpr size_t kRememberedPerEntry = 4;

// How often keys were used that are gone, the newest of them.
class UseHistory {
 public:
  void Remember(const std::string& key, int64_t uses, size_t n_entries) {
    const size_t hash = std::hash<std::string>()(key);
    Take(key);
    uses_[hash] = {uses, ++sequence_};
    by_age_.push_back({sequence_, hash});
    const size_t most = kRememberedPerEntry * std::max<size_t>(n_entries, 1);
    while (uses_.size() > most || by_age_.size() > 2 * most) {
      const auto [sequence, oldest] = by_age_.front();
      by_age_.pop_front();
      const auto found = uses_.find(oldest);
      if (found != uses_.end() && found->second.second == sequence) uses_.erase(found);
    }
  }
  // 0: not known. It is forgotten.
  int64_t Take(const std::string& key) {
    const auto found = uses_.find(std::hash<std::string>()(key));
    if (found == uses_.end()) return 0;
    const int64_t uses = found->second.first;
    uses_.erase(found);
    return uses;
  }

 private:
  int64_t sequence_ = 0;
  std::unordered_map<size_t, std::pair<int64_t, int64_t>> uses_;  // and when it went
  std::deque<std::pair<int64_t, size_t>> by_age_;
};

// Entries in the order of a number; the policies differ in the number alone.
class RankedPolicy : public EvictionPolicy {
 public:
  void OnInsert(const std::string& key, const Worth& worth) override {
    OnErase(key);
    Entry entry;
    entry.value = worth.recompute_seconds * std::exp2(worth.priority / kPriorityDoubles) /
                  static_cast<double>(std::max<int64_t>(worth.size_bytes, 1));
    entry.frequency = 1 + OnComing(key);
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
    const Entry entry = found->second;
    order_.erase({entry.rank, entry.sequence, key});
    entries_.erase(found);
    OnGone(key, entry, entries_.size());
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
  // Earlier uses.
  virtual int64_t OnComing(const std::string&) { return 0; }
  virtual void OnGone(const std::string&, const Entry&, size_t /*n_entries*/) {}

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
  double Rank(const Entry& entry) const override {
    const auto uses = static_cast<double>(std::min(entry.frequency, kMostUses));
    return clock_ + uses * uses * uses * entry.value;
  }
  void OnVictim(double rank) override { clock_ = std::max(clock_, rank); }
  int64_t OnComing(const std::string& key) override { return history_.Take(key); }
  void OnGone(const std::string& key, const Entry& entry, size_t n_entries) override {
    history_.Remember(key, entry.frequency, n_entries);
  }
  double clock_ = 0;
  UseHistory history_;
};

class LruPolicy : public RankedPolicy {
  double Rank(const Entry&) const override { return 0; }
};

class LfuPolicy : public RankedPolicy {
  double Rank(const Entry& entry) const override { return static_cast<double>(entry.frequency); }
};

// The score changes with time, but among entries with equal hits and alpha the least recently used
// always has the smallest: one of each such class is compared.
class OriginalPolicy : public EvictionPolicy {
 public:
  explicit OriginalPolicy(const Clock* clock) : clock_(clock) {}

  void OnInsert(const std::string& key, const Worth& worth) override {
    OnErase(key);
    Place(key, {.hits = 0, .alpha = worth.alpha});
  }
  void OnHit(const std::string& key) override {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    const Entry entry = found->second;
    OnErase(key);
    Place(key, {.hits = entry.hits + 1, .alpha = entry.alpha});
  }
  void OnErase(const std::string& key) override {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    const Entry& entry = found->second;
    const auto alike = classes_.find({entry.hits, entry.alpha});
    alike->second.erase({entry.last_used, entry.sequence, key});
    if (alike->second.empty()) classes_.erase(alike);
    entries_.erase(found);
  }
  std::string Victim() override {
    DKI_CHECK(!classes_.empty());
    const absl::Time now = clock_->Now();
    double smallest = std::numeric_limits<double>::infinity();
    std::string victim;
    for (const auto& [likeness, alike] : classes_) {
      const auto& [last_used, sequence, key] = *alike.begin();
      const double seconds = absl::ToDoubleSeconds(now - last_used);
      const double score = 0.4 * static_cast<double>(likeness.first) / 100 + 0.3 / (seconds + 1) +
                           0.3 * likeness.second;
      if (score >= smallest) continue;
      smallest = score;
      victim = key;
    }
    return victim;
  }

 private:
  struct Entry {
    int64_t hits = 0;
    double alpha = 1;
    absl::Time last_used{};
    int64_t sequence = 0;
  };

  void Place(const std::string& key, Entry entry) {
    entry.last_used = clock_->Now();
    entry.sequence = ++sequence_;
    classes_[{entry.hits, entry.alpha}].insert({entry.last_used, entry.sequence, key});
    entries_[key] = entry;
  }

  const Clock* const clock_;
  int64_t sequence_ = 0;
  std::unordered_map<std::string, Entry> entries_;
  std::map<std::pair<int64_t, double>, std::set<std::tuple<absl::Time, int64_t, std::string>>>
      classes_;
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeGreedyDualPolicy() {
  return std::make_unique<GreedyDualPolicy>();
}
std::unique_ptr<EvictionPolicy> MakeLruPolicy() {
  return std::make_unique<LruPolicy>();
}
std::unique_ptr<EvictionPolicy> MakeLfuPolicy() {
  return std::make_unique<LfuPolicy>();
}
std::unique_ptr<EvictionPolicy> MakeOriginalPolicy(const Clock* clock) {
  return std::make_unique<OriginalPolicy>(clock);
}

absl::StatusOr<PolicyFactory> ParseEvictionPolicy(std::string_view name, const Clock* clock) {
  if (name == "greedy_dual") return PolicyFactory(MakeGreedyDualPolicy);
  if (name == "lru") return PolicyFactory(MakeLruPolicy);
  if (name == "lfu") return PolicyFactory(MakeLfuPolicy);
  if (name == "as_original") return PolicyFactory([clock] { return MakeOriginalPolicy(clock); });
  return InvalidArgument("\"%s\", must be greedy_dual, lru, lfu or as_original", name);
}

}  // namespace dki::kvcache
