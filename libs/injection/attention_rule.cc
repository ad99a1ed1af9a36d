// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/attention_rule.h"

#include <charconv>

namespace dki::injection {
namespace {

constexpr int kMaxLayers = 1 << 16;

bool ReadInt(std::string_view text, int* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

absl::StatusOr<model::AttentionLaw> ParseLaw(std::string_view law) {
  if (law.empty() || law == "bias") return model::AttentionLaw::kBias;
  if (law == "blend") return model::AttentionLaw::kBlend;
  if (law == "as_original") return model::AttentionLaw::kValues;
  return InvalidArgument("law '%s' is not one of bias, blend, as_original", law.substr(0, 64));
}

}  // namespace

absl::StatusOr<model::AttentionRule> ParseAttentionRule(std::string_view law,
                                                        std::string_view layers) {
  model::AttentionRule rule;
  DKI_ASSIGN_OR_RETURN(rule.law, ParseLaw(law));
  if (layers.empty()) return rule;
  const size_t dash = layers.find('-');
  int last = -1;
  const bool reads = dash != std::string_view::npos &&
                     ReadInt(layers.substr(0, dash), &rule.first_layer) &&
                     ReadInt(layers.substr(dash + 1), &last);
  if (!reads || rule.first_layer < 0 || last < rule.first_layer || last >= kMaxLayers) {
    return InvalidArgument("layers '%s' is not FIRST-LAST, as in 7-22", layers.substr(0, 64));
  }
  rule.end_layer = last + 1;
  return rule;
}

std::string LawName(const model::AttentionRule& rule) {
  switch (rule.law) {
    case model::AttentionLaw::kBias:
      return "";
    case model::AttentionLaw::kBlend:
      return "blend";
    case model::AttentionLaw::kValues:
      return "as_original";
  }
  return "";
}

std::string LayersName(const model::AttentionRule& rule) {
  const model::AttentionRule all;
  if (rule.first_layer == all.first_layer && rule.end_layer == all.end_layer) return "";
  return absl::StrFormat("%d-%d", rule.first_layer, rule.end_layer - 1);
}

}  // namespace dki::injection
