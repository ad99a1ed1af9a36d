// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/composition.h"

#include <charconv>
#include <optional>

namespace dki::injection {
namespace {

// The whole of what is between `open` and a closing parenthesis, as a number.
template <typename Number>
std::optional<Number> ReadArgument(std::string_view text, std::string_view open) {
  if (!text.starts_with(open) || !text.ends_with(')')) return std::nullopt;
  const std::string_view argument = text.substr(open.size(), text.size() - open.size() - 1);
  Number number = 0;
  const char* const last = argument.data() + argument.size();
  const auto [end, error] = std::from_chars(argument.data(), last, number);
  if (error != std::errc() || end != last) return std::nullopt;
  return number;
}

// The shortest text that is read as the same share: it is part of blocks' identity.
std::string ShareText(double share) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), share).ptr};
}

}  // namespace

absl::StatusOr<Composition> ParseComposition(std::string_view text) {
  if (text == "pack") return Composition{};
  if (text == "independent") return Composition{.kind = CompositionKind::kIndependent};
  if (text == "auto") return Composition{.kind = CompositionKind::kAuto};
  if (const auto tokens = ReadArgument<int>(text, "repair(");
      tokens && *tokens >= 1 && *tokens <= kMaxRepairTokens) {
    return Composition{.kind = CompositionKind::kRepair, .repair_tokens = *tokens};
  }
  if (const auto share = ReadArgument<double>(text, "blend(");
      share && *share > 0.0 && *share <= 1.0) {
    return Composition{.kind = CompositionKind::kBlend, .blend_share = *share};
  }
  return InvalidArgument(
      "composition '%s' is not one of pack, independent, auto, repair(N) with N from 1 to %d, "
      "blend(SHARE) with SHARE above 0 and at most 1",
      text.substr(0, 64), kMaxRepairTokens);
}

absl::StatusOr<Composition> ParseServedComposition(std::string_view text) {
  DKI_ASSIGN_OR_RETURN(const Composition composition, ParseComposition(text));
  if (composition.kind == CompositionKind::kBlend) {
    return InvalidArgument(
        "composition '%s' is for evaluation in one process (dki eval run --local) and not served; "
        "take pack, independent, auto or repair(N)",
        text.substr(0, 64));
  }
  return composition;
}

std::string ToString(const Composition& composition) {
  switch (composition.kind) {
    case CompositionKind::kPack:
      return "pack";
    case CompositionKind::kIndependent:
      return "independent";
    case CompositionKind::kRepair:
      return absl::StrFormat("repair(%d)", composition.repair_tokens);
    case CompositionKind::kAuto:
      return "auto";
    case CompositionKind::kBlend:
      return "blend(" + ShareText(composition.blend_share) + ")";
  }
  return "pack";
}

}  // namespace dki::injection
