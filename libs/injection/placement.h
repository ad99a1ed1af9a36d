// SPDX-License-Identifier: Apache-2.0
// Purpose: where a pack and the turn sit (design section 4, sliding placement). The turn moves by
//   min(1, largest alpha) * pack length, a real number, and the pack ends where the turn begins:
//   alpha = 0 is the vanilla position, alpha = 1 the prompt's. Pure functions.
#pragma once

#include <span>

namespace dki::injection {

struct Placement {
  double turn_offset = 0.0;  // absolute position of the turn's first token
  double pack_offset = 0.0;  // absolute position of the pack's first token
};

// `n_before`: tokens of prefix and history. REQUIRES: max_alpha >= 0.
Placement PlacePack(int n_before, int pack_tokens, double max_alpha);

}  // namespace dki::injection
