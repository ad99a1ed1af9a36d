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

inline constexpr int kReplyTokens = 24;

// What an arm made of an item.
struct ItemResult {
  std::string reply;          // free, greedy, at most kReplyTokens
  bool right = false;         // the reply holds the gold answer
  std::optional<bool> exact;  // behind the answer prefix, greedy tokens are the gold answer's
  std::optional<double> nll;  // of the gold answer, nats per token
  int prompt_tokens = 0;
  int injected_tokens = 0;
};

// Thread-safety: thread-safe (items are answered at the same time; results do not depend on it,
// P11).
class AnswerSource {
 public:
  virtual ~AnswerSource() = default;
  // Called once per item, before its arms.
  virtual absl::Status Prepare(const Item& item) = 0;
  virtual absl::StatusOr<ItemResult> Answer(const Item& item, const Arm& arm) = 0;
};

struct ArmResult {
  int right = 0;
  int exact = 0;
  int n_scored = 0;  // items with exact and nll
  double nll_sum = 0;
  double nll_square_sum = 0;
  double prompt_tokens = 0;  // sum
  double injected_tokens = 0;
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
  // A line of JSON per item and arm, as it comes (locked).
  std::function<void(const std::string& line)> raw;
};

absl::StatusOr<std::vector<SuiteResult>> Run(const std::vector<Suite>& suites,
                                             const std::vector<Arm>& arms, AnswerSource* source,
                                             const RunOptions& options);

}  // namespace dki::eval
