// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/weigh_step.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "libs/clients/memory_attributes.h"
#include "libs/injection/linked_memories.h"

namespace dki::orchestrator {
namespace {

struct Kept {
  std::vector<double> scores;
  bool is_linked = false;  // others came with the probable ones
};
// Those of `passed` that stay; the others are taken out.
Kept ScoreAndKeep(const injection::RelevanceModel& model, const injection::Strength& strength,
                  std::string_view message, std::vector<Candidate*>* passed) {
  const std::vector<injection::Evidence> evidence = EvidenceOf(*passed);
  const std::vector<double> scores = injection::ScoreRelevance(model, evidence);
  const std::vector<int> later = injection::SupersededBy(model, evidence);
  for (size_t i = 0; i < passed->size(); ++i) {
    if (later[i] >= 0) (*passed)[i]->superseded_by = (*passed)[later[i]]->id;
    (*passed)[i]->relevance = scores[i];
    (*passed)[i]->reason = "improbable";
  }
  std::vector<std::string> texts;
  for (const Candidate* candidate : *passed) texts.push_back(candidate->text);
  std::vector<Candidate*> kept;
  Kept result;
  const std::vector<int> probable = injection::MostProbable(scores, strength.keep, strength.most);
  for (const int i : injection::WithLinked(probable, texts, message)) {
    kept.push_back((*passed)[i]);
    kept.back()->reason = "";
    result.scores.push_back(scores[i]);
  }
  *passed = std::move(kept);
  result.is_linked = passed->size() > probable.size();
  return result;
}

}  // namespace

std::vector<Chosen> AllAlike(std::span<Candidate* const> in_pack_order) {
  std::vector<double> cosines;
  for (const Candidate* candidate : in_pack_order) cosines.push_back(candidate->cosine);
  const std::vector<int> ranks = RanksByScore(cosines);
  std::vector<Chosen> all;
  for (size_t i = 0; i < in_pack_order.size(); ++i) {
    const Candidate& candidate = *in_pack_order[i];
    Chosen memory;
    memory.id = candidate.id;
    memory.text = candidate.text;
    memory.attributes = candidate.attributes;
    memory.rank = ranks[i];
    all.push_back(std::move(memory));
  }
  return all;
}

std::vector<int> RanksByScore(std::span<const double> scores) {
  std::vector<int> best_first(scores.size());
  std::iota(best_first.begin(), best_first.end(), 0);
  std::stable_sort(best_first.begin(), best_first.end(),
                   [&](int a, int b) { return scores[a] > scores[b]; });
  std::vector<int> ranks(scores.size());
  for (size_t rank = 0; rank < best_first.size(); ++rank) {
    ranks[best_first[rank]] = static_cast<int>(rank);
  }
  return ranks;
}

std::vector<Candidate*> InPackOrder(const MemoryRules& rules, std::span<Candidate> candidates) {
  std::vector<Candidate*> ordered;
  for (Candidate& candidate : candidates) {
    if (candidate.reason != kNotCurrent) ordered.push_back(&candidate);
  }
  if (rules.ids.empty()) {
    std::stable_sort(ordered.begin(), ordered.end(), [](const Candidate* a, const Candidate* b) {
      return a->create_position < b->create_position;
    });
  }
  return ordered;
}

std::vector<Chosen> ChooseMemories(const injection::AlphaPolicy& policy,
                                   const injection::Calibration* calibration,
                                   std::string_view message, const MemoryRules& rules,
                                   std::span<Candidate* const> in_pack_order) {
  std::vector<Candidate*> passed;
  for (Candidate* candidate : in_pack_order) {
    if (candidate->passed) passed.push_back(candidate);
  }
  injection::AlphaPolicy weights = policy;
  std::vector<double> scores;
  if (calibration == nullptr) {
    for (const Candidate* candidate : passed) scores.push_back(candidate->cosine);
  } else {
    const injection::QuestionKind kind = injection::ClassifyQuestion(message);
    const injection::Strength everything;
    Kept kept = ScoreAndKeep(
        calibration->relevance,
        rules.forces_weights() ? everything : calibration->strength(kind, false), message, &passed);
    scores = std::move(kept.scores);
    weights = injection::WithStrength(policy, calibration->strength(kind, kept.is_linked));
  }
  std::vector<injection::MemoryRelevance> relevances;
  for (size_t i = 0; i < passed.size(); ++i) {
    relevances.push_back({scores[i], clients::ToSourceClass(passed[i]->source_class)});
  }
  const bool injected = rules.mode == common::v1::MODE_INJECTED;
  std::vector<injection::MemoryAlpha> alphas =
      injected ? injection::WeighMemories(weights, relevances, rules.alpha)
               : std::vector<injection::MemoryAlpha>(passed.size());
  for (size_t i = 0; injected && i < passed.size(); ++i) {
    const auto forced = rules.weights.find(passed[i]->id);
    if (forced == rules.weights.end()) continue;
    alphas[i] = injection::CapAlpha(policy, relevances[i].source_class, forced->second.read,
                                    forced->second.answer);
  }
  const std::vector<int> ranks = RanksByScore(scores);

  std::vector<Chosen> chosen;
  for (size_t i = 0; i < passed.size(); ++i) {
    Candidate& candidate = *passed[i];
    if (alphas[i].read == 0.0 && alphas[i].answer == 0.0) {
      candidate.reason = "weightless";
      continue;
    }
    chosen.push_back({.id = candidate.id,
                      .version = candidate.version,
                      .cosine = candidate.cosine,
                      .text = candidate.text,
                      .source_class = candidate.source_class,
                      .attributes = candidate.attributes,
                      .alpha = alphas[i],
                      .rank = ranks[i]});
  }
  if (rules.ids.empty()) {
    std::stable_partition(chosen.begin(), chosen.end(), [](const Chosen& memory) {
      return !injection::IsCapped(clients::ToSourceClass(memory.source_class));
    });
  }
  return chosen;
}

}  // namespace dki::orchestrator
