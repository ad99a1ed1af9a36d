// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki eval seed`: the seeds' experiments by name, with their measures.
#pragma once

#include <cstdint>
#include <string>

#include "tools/dki/context.h"

namespace dki::cli {

struct EvalSeedOptions {
  std::string name;  // comparison, alpha_sensitivity
  uint64_t seed = 1;
  int items = 100;  // of each data set
  bool local = false;
  std::string models;  // with local; empty: the default folder
  std::string model;   // with local: another model; empty: the default one
  std::string json_file;
};

absl::Status RunEvalSeed(Context& context, const EvalSeedOptions& options);

}  // namespace dki::cli
