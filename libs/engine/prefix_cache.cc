// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/prefix_cache.h"

#include <algorithm>

#include "libs/base/check.h"

namespace dki::engine {
namespace {

int CommonBeginning(std::span<const int32_t> a, std::span<const int32_t> b) {
  return static_cast<int>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

PrefixCache::Match PrefixCache::Find(const std::string& tenant_id,
                                     std::span<const int32_t> tokens) {
  auto best = entries_.end();
  int best_tokens = 0;
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (entry->tenant_id != tenant_id) continue;
    const int n = CommonBeginning(entry->tokens, tokens);
    if (n > best_tokens) {
      best = entry;
      best_tokens = n;
    }
  }
  if (best == entries_.end()) return {};
  entries_.splice(entries_.begin(), entries_, best);
  return {best->kv, best_tokens};
}

bool PrefixCache::Insert(const std::string& tenant_id, std::vector<int32_t> tokens,
                         std::shared_ptr<const model::KvBuffer> kv) {
  DKI_CHECK(kv->size() == static_cast<int>(tokens.size()));
  const int64_t n_bytes = static_cast<int64_t>(kv->size_bytes());
  if (n_bytes > budget_bytes_) return false;
  if (tokens.empty()) return true;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    if (entry->tenant_id != tenant_id) {
      ++entry;
      continue;
    }
    const size_t common = CommonBeginning(entry->tokens, tokens);
    if (common == tokens.size()) {  // already held
      entries_.splice(entries_.begin(), entries_, entry);
      return true;
    }
    entry = common == entry->tokens.size() ? Erase(entry) : std::next(entry);
  }
  while (size_bytes_ + n_bytes > budget_bytes_) Erase(std::prev(entries_.end()));
  size_bytes_ += n_bytes;
  entries_.push_front({tenant_id, std::move(tokens), std::move(kv)});
  return true;
}

std::list<PrefixCache::Entry>::iterator PrefixCache::Erase(std::list<Entry>::iterator entry) {
  size_bytes_ -= static_cast<int64_t>(entry->kv->size_bytes());
  return entries_.erase(entry);
}

}  // namespace dki::engine
