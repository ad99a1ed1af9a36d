// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/records.h"

#include <google/protobuf/util/message_differencer.h>

#include <unordered_map>

#include "libs/base/sha256.h"
#include "libs/base/strings.h"
#include "libs/clients/memory_attributes.h"
#include "libs/injection/attention_rule.h"

namespace dki::orchestrator {
namespace {

constexpr size_t kMaxErrorBytes = 1024;

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  google::protobuf::Timestamp timestamp;
  const int64_t micros = absl::ToUnixMicros(time);
  timestamp.set_seconds(micros / 1'000'000);
  timestamp.set_nanos(static_cast<int32_t>(micros % 1'000'000) * 1000);
  return timestamp;
}

void SetText(const char* kind, const std::string& salt, const std::string& text,
             audit::v1::SideText* side) {
  side->set_kind(kind);
  side->set_salt(salt);
  side->set_text(text);
}

}  // namespace

std::string SaltedHash(const std::string& salt, const std::string& text) {
  return Sha256Hex(salt + text);
}

audit::v1::AppendDecisionRequest MakeDecision(const PipelineConfig& config, const ChatTask& task,
                                              const std::string& key_id, const Decided& decided,
                                              const std::string& salt, absl::Time now) {
  audit::v1::AppendDecisionRequest request;
  audit::v1::DecisionRecord* record = request.mutable_decision();
  record->set_decision_id(task.decision_id);
  *record->mutable_time() = ToTimestamp(now);
  record->set_request_id(task.request_id);
  record->set_key_id(key_id);
  *record->mutable_scope() = task.scope;
  record->set_conversation_id(task.conversation_id);
  record->set_mode(task.memory.mode);
  record->set_prompt_place(task.memory.place);
  record->set_pack_context(task.memory.context);
  if (task.memory.mode == common::v1::MODE_INJECTED) {
    record->set_composition(injection::ToString(task.memory.composition));
  }
  record->set_law(injection::LawName(task.memory.rule));
  record->set_layers(injection::LayersName(task.memory.rule));
  record->set_modulation(injection::Name(task.memory.modulation));
  record->set_query_hash(SaltedHash(salt, task.turn.content()));
  for (const Candidate& candidate : decided.retrieved) {
    audit::v1::RetrievedMemory* retrieved = record->add_retrieved();
    retrieved->set_memory_id(candidate.id);
    retrieved->set_version(candidate.version);
    retrieved->set_cosine(candidate.cosine);
    retrieved->set_gated(candidate.passed);
    retrieved->set_reason(candidate.reason);
    if (candidate.words) retrieved->set_word_share(*candidate.words);
    retrieved->set_superseded_by(candidate.superseded_by);
    if (candidate.probe_share) retrieved->set_probe_share(*candidate.probe_share);
    if (candidate.relevance) retrieved->set_relevance(*candidate.relevance);
  }
  for (const Chosen& memory : decided.chosen) {
    audit::v1::ChosenMemory* chosen = record->add_chosen();
    chosen->set_memory_id(memory.id);
    chosen->set_version(memory.version);
    chosen->set_cosine(memory.cosine);
    chosen->set_alpha_read(memory.alpha.read);
    chosen->set_alpha_answer(memory.alpha.answer);
    chosen->set_source_class(memory.source_class);
    chosen->set_capped(memory.alpha.capped);
  }
  record->set_gate(decided.gate);
  record->set_gate_threshold(static_cast<float>(task.memory.gate.threshold));
  if (decided.answer_probability) record->set_answer_probability(*decided.answer_probability);
  if (decided.answer_threshold) record->set_answer_threshold(*decided.answer_threshold);
  record->mutable_degraded()->Add(decided.degraded.begin(), decided.degraded.end());
  record->set_model_fingerprint(decided.model_fingerprint);
  record->set_embedding_fingerprint(decided.embedding_fingerprint);
  record->set_search_position(decided.search_position);
  record->set_config_hash(config.hash);
  SetText("query", salt, task.turn.content(), request.add_texts());
  return request;
}

audit::v1::AppendOutcomeRequest MakeOutcome(const std::string& decision_id,
                                            const Answered& answered, const std::string& salt,
                                            absl::Time now) {
  audit::v1::AppendOutcomeRequest request;
  audit::v1::OutcomeRecord* record = request.mutable_outcome();
  record->set_decision_id(decision_id);
  *record->mutable_time() = ToTimestamp(now);
  if (answered.status.ok()) {
    const auto& finished = answered.finished;
    const bool cancelled = finished.finish_reason() == "cancelled";
    record->set_status(cancelled ? "cancelled" : "ok");
    record->set_finish_reason(finished.finish_reason());
    *record->mutable_usage() = finished.usage();
    *record->mutable_memories() = finished.memories();
    record->set_lead_in_share(finished.lead_in_share());
    record->set_lead_in_share_unbiased(finished.lead_in_share_unbiased());
  } else {
    const bool cancelled = absl::IsCancelled(answered.status);
    record->set_status(cancelled ? "cancelled" : "error");
    record->set_finish_reason(record->status());
    record->set_error(Abbreviate(ToString(answered.status), kMaxErrorBytes));
  }
  *record->mutable_timings() = answered.timings;
  record->set_modulated(answered.modulated);
  record->mutable_degraded()->Add(answered.degraded.begin(), answered.degraded.end());
  record->set_answer_hash(SaltedHash(salt, answered.text));
  SetText("answer", salt, answered.text, request.add_texts());
  return request;
}

absl::Status CheckSameRequest(const ChatTask& task, const audit::v1::Decision& recorded) {
  const audit::v1::DecisionRecord& decision = recorded.decision();
  const bool same =
      recorded.query_text() == task.turn.content() &&
      decision.conversation_id() == task.conversation_id && decision.mode() == task.memory.mode &&
      decision.prompt_place() == task.memory.place &&
      decision.pack_context() == task.memory.context &&
      (decision.composition().empty() ||
       decision.composition() == injection::ToString(task.memory.composition)) &&
      decision.law() == injection::LawName(task.memory.rule) &&
      decision.layers() == injection::LayersName(task.memory.rule) &&
      decision.modulation() == injection::Name(task.memory.modulation) &&
      google::protobuf::util::MessageDifferencer::Equals(decision.scope(), task.scope);
  if (same) return absl::OkStatus();
  return AlreadyExists("request_id %s was used for another request (decision %s)", task.request_id,
                       task.decision_id);
}

absl::StatusOr<std::vector<Chosen>> RestoreChosen(const audit::v1::DecisionRecord& recorded,
                                                  const Memories& current) {
  std::unordered_map<std::string, const memory::v1::Memory*> memories;
  for (const auto& memory : current) memories.emplace(memory.id(), &memory);
  std::vector<Chosen> chosen;
  std::vector<double> cosines;
  for (const auto& memory : recorded.chosen()) {
    const auto found = memories.find(memory.memory_id());
    if (found == memories.end() || found->second->version() != memory.version()) {
      return Aborted(
          "memory %s of decision %s has changed since request %s was first made; send it with a "
          "new request_id",
          memory.memory_id(), recorded.decision_id(), recorded.request_id());
    }
    cosines.push_back(memory.cosine());
    chosen.push_back({.id = memory.memory_id(),
                      .version = memory.version(),
                      .cosine = memory.cosine(),
                      .text = found->second->text(),
                      .source_class = memory.source_class(),
                      .attributes = clients::AttributesOf(*found->second),
                      .alpha = {memory.alpha_read(), memory.alpha_answer(), memory.capped()},
                      .rank = 0});
  }
  const std::vector<int> ranks = RanksByScore(cosines);
  for (size_t i = 0; i < chosen.size(); ++i) chosen[i].rank = ranks[i];
  return chosen;
}

}  // namespace dki::orchestrator
