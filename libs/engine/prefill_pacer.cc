// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/prefill_pacer.h"

#include <algorithm>

namespace dki::engine {
namespace {

constexpr int kMinTokens = 4;       // however slow they are
constexpr int kFirstTokens = 16;    // before any prompt was read
constexpr int kMaxMixedSteps = 32;  // contexts grow, and what was measured grows old
constexpr double kNewWeight = 0.2;  // of a new measurement

void Average(double value, double* mean) {
  *mean = *mean == 0.0 ? value : (1.0 - kNewWeight) * *mean + kNewWeight * value;
}

}  // namespace

int PrefillPacer::Budget(int n_answers) {
  if (n_answers == 0) return options_.max_tokens;
  const bool known =
      n_answers < static_cast<int>(answer_seconds_.size()) && answer_seconds_[n_answers] > 0.0;
  if (!known || mixed_steps_ >= kMaxMixedSteps) return 0;
  if (seconds_per_token_ == 0.0) return std::min(kFirstTokens, options_.max_tokens);
  const double tokens = (options_.slowdown - 1.0) * answer_seconds_[n_answers] / seconds_per_token_;
  return static_cast<int>(std::clamp(tokens, std::min<double>(kMinTokens, options_.max_tokens),
                                     static_cast<double>(options_.max_tokens)));
}

void PrefillPacer::Observe(int prompt_tokens, int n_answers, double seconds) {
  if (static_cast<int>(answer_seconds_.size()) <= n_answers) answer_seconds_.resize(n_answers + 1);
  if (prompt_tokens == 0) {
    mixed_steps_ = 0;
    Average(seconds, &answer_seconds_[n_answers]);
    return;
  }
  if (n_answers == 0) {
    Average(seconds / prompt_tokens, &seconds_per_token_);
    return;
  }
  ++mixed_steps_;
  const double base = answer_seconds_[n_answers];
  // Never below a tenth of what is believed: one lucky step must not open the gate.
  const double rest = std::max(seconds - base, 0.1 * seconds_per_token_ * prompt_tokens);
  Average(rest / prompt_tokens, &seconds_per_token_);
}

}  // namespace dki::engine
