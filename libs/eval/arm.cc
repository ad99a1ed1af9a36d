// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/arm.h"

#include <algorithm>
#include <numeric>

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

absl::Status Apply(const std::string& setting, Arm* arm) {
  const size_t equals = setting.find('=');
  if (equals == std::string::npos)
    return InvalidArgument("arm %s: '%s' is no setting", arm->name, setting);
  const std::string key = setting.substr(0, equals);
  double value = 0;
  if (!absl::SimpleAtod(setting.substr(equals + 1), &value)) {
    return InvalidArgument("arm %s: %s is no number", arm->name, setting);
  }
  if (key == "top") {
    if (value < 1)
      return InvalidArgument("arm %s: top is %g, must be at least 1", arm->name, value);
    arm->top = static_cast<int>(value);
    return absl::OkStatus();
  }
  if (arm->place != Place::kInjected)
    return InvalidArgument("arm %s: %s is a setting of injected arms", arm->name, key);
  if (key == "alpha") {
    if (!(value >= 0 && value <= injection::kMaxAlpha)) {
      return InvalidArgument("arm %s: alpha is %g, must be 0 to %g", arm->name, value,
                             injection::kMaxAlpha);
    }
    arm->alpha = value;
    return absl::OkStatus();
  }
  double* const field = key == "beta"     ? &arm->policy.beta
                        : key == "floor"  ? &arm->policy.floor
                        : key == "read"   ? &arm->policy.read
                        : key == "answer" ? &arm->policy.answer
                                          : nullptr;
  if (field == nullptr) {
    return InvalidArgument("arm %s: '%s' is not one of alpha, beta, floor, read, answer, top",
                           arm->name, key);
  }
  *field = value;
  // A written-out policy means the policy, not the constant weight that "injected" alone stands
  // for.
  if (arm->alpha == 1.0) arm->alpha.reset();
  return Annotate(injection::Validate(arm->policy), "arm " + arm->name);
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
  if (base == "injected") arm.alpha = 1.0;
  if (colon == std::string::npos) return arm;
  for (const std::string& setting : Split(text.substr(colon + 1), ','))
    DKI_RETURN_IF_ERROR(Apply(setting, &arm));
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
  weighed.alphas = injection::WeighMemories(arm.policy, relevance, arm.alpha);
  return weighed;
}

}  // namespace dki::eval
