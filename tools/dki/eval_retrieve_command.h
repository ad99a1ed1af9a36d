// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki eval retrieve`: how well memories are found, by words, by meaning and by both.
#pragma once

#include <string>
#include <vector>

#include "tools/dki/context.h"

namespace dki::cli {

struct EvalRetrieveOptions {
  std::vector<std::string> suites;  // store suites: *.jsonl, SQuAD's *.json, BEIR folders
  std::string json_file;
  std::string markdown_file;
  std::string models;           // empty: the default folder
  bool cross_validate = false;  // of suites with several stores
  bool turns = false;           // questions that lean on the turn before, too
};

absl::Status RunEvalRetrieve(Context& context, const EvalRetrieveOptions& options);

}  // namespace dki::cli
