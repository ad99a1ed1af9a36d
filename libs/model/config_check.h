// SPDX-License-Identifier: Apache-2.0
// What holds for the configuration of every family, from whatever file it was read.
#pragma once

#include <string_view>

#include "libs/base/status.h"
#include "libs/model/architecture.h"
#include "libs/model/config.h"
#include "libs/model/tensor_source.h"

namespace dki::model {

// To be changed whenever the same file begins to give other K/V than rounding explains.
inline constexpr std::string_view kArithmeticVersion = "dki-model-2";

// Limits of hyperparameters. Far above any real model; low enough that no product overflows.
inline constexpr int kMaxLayers = 1024;
inline constexpr int kMaxHeads = 1024;
inline constexpr int kMaxHiddenDim = 1 << 16;
inline constexpr int kMaxFfnDim = 1 << 18;
inline constexpr int kMaxContext = 1 << 22;
inline constexpr int kMaxVocabulary = 1 << 22;

// The facts of the row of the table.
void ApplyArchitecture(const Architecture& architecture, const FileForm& form, ModelConfig* config);
// Fills vocab_size and tied_embeddings from the tensors.
absl::Status ReadVocabularySize(const TensorSource& tensors, const TensorNames& names,
                                ModelConfig* config);
// Marks the windowed layers, but for each `full_every`-th.
void SetWindowedLayers(int full_every, ModelConfig* config);
// Sizes that must fit each other. INVALID_ARGUMENT says which do not.
absl::Status CheckConfig(const ModelConfig& config);

}  // namespace dki::model
