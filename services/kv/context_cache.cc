// SPDX-License-Identifier: Apache-2.0
#include "services/kv/context_cache.h"

#include <algorithm>

#include "libs/injection/compute_pack.h"

namespace dki::kv {

absl::StatusOr<const model::KvBuffer*> ContextCache::Get(const std::vector<int32_t>& tokens) {
  const auto found = std::ranges::find(entries_, tokens, &Entry::first);
  if (found != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, found);
    return &entries_.front().second;
  }
  DKI_ASSIGN_OR_RETURN(model::KvBuffer context, injection::ComputeContext(model_, tokens));
  bytes_ += context.size_bytes();
  entries_.emplace_front(tokens, std::move(context));
  while (bytes_ > budget_bytes_ && entries_.size() > 1) {
    bytes_ -= entries_.back().second.size_bytes();
    entries_.pop_back();
  }
  return &entries_.front().second;
}

}  // namespace dki::kv
