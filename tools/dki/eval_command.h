// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki eval run`: arms over labelled suites (design section 10).
#pragma once

#include <string>

#include "tools/dki/context.h"

namespace dki::cli {

struct EvalOptions {
  std::string suite;  // a file, or a folder of *.jsonl
  std::string arms = "vanilla,prompt_late,prompt_system,prompt_user,injected,default";
  int n = 0;     // first so many items of each suite; 0: all
  int skip = 0;  // without so many in front of them
  bool local = false;
  std::string json_file;
  std::string models;   // with local; empty: the default folder
  std::string model;    // with local: another model; empty: the default one
  bool kl = false;      // with local: KL to the vanilla reply
  bool resume = false;  // keep what json_file's raw items hold already
};

absl::Status RunEval(Context& context, const EvalOptions& options);

}  // namespace dki::cli
