// SPDX-License-Identifier: Apache-2.0
// Purpose: an arm of an evaluation: where an item's memories go and how they are weighed. By name
// (vanilla, prompt_late,
//   prompt_system, prompt_user, injected: alpha 1, default: the product's policy), or written out:
//   injected:alpha=2    injected:beta=5,floor=0.05,read=1,answer=2    prompt_late:top=1
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
};
WeighedItem Weigh(const Arm& arm, std::span<const double> cosines);

}  // namespace dki::eval
