// SPDX-License-Identifier: Apache-2.0
// A real model file, only small: a Llama-family GGUF of some 100 KB with seeded random weights, a
// byte-level vocabulary with a few merges, the ChatML control tokens and a ChatML template. What it
// says makes no sense, but it says the same each time and depends on all that it attends to.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/dtype.h"

namespace dki::testing {

struct TinyModelOptions {
  uint64_t seed = 1;
  // "llama", or "qwen2": the same function with the q and k rows in that family's order.
  std::string architecture = "llama";
  kernels::DType dtype = kernels::DType::kQ8_0;  // of the matrices
  int n_layers = 3;
  int context_length = 4096;
};

// Writes the file into `directory` and returns its path. Stops the process when it cannot.
std::string WriteTinyModel(const std::string& directory, const TinyModelOptions& options = {});

}  // namespace dki::testing
