// SPDX-License-Identifier: Apache-2.0
// FNV-1a over bytes, then the finaliser of splitmix64, so that short words differ in every bit.
#pragma once

#include <cstdint>
#include <string_view>

namespace dki::search {

inline constexpr uint64_t kHashSeed = 0xcbf29ce484222325ull;

inline uint64_t Hash64(std::string_view bytes, uint64_t seed = kHashSeed) {
  uint64_t hash = seed;
  for (const char c : bytes) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ull;
  }
  hash ^= hash >> 30;
  hash *= 0xbf58476d1ce4e5b9ull;
  hash ^= hash >> 27;
  hash *= 0x94d049bb133111ebull;
  return hash ^ (hash >> 31);
}

}  // namespace dki::search
