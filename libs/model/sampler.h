// SPDX-License-Identifier: Apache-2.0
// Purpose: picks the next token from logits. Seeded: the same logits, options and history give the
// same token. Thread-safety: thread-compatible; one Sampler per sequence.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "libs/base/status.h"

namespace dki::model {

struct SamplingOptions {
  float temperature = 0.0f;  // 0: greedy; at most 10
  int top_k = 0;             // 0: off
  float top_p = 1.0f;        // (0, 1]
  float min_p = 0.0f;        // [0, 1)
  float repetition_penalty =
      1.0f;  // (0, 10], over the last `repetition_window` tokens of turn and answer
  int repetition_window = 256;
  uint64_t seed = 0;
};

// INVALID_ARGUMENT with the field and its limit.
absl::Status Validate(const SamplingOptions& options);

class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options);
  // `logits`: [vocab_size]; `recent`: the tokens of turn and answer so far. Ties go to the lowest
  // id.
  int32_t Sample(std::span<const float> logits, std::span<const int32_t> recent);

 private:
  std::span<const float> Penalise(std::span<const float> logits,
                                  std::span<const int32_t> recent) const;
  // `maxima`: of the blocks of logits. Keeps logits.
  void KeepTopK(std::span<const float> logits, std::span<float> maxima);
  // REQUIRES: there are candidates, with weights.
  int32_t DrawCandidate(double total);

  SamplingOptions options_;
  uint64_t state_;
  std::vector<std::pair<float, int32_t>> candidates_;  // of this call: logit or weight, token
};

// ln softmax(logits)[token], accumulated in double.
double LogProbability(std::span<const float> logits, int32_t token);
// The same of every token.
std::vector<float> LogProbabilities(std::span<const float> logits);

}  // namespace dki::model
