// SPDX-License-Identifier: Apache-2.0
// Purpose: the K/V of the contexts that packs were lately computed behind: nearly always the one
//   configured system prompt. Contexts hold no memory, so tenants may share them.
// Thread-safety: thread-compatible; used by whoever has the compute turn.
#pragma once

#include <cstdint>
#include <list>
#include <utility>
#include <vector>

#include "libs/base/status.h"
#include "libs/model/model.h"

namespace dki::kv {

class ContextCache {
 public:
  ContextCache(model::Model* model, size_t budget_bytes)
      : model_(model), budget_bytes_(budget_bytes) {}

  // Valid until the next call.
  absl::StatusOr<const model::KvBuffer*> Get(const std::vector<int32_t>& tokens);

 private:
  using Entry = std::pair<std::vector<int32_t>, model::KvBuffer>;

  model::Model* const model_;
  const size_t budget_bytes_;
  size_t bytes_ = 0;
  std::list<Entry> entries_;  // the last used first
};

}  // namespace dki::kv
