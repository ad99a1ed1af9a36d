// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki eval make`: suites from a seed, in the project's own words or out of texts with
// questions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/dki/context.h"

namespace dki::cli {

struct EvalMakeOptions {
  uint64_t seed = 1;
  int items = 200;   // of each suite
  std::string from;  // texts with questions; empty: the project's own words
  int memories = 0;
  std::string name;
  std::string category;
  std::vector<std::string> without;
  std::string folder;
};

absl::Status RunEvalMake(Context& context, const EvalMakeOptions& options);

}  // namespace dki::cli
