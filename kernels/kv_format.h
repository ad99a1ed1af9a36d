// SPDX-License-Identifier: Apache-2.0
// Number formats of keys and values.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace dki::kernels {

enum class KvFormat : uint8_t { kF32, kF16, kBF16, kInt8, kInt4, kInt2 };

// What shares a scale and a minimum among quantised keys, in groups of 32 tokens.
enum class KeyGroups : uint8_t {
  kChannel,       // the tokens of a channel, of keys already rotated: the fastest to read
  kChannelFirst,  // the same before rotation: rotated when read
  kToken,         // the channels of a token
};

// Bits of a quantised value, 0 for the formats that are not quantised.
inline int CodeBits(KvFormat format) {
  return format == KvFormat::kInt8   ? 8
         : format == KvFormat::kInt4 ? 4
         : format == KvFormat::kInt2 ? 2
                                     : 0;
}
inline bool IsQuantized(KvFormat format) {
  return CodeBits(format) != 0;
}
const char* Name(KvFormat format);
const char* Name(KeyGroups groups);
std::optional<KvFormat> ParseKvFormat(std::string_view name);
std::optional<KeyGroups> ParseKeyGroups(std::string_view name);

}  // namespace dki::kernels
