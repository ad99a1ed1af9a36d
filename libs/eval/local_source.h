// SPDX-License-Identifier: Apache-2.0
// Purpose: answers with the runtime in this process: the same engine, packs, probes and weights as
// the cluster's services.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "libs/eval/runner.h"

namespace dki::eval {

struct LocalOptions {
  std::string models;  // folder of the default models
  std::string model;   // another model file or folder; empty: the default one
  bool kl = false;     // ItemResult::kl
};

// `arms`: those that will be asked for; their calibrations say what to probe.
absl::StatusOr<std::unique_ptr<AnswerSource>> MakeLocalSource(const LocalOptions& options,
                                                              std::span<const Arm> arms);

}  // namespace dki::eval
