// SPDX-License-Identifier: Apache-2.0
// Purpose: step 4 of the pipeline, pure: what the model is asked to read, and the same pack as kv
//   knows it. The modes differ here and nowhere else: by the field that carries the memories.
#pragma once

#include <span>
#include <string>

#include "dki/generation/v1/generation_service.pb.h"
#include "dki/kv/v1/kv_service.pb.h"
#include "services/orchestrator/chat_task.h"
#include "services/orchestrator/pipeline_config.h"
#include "services/orchestrator/weigh_step.h"

namespace dki::orchestrator {

// What the model reads, with `chosen` where `mode` wants them. `model_system_prompt`: what the
// model uses where nobody configures one.
generation::v1::Prompt AssemblePrompt(const PipelineConfig& config, const ChatTask& task,
                                      const std::string& model_system_prompt, common::v1::Mode mode,
                                      std::span<const Chosen> chosen);
generation::v1::GenerateRequest AssembleRequest(const PipelineConfig& config, const ChatTask& task,
                                                const std::string& model_system_prompt,
                                                std::span<const Chosen> chosen);

// The blocks that `prompt` will need; no memories where it injects none.
kv::v1::PackSpec PackToPrefetch(const generation::v1::Prompt& prompt);

}  // namespace dki::orchestrator
