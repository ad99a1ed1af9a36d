// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/arm.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "libs/base/file.h"
#include "libs/base/strings.h"
#include "libs/injection/attention_rule.h"
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

}  // namespace dki::eval
