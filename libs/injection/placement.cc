// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/placement.h"

#include <algorithm>

#include "libs/base/check.h"

namespace dki::injection {

Placement PlacePack(int n_before, int pack_tokens, double max_alpha) {
  DKI_CHECK(max_alpha >= 0.0);
  const double turn = n_before + std::min(1.0, max_alpha) * pack_tokens;
  return {.turn_offset = turn, .pack_offset = turn - pack_tokens};
}

}  // namespace dki::injection
