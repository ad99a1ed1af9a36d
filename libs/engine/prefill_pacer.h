// SPDX-License-Identifier: Apache-2.0
// Purpose: how many prompt tokens a step may read. Alone, as many as keep the matrices busy. Beside
//   answers that are being written, as many as make the step no more than `slowdown` times as long
//   as it would be without them, by what steps have taken so far: answers flow on, and since the
//   weights are read for the answers' rows anyway, prompts are still read at nearly full speed.
// Thread-safety: thread-compatible.
#pragma once

#include <vector>

namespace dki::engine {

class PrefillPacer {
 public:
  struct Options {
    int max_tokens = 256;   // of a step
    double slowdown = 2.0;  // > 1
  };
  explicit PrefillPacer(Options options) : options_(options) {}

  // For a step with `n_answers` rows of answers. 0 now and then: such a step shows what steps take
  // without prompts.
  int Budget(int n_answers);
  // What a step took.
  void Observe(int prompt_tokens, int n_answers, double seconds);
  // An estimate, for planning.
  double SecondsPerPromptToken() const { return seconds_per_token_; }

 private:
  const Options options_;
  double seconds_per_token_ = 0.0;  // of prompts; 0: not known yet
  std::vector<double>
      answer_seconds_;   // of steps without prompts, by rows of answers; 0: not known
  int mixed_steps_ = 0;  // since the last one without prompts
};

}  // namespace dki::engine
