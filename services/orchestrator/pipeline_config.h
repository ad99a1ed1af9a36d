// SPDX-License-Identifier: Apache-2.0
// Purpose: the configuration of each step of the pipeline, checked, as plain data.
#pragma once

#include <optional>
#include <string>

#include "dki/config/v1/orchestrator.pb.h"
#include "libs/base/status.h"
#include "libs/injection/alpha_policy.h"
#include "libs/injection/calibration.h"
#include "libs/injection/composition.h"
#include "libs/injection/gate.h"

namespace dki::orchestrator {

// What happens to a request whose decision cannot be committed.
enum class AuditPolicy {
  kRequired,    // it fails
  kSpool,       // the decision goes to a local file and from there to the store, later
  kBestEffort,  // the loss is counted
};

struct PipelineConfig {
  int k = 8;
  injection::GateOptions gate;
  injection::AlphaPolicy alpha;
  bool probe = true;
  std::optional<injection::Calibration> calibration;  // configured; else the product's own
  int max_pack_tokens = 1024;
  // Of requests that bring none, and of the canonical context. Empty: the model's own.
  std::string system_prompt;
  int default_max_tokens = 256;
  injection::Composition composition = {injection::CompositionKind::kAuto, 0};
  AuditPolicy audit = AuditPolicy::kRequired;
  std::string spool_path;
  // Hexadecimal SHA-256 of all of the above; in every decision.
  std::string hash;
};

// What is used with the model of this fingerprint; null where nothing is, or probes are off.
const injection::Calibration* CalibrationFor(const PipelineConfig& config,
                                             const std::string& model_fingerprint);

// INVALID_ARGUMENT with the field's path and its limits.
absl::StatusOr<PipelineConfig> ParsePipelineConfig(const config::v1::OrchestratorServer& config);

}  // namespace dki::orchestrator
