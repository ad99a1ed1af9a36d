// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/composition.h"

#include <charconv>

namespace dki::injection {

absl::StatusOr<Composition> ParseComposition(std::string_view text) {
  constexpr std::string_view kOpen = "repair(";
  if (text == "pack") return Composition{};
  if (text == "independent") return Composition{CompositionKind::kIndependent, 0};
  if (text == "auto") return Composition{CompositionKind::kAuto, 0};
  if (text.starts_with(kOpen) && text.ends_with(')')) {
    const std::string_view number = text.substr(kOpen.size(), text.size() - kOpen.size() - 1);
    int tokens = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), tokens);
    const bool whole = error == std::errc() && end == number.data() + number.size();
    if (whole && tokens >= 1 && tokens <= kMaxRepairTokens) {
      return Composition{.kind = CompositionKind::kRepair, .repair_tokens = tokens};
    }
  }
  return InvalidArgument(
      "composition '%s' is not one of pack, independent, auto, repair(N) with N from 1 to %d",
      text.substr(0, 64), kMaxRepairTokens);
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
  }
  return "pack";
}

}  // namespace dki::injection
