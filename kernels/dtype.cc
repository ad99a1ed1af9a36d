// SPDX-License-Identifier: Apache-2.0
#include "kernels/dtype.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "kernels/small_blocks.h"

namespace dki::kernels {
namespace {

struct Format {
  const char* name;
  int values;
  size_t bytes;
};
constexpr Format kFormats[kNumDTypes] = {{"F32", 1, 4},      {"F16", 1, 2},     {"BF16", 1, 2},
                                         {"Q8_0", 32, 34},   {"Q4_0", 32, 18},  {"Q4_1", 32, 20},
                                         {"Q5_0", 32, 22},   {"Q5_1", 32, 24},  {"Q4_K", 256, 144},
                                         {"Q5_K", 256, 176}, {"Q6_K", 256, 210}};

const Format& Of(DType dtype) {
  return kFormats[static_cast<int>(dtype)];
}

template <typename T>
T LoadAs(const void* base, size_t index) {
  T value;  // files do not promise alignment
  std::memcpy(&value, static_cast<const char*>(base) + index * sizeof(T), sizeof(T));
  return value;
}
template <typename T>
void StoreAs(T value, void* base, size_t index) {
  std::memcpy(static_cast<std::byte*>(base) + index * sizeof(T), &value, sizeof(T));
}

template <DType kType>
void DequantizeSmall(const void* src, size_t n, float* dst) {
  SmallBlock block;
  for (size_t b = 0; b < n / 32; ++b) {
    UnpackBlock<kType>(static_cast<const char*>(src), static_cast<int>(b), &block);
    const float d = HalfToFloat(block.d);
    const float offset = HalfToFloat(block.m) * static_cast<float>(block.offset);
    for (int i = 0; i < 32; ++i) {
      const float scale = d * static_cast<float>(block.scale[i / 16]);
      dst[b * 32 + i] = scale * static_cast<float>(block.q[i]) + offset;
    }
  }
}

uint8_t ToNibble(float v) {
  return static_cast<uint8_t>(std::clamp(static_cast<int>(v), 0, 15));
}

void QuantizeBlockQ8(const float* x, BlockQ8_0* out) {
  float amax = 0;
  for (int i = 0; i < 32; ++i) amax = std::max(amax, std::fabs(x[i]));
  const float d = amax / 127.0f;
  const float inverse = d > 0 ? 1.0f / d : 0.0f;
  out->d = FloatToHalf(d);
  for (int i = 0; i < 32; ++i) out->q[i] = static_cast<int8_t>(std::round(x[i] * inverse));
}

void QuantizeBlockQ4_0(const float* x, BlockQ4_0* out) {
  float extreme = 0;  // the value of largest magnitude, with its sign, becomes -8
  for (int i = 0; i < 32; ++i)
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  const float d = extreme / -8.0f;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  out->d = FloatToHalf(d);
  for (int i = 0; i < 16; ++i) {
    const uint8_t low = ToNibble(x[i] * inverse + 8.5f);
    const uint8_t high = ToNibble(x[i + 16] * inverse + 8.5f);
    out->q[i] = static_cast<uint8_t>(low | high << 4);
  }
}

void QuantizeBlockQ4_1(const float* x, BlockQ4_1* out) {
  const auto [min, max] = std::minmax_element(x, x + 32);
  const float low_value = *min;
  const float d = (*max - low_value) / 15.0f;
  const float inverse = d > 0 ? 1.0f / d : 0.0f;
  out->d = FloatToHalf(d);
  out->m = FloatToHalf(low_value);
  for (int i = 0; i < 16; ++i) {
    const uint8_t low = ToNibble((x[i] - low_value) * inverse + 0.5f);
    const uint8_t high = ToNibble((x[i + 16] - low_value) * inverse + 0.5f);
    out->q[i] = static_cast<uint8_t>(low | high << 4);
  }
}

}  // namespace

const char* Name(DType dtype) {
  return Of(dtype).name;
}
int BlockValues(DType dtype) {
  return Of(dtype).values;
}
size_t BlockBytes(DType dtype) {
  return Of(dtype).bytes;
}

float HalfToFloat(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t exponent = h >> 10 & 0x1f;
  const uint32_t mantissa = h & 0x3ff;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t FloatToHalf(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;   // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00;  // rounds to infinity
  if (magnitude < 0x38800000) {  // subnormal: to a multiple of 2^-24; nearbyint rounds to even
    return static_cast<uint16_t>(
        sign | static_cast<uint16_t>(std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24f)));
  }
  const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

float Bf16ToFloat(uint16_t b) {
  return std::bit_cast<float>(static_cast<uint32_t>(b) << 16);
}

uint16_t FloatToBf16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void DequantizeRow(DType dtype, const void* src, size_t n, float* dst) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(dst, src, n * sizeof(float));
      return;
    case DType::kF16:
      for (size_t i = 0; i < n; ++i) dst[i] = HalfToFloat(LoadAs<uint16_t>(src, i));
      return;
    case DType::kBF16:
      for (size_t i = 0; i < n; ++i) dst[i] = Bf16ToFloat(LoadAs<uint16_t>(src, i));
      return;
    case DType::kQ8_0:
      for (size_t b = 0; b < n / 32; ++b) {
        const auto block = LoadAs<BlockQ8_0>(src, b);
        const float d = HalfToFloat(block.d);
        for (int i = 0; i < 32; ++i) dst[b * 32 + i] = d * block.q[i];
      }
      return;
    case DType::kQ4_0:
      for (size_t b = 0; b < n / 32; ++b) {
        const auto block = LoadAs<BlockQ4_0>(src, b);
        const float d = HalfToFloat(block.d);
        for (int i = 0; i < 16; ++i) {
          dst[b * 32 + i] = d * static_cast<float>((block.q[i] & 15) - 8);
          dst[b * 32 + i + 16] = d * static_cast<float>((block.q[i] >> 4) - 8);
        }
      }
      return;
    case DType::kQ4_1:
      for (size_t b = 0; b < n / 32; ++b) {
        const auto block = LoadAs<BlockQ4_1>(src, b);
        const float d = HalfToFloat(block.d);
        const float m = HalfToFloat(block.m);
        for (int i = 0; i < 16; ++i) {
          dst[b * 32 + i] = d * static_cast<float>(block.q[i] & 15) + m;
          dst[b * 32 + i + 16] = d * static_cast<float>(block.q[i] >> 4) + m;
        }
      }
      return;
    case DType::kQ5_0:
      return DequantizeSmall<DType::kQ5_0>(src, n, dst);
    case DType::kQ5_1:
      return DequantizeSmall<DType::kQ5_1>(src, n, dst);
    case DType::kQ4_K:
      return DequantizeSmall<DType::kQ4_K>(src, n, dst);
    case DType::kQ5_K:
      return DequantizeSmall<DType::kQ5_K>(src, n, dst);
    case DType::kQ6_K:
      return DequantizeSmall<DType::kQ6_K>(src, n, dst);
  }
}

void QuantizeRow(DType dtype, const float* src, size_t n, void* dst) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(dst, src, n * sizeof(float));
      return;
    case DType::kF16:
      for (size_t i = 0; i < n; ++i) StoreAs<uint16_t>(FloatToHalf(src[i]), dst, i);
      return;
    case DType::kBF16:
      for (size_t i = 0; i < n; ++i) StoreAs<uint16_t>(FloatToBf16(src[i]), dst, i);
      return;
    case DType::kQ8_0:
      for (size_t b = 0; b < n / 32; ++b)
        QuantizeBlockQ8(src + b * 32, static_cast<BlockQ8_0*>(dst) + b);
      return;
    case DType::kQ4_0:
      for (size_t b = 0; b < n / 32; ++b)
        QuantizeBlockQ4_0(src + b * 32, static_cast<BlockQ4_0*>(dst) + b);
      return;
    case DType::kQ4_1:
      for (size_t b = 0; b < n / 32; ++b)
        QuantizeBlockQ4_1(src + b * 32, static_cast<BlockQ4_1*>(dst) + b);
      return;
    case DType::kQ5_0:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
    case DType::kQ6_K:
      std::abort();
  }
}

}  // namespace dki::kernels
