// SPDX-License-Identifier: Apache-2.0
#include "kernels/packed_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/small_blocks.h"

namespace dki::kernels {
namespace {

constexpr float kInt12Max = 2047.0f;
constexpr size_t kHalves = kPackedRows * sizeof(uint16_t);  // bytes of one half per row

// The low nibbles of four 16-bit words as one word.
inline uint16_t Gather(uint64_t words) {
  words &= 0x000F000F000F000F;
  return static_cast<uint16_t>(words | words >> 12 | words >> 24 | words >> 36);
}

// Byte i of a 4-bit block holds value i in its low and value i + 16 in its high nibble. Less 8, a
// nibble is a signed number with its highest bit flipped.
void PackNibbles(const uint8_t* q, int row, uint8_t* out) {
  for (int v = 0; v < 4; ++v) {
    uint64_t eight;
    std::memcpy(&eight, q + 8 * (v % 2), sizeof(eight));
    if (v >= 2) eight >>= 4;
    eight ^= 0x0808080808080808;
    const uint16_t pair[2] = {Gather(eight), Gather(eight >> 8)};
    std::memcpy(out + (v * kPackedRows + row) * sizeof(pair), pair, sizeof(pair));
  }
}

void PackHalf(uint16_t half, int row, uint8_t* out) {
  std::memcpy(out + row * sizeof(half), &half, sizeof(half));
}

void PackInt8(uint16_t d, const int8_t* q, int row, uint8_t* out) {
  PackHalf(d, row, out);
  for (int pair = 0; pair < 16; ++pair)
    std::memcpy(out + kHalves + (pair * kPackedRows + row) * 2, q + 2 * pair, 2);
}

// w: [32]
void PackInt12(const float* w, int row, uint8_t* out) {
  float largest = 0;
  for (int i = 0; i < kQuantBlock; ++i) largest = std::max(largest, std::fabs(w[i]));
  const float d = largest / kInt12Max;
  std::memcpy(out + row * sizeof(d), &d, sizeof(d));
  const float inverse = d > 0 ? 1.0f / d : 0.0f;
  // Adding and taking away 1.5 * 2^23 rounds to the nearest even integer.
  constexpr float kRound = 12582912.0f;
  int16_t q[kQuantBlock];
  for (int i = 0; i < kQuantBlock; ++i) {
    const float rounded = (w[i] * inverse + kRound) - kRound;
    q[i] = static_cast<int16_t>(std::clamp(rounded, -kInt12Max, kInt12Max));
  }
  uint8_t* pairs = out + kPackedRows * sizeof(d) + row * 2 * sizeof(q[0]);
  for (int pair = 0; pair < kQuantBlock / 2; ++pair)
    std::memcpy(pairs + pair * kPackedRows * 2 * sizeof(q[0]), q + 2 * pair, 2 * sizeof(q[0]));
}

template <DType kType>
void PackSuperblock(const char* row_data, int b, int row, uint8_t* out) {
  SmallBlock block;
  UnpackBlock<kType>(row_data, b, &block);
  const float d = HalfToFloat(block.d);
  const float offset = HalfToFloat(block.m) * static_cast<float>(block.offset);
  float w[kQuantBlock];
  for (int i = 0; i < kQuantBlock; ++i)
    w[i] = d * static_cast<float>(block.scale[i / 16] * block.q[i]) + offset;
  PackInt12(w, row, out);
}

// The values [32 b, 32 b + 32) of a row of the file.
void PackBlock(DType dtype, const char* row_data, int b, int row, uint8_t* out) {
  switch (dtype) {
    case DType::kQ8_0: {
      const BlockQ8_0& block = reinterpret_cast<const BlockQ8_0*>(row_data)[b];
      return PackInt8(block.d, block.q, row, out);
    }
    case DType::kQ5_0: {
      SmallBlock block;
      UnpackBlock<DType::kQ5_0>(row_data, b, &block);
      return PackInt8(block.d, block.q, row, out);
    }
    case DType::kQ4_0: {
      const BlockQ4_0& block = reinterpret_cast<const BlockQ4_0*>(row_data)[b];
      PackHalf(block.d, row, out);
      return PackNibbles(block.q, row, out + kHalves);
    }
    case DType::kQ4_1: {
      const BlockQ4_1& block = reinterpret_cast<const BlockQ4_1*>(row_data)[b];
      PackHalf(block.d, row, out);
      PackHalf(block.m, row, out + kHalves);
      return PackNibbles(block.q, row, out + 2 * kHalves);
    }
    case DType::kQ5_1:
      return PackSuperblock<DType::kQ5_1>(row_data, b, row, out);
    case DType::kQ4_K:
      return PackSuperblock<DType::kQ4_K>(row_data, b, row, out);
    case DType::kQ5_K:
      return PackSuperblock<DType::kQ5_K>(row_data, b, row, out);
    case DType::kQ6_K:
      return PackSuperblock<DType::kQ6_K>(row_data, b, row, out);
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16: {
      float w[kQuantBlock];
      DequantizeRow(dtype, row_data + b * RowBytes(dtype, kQuantBlock), kQuantBlock, w);
      return PackInt12(w, row, out);
    }
  }
}

}  // namespace

bool IsPackable(const WeightMatrix& w) {
  return w.dtype != DType::kF32 && w.k % kQuantBlock == 0;
}

DType PackedDType(DType dtype) {
  switch (dtype) {
    case DType::kQ8_0:
    case DType::kQ5_0:
      return DType::kQ8_0;
    case DType::kQ4_0:
    case DType::kQ4_1:
      return dtype;
    default:
      return DType::kF16;
  }
}

size_t PackedBlockBytes(DType dtype) {
  const DType packed = PackedDType(dtype);
  if (IsQuantized(packed)) return kPackedRows * BlockBytes(packed);
  return kPackedRows * (sizeof(float) + kQuantBlock * sizeof(int16_t));
}

size_t PackedBytes(const WeightMatrix& w) {
  const size_t tiles = (static_cast<size_t>(w.n_out) + kPackedRows - 1) / kPackedRows;
  return tiles * (w.k / kQuantBlock) * PackedBlockBytes(w.dtype);
}

void PackTiles(const WeightMatrix& w, int tile_begin, int tile_end, uint8_t* out) {
  const size_t n_blocks = w.k / kQuantBlock;
  const size_t block_bytes = PackedBlockBytes(w.dtype);
  const size_t row_bytes = RowBytes(w.dtype, w.k);
  for (int tile = tile_begin; tile < tile_end; ++tile) {
    uint8_t* to = out + tile * n_blocks * block_bytes;
    std::memset(to, 0, n_blocks * block_bytes);
    for (int r = 0; r < kPackedRows && tile * kPackedRows + r < w.n_out; ++r) {
      const char* row =
          static_cast<const char*>(w.data) + (size_t{1} * tile * kPackedRows + r) * row_bytes;
      for (size_t b = 0; b < n_blocks; ++b)
        PackBlock(w.dtype, row, static_cast<int>(b), r, to + b * block_bytes);
    }
  }
}

}  // namespace dki::kernels
