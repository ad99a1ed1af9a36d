// SPDX-License-Identifier: Apache-2.0
// Purpose: behind what each memory of a pack is computed (design section 4, composition). Short
//   memories lose much of their recall when they are computed apart from each other; long ones
//   gain, since they do not disturb each other, and are then found again in any pack. What each
//   costs and answers: docs/results/composition-2026-11-28.md. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "libs/base/status.h"

namespace dki::injection {

enum class CompositionKind {
  kPack,         // behind the memories in front of it: joint prefill
  kIndependent,  // behind context and lead-in only
  kRepair,       // independent, but its first tokens are computed behind everything in front
  // kPack for short memories, kIndependent for long ones; the footer is behind both (it is a few
  // tokens, and what it has seen tells: docs/results).
  kAuto,
  // Independent, but of each memory the share of its tokens that deviates most from the joint
  // prefill is computed behind everything in front (blend_block.h).
  kBlend,
};

// Lines of so many tokens or more are long (kAuto): paragraphs. Measured (docs/results): SQuAD's
// paragraphs answer as well apart as jointly, turns of a talk (30 to 90 tokens) and sentences
// better jointly.
inline constexpr int kLongLineTokens = 96;
inline constexpr int kMaxRepairTokens = 1024;

struct Composition {
  CompositionKind kind = CompositionKind::kPack;
  int repair_tokens = 0;   // of kRepair, 1 to kMaxRepairTokens
  double blend_share = 0;  // of kBlend, more than 0 and at most 1

  bool operator==(const Composition&) const = default;
};

// "pack", "independent", "repair(16)", "auto", "blend(0.15)". INVALID_ARGUMENT for anything else.
absl::StatusOr<Composition> ParseComposition(std::string_view text);
// Of those that the services have: all but blend, whose blocks are made only where the model and
// the whole pack are (BlockMaker::MakePack: evaluation in one process). INVALID_ARGUMENT.
absl::StatusOr<Composition> ParseServedComposition(std::string_view text);
// What ParseComposition reads as the same.
std::string ToString(const Composition& composition);

}  // namespace dki::injection
