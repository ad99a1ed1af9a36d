// SPDX-License-Identifier: Apache-2.0
#include "kernels/packed_matrix.h"

#include <cstring>

namespace dki::kernels {
namespace {

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

void PackBlock(DType dtype, const char* data, int row, uint8_t* out) {
  if (dtype == DType::kQ8_0) {
    const BlockQ8_0& block = *reinterpret_cast<const BlockQ8_0*>(data);
    PackHalf(block.d, row, out);
    for (int pair = 0; pair < 16; ++pair)
      std::memcpy(out + kHalves + (pair * kPackedRows + row) * 2, block.q + 2 * pair, 2);
  } else if (dtype == DType::kQ4_0) {
    const BlockQ4_0& block = *reinterpret_cast<const BlockQ4_0*>(data);
    PackHalf(block.d, row, out);
    PackNibbles(block.q, row, out + kHalves);
  } else {
    const BlockQ4_1& block = *reinterpret_cast<const BlockQ4_1*>(data);
    PackHalf(block.d, row, out);
    PackHalf(block.m, row, out + kHalves);
    PackNibbles(block.q, row, out + 2 * kHalves);
  }
}

}  // namespace

bool IsPackable(DType dtype) {
  return dtype == DType::kQ8_0 || dtype == DType::kQ4_0 || dtype == DType::kQ4_1;
}

size_t PackedBlockBytes(DType dtype) {
  return kPackedRows * BlockBytes(dtype);
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
        PackBlock(w.dtype, row + b * BlockBytes(w.dtype), r, to + b * block_bytes);
    }
  }
}

}  // namespace dki::kernels
