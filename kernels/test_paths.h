// SPDX-License-Identifier: Apache-2.0
// What the numeric suites run over: every path, each skipped where the CPU lacks it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/dtype.h"
#include "kernels/isa.h"

namespace dki::kernels {

inline constexpr Isa kAllPaths[] = {Isa::kReference, Isa::kPlain, Isa::kAvx2, Isa::kAvx512};
inline constexpr DType kAllFormats[] = {DType::kF32,  DType::kF16,  DType::kBF16,
                                        DType::kQ8_0, DType::kQ4_0, DType::kQ4_1};

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

// n values rounded to `dtype`, as stored.
inline std::vector<char> RandomRow(DType dtype, size_t n, uint32_t seed) {
  const std::vector<float> values = RandomFloats(n, seed);
  std::vector<char> bytes(RowBytes(dtype, n));
  QuantizeRow(dtype, values.data(), n, bytes.data());
  return bytes;
}

}  // namespace dki::kernels
