// SPDX-License-Identifier: Apache-2.0
// Purpose: how much each memory weighs at the attention (design section 4): relevance weights and
// the schedule. Pure functions.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "libs/base/status.h"
#include "libs/injection/memory_attributes.h"

namespace dki::injection {

inline constexpr double kMaxAlpha = 16.0;

// What others wrote (document, assistant, tool): its weight has a cap, and it may not reach the
// answer by way of other memories' K/V either (pack_plan.h).
bool IsCapped(SourceClass source_class);

struct AlphaPolicy {
  double beta = 2.0;    // steepness over relevance
  double floor = 0.05;  // no memory that passed the gate weighs less
  double read = 1.0;    // factor while the turn is read
  double answer = 2.0;  // factor while the answer is written
  // Caps by source class (user and operator: none but kMaxAlpha).
  double cap_user = kMaxAlpha;
  double cap_operator = kMaxAlpha;
  double cap_document = 2.0;
  double cap_assistant = 1.0;
  double cap_tool = 0.5;
};
absl::Status Validate(const AlphaPolicy& policy);  // INVALID_ARGUMENT with the field and its limits

struct MemoryRelevance {
  double score = 0.0;  // cosine, or log-odds of a calibration (relevance.h)
  SourceClass source_class = SourceClass::kUser;
};

struct MemoryAlpha {
  double read = 1.0;
  double answer = 1.0;
  bool capped = false;
};

// Cut to the class's cap.
MemoryAlpha CapAlpha(const AlphaPolicy& policy, SourceClass source_class, double read,
                     double answer);

// alpha_i = max(floor, exp(beta * (score_i - score_max))), times the phase's factor, cut to the
// class's cap. With `forced`, every memory weighs that in both phases, still capped. REQUIRES:
// forced in [0, kMaxAlpha].
std::vector<MemoryAlpha> WeighMemories(const AlphaPolicy& policy,
                                       std::span<const MemoryRelevance> memories,
                                       std::optional<double> forced);

}  // namespace dki::injection
