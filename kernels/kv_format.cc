// SPDX-License-Identifier: Apache-2.0
#include "kernels/kv_format.h"

#include <iterator>

namespace dki::kernels {
namespace {
constexpr const char* kFormats[] = {"f32", "f16", "bf16", "int8", "int4", "int2"};
constexpr const char* kGroups[] = {"channel", "channel_first", "token"};

template <typename T, size_t n>
std::optional<T> Find(const char* const (&names)[n], std::string_view name) {
  for (size_t i = 0; i < n; ++i)
    if (name == names[i]) return static_cast<T>(i);
  return std::nullopt;
}
}  // namespace

const char* Name(KvFormat format) {
  return kFormats[static_cast<int>(format)];
}
const char* Name(KeyGroups groups) {
  return kGroups[static_cast<int>(groups)];
}
std::optional<KvFormat> ParseKvFormat(std::string_view name) {
  return Find<KvFormat>(kFormats, name);
}
std::optional<KeyGroups> ParseKeyGroups(std::string_view name) {
  return Find<KeyGroups>(kGroups, name);
}

}  // namespace dki::kernels
