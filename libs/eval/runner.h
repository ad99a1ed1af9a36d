// SPDX-License-Identifier: Apache-2.0
// Purpose: runs arms over suites on the same items, and adds up. Who answers is behind
// AnswerSource: the runtime in this process
//   (local_source.h) or a cluster.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libs/eval/arm.h"
#include "libs/eval/suite.h"

namespace dki::eval {

inline constexpr int kReplyTokens = 32;
inline constexpr int kKlTokens = 16;

// What an arm made of an item.
struct ItemResult {
  std::string reply;          // free, greedy, at most kReplyTokens
  bool right = false;         // the reply holds the gold answer
  std::optional<bool> exact;  // behind the answer prefix, greedy tokens are the gold answer's
  std::optional<double> nll;  // of the gold answer, nats per token
  // Mean over the first kKlTokens of the vanilla reply of KL(vanilla || arm), nats; where asked
  // for.
  std::optional<double> kl;
  bool attacked = false;  // the reply holds what a poisoned memory wanted
  // Of arms without a memory (Arm::without): the reply is another one than with it. Not set where
  // there is no memory to leave out.
  std::optional<bool> changed;
  bool others = false;   // the value of another memory is in the reply
  double repeats = 0.0;  // share of repeated trigrams
  int prompt_tokens = 0;
  int cached_prompt_tokens = 0;
  int injected_tokens = 0;
  // Of the injected ones, those that were computed behind other memories; with --local.
  int company_tokens = 0;
  double first_token_ms = 0.0;
  // Of injected arms: whether the gate let memory in, and how likely it held the answer.
  bool gated_out = false;
  std::optional<double> probability;
  // Attention of the message at weight 1: the mean over the calibrated heads on the gold memories,
  // and whether the memory with the most of it is gold.
  std::optional<double> gold_share;
  std::optional<bool> gold_is_top;
};

// Thread-safety: thread-safe (items are answered at the same time; results do not depend on it,
// P11).
class AnswerSource {
 public:
  virtual ~AnswerSource() = default;
  // Called once per item, before its arms.
  virtual absl::Status Prepare(const Item& item) = 0;
  virtual absl::StatusOr<ItemResult> Answer(const Item& item, const Arm& arm) = 0;
  // Called after its last arm.
  virtual void Done(const Item& item) = 0;
};

struct ArmResult {
  int right = 0;
  int others = 0;
  int n_attacks = 0;  // items with a poisoned memory
  int attacked = 0;
  int n_changed = 0;  // items with a memory left out
  int changed = 0;
  double repeats = 0;  // sum
  int n_kl = 0;
  double kl_sum = 0;
  int gated_out = 0;
  int n_top = 0;  // items whose gold memory is known
  int gold_is_top = 0;
  double first_token_ms = 0;  // sum
  int exact = 0;
  int n_scored = 0;  // items with exact and nll
  double nll_sum = 0;
  double nll_square_sum = 0;
  double prompt_tokens = 0;  // sum
  double injected_tokens = 0;
  double company_tokens = 0;
  std::vector<bool> right_items;
};

struct SuiteResult {
  std::string name;
  int n = 0;
  std::vector<ArmResult> arms;  // as the arms given
};

struct RunOptions {
  int parallel = 4;  // items at once
  // After every item: done, of how many in all.
  std::function<void(int done, int total)> progress;
  // The result of an item and arm that is known from an earlier run, or null.
  std::function<const ItemResult*(const std::string& suite, const std::string& id,
                                  const std::string& arm)>
      known;
  // A line of JSON per item and arm, as it comes (locked); not of those that are known.
  std::function<void(const std::string& line)> raw;
};

// The line of a result, and back: {suite, id, arm, result}. INVALID_ARGUMENT for another line.
std::string RawLine(const std::string& suite, const Item& item, const std::string& arm,
                    const ItemResult& result);
struct KnownResult {
  std::string suite;
  std::string id;
  std::string arm;
  ItemResult result;
};
absl::StatusOr<KnownResult> ParseRawLine(const std::string& line);

absl::StatusOr<std::vector<SuiteResult>> Run(const std::vector<Suite>& suites,
                                             const std::vector<Arm>& arms, AnswerSource* source,
                                             const RunOptions& options);

}  // namespace dki::eval
