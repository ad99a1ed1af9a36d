// SPDX-License-Identifier: Apache-2.0
#include "services/generation/convert.h"

#include "libs/clients/memory_attributes.h"
#include "libs/injection/attention_rule.h"
#include "libs/injection/modulation_choice.h"

namespace dki::generation {
namespace {

model::Message ToMessage(const common::v1::Message& proto) {
  return {proto.role(), proto.content()};
}

template <typename Memories>
std::vector<engine::Memory> ToMemories(const Memories& protos) {
  std::vector<engine::Memory> memories;
  for (const v1::WeighedMemory& proto : protos) {
    memories.push_back({.memory_id = proto.memory_id(),
                        .text = proto.text(),
                        .alpha_read = proto.alpha_read(),
                        .alpha_answer = proto.alpha_answer(),
                        .rank = proto.rank(),
                        .attributes = clients::ToAttributes(proto.attributes())});
  }
  return memories;
}

absl::StatusOr<engine::MemoryPlace> ToPlace(common::v1::PromptPlace place) {
  switch (place) {
    case common::v1::PROMPT_PLACE_UNSPECIFIED:
    case common::v1::PROMPT_PLACE_LATE:
      return engine::MemoryPlace::kPromptLate;
    case common::v1::PROMPT_PLACE_SYSTEM:
      return engine::MemoryPlace::kPromptSystem;
    case common::v1::PROMPT_PLACE_USER:
      return engine::MemoryPlace::kPromptUser;
    default:
      return InvalidArgument("prompt.prompt_memories.place has no value %d",
                             static_cast<int>(place));
  }
}

common::v1::Tier ToProtoTier(engine::Tier tier) {
  switch (tier) {
    case engine::Tier::kDevice:
      return common::v1::TIER_DEVICE;
    case engine::Tier::kRam:
      return common::v1::TIER_RAM;
    case engine::Tier::kDisk:
      return common::v1::TIER_DISK;
    case engine::Tier::kRemote:
      return common::v1::TIER_REMOTE;
    case engine::Tier::kRecomputed:
      return common::v1::TIER_RECOMPUTED;
    case engine::Tier::kUnknown:
      break;
  }
  return common::v1::TIER_UNSPECIFIED;
}

void ToProto(const engine::Usage& usage, audit::v1::Usage* proto) {
  proto->set_prompt_tokens(usage.prompt_tokens);
  proto->set_memory_prompt_tokens(usage.memory_prompt_tokens);
  proto->set_cached_prompt_tokens(usage.cached_prompt_tokens);
  proto->set_injected_tokens(usage.injected_tokens);
  proto->set_completion_tokens(usage.completion_tokens);
}

void ToProto(const engine::LoadChoice& choice, common::v1::LoadChoice* proto) {
  switch (choice.path) {
    case engine::LoadChoice::Path::kNone:
      break;
    case engine::LoadChoice::Path::kLoad:
      proto->set_path(common::v1::LoadChoice::PATH_LOAD);
      break;
    case engine::LoadChoice::Path::kRecompute:
      proto->set_path(common::v1::LoadChoice::PATH_RECOMPUTE);
      break;
    case engine::LoadChoice::Path::kExplore:
      proto->set_path(common::v1::LoadChoice::PATH_EXPLORE);
      break;
  }
  if (choice.load_estimate_us >= 0) proto->set_load_estimate_us(choice.load_estimate_us);
  if (choice.recompute_estimate_us >= 0) {
    proto->set_recompute_estimate_us(choice.recompute_estimate_us);
  }
}

void ToProto(const engine::MemoryOutcome& outcome, audit::v1::MemoryOutcome* proto) {
  proto->set_memory_id(outcome.memory_id);
  proto->set_n_tokens(outcome.n_tokens);
  proto->set_tier(ToProtoTier(outcome.tier));
  proto->set_load_us(outcome.load_us);
  if (outcome.choice.path != engine::LoadChoice::Path::kNone) {
    ToProto(outcome.choice, proto->mutable_choice());
  }
  proto->set_attention_share(outcome.attention_share);
  proto->set_attention_share_unbiased(outcome.attention_share_unbiased);
  proto->set_dropped(outcome.dropped);
}

void ToProto(const engine::Timings& timings, audit::v1::Timings* proto) {
  proto->set_queue_us(timings.queue_us);
  proto->set_pack_us(timings.pack_us);
  proto->set_prefill_us(timings.prefill_us);
  proto->set_first_token_us(timings.first_token_us);
  proto->set_total_us(timings.total_us);
}

}  // namespace

absl::StatusOr<engine::Prompt> ToPrompt(
    const v1::Prompt& proto, const std::shared_ptr<const injection::Modulation>& modulation) {
  engine::Prompt prompt;
  prompt.system_prompt = proto.system_prompt();
  for (const common::v1::Message& message : proto.history()) {
    prompt.history.push_back(ToMessage(message));
  }
  if (!proto.has_turn()) return InvalidArgument("prompt.turn must be set");
  prompt.turn = ToMessage(proto.turn());
  prompt.answer_prefix = proto.answer_prefix();
  prompt.max_pack_tokens = proto.max_pack_tokens();
  prompt.memory_required = proto.memory_required();
  if (proto.has_injection()) {
    prompt.place = engine::MemoryPlace::kInjected;
    prompt.context_system_prompt = proto.injection().context_system_prompt();
    prompt.memories = ToMemories(proto.injection().memories());
    if (const std::string& text = proto.injection().composition(); !text.empty()) {
      const auto composition = injection::ParseServedComposition(text);
      if (!composition.ok()) return Annotate(composition.status(), "prompt.injection.composition");
      prompt.composition = *composition;
    }
    const auto rule =
        injection::ParseAttentionRule(proto.injection().law(), proto.injection().layers());
    if (!rule.ok()) return Annotate(rule.status(), "prompt.injection");
    prompt.rule = *rule;
    const auto choice = injection::ParseModulationChoice(proto.injection().modulation());
    if (!choice.ok()) return Annotate(choice.status(), "prompt.injection");
    if (*choice == injection::ModulationChoice::kOn && modulation == nullptr) {
      return InvalidArgument(
          "prompt.injection: modulation must be default or off where there is no modulation_file, "
          "not \"on\"");
    }
    if (*choice != injection::ModulationChoice::kOff) prompt.modulation = modulation;
  } else if (proto.has_prompt_memories()) {
    DKI_ASSIGN_OR_RETURN(prompt.place, ToPlace(proto.prompt_memories().place()));
    prompt.memories = ToMemories(proto.prompt_memories().memories());
  }
  return prompt;
}

engine::AnswerOptions ToAnswerOptions(const common::v1::SamplingOptions& proto) {
  engine::AnswerOptions options;
  model::SamplingOptions& sampling = options.sampling;
  if (proto.has_temperature()) sampling.temperature = proto.temperature();
  if (proto.has_top_k()) sampling.top_k = proto.top_k();
  if (proto.has_top_p()) sampling.top_p = proto.top_p();
  if (proto.has_min_p()) sampling.min_p = proto.min_p();
  if (proto.has_repetition_penalty()) sampling.repetition_penalty = proto.repetition_penalty();
  if (proto.has_seed()) sampling.seed = proto.seed();
  if (proto.has_max_tokens()) options.max_tokens = proto.max_tokens();
  options.stop.assign(proto.stop().begin(), proto.stop().end());
  return options;
}

void ToProto(const engine::Started& started, v1::GenerateResponse::Started* proto) {
  ToProto(started.usage, proto->mutable_usage());
  for (const engine::MemoryOutcome& outcome : started.memories) {
    ToProto(outcome, proto->add_memories());
  }
  for (const std::string& part : started.degraded) proto->add_degraded(part);
  proto->set_modulated(started.modulated);
}

void ToProto(const engine::Answer& answer, v1::GenerateResponse::Finished* proto) {
  proto->set_finish_reason(answer.finish_reason);
  ToProto(answer.usage, proto->mutable_usage());
  for (const engine::MemoryOutcome& outcome : answer.memories) {
    ToProto(outcome, proto->add_memories());
  }
  proto->set_lead_in_share(answer.lead_in_share);
  proto->set_lead_in_share_unbiased(answer.lead_in_share_unbiased);
  ToProto(answer.timings, proto->mutable_timings());
  proto->mutable_token_ids()->Add(answer.token_ids.begin(), answer.token_ids.end());
}

void ToProto(const engine::ProbeResult& probe, v1::ProbeResponse* proto) {
  for (const engine::ProbedMemory& memory : probe.memories) {
    v1::ProbeResponse::Memory* added = proto->add_memories();
    ToProto(memory.outcome, added->mutable_outcome());
    added->set_middle_share(memory.middle_share);
    added->mutable_head_shares()->Add(memory.head_shares.begin(), memory.head_shares.end());
  }
  ToProto(probe.usage, proto->mutable_usage());
  for (const std::string& part : probe.degraded) proto->add_degraded(part);
  ToProto(probe.timings, proto->mutable_timings());
}

void ToProto(const engine::ScoreResult& scores, v1::ScoreResponse* proto) {
  proto->mutable_token_ids()->Add(scores.token_ids.begin(), scores.token_ids.end());
  proto->mutable_log_probabilities()->Add(scores.log_probabilities.begin(),
                                          scores.log_probabilities.end());
  proto->mutable_greedy_ids()->Add(scores.greedy_ids.begin(), scores.greedy_ids.end());
  for (const engine::MemoryOutcome& outcome : scores.memories) {
    ToProto(outcome, proto->add_memories());
  }
}

engine::LoadChoice ToChoice(const common::v1::LoadChoice& proto) {
  engine::LoadChoice choice;
  switch (proto.path()) {
    case common::v1::LoadChoice::PATH_LOAD:
      choice.path = engine::LoadChoice::Path::kLoad;
      break;
    case common::v1::LoadChoice::PATH_RECOMPUTE:
      choice.path = engine::LoadChoice::Path::kRecompute;
      break;
    case common::v1::LoadChoice::PATH_EXPLORE:
      choice.path = engine::LoadChoice::Path::kExplore;
      break;
    default:
      break;
  }
  if (proto.has_load_estimate_us()) choice.load_estimate_us = proto.load_estimate_us();
  if (proto.has_recompute_estimate_us()) {
    choice.recompute_estimate_us = proto.recompute_estimate_us();
  }
  return choice;
}

engine::Tier ToTier(common::v1::Tier tier) {
  switch (tier) {
    case common::v1::TIER_DEVICE:
      return engine::Tier::kDevice;
    case common::v1::TIER_RAM:
      return engine::Tier::kRam;
    case common::v1::TIER_DISK:
      return engine::Tier::kDisk;
    case common::v1::TIER_REMOTE:
      return engine::Tier::kRemote;
    case common::v1::TIER_RECOMPUTED:
      return engine::Tier::kRecomputed;
    default:
      return engine::Tier::kUnknown;
  }
}

}  // namespace dki::generation
