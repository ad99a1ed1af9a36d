// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/alpha_policy.h"

#include <algorithm>
#include <cmath>

#include "libs/base/check.h"

namespace dki::injection {
namespace {

// Beyond this every memory but the best sits on the floor.
constexpr double kMaxBeta = 100.0;

absl::Status CheckRange(const char* field, double value, double lowest, double highest) {
  if (value >= lowest && value <= highest) return absl::OkStatus();  // false for NaN
  return InvalidArgument("%s: %g, must be from %g to %g", field, value, lowest, highest);
}

double CapOf(const AlphaPolicy& policy, SourceClass source_class) {
  switch (source_class) {
    case SourceClass::kUser:
      return policy.cap_user;
    case SourceClass::kAssistant:
      return policy.cap_assistant;
    case SourceClass::kDocument:
      return policy.cap_document;
    case SourceClass::kTool:
      return policy.cap_tool;
    case SourceClass::kOperator:
      return policy.cap_operator;
  }
  return policy.cap_tool;  // a class of a newer version: trusted least
}

}  // namespace

bool IsCapped(SourceClass source_class) {
  return source_class != SourceClass::kUser && source_class != SourceClass::kOperator;
}

absl::Status Validate(const AlphaPolicy& policy) {
  DKI_RETURN_IF_ERROR(CheckRange("beta", policy.beta, 0.0, kMaxBeta));
  DKI_RETURN_IF_ERROR(CheckRange("floor", policy.floor, 0.0, 1.0));
  DKI_RETURN_IF_ERROR(CheckRange("read", policy.read, 0.0, kMaxAlpha));
  DKI_RETURN_IF_ERROR(CheckRange("answer", policy.answer, 0.0, kMaxAlpha));
  DKI_RETURN_IF_ERROR(CheckRange("cap_user", policy.cap_user, 0.0, kMaxAlpha));
  DKI_RETURN_IF_ERROR(CheckRange("cap_operator", policy.cap_operator, 0.0, kMaxAlpha));
  DKI_RETURN_IF_ERROR(CheckRange("cap_document", policy.cap_document, 0.0, kMaxAlpha));
  DKI_RETURN_IF_ERROR(CheckRange("cap_assistant", policy.cap_assistant, 0.0, kMaxAlpha));
  return CheckRange("cap_tool", policy.cap_tool, 0.0, kMaxAlpha);
}

MemoryAlpha CapAlpha(const AlphaPolicy& policy, SourceClass source_class, double read,
                     double answer) {
  const double cap = std::min(CapOf(policy, source_class), kMaxAlpha);
  return {.read = std::min(read, cap),
          .answer = std::min(answer, cap),
          .capped = read > cap || answer > cap};
}

std::vector<MemoryAlpha> WeighMemories(const AlphaPolicy& policy,
                                       std::span<const MemoryRelevance> memories,
                                       std::optional<double> forced) {
  DKI_CHECK(!forced || (*forced >= 0.0 && *forced <= kMaxAlpha));
  double best = -INFINITY;
  for (const MemoryRelevance& memory : memories) best = std::fmax(best, memory.score);
  std::vector<MemoryAlpha> alphas;
  alphas.reserve(memories.size());
  for (const MemoryRelevance& memory : memories) {
    // fmax: a cosine that is not a number weighs the floor.
    const double weight = std::fmax(policy.floor, std::exp(policy.beta * (memory.score - best)));
    const double read = forced ? *forced : weight * policy.read;
    const double answer = forced ? *forced : weight * policy.answer;
    alphas.push_back(CapAlpha(policy, memory.source_class, read, answer));
  }
  return alphas;
}

}  // namespace dki::injection
