// SPDX-License-Identifier: Apache-2.0
// Purpose: what was measured about one model so that memory is used well with it: which heads look
//   for answers, how their attention and retrieval's cosine combine, from when on the memories hold
//   the answer, and how strongly a memory then weighs. Made by `dki calibrate`, stored as JSON with
//   the model's fingerprint; a model without one gets the documented safe default (AlphaPolicy,
//   GateOptions: cosine alone).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libs/base/status.h"
#include "libs/injection/alpha_policy.h"
#include "libs/injection/attention_head.h"
#include "libs/injection/composition.h"
#include "libs/injection/question_kind.h"
#include "libs/injection/relevance.h"

namespace dki::injection {

// How strongly memories weigh that hold the answer. Over relevance scores instead of cosines: beta
// 1 weighs memories by their odds.
struct Strength {
  // Which memories are kept (MostProbable): as many as hold this probability together,
  double keep = 1.0;
  // and not more than so many; 0: no bound. As JSON it may be left out: 0.
  int most = 0;
  double beta = 1.0;
  double floor = 0.05;
  double read = 1.0;
  double answer = 1.0;
};

struct Calibration {
  std::string model_fingerprint;
  std::vector<AttentionHead> heads;  // to be probed; relevance.heads follow them
  // Behind what the memories that are probed are computed. What the heads see depends on it, so all
  // the numbers hold for this composition alone. As JSON ("probe") it may be left out: a pack.
  Composition probe;
  RelevanceModel relevance;
  AnswerModel answer;
  Strength lookup;
  // Of a lookup that takes memories which the likely ones lead to (linked_memories.h): several
  // facts are put together, which too much weight on them disturbs. Its `keep` is the lookup's. As
  // JSON it may be left out: the same as lookup.
  Strength linked;
  Strength judgement;

  const Strength& strength(QuestionKind kind, bool is_linked) const {
    if (kind == QuestionKind::kJudgement) return judgement;
    return is_linked ? linked : lookup;
  }
};

// INVALID_ARGUMENT with the field that is missing, unknown or out of range.
absl::StatusOr<Calibration> ParseCalibration(std::string_view json);
std::string ToJson(const Calibration& calibration);

// `policy` with a calibrated steepness, floor and schedule, and its own caps.
AlphaPolicy WithStrength(AlphaPolicy policy, const Strength& strength);

}  // namespace dki::injection
