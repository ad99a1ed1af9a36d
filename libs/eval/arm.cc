// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/arm.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "absl/strings/numbers.h"
#include "libs/base/strings.h"

namespace dki::eval {
namespace {

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

// What stands behind an arm's name.
struct Settings {
  std::optional<double> alpha;
  std::optional<double> beta;
  std::optional<double> floor;
  std::optional<double> read;
  std::optional<double> answer;
  std::optional<double> top;

  bool has_policy() const { return beta || floor || read || answer; }
  bool is_for_injection() const { return alpha || has_policy(); }
  std::optional<double>* Find(const std::string& key) {
    if (key == "alpha") return &alpha;
    if (key == "beta") return &beta;
    if (key == "floor") return &floor;
    if (key == "read") return &read;
    if (key == "answer") return &answer;
    if (key == "top") return &top;
    return nullptr;
  }
};

absl::Status SetNumber(const std::string& arm, const std::string& key, const std::string& text,
                       Settings* settings) {
  std::optional<double>* const field = settings->Find(key);
  if (field == nullptr) {
    return InvalidArgument(
        "arm %s: '%s' is not one of alpha, beta, floor, schedule, read, answer, top", arm, key);
  }
  double value = 0;
  if (!absl::SimpleAtod(text, &value)) {
    return InvalidArgument("arm %s: %s=%s is no number", arm, key, text);
  }
  *field = value;
  return absl::OkStatus();
}

absl::Status ReadSetting(const std::string& arm, const std::string& setting, Settings* settings) {
  const size_t equals = setting.find('=');
  if (equals == std::string::npos) {
    return InvalidArgument("arm %s: '%s' is no setting", arm, setting);
  }
  const std::string key = setting.substr(0, equals);
  const std::string value = setting.substr(equals + 1);
  if (key != "schedule") return SetNumber(arm, key, value, settings);
  const size_t dash = value.find('-');
  if (dash == std::string::npos) {
    return InvalidArgument("arm %s: schedule=%s must be READ-ANSWER, as in 1-2", arm, value);
  }
  DKI_RETURN_IF_ERROR(SetNumber(arm, "read", value.substr(0, dash), settings));
  return SetNumber(arm, "answer", value.substr(dash + 1), settings);
}

// "injected" begins at the constant weight 1, "default" at the product's policy; alpha is a factor
// of both phases.
absl::Status Apply(const Settings& settings, bool is_default, Arm* arm) {
  if (settings.top) {
    if (!(*settings.top >= 1 && *settings.top <= 256)) {
      return InvalidArgument("arm %s: top is %g, must be 1 to 256", arm->name, *settings.top);
    }
    arm->top = static_cast<int>(*settings.top);
  }
  if (arm->place != Place::kInjected) {
    if (!settings.is_for_injection()) return absl::OkStatus();
    return InvalidArgument("arm %s: only injected arms have weights", arm->name);
  }
  const double alpha = settings.alpha.value_or(1.0);
  if (!(alpha >= 0 && alpha <= injection::kMaxAlpha)) {
    return InvalidArgument("arm %s: alpha is %g, must be 0 to %g", arm->name, alpha,
                           injection::kMaxAlpha);
  }
  if (!is_default && !settings.has_policy()) {
    arm->alpha = alpha;
    return absl::OkStatus();
  }
  injection::AlphaPolicy& policy = arm->policy;
  policy.beta = settings.beta.value_or(is_default ? policy.beta : 0.0);
  policy.floor = settings.floor.value_or(policy.floor);
  policy.read = alpha * settings.read.value_or(is_default ? policy.read : 1.0);
  policy.answer = alpha * settings.answer.value_or(is_default ? policy.answer : 1.0);
  return Annotate(injection::Validate(policy), "arm " + arm->name);
}

}  // namespace

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
  Settings settings;
  if (colon != std::string::npos) {
    for (const std::string& setting : Split(text.substr(colon + 1), ',')) {
      DKI_RETURN_IF_ERROR(ReadSetting(text, setting, &settings));
    }
  }
  DKI_RETURN_IF_ERROR(Apply(settings, base == "default", &arm));
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

WeighedItem Weigh(const Arm& arm, std::span<const double> cosines) {
  WeighedItem weighed;
  weighed.kept.resize(cosines.size());
  std::iota(weighed.kept.begin(), weighed.kept.end(), 0);
  if (arm.top > 0 && arm.top < static_cast<int>(cosines.size())) {
    std::stable_sort(weighed.kept.begin(), weighed.kept.end(),
                     [&](int a, int b) { return cosines[a] > cosines[b]; });
    weighed.kept.resize(arm.top);
    std::sort(weighed.kept.begin(), weighed.kept.end());
  }
  std::vector<injection::MemoryRelevance> relevance;
  for (const int i : weighed.kept) relevance.push_back({cosines[i], injection::SourceClass::kUser});
  weighed.ranks.resize(weighed.kept.size());
  for (size_t i = 0; i < weighed.kept.size(); ++i) {
    for (size_t j = 0; j < weighed.kept.size(); ++j) {
      const double other = cosines[weighed.kept[j]] - cosines[weighed.kept[i]];
      if (other > 0 || (other == 0 && j < i)) ++weighed.ranks[i];
    }
  }
  weighed.alphas = injection::WeighMemories(arm.policy, relevance, arm.alpha);
  return weighed;
}

}  // namespace dki::eval
