// SPDX-License-Identifier: Apache-2.0
// Purpose: the limits of the client API and the checks that name field and limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "dki/common/v1/common.pb.h"
#include "libs/base/status.h"

namespace dki::orchestrator {

inline constexpr int kMaxK = 256;
inline constexpr int kMaxMemoryIds = 256;
inline constexpr int kMaxMessages = 4096;
inline constexpr size_t kMaxMessageBytes = 1 << 20;
inline constexpr size_t kMaxTotalBytes = 4 << 20;
// What the store keeps of one message of a conversation.
inline constexpr size_t kMaxStoredMessageBytes = 256 << 10;
inline constexpr size_t kMaxPrefixBytes = 64 << 10;
inline constexpr size_t kMaxMemoryBytes = 8192;
inline constexpr size_t kMaxMetadataBytes = 8192;
inline constexpr size_t kMaxQueryBytes = 64 << 10;
inline constexpr size_t kMaxIdBytes = 128;
inline constexpr size_t kMaxScopeBytes = 256;
inline constexpr size_t kMaxTagBytes = 64;
inline constexpr int kMaxTags = 32;
inline constexpr int kMaxPriority = 100;
inline constexpr int kMaxBatch = 1000;
inline constexpr int kMaxSearchK = 1000;
inline constexpr int kMaxStopStrings = 16;
inline constexpr size_t kMaxStopBytes = 256;
// The window decides; this only refuses nonsense before any work.
inline constexpr int kMaxAnswerTokens = 1 << 20;

absl::Status CheckRange(std::string_view field, int64_t value, int64_t low, int64_t high);
// Finite and within [low, high].
absl::Status CheckReal(std::string_view field, double value, double low, double high);
// Length in bytes, valid UTF-8, no NUL.
absl::Status CheckText(std::string_view field, std::string_view text, size_t min_bytes,
                       size_t max_bytes);
// `prefix` and 32 lower-case hexadecimal digits.
absl::Status CheckId(std::string_view field, std::string_view id, std::string_view prefix);
// Empty (the server makes one) or at most 128 bytes.
absl::Status CheckRequestId(std::string_view id);
absl::Status CheckScope(std::string_view field, const common::v1::Scope& scope);
bool IsEmpty(const common::v1::Scope& scope);

}  // namespace dki::orchestrator
