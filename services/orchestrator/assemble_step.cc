// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/assemble_step.h"

#include "libs/injection/attention_rule.h"

namespace dki::orchestrator {
namespace {

void AddMemories(std::span<const Chosen> chosen,
                 google::protobuf::RepeatedPtrField<generation::v1::WeighedMemory>* memories) {
  for (const Chosen& memory : chosen) {
    generation::v1::WeighedMemory* added = memories->Add();
    added->set_memory_id(memory.id);
    added->set_text(memory.text);
    added->set_alpha_read(memory.alpha.read);
    added->set_alpha_answer(memory.alpha.answer);
    added->set_rank(memory.rank);
    *added->mutable_attributes() = memory.attributes;
  }
}

// By itself a modulation is part of the policy: weights that are given, or another law, mean the
// memories as they are (alpha 1 is the prompted model).
injection::ModulationChoice ModulationOf(const MemoryRules& memory) {
  const bool is_policy = !memory.forces_weights() && memory.rule == model::AttentionRule();
  if (memory.modulation == injection::ModulationChoice::kDefault && !is_policy) {
    return injection::ModulationChoice::kOff;
  }
  return memory.modulation;
}

}  // namespace

generation::v1::Prompt AssemblePrompt(const PipelineConfig& config, const ChatTask& task,
                                      const std::string& model_system_prompt, common::v1::Mode mode,
                                      std::span<const Chosen> chosen) {
  const std::string& configured =
      config.system_prompt.empty() ? model_system_prompt : config.system_prompt;
  const std::string& own = task.system_prompt.empty() ? configured : task.system_prompt;

  generation::v1::Prompt prompt;
  prompt.set_system_prompt(own);
  prompt.mutable_history()->Add(task.history.begin(), task.history.end());
  *prompt.mutable_turn() = task.turn;
  prompt.set_answer_prefix(task.answer_prefix);
  prompt.set_max_pack_tokens(config.max_pack_tokens);
  if (chosen.empty()) return prompt;
  if (mode == common::v1::MODE_INJECTED) {
    const bool canonical = task.memory.context != common::v1::PACK_CONTEXT_REQUEST;
    prompt.mutable_injection()->set_context_system_prompt(canonical ? configured : own);
    prompt.mutable_injection()->set_composition(injection::ToString(task.memory.composition));
    prompt.mutable_injection()->set_law(injection::LawName(task.memory.rule));
    prompt.mutable_injection()->set_layers(injection::LayersName(task.memory.rule));
    prompt.mutable_injection()->set_modulation(injection::Name(ModulationOf(task.memory)));
    AddMemories(chosen, prompt.mutable_injection()->mutable_memories());
  } else {
    prompt.mutable_prompt_memories()->set_place(task.memory.place);
    AddMemories(chosen, prompt.mutable_prompt_memories()->mutable_memories());
  }
  return prompt;
}

generation::v1::GenerateRequest AssembleRequest(const PipelineConfig& config, const ChatTask& task,
                                                const std::string& model_system_prompt,
                                                std::span<const Chosen> chosen) {
  generation::v1::GenerateRequest request;
  *request.mutable_sampling() = task.sampling;
  *request.mutable_prompt() =
      AssemblePrompt(config, task, model_system_prompt, task.memory.mode, chosen);
  return request;
}

kv::v1::PackSpec PackToPrefetch(const generation::v1::Prompt& prompt) {
  kv::v1::PackSpec pack;
  if (!prompt.has_injection()) return pack;
  pack.set_context_system_prompt(prompt.injection().context_system_prompt());
  pack.set_composition(prompt.injection().composition());
  for (const auto& memory : prompt.injection().memories()) {
    kv::v1::PackMemory* added = pack.add_memories();
    added->set_memory_id(memory.memory_id());
    added->set_text(memory.text());
    *added->mutable_attributes() = memory.attributes();
  }
  return pack;
}

}  // namespace dki::orchestrator
