// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/tier_budget.h"

#include "libs/base/check.h"

namespace dki::kvcache {

TierBudget::TierBudget(Options options)
    : options_(std::move(options)),
      quota_(options_.bytes_per_tenant > 0 ? options_.bytes_per_tenant : options_.bytes) {}

std::optional<std::string> TierBudget::Victim(const std::string& tenant_id, int64_t size_bytes) {
  const int64_t own = bytes_of(tenant_id);
  if (own > 0 && own + size_bytes > quota_) return tenants_.at(tenant_id).policy->Victim();
  if (bytes_ + size_bytes <= options_.bytes) return std::nullopt;
  DKI_CHECK(!by_bytes_.empty());
  const auto& [most, holder] = *by_bytes_.rbegin();
  // As it would be with the new entry.
  const bool is_own = own > 0 && own + size_bytes >= most;
  return tenants_.at(is_own ? tenant_id : holder).policy->Victim();
}

void TierBudget::Add(const std::string& key, const std::string& tenant_id, const Worth& worth) {
  DKI_CHECK(!Holds(key) && worth.size_bytes > 0);
  const auto [at, is_new] = tenants_.try_emplace(tenant_id);
  Tenant* const tenant = &at->second;
  if (is_new) {
    tenant->policy = options_.policy();
    by_bytes_.insert({0, tenant_id});
  }
  entries_[key] = {tenant, &at->first, worth.size_bytes};
  tenant->policy->OnInsert(key, worth);
  Resize(tenant_id, tenant, worth.size_bytes);
}

void TierBudget::Touch(const std::string& key) {
  const auto found = entries_.find(key);
  if (found != entries_.end()) found->second.tenant->policy->OnHit(key);
}

void TierBudget::Remove(const std::string& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  const Entry entry = found->second;
  entry.tenant->policy->OnErase(key);
  entries_.erase(found);
  Resize(*entry.tenant_id, entry.tenant, -entry.size_bytes);
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
