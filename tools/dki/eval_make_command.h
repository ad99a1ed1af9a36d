// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki eval make`: suites from a seed, in the project's own words.
#pragma once

#include <cstdint>
#include <string>

#include "tools/dki/context.h"

namespace dki::cli {

struct EvalMakeOptions {
  uint64_t seed = 1;
  int items = 200;  // of each suite
  std::string folder;
};

absl::Status RunEvalMake(Context& context, const EvalMakeOptions& options);

}  // namespace dki::cli
