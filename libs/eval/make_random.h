// SPDX-License-Identifier: Apache-2.0
// Purpose: randomness for made suites: the same seed and stream give the same numbers on every
//   machine, compiler and standard library (std's distributions do not promise that).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace dki::eval {

// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
// Thread-compatible.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  // A stream of its own per name, so that one suite's length does not change another's items.
  Random(uint64_t seed, std::string_view stream) : state_(seed) {
    for (const char c : stream) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // 0 <= result < n. REQUIRES: n > 0. The bias of the remainder is below n / 2^64.
  size_t Below(size_t n) { return static_cast<size_t>(Next() % n); }

  template <typename List>
  const auto& Pick(const List& list) {
    return list[Below(list.size())];
  }
  template <typename T>
  void Shuffle(std::vector<T>* list) {
    for (size_t i = list->size(); i > 1; --i) std::swap((*list)[i - 1], (*list)[Below(i)]);
  }

 private:
  uint64_t state_;
};

}  // namespace dki::eval
