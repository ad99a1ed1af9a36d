// SPDX-License-Identifier: Apache-2.0
// What the numeric suites run over: every path, each skipped where the CPU lacks it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/dtype.h"
#include "kernels/isa.h"

namespace dki::kernels {

inline constexpr Isa kAllPaths[] = {Isa::kReference, Isa::kPlain, Isa::kAvx2, Isa::kAvx512};
inline constexpr DType kAllFormats[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ8_0,
                                        DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                                        DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};
inline bool IsReadOnly(DType dtype) {
  return dtype >= DType::kQ5_0;
}

class PathTest : public ::testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!IsSupported(GetParam())) GTEST_SKIP() << "this CPU lacks " << Name(GetParam());
  }
};
inline std::string PathName(const ::testing::TestParamInfo<Isa>& info) {
  return Name(info.param);
}

inline std::vector<float> RandomFloats(size_t n, uint32_t seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> values(n);
  for (float& value : values) value = uniform(engine);
  return values;
}

// n values rounded to `dtype`, as stored; of formats without a quantiser, random blocks.
inline std::vector<char> RandomRow(DType dtype, size_t n, uint32_t seed) {
  const std::vector<float> values = RandomFloats(n, seed);
  std::vector<char> bytes(RowBytes(dtype, n));
  if (IsReadOnly(dtype)) {
    std::mt19937 engine(seed);
    for (char& byte : bytes) byte = static_cast<char>(engine());
    // Halves d and m within [-1, 1]: they come first, in Q6_K last.
    const size_t block = BlockBytes(dtype);
    for (size_t at = 0; at < bytes.size(); at += block) {
      for (size_t half : {at, at + 2}) {
        const uint16_t value = FloatToHalf(values[half % n]);
        std::memcpy(&bytes[dtype == DType::kQ6_K ? at + block - 2 : half], &value, sizeof(value));
        if (dtype == DType::kQ6_K || dtype == DType::kQ5_0) break;
      }
    }
    return bytes;
  }
  QuantizeRow(dtype, values.data(), n, bytes.data());
  return bytes;
}

}  // namespace dki::kernels
