// SPDX-License-Identifier: Apache-2.0
// Checks of what a client sends, before any work: INVALID_ARGUMENT naming the field and its limit.
#pragma once

#include <span>
#include <string_view>

#include "libs/base/status.h"
#include "libs/engine/request.h"
#include "libs/model/config.h"

namespace dki::engine {

inline constexpr size_t kMaxMessageBytes = 1 << 20;
inline constexpr size_t kMaxPrefixBytes = 64 << 10;  // answer_prefix, continuation
inline constexpr size_t kMaxMemoryBytes = 8192;
inline constexpr size_t kMaxMemories = 256;
inline constexpr size_t kMaxHistory = 4096;
inline constexpr size_t kMaxStopStrings = 16;
inline constexpr size_t kMaxStopBytes = 256;
inline constexpr size_t kMaxProbedHeads = 1024;

absl::Status ValidatePrompt(const Prompt& prompt);
absl::Status ValidateAnswerOptions(const AnswerOptions& options, int context_length);
absl::Status ValidateContinuation(std::string_view continuation);
absl::Status ValidateHeads(std::span<const injection::AttentionHead> heads,
                           const model::ModelConfig& config);

}  // namespace dki::engine
