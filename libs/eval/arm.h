// SPDX-License-Identifier: Apache-2.0
// Purpose: an arm of an evaluation: where an item's memories go and how they are weighed. By name
//   (vanilla, prompt_late, prompt_system, prompt_user, injected: alpha 1, default: the product's
//   policy), or written out:
//     injected:alpha=2             every memory weighs 2
//     injected:beta=5              exp(5 * (cos_i - cos_max)), at least `floor` (0.05)
//     injected:beta=5,schedule=1-2 times 1 while the turn is read, 2 while answering (also as
//                                  read=1,answer=2); alpha is a factor of both
//     default:beta=5               the product's policy with one change
//     prompt_late:top=1            only the best memory by cosine
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libs/base/status.h"
#include "libs/injection/alpha_policy.h"

namespace dki::eval {

enum class Place { kNone, kInjected, kPromptLate, kPromptSystem, kPromptUser };

struct Arm {
  std::string name;  // as written
  Place place = Place::kNone;
  injection::AlphaPolicy policy;
  std::optional<double> alpha;  // every memory weighs this
  int top = 0;                  // only the best so many by cosine, order kept; 0: all
};

// INVALID_ARGUMENT that names what is not understood.
absl::StatusOr<Arm> ParseArm(const std::string& text);
// Separated by commas; an arm's own settings too, so "a=b" belongs to the arm before it.
absl::StatusOr<std::vector<Arm>> ParseArms(const std::string& text);

// Indexes of the memories that the arm uses, in order, and their weights.
struct WeighedItem {
  std::vector<int> kept;
  std::vector<injection::MemoryAlpha> alphas;  // one per kept
  std::vector<int> ranks;                      // one per kept: 0 has the highest cosine
};
WeighedItem Weigh(const Arm& arm, std::span<const double> cosines);

}  // namespace dki::eval
