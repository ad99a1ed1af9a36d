// SPDX-License-Identifier: Apache-2.0
// Purpose: who is next, fair between tenants: the first of the tenant that has been served least.
//   Service is counted in tokens; a tenant that comes back after having asked for nothing starts
//   level with the least served of the others, so that idling saves nothing up (virtual token
//   counters, Sheng et al., arXiv:2401.00588).
// Thread-safety: thread-compatible.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace dki::engine {

template <typename T>
class FairQueue {
 public:
  void Push(const std::string& tenant_id, T item) {
    Enter(tenant_id).waiting.push_back(std::move(item));
    ++size_;
  }
  // For what was taken and could not be kept: it is its tenant's next again.
  void PushFront(const std::string& tenant_id, T item) {
    Enter(tenant_id).waiting.push_front(std::move(item));
    ++size_;
  }

  // The next one, or null.
  const T* Front() const {
    const auto next = Next();
    return next == tenants_.end() ? nullptr : &next->second.waiting.front();
  }
  // REQUIRES: size() > 0. The tenant counts as busy until Leave.
  T Pop() {
    const auto next = tenants_.find(Next()->first);
    T item = std::move(next->second.waiting.front());
    next->second.waiting.pop_front();
    ++next->second.running;
    --size_;
    return item;
  }
  // One that was popped is done, or was pushed back.
  void Leave(const std::string& tenant_id) {
    --tenants_[tenant_id].running;
    // An idle tenant's counter matters while it is above those of the busy ones.
    const double least = LeastOfBusy().value_or(std::numeric_limits<double>::infinity());
    std::erase_if(tenants_,
                  [&](const auto& t) { return !t.second.busy() && t.second.served <= least; });
  }
  // Tokens computed for a tenant.
  void Charge(const std::string& tenant_id, double tokens) { tenants_[tenant_id].served += tokens; }

  size_t size() const { return size_; }
  size_t WaitingOf(const std::string& tenant_id) const {
    const auto tenant = tenants_.find(tenant_id);
    return tenant == tenants_.end() ? 0 : tenant->second.waiting.size();
  }

  // What the tenant that waits most waits for.
  size_t Longest() const {
    size_t longest = 0;
    for (const auto& [id, tenant] : tenants_) longest = std::max(longest, tenant.waiting.size());
    return longest;
  }
  // Takes the newest that `may_drop` allows of the tenant that waits most, if that one waits for
  // more than `least`.
  template <typename F>
  std::optional<T> DropNewestOfLongest(size_t least, F&& may_drop) {
    auto longest = tenants_.end();
    for (auto it = tenants_.begin(); it != tenants_.end(); ++it) {
      const size_t n = it->second.waiting.size();
      if (n > least && (longest == tenants_.end() || n > longest->second.waiting.size()))
        longest = it;
    }
    if (longest == tenants_.end()) return std::nullopt;
    std::deque<T>& waiting = longest->second.waiting;
    for (auto it = waiting.rbegin(); it != waiting.rend(); ++it) {
      if (!may_drop(*it)) continue;
      T item = std::move(*it);
      waiting.erase(std::next(it).base());
      --size_;
      return item;
    }
    return std::nullopt;
  }

  // Every one that waits.
  std::deque<T> All() const {
    std::deque<T> all;
    for (const auto& [id, tenant] : tenants_) {
      all.insert(all.end(), tenant.waiting.begin(), tenant.waiting.end());
    }
    return all;
  }
  void Erase(const T& item) {
    for (auto& [id, tenant] : tenants_) size_ -= std::erase(tenant.waiting, item);
  }

 private:
  struct Tenant {
    std::deque<T> waiting;
    int running = 0;
    double served = 0.0;
    std::pair<double, int> place() const { return {served, running}; }
    bool busy() const { return running > 0 || !waiting.empty(); }
  };

  Tenant& Enter(const std::string& tenant_id) {
    Tenant& tenant = tenants_[tenant_id];
    if (tenant.busy()) return tenant;
    tenant.served = std::max(tenant.served, LeastOfBusy().value_or(0.0));
    return tenant;
  }
  std::optional<double> LeastOfBusy() const {
    std::optional<double> least;
    for (const auto& [id, tenant] : tenants_) {
      if (tenant.busy()) least = std::min(least.value_or(tenant.served), tenant.served);
    }
    return least;
  }
  typename std::map<std::string, Tenant>::const_iterator Next() const {
    auto next = tenants_.end();
    for (auto it = tenants_.begin(); it != tenants_.end(); ++it) {
      if (it->second.waiting.empty()) continue;
      if (next == tenants_.end() || it->second.place() < next->second.place()) next = it;
    }
    return next;
  }

  std::map<std::string, Tenant> tenants_;
  size_t size_ = 0;
};

}  // namespace dki::engine
