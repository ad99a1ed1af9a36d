// SPDX-License-Identifier: Apache-2.0
// Purpose: the seeds' experiments by name, with their measures and without their degenerate cases:
//   comparison         persona_chat and memory_qa: no memory, the notes in the prompt (their rag),
//                      injected (their dki), the product's policy
//   alpha_sensitivity  memory_qa over a constant alpha from 0 to 1
// What was mended: every item of persona_chat has a note that answers it (68 % of the seeds' had
// none and counted as recalled); memory_qa's items differ (the seeds' 100 were 22) and have
// distracting notes; a fifth of the items of both ask for what nobody told, and count for
// hallucination only; each question belongs to its memories (the seeds' sweep paired them at
// random); an arm is known by its full name (the seeds' ids held a rounded alpha).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libs/eval/runner.h"

namespace dki::eval {

struct SeedExperiment {
  std::vector<Suite> suites;
  std::string arms;  // as ParseArms reads them
};

// INVALID_ARGUMENT for another name, or items outside 5 to 10,000.
absl::StatusOr<SeedExperiment> MakeSeedExperiment(const std::string& name, uint64_t seed,
                                                  int items);

// Of one suite and arm. Percent but for the times; BLEU and ROUGE-L against the note that answers,
// over the items that have one.
struct SeedScores {
  std::string suite;
  std::string arm;
  int n = 0;
  double memory_recall = 0;
  double hallucination_rate = 0;
  double bleu = 0;
  double rouge_l = 0;
  double first_token_ms_mean = 0;
  double first_token_ms_p50 = 0;
  double first_token_ms_p95 = 0;
};

// `results` are the lines of a run of the experiment's suites, in any order.
std::vector<SeedScores> ScoreSeedExperiment(const SeedExperiment& experiment,
                                            const std::vector<KnownResult>& results);

std::string SeedScoresJson(const std::string& name, const std::vector<SeedScores>& scores);
// Header first.
std::vector<std::vector<std::string>> SeedScoresTable(const std::vector<SeedScores>& scores);

}  // namespace dki::eval
