// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/vector_index.h"

#include <algorithm>
#include <cmath>

namespace dki::retrieval {
namespace {

bool FieldAllows(const std::string& memory_field, const std::string& request_field) {
  return memory_field.empty() || memory_field == request_field;
}

}  // namespace

bool Matches(const IndexedMemory& memory, const SearchFilter& filter) {
  return FieldAllows(memory.scope.user_id, filter.scope.user_id) &&
         FieldAllows(memory.scope.session_id, filter.scope.session_id) &&
         FieldAllows(memory.scope.agent_id, filter.scope.agent_id) &&
         memory.expire_time > filter.now &&
         (filter.tag.empty() ||
          std::find(memory.tags.begin(), memory.tags.end(), filter.tag) != memory.tags.end()) &&
         (filter.ids.empty() || filter.ids.count(memory.id) > 0);
}

bool ComesBefore(const Hit& a, const Hit& b) {
  if (a.cosine != b.cosine) return a.cosine > b.cosine;
  if (a.pinned != b.pinned) return a.pinned;
  return a.memory_id < b.memory_id;
}

absl::Status CheckUnitVector(std::span<const float> vector, int dimension) {
  if (vector.size() != static_cast<size_t>(dimension)) {
    return InvalidArgument("the vector has %d dimensions; it must have %d", vector.size(),
                           dimension);
  }
  double sum = 0;
  for (const float value : vector) sum += static_cast<double>(value) * value;
  if (!(std::abs(std::sqrt(sum) - 1.0) <= 1e-3)) {  // NaN fails too
    return InvalidArgument("the vector's length is %g; it must be 1", std::sqrt(sum));
  }
  return absl::OkStatus();
}

}  // namespace dki::retrieval
