// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/arm.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "libs/base/file.h"
#include "libs/base/strings.h"
#include "libs/injection/attention_rule.h"
#include "libs/injection/gate.h"
#include "libs/injection/linked_memories.h"
#include "libs/model/plane_codec.h"

namespace dki::eval {
namespace {

constexpr int kMaxBudget = 1 << 20;

struct NamedPlace {
  const char* name;
  Place place;
};
constexpr NamedPlace kPlaces[] = {{"vanilla", Place::kNone},
                                  {"prompt_late", Place::kPromptLate},
                                  {"prompt_system", Place::kPromptSystem},
                                  {"prompt_user", Place::kPromptUser},
                                  {"injected", Place::kInjected},
                                  {"default", Place::kInjected}};

struct NamedOrder {
  std::string_view name;
  PackOrder order;
};
constexpr NamedOrder kOrders[] = {{"given", PackOrder::kGiven},
                                  {"relevance", PackOrder::kRelevance},
                                  {"relevance_last", PackOrder::kRelevanceLast}};

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (true) {
    const size_t end = text.find(separator, begin);
    parts.emplace_back(Trim(std::string_view(text).substr(begin, end - begin)));
    if (end == std::string::npos) return parts;
    begin = end + 1;
  }
}

absl::Status NotUnderstood(const Arm& arm, const std::string& setting) {
  return InvalidArgument("arm %s: '%s' is no setting", arm.name, setting);
}

absl::Status SetNumber(Arm* arm, const std::string& key, const std::string& text) {
  double value = 0;
  if (!absl::SimpleAtod(text, &value)) {
    return InvalidArgument("arm %s: %s=%s is no number", arm->name, key, text);
  }
  if (key == "top") {
    if (!(value >= 1 && value <= 256)) {
      return InvalidArgument("arm %s: top is %g, must be 1 to 256", arm->name, value);
    }
    arm->top = static_cast<int>(value);
    return absl::OkStatus();
  }
  if (arm->place != Place::kInjected) {
    return InvalidArgument("arm %s: only injected arms have weights", arm->name);
  }
  if (key == "most") {
    if (!(value >= 0 && value <= 256)) {
      return InvalidArgument("arm %s: most is %g, must be 0 to 256", arm->name, value);
    }
    arm->most = static_cast<int>(value);
    return absl::OkStatus();
  }
  if (key == "budget") {
    if (!(value >= 1 && value <= kMaxBudget)) {
      return InvalidArgument("arm %s: budget is %g, must be 1 to %d", arm->name, value, kMaxBudget);
    }
    arm->budget = static_cast<int>(value);
    return absl::OkStatus();
  }
  const std::pair<const char*, std::optional<double>*> fields[] = {
      {"alpha", &arm->alpha},        {"keep", &arm->keep}, {"beta", &arm->beta},
      {"floor", &arm->floor},        {"read", &arm->read}, {"answer", &arm->answer},
      {"threshold", &arm->threshold}};
  for (const auto& [name, field] : fields) {
    if (key == name) {
      *field = value;
      return absl::OkStatus();
    }
  }
  return InvalidArgument(
      "arm %s: '%s' is not one of alpha, keep, most, beta, floor, schedule, read, answer, gate, "
      "threshold, calibration, composition, modulation, format, law, layers, gates, gate_pool, "
      "gate_temperature, gate_bias, gate_floor, gate_layers, preference_layers, history_layers, "
      "refine, history, without, order, budget, top",
      arm->name, key);
}

absl::Status SetCalibration(Arm* arm, const std::string& value) {
  arm->uses_calibration = value != "none";
  if (!arm->uses_calibration) return absl::OkStatus();
  DKI_ASSIGN_OR_RETURN(const std::string json, ReadFile(value));
  auto calibration = injection::ParseCalibration(json);
  if (!calibration.ok()) return Annotate(calibration.status(), "arm " + arm->name);
  arm->calibration = std::make_shared<const injection::Calibration>(*std::move(calibration));
  return absl::OkStatus();
}

absl::Status ReadSetting(const std::string& setting, Arm* arm) {
  const size_t equals = setting.find('=');
  if (equals == std::string::npos) return NotUnderstood(*arm, setting);
  const std::string key = setting.substr(0, equals);
  const std::string value = setting.substr(equals + 1);
  const bool injected = arm->place == Place::kInjected;
  if (key == "calibration" && injected) return SetCalibration(arm, value);
  if (key == "format" && injected) {
    const auto format = model::ParseBlockFormat(value);
    if (!format.ok()) return Annotate(format.status(), "arm " + arm->name + ": format");
    arm->format = *format;
    return absl::OkStatus();
  }
  if (key == "modulation" && injected) {
    if (value.empty()) return InvalidArgument("arm %s: modulation names no file", arm->name);
    arm->modulation = value;
    return absl::OkStatus();
  }
  if (key == "composition" && injected) {
    auto composition = injection::ParseComposition(value);
    if (!composition.ok()) return Annotate(composition.status(), "arm " + arm->name);
    arm->composition = *composition;
    return absl::OkStatus();
  }
  if ((key == "law" || key == "layers") && injected) {
    auto rule = key == "law"
                    ? injection::ParseAttentionRule(value, injection::LayersName(arm->rule))
                    : injection::ParseAttentionRule(injection::LawName(arm->rule), value);
    if (!rule.ok()) return Annotate(rule.status(), "arm " + arm->name);
    arm->rule = *rule;
    return absl::OkStatus();
  }
  if (key == "refine" && injected) {
    DKI_ASSIGN_OR_RETURN(const std::string json, ReadFile(value));
    auto refinement = model::ParseValueRefinement(json);
    if (!refinement.ok()) return Annotate(refinement.status(), "arm " + arm->name);
    arm->refinement = std::make_shared<const model::ValueRefinement>(*std::move(refinement));
    return absl::OkStatus();
  }
  if (injected) {
    const absl::Status status = injection::SetGateOption(key, value, &arm->gates);
    if (!absl::IsNotFound(status)) return Annotate(status, "arm " + arm->name);
  }
  if (key == "history" && injected) {
    if (value != "sticky" && value != "fresh") {
      return InvalidArgument("arm %s: history=%s must be sticky or fresh", arm->name, value);
    }
    arm->sticky_history = value == "sticky";
    return absl::OkStatus();
  }
  if (key == "without" && injected) {
    if (value != "top" && value != "random") {
      return InvalidArgument("arm %s: without=%s must be top or random", arm->name, value);
    }
    arm->without = value == "top" ? Without::kTop : Without::kRandom;
    return absl::OkStatus();
  }
  if (key == "order" && injected) {
    const auto* order = std::ranges::find(kOrders, value, &NamedOrder::name);
    if (order == std::end(kOrders)) {
      return InvalidArgument("arm %s: order=%s must be given, relevance or relevance_last",
                             arm->name, value);
    }
    arm->order = order->order;
    return absl::OkStatus();
  }
  if (key == "gate" && injected) {
    if (value != "on" && value != "off") {
      return InvalidArgument("arm %s: gate=%s must be on or off", arm->name, value);
    }
    arm->gate = value == "on";
    return absl::OkStatus();
  }
  if (key != "schedule") return SetNumber(arm, key, value);
  const size_t dash = value.find('-');
  if (dash == std::string::npos) {
    return InvalidArgument("arm %s: schedule=%s must be READ-ANSWER, as in 1-2", arm->name, value);
  }
  DKI_RETURN_IF_ERROR(SetNumber(arm, "read", value.substr(0, dash)));
  return SetNumber(arm, "answer", value.substr(dash + 1));
}

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

// "alpha" is the weight itself where nothing else is said, and a factor otherwise.
absl::Status Check(Arm* arm) {
  if (arm->place != Place::kInjected) return absl::OkStatus();
  const double alpha = arm->alpha.value_or(1.0);
  if (!(alpha >= 0 && alpha <= injection::kMaxAlpha)) {
    return InvalidArgument("arm %s: alpha is %g, must be 0 to %g", arm->name, alpha,
                           injection::kMaxAlpha);
  }
  const bool has_policy = arm->is_default || arm->beta || arm->floor || arm->read || arm->answer;
  if (has_policy) {
    arm->factor = alpha;
    arm->alpha.reset();
  } else {
    arm->alpha = alpha;
  }
  return Annotate(injection::Validate(PolicyOf(*arm, nullptr)), "arm " + arm->name);
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

std::string ModulationOf(const Arm& arm) {
  if (arm.modulation) return *arm.modulation == "own" ? "" : *arm.modulation;
  // It is part of the policy, not of weights that are given.
  const bool is_policy = arm.is_default && !arm.alpha && arm.rule == model::AttentionRule();
  return is_policy ? "" : "none";
}

absl::StatusOr<Arm> ParseArm(const std::string& text) {
  Arm arm;
  arm.name = text;
  const size_t colon = text.find(':');
  const std::string base = text.substr(0, colon);
  const auto* place = std::find_if(std::begin(kPlaces), std::end(kPlaces),
                                   [&](const auto& p) { return base == p.name; });
  if (place == std::end(kPlaces)) {
    return InvalidArgument(
        "arm '%s' is not one of vanilla, prompt_late, prompt_system, prompt_user, injected, "
        "default",
        base);
  }
  arm.place = place->place;
  arm.is_default = arm.gate = arm.uses_calibration = base == "default";
  if (arm.is_default) arm.composition.kind = injection::CompositionKind::kAuto;
  if (colon != std::string::npos) {
    for (const std::string& setting : Split(text.substr(colon + 1), ',')) {
      DKI_RETURN_IF_ERROR(ReadSetting(setting, &arm));
    }
  }
  DKI_RETURN_IF_ERROR(Check(&arm));
  return arm;
}

absl::StatusOr<std::vector<Arm>> ParseArms(const std::string& text) {
  std::vector<std::string> names;
  for (const std::string& part : Split(text, ',')) {
    const bool continues = !names.empty() && names.back().find(':') != std::string::npos &&
                           part.find('=') != std::string::npos &&
                           part.find(':') == std::string::npos;
    if (continues) {
      names.back() += "," + part;
    } else {
      names.push_back(part);
    }
  }
  std::vector<Arm> arms;
  for (const std::string& name : names) {
    DKI_ASSIGN_OR_RETURN(Arm arm, ParseArm(name));
    arms.push_back(std::move(arm));
  }
  return arms;
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
    weighed.probability = injection::AnswerProbability(calibration->answer, memories, scores);
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
