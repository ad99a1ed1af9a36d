// SPDX-License-Identifier: Apache-2.0
// Purpose: what would have been answered without one of a decision's memories: the question asked
//   again with the others, at the weights that the record has.
#pragma once

#include <string>

#include "dki/orchestrator/v1/dki_service.pb.h"
#include "tools/dki/context.h"

namespace dki::cli {

// The request that asks the decision's question again, greedily and outside its conversation,
// without the memory `left_out`: an id, "top" (the one with the greatest share of the attention) or
// "all". `*memory_id` is the id, empty for all. INVALID_ARGUMENT where the decision has no such
// memory, FAILED_PRECONDITION where the question was erased.
absl::StatusOr<orchestrator::v1::ChatRequest> AskWithout(
    const orchestrator::v1::GetDecisionResponse& recorded, const std::string& left_out,
    std::string* memory_id);

struct AnswerWithout {
  std::string memory_id;  // that was left out; empty: all
  std::string text;
  std::string decision_id;  // of the new answer
};
absl::StatusOr<AnswerWithout> AnswerAgainWithout(
    Context& context, const orchestrator::v1::GetDecisionResponse& recorded,
    const std::string& left_out);

}  // namespace dki::cli
