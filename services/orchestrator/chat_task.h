// SPDX-License-Identifier: Apache-2.0
// Purpose: step 0 of the pipeline, pure: a client's chat request, checked, with every default
// filled
//   in. What follows reads only this.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dki/common/v1/common.pb.h"
#include "dki/orchestrator/v1/dki_service.pb.h"
#include "libs/base/status.h"
#include "libs/injection/modulation_choice.h"
#include "libs/model/model.h"
#include "services/orchestrator/pipeline_config.h"

namespace dki::orchestrator {

struct MemoryRules {
  common::v1::Mode mode = common::v1::MODE_INJECTED;
  common::v1::PromptPlace place = common::v1::PROMPT_PLACE_LATE;
  common::v1::PackContext context = common::v1::PACK_CONTEXT_CANONICAL;
  int k = 8;
  std::optional<double> alpha;                            // overrides the policy
  std::map<std::string, injection::MemoryAlpha> weights;  // of single memories; goes before alpha
  injection::Composition composition;
  model::AttentionRule rule;
  injection::ModulationChoice modulation = injection::ModulationChoice::kDefault;
  injection::GateOptions gate;
  std::vector<std::string> ids;  // exactly these, in this order, ungated
  int64_t min_position = 0;
  std::string tag;

  // The request says how much memories weigh.
  bool forces_weights() const { return alpha.has_value() || !weights.empty(); }
};

struct ChatTask {
  std::string request_id;
  bool is_repeatable = false;  // the client chose the request id, so it may send it again
  std::string decision_id;
  common::v1::Scope scope;
  std::string conversation_id;
  std::string system_prompt;                 // empty: the request has none
  std::vector<common::v1::Message> history;  // from the request; a conversation's comes later
  common::v1::Message turn;
  std::string answer_prefix;
  common::v1::SamplingOptions sampling;
  MemoryRules memory;
};

// The id of a request's decision: the same for the same tenant and request id, so that a repeated
// request finds the record of the first.
std::string DecisionId(const std::string& tenant_id, const std::string& request_id);

// INVALID_ARGUMENT with the field's path and its limits. `request_id` is used where the request has
// none.
absl::StatusOr<ChatTask> MakeChatTask(const PipelineConfig& config, const std::string& tenant_id,
                                      const v1::ChatRequest& request,
                                      const std::string& request_id);

absl::Status ValidateSampling(const common::v1::SamplingOptions& sampling);

}  // namespace dki::orchestrator
