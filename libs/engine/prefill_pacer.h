// SPDX-License-Identifier: Apache-2.0
// Purpose: how much of a prompt is read between two tokens of the answers beside it. Prompts are
// read
//   in pieces of some tokens, and a piece in parts of some layers: tokens together make products of
//   matrices and read the K/V in front of them once; a layer is the smallest part after which
//   answers may go on. Between two steps of the answers come as many layers as make them no more
//   than `slowdown` times as slow as they are alone, by what steps and layers have taken so far.
// Thread-safety: thread-compatible.
#pragma once

#include <vector>

namespace dki::engine {

class PrefillPacer {
 public:
  struct Options {
    int max_tokens = 256;   // of a piece
    double slowdown = 2.0;  // > 1
  };
  explicit PrefillPacer(Options options) : options_(options) {}

  // Tokens of a piece, alone or beside answers.
  int Tokens(bool beside_answers) const;
  // Layers of a piece that are read behind a step of `n_answers` answers. At least 1.
  int Layers(int n_answers, int n_tokens) const;
  // What a step of answers alone took.
  void ObserveAnswers(int n_answers, double seconds);
  // What layers of a piece took.
  void ObserveLayers(int n_tokens, int n_layers, double seconds);
  // An estimate for a whole model, for planning.
  double SecondsPerToken(int n_layers) const { return n_layers * seconds_per_token_layer_; }

 private:
  const Options options_;
  double seconds_per_token_layer_ = 0.0;  // 0: not known yet
  std::vector<double> answer_seconds_;    // by the number of answers; 0: not known yet
};

}  // namespace dki::engine
