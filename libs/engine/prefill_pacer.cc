// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/prefill_pacer.h"

#include <algorithm>

namespace dki::engine {
namespace {

// Enough for the products to run at nearly full speed, and few enough for a layer to be short.
constexpr int kTokensBesideAnswers = 64;
constexpr double kNewWeight = 0.2;  // of a new measurement

void Average(double value, double* mean) {
  *mean = *mean == 0.0 ? value : (1.0 - kNewWeight) * *mean + kNewWeight * value;
}

}  // namespace

int PrefillPacer::Tokens(bool beside_answers) const {
  return beside_answers ? std::min(kTokensBesideAnswers, options_.max_tokens) : options_.max_tokens;
}

int PrefillPacer::Layers(int n_answers, int n_tokens) const {
  const bool known = n_answers < static_cast<int>(answer_seconds_.size()) &&
                     answer_seconds_[n_answers] > 0.0 && seconds_per_token_layer_ > 0.0;
  if (!known) return 1;
  const double seconds = (options_.slowdown - 1.0) * answer_seconds_[n_answers];
  return static_cast<int>(std::clamp(seconds / (seconds_per_token_layer_ * n_tokens), 1.0, 1e6));
}

void PrefillPacer::ObserveAnswers(int n_answers, double seconds) {
  if (static_cast<int>(answer_seconds_.size()) <= n_answers) answer_seconds_.resize(n_answers + 1);
  Average(seconds, &answer_seconds_[n_answers]);
}

void PrefillPacer::ObserveLayers(int n_tokens, int n_layers, double seconds) {
  Average(seconds / n_tokens / n_layers, &seconds_per_token_layer_);
}

}  // namespace dki::engine
