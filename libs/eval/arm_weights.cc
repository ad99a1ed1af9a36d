// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/arm.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "libs/injection/gate.h"
#include "libs/injection/linked_memories.h"

namespace dki::eval {
namespace {

// Of those of `memories` that were kept, their places among these.
std::vector<int> PlacesOf(std::span<const int> memories, std::span<const int> kept) {
  std::vector<int> places;
  for (const int memory : memories) {
    const auto place = std::ranges::find(kept, memory);
    if (place != kept.end()) places.push_back(static_cast<int>(place - kept.begin()));
  }
  return places;
}

const injection::Calibration* CalibrationOf(const Arm& arm,
                                            const injection::Calibration* of_model) {
  if (!arm.uses_calibration) return nullptr;
  return arm.calibration != nullptr ? arm.calibration.get() : of_model;
}

// What was seen of the memories when they were computed as the calibration wants it, or null.
const ProbedShares* ProbedFor(const injection::Calibration& calibration,
                              const ItemEvidence& evidence) {
  const auto found = std::ranges::find_if(evidence.probed, [&](const ProbedShares& probed) {
    return probed.probe.composition == calibration.probe;
  });
  return found == evidence.probed.end() ? nullptr : &*found;
}

// The shares of the heads that a calibration looks at, of memory i.
std::vector<double> SharesFor(const injection::Calibration& calibration, const ProbedShares& probed,
                              int i) {
  std::vector<double> shares;
  for (const injection::AttentionHead& head : calibration.heads) {
    const auto found = std::ranges::find(probed.probe.heads, head);
    if (found == probed.probe.heads.end()) return {};
    shares.push_back(probed.shares[i][found - probed.probe.heads.begin()]);
  }
  return shares;
}

// Memories of capped classes come last, as the orchestrator orders a pack; else by `by`.
void Order(PackOrder by, std::span<const injection::SourceClass> source_classes,
           std::vector<int>* kept, std::vector<double>* scores) {
  std::vector<size_t> order(kept->size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (by != PackOrder::kGiven) {
    const double sign = by == PackOrder::kRelevance ? 1.0 : -1.0;
    std::ranges::stable_sort(
        order, [&](size_t a, size_t b) { return sign * (*scores)[a] > sign * (*scores)[b]; });
  }
  std::ranges::stable_partition(order, [&](size_t i) {
    return source_classes.empty() || !injection::IsCapped(source_classes[(*kept)[i]]);
  });
  std::vector<int> sorted_kept;
  std::vector<double> sorted_scores;
  for (const size_t i : order) {
    sorted_kept.push_back((*kept)[i]);
    sorted_scores.push_back((*scores)[i]);
  }
  *kept = std::move(sorted_kept);
  *scores = std::move(sorted_scores);
}

}  // namespace

injection::AlphaPolicy PolicyOf(const Arm& arm, const injection::Strength* strength) {
  injection::AlphaPolicy policy;
  if (!arm.is_default) {
    policy.beta = 0.0;
    policy.read = policy.answer = 1.0;
  } else if (strength != nullptr) {
    policy = injection::WithStrength(policy, *strength);
  }
  policy.beta = arm.beta.value_or(policy.beta);
  policy.floor = arm.floor.value_or(policy.floor);
  policy.read = arm.factor * arm.read.value_or(policy.read);
  policy.answer = arm.factor * arm.answer.value_or(policy.answer);
  return policy;
}

std::vector<Probe> ProbesOf(std::span<const Arm> arms, const injection::Calibration* of_model) {
  std::vector<Probe> probes;
  const auto add = [&probes](const injection::Calibration* calibration) {
    if (calibration == nullptr) return;
    auto probe = std::ranges::find(probes, calibration->probe, &Probe::composition);
    if (probe == probes.end()) probe = probes.insert(probe, {calibration->probe, {}});
    for (const injection::AttentionHead& head : calibration->heads) {
      if (std::ranges::find(probe->heads, head) == probe->heads.end()) probe->heads.push_back(head);
    }
  };
  add(of_model);
  for (const Arm& arm : arms) add(arm.calibration.get());
  return probes;
}

std::vector<double> LookShares(const injection::Calibration& calibration,
                               const ItemEvidence& evidence) {
  std::vector<double> looks;
  const ProbedShares* probed = ProbedFor(calibration, evidence);
  if (probed == nullptr) return looks;
  for (size_t i = 0; i < probed->shares.size(); ++i) {
    const std::vector<double> shares = SharesFor(calibration, *probed, static_cast<int>(i));
    if (shares.empty()) return {};
    looks.push_back(injection::LookShare(calibration.relevance, shares));
  }
  return looks;
}

WeighedItem Weigh(const Arm& arm, const ItemEvidence& evidence,
                  const injection::Calibration* of_model) {
  const std::vector<double>& cosines = evidence.cosines;
  WeighedItem weighed;
  weighed.kept.resize(cosines.size());
  std::iota(weighed.kept.begin(), weighed.kept.end(), 0);
  if (arm.top > 0 && arm.top < static_cast<int>(cosines.size())) {
    std::stable_sort(weighed.kept.begin(), weighed.kept.end(),
                     [&](int a, int b) { return cosines[a] > cosines[b]; });
    weighed.kept.resize(arm.top);
    std::sort(weighed.kept.begin(), weighed.kept.end());
  }
  const injection::Calibration* calibration =
      arm.place == Place::kInjected ? CalibrationOf(arm, of_model) : nullptr;
  const ProbedShares* probed = calibration == nullptr ? nullptr : ProbedFor(*calibration, evidence);
  if (probed == nullptr) calibration = nullptr;

  std::vector<injection::Evidence> memories;
  for (const int i : weighed.kept) {
    memories.push_back({.cosine = cosines[i],
                        .words = evidence.words[i],
                        .later = PlacesOf(evidence.later[i], weighed.kept),
                        .head_shares = {}});
    if (calibration != nullptr) memories.back().head_shares = SharesFor(*calibration, *probed, i);
  }
  std::vector<double> scores;
  for (const int i : weighed.kept) scores.push_back(cosines[i]);
  if (calibration != nullptr) {
    scores = injection::ScoreRelevance(calibration->relevance, memories);
    weighed.probability = injection::AnswerProbability(calibration->answer, memories, scores,
                                                       injection::SpeaksOfAsker(evidence.question));
  }
  if (arm.gate && calibration != nullptr) {
    weighed.passed = *weighed.probability >= arm.threshold.value_or(calibration->answer.threshold);
    if (!weighed.passed) {
      weighed.kept.clear();
      scores.clear();
    }
  } else if (arm.gate) {
    injection::GateOptions options;
    options.threshold = arm.threshold.value_or(options.threshold);
    const injection::GateDecision decision = injection::DecideGate(options, scores);
    std::vector<int> kept;
    std::vector<double> kept_scores;
    for (size_t i = 0; i < scores.size(); ++i) {
      if (!decision.passed[i]) continue;
      kept.push_back(weighed.kept[i]);
      kept_scores.push_back(scores[i]);
    }
    weighed.kept = std::move(kept);
    scores = std::move(kept_scores);
    weighed.passed = !weighed.kept.empty();
  }

  const injection::QuestionKind kind = injection::ClassifyQuestion(evidence.question);
  const injection::Strength* strength =
      calibration == nullptr ? nullptr : &calibration->strength(kind, false);
  const bool is_calibrated = arm.is_default && strength != nullptr;
  const double keep = arm.keep.value_or(is_calibrated ? strength->keep : 1.0);
  const int most = arm.most.value_or(is_calibrated ? strength->most : 0);
  if (keep < 1.0 || most > 0) {
    std::vector<int> kept;
    std::vector<double> kept_scores;
    std::vector<std::string> texts;
    for (const int i : weighed.kept) texts.push_back(evidence.texts[i]);
    const std::vector<int> probable = injection::MostProbable(scores, keep, most);
    for (const int i : injection::WithLinked(probable, texts, evidence.question)) {
      kept.push_back(weighed.kept[i]);
      kept_scores.push_back(scores[i]);
    }
    weighed.kept = std::move(kept);
    scores = std::move(kept_scores);
    if (calibration != nullptr) {
      strength = &calibration->strength(kind, weighed.kept.size() > probable.size());
    }
  }

  Order(arm.order, evidence.source_classes, &weighed.kept, &scores);
  std::vector<injection::MemoryRelevance> relevance;
  weighed.ranks.resize(weighed.kept.size());
  for (size_t i = 0; i < weighed.kept.size(); ++i) {
    relevance.push_back({scores[i], evidence.source_classes.empty()
                                        ? injection::SourceClass::kUser
                                        : evidence.source_classes[weighed.kept[i]]});
    for (size_t j = 0; j < weighed.kept.size(); ++j) {
      const double other = scores[j] - scores[i];
      if (other > 0 || (other == 0 && j < i)) ++weighed.ranks[i];
    }
  }
  weighed.alphas = injection::WeighMemories(PolicyOf(arm, strength), relevance, arm.alpha);
  return weighed;
}

}  // namespace dki::eval
