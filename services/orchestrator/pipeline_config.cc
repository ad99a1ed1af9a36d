// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/pipeline_config.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "libs/base/file.h"
#include "libs/base/sha256.h"
#include "libs/injection/known_calibrations.h"
#include "services/orchestrator/limits.h"

namespace dki::orchestrator {
namespace {

absl::StatusOr<AuditPolicy> ParseAuditPolicy(const std::string& text) {
  if (text == "required") return AuditPolicy::kRequired;
  if (text == "spool") return AuditPolicy::kSpool;
  if (text == "best_effort") return AuditPolicy::kBestEffort;
  return InvalidArgument(
      "audit.policy must be \"required\", \"spool\" or \"best_effort\", not \"%s\"", text);
}

// The pipeline's own settings: addresses and logging change no answer.
std::string Hash(config::v1::OrchestratorServer config, const std::string& calibration) {
  config.clear_server();
  config.clear_memory_store();
  config.clear_retrieval();
  config.clear_kv();
  config.clear_generation();
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    config.SerializeToCodedStream(&coded);
  }
  return Sha256Hex(bytes + calibration);
}

}  // namespace

const injection::Calibration* CalibrationFor(const PipelineConfig& config,
                                             const std::string& model_fingerprint) {
  if (!config.probe) return nullptr;
  if (config.calibration && config.calibration->model_fingerprint == model_fingerprint) {
    return &*config.calibration;
  }
  return injection::KnownCalibration(model_fingerprint);
}

absl::StatusOr<PipelineConfig> ParsePipelineConfig(const config::v1::OrchestratorServer& config) {
  PipelineConfig parsed;
  parsed.k = config.retrieve().k();
  DKI_RETURN_IF_ERROR(CheckRange("retrieve.k", parsed.k, 1, kMaxK));
  parsed.gate.enabled = config.gate().enabled();
  parsed.gate.threshold = config.gate().threshold();
  DKI_RETURN_IF_ERROR(CheckReal("gate.threshold", parsed.gate.threshold, -1.0, 1.0));
  parsed.probe = config.gate().probe();
  if (const std::string& path = config.gate().calibration_file(); !path.empty()) {
    const auto json = ReadFile(path);
    if (!json.ok()) return Annotate(json.status(), "gate.calibration_file");
    auto calibration = injection::ParseCalibration(*json);
    if (!calibration.ok()) return Annotate(calibration.status(), "gate.calibration_file " + path);
    parsed.calibration = *std::move(calibration);
  }

  const auto& alpha = config.alpha();
  parsed.alpha = {.beta = alpha.beta(),
                  .floor = alpha.floor(),
                  .read = alpha.read(),
                  .answer = alpha.answer(),
                  .cap_user = alpha.cap_user(),
                  .cap_operator = alpha.cap_operator(),
                  .cap_document = alpha.cap_document(),
                  .cap_assistant = alpha.cap_assistant(),
                  .cap_tool = alpha.cap_tool()};
  DKI_RETURN_IF_ERROR(Annotate(injection::Validate(parsed.alpha), "alpha"));

  parsed.max_pack_tokens = config.assemble().max_pack_tokens();
  DKI_RETURN_IF_ERROR(CheckRange("assemble.max_pack_tokens", parsed.max_pack_tokens, 1, 1 << 20));
  parsed.system_prompt = config.assemble().system_prompt();
  DKI_RETURN_IF_ERROR(
      CheckText("assemble.system_prompt", parsed.system_prompt, 0, kMaxMessageBytes));
  parsed.default_max_tokens = config.assemble().default_max_tokens();
  DKI_RETURN_IF_ERROR(
      CheckRange("assemble.default_max_tokens", parsed.default_max_tokens, 1, kMaxAnswerTokens));

  const auto composition = injection::ParseServedComposition(config.assemble().composition());
  if (!composition.ok()) return Annotate(composition.status(), "assemble.composition");
  parsed.composition = *composition;

  DKI_ASSIGN_OR_RETURN(parsed.audit, ParseAuditPolicy(config.audit().policy()));
  parsed.spool_path = config.audit().spool_path();
  if (parsed.audit == AuditPolicy::kSpool && parsed.spool_path.empty()) {
    return InvalidArgument("audit.spool_path must be set where audit.policy is \"spool\"");
  }
  parsed.hash =
      Hash(config, parsed.calibration ? injection::ToJson(*parsed.calibration) : std::string());
  return parsed;
}

}  // namespace dki::orchestrator
