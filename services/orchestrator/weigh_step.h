// SPDX-License-Identifier: Apache-2.0
// Purpose: step 3 of the pipeline, pure: how much each memory weighs, and the order of the pack.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/injection/alpha_policy.h"
#include "libs/injection/calibration.h"
#include "services/orchestrator/candidates.h"
#include "services/orchestrator/chat_task.h"

namespace dki::orchestrator {

// A memory that is handed to the model.
struct Chosen {
  std::string id;
  int64_t version = 0;
  float cosine = 0.0f;
  std::string text;
  common::v1::SourceClass source_class = common::v1::SOURCE_CLASS_USER;
  common::v1::MemoryAttributes attributes;
  injection::MemoryAlpha alpha;
  int rank = 0;  // 0 is the most relevant; ties go to the one that comes first in the pack
};

// The candidates that are current, in the order of the pack: by position of creation (stable, keeps
// chronology and the cached prefix of the pack), or as named by the request.
std::vector<Candidate*> InPackOrder(const MemoryRules& rules, std::span<Candidate> candidates);

// Those of `in_pack_order` that passed, with their weights: by what the probe saw of them where
// there is a `calibration`, and by the kind of question that `message` asks; else by cosine. With a
// calibration, memories that are too unlikely to be the one that answers are left out in all modes,
// with the reason "improbable". In PROMPT mode a memory weighs 1, as text does. In
// INJECTED mode one that weighs nothing in both phases is left out, with the reason "weightless".
// Memories of capped source classes come last, unless the request names the order: what stands
// behind them is computed without them (pack_plan.h).
std::vector<Chosen> ChooseMemories(const injection::AlphaPolicy& policy,
                                   const injection::Calibration* calibration,
                                   std::string_view message, const MemoryRules& rules,
                                   std::span<Candidate* const> in_pack_order);

// All of `in_pack_order`, each at weight 1: what is probed, and prefetched before the gate decides.
std::vector<Chosen> AllAlike(std::span<Candidate* const> in_pack_order);

// 0 for the highest; ties keep their order.
std::vector<int> RanksByScore(std::span<const double> scores);

}  // namespace dki::orchestrator
