// SPDX-License-Identifier: Apache-2.0
// Between the protos and the engine's plain data. Pure functions; limits are the engine's to check
// (libs/engine/validate.h), presence and enumerations are checked here.
#pragma once

#include <memory>
#include <vector>

#include "dki/audit/v1/audit.pb.h"
#include "dki/generation/v1/generation_service.pb.h"
#include "libs/base/status.h"
#include "libs/engine/request.h"
#include "libs/injection/modulation.h"

namespace dki::generation {

// `modulation`: this process's, or null.
absl::StatusOr<engine::Prompt> ToPrompt(
    const v1::Prompt& proto, const std::shared_ptr<const injection::Modulation>& modulation);
engine::AnswerOptions ToAnswerOptions(const common::v1::SamplingOptions& proto);

void ToProto(const engine::Started& started, v1::GenerateResponse::Started* proto);
void ToProto(const engine::Answer& answer, v1::GenerateResponse::Finished* proto);
void ToProto(const engine::ProbeResult& probe, v1::ProbeResponse* proto);
void ToProto(const engine::ScoreResult& scores, v1::ScoreResponse* proto);

engine::Tier ToTier(common::v1::Tier tier);
engine::LoadChoice ToChoice(const common::v1::LoadChoice& proto);

}  // namespace dki::generation
