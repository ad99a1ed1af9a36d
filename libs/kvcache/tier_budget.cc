// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/tier_budget.h"

#include "libs/base/check.h"

namespace dki::kvcache {

TierBudget::TierBudget(Options options)
    : options_(std::move(options)),
      quota_(options_.bytes_per_tenant > 0 ? options_.bytes_per_tenant : options_.bytes) {}

std::optional<std::string> TierBudget::Victim(const std::string& tenant_id, int64_t size_bytes) {
  const int64_t own = bytes_of(tenant_id);
  if (own > 0 && own + size_bytes > quota_) return tenants_.at(tenant_id).Victim();
  if (bytes_ + size_bytes <= options_.bytes) return std::nullopt;
  DKI_CHECK(!by_bytes_.empty());
  const auto& [most, holder] = *by_bytes_.rbegin();
  // As it would be with the new entry.
  const bool is_own = own > 0 && own + size_bytes >= most;
  const Tenant& first = tenants_.at(is_own ? tenant_id : holder);
  if (first.n_ordinary > 0) return first.Victim();
  for (auto at = by_bytes_.rbegin(); at != by_bytes_.rend(); ++at) {
    if (tenants_.at(at->second).n_ordinary > 0) return tenants_.at(at->second).Victim();
  }
  return first.Victim();
}

void TierBudget::Add(const std::string& key, const std::string& tenant_id, const Worth& worth,
                     const Terms& terms) {
  DKI_CHECK(!Holds(key) && worth.size_bytes > 0);
  const auto [at, is_new] = tenants_.try_emplace(tenant_id);
  Tenant* const tenant = &at->second;
  if (is_new) {
    tenant->policy = options_.policy();
    tenant->pins = options_.policy();
    by_bytes_.insert({0, tenant_id});
  }
  const auto share = static_cast<int64_t>(options_.pinned_share * static_cast<double>(quota_));
  const bool pinned = terms.pinned && tenant->pinned_bytes + worth.size_bytes <= share;
  if (terms.pinned && !pinned) ++pins_refused_;
  entries_[key] = {tenant,
                   &at->first,
                   {.size_bytes = worth.size_bytes,
                    .hits = 0,
                    .added = options_.clock->Now(),
                    .pinned = pinned,
                    .expire_time = terms.expire_time}};
  tenant->PolicyOf(pinned)->OnInsert(key, worth);
  if (pinned) {
    tenant->pinned_bytes += worth.size_bytes;
    pinned_bytes_ += worth.size_bytes;
  } else {
    ++tenant->n_ordinary;
  }
  if (terms.expire_time != absl::InfiniteFuture()) by_expiry_.insert({terms.expire_time, key});
  Resize(tenant_id, tenant, worth.size_bytes);
}

void TierBudget::Touch(const std::string& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  ++entry.info.hits;
  entry.tenant->PolicyOf(entry.info.pinned)->OnHit(key);
}

void TierBudget::Remove(const std::string& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  const Entry entry = found->second;
  entry.tenant->PolicyOf(entry.info.pinned)->OnErase(key);
  if (entry.info.pinned) {
    entry.tenant->pinned_bytes -= entry.info.size_bytes;
    pinned_bytes_ -= entry.info.size_bytes;
  } else {
    --entry.tenant->n_ordinary;
  }
  by_expiry_.erase({entry.info.expire_time, key});
  entries_.erase(found);
  Resize(*entry.tenant_id, entry.tenant, -entry.info.size_bytes);
}

std::optional<int64_t> TierBudget::SizeOf(const std::string& key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  return found->second.info.size_bytes;
}

std::optional<TierBudget::EntryInfo> TierBudget::InfoOf(const std::string& key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  return found->second.info;
}

bool TierBudget::IsExpired(const std::string& key) const {
  const auto found = entries_.find(key);
  return found != entries_.end() && found->second.info.expire_time <= options_.clock->Now();
}

std::vector<std::string> TierBudget::Expired() const {
  const absl::Time now = options_.clock->Now();
  std::vector<std::string> keys;
  for (const auto& [time, key] : by_expiry_) {
    if (time > now) break;
    keys.push_back(key);
  }
  return keys;
}

int64_t TierBudget::bytes_of(const std::string& tenant_id) const {
  const auto found = tenants_.find(tenant_id);
  return found == tenants_.end() ? 0 : found->second.bytes;
}

void TierBudget::Resize(const std::string& tenant_id, Tenant* tenant, int64_t by_bytes) {
  by_bytes_.erase({tenant->bytes, tenant_id});
  bytes_ += by_bytes;
  tenant->bytes += by_bytes;
  if (tenant->bytes > 0) {
    by_bytes_.insert({tenant->bytes, tenant_id});
  } else {
    tenants_.erase(std::string(tenant_id));
  }
}

}  // namespace dki::kvcache
