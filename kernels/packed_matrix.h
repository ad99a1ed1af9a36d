// SPDX-License-Identifier: Apache-2.0
// Weights in the order in which the integer kernels read them: one stream of bytes per tile of 16
// rows, instead of 16 rows that lie far apart. Made once, when a model is loaded; the size is that
// of the file's own format (a sixteenth more for the halves).
//
// A matrix is [tiles][blocks of 32 along k]; a block has, for its 16 rows r,
//   half d[16]
//   half m[16]                       Q4_1 alone
//   Q4_0, Q4_1: uint16 q[4][16][2]   word (v, r, i) holds the values k = 8 v + 2 p + i, less 8 and
//                                    signed, in its nibbles p = 0..3, so that two shifts give a
//                                    vector of pairs (k, k + 1) of all rows
//   Q8_0:       int8 q[16][16][2]    (pair, r, i): k = 2 pair + i
// or, for F16, BF16 and the formats with superblocks, whose values become 12-bit integers of a
// common scale (an error of the largest's own rounding; 32 products with 16-bit activations still
// fit 32 bits),
//   float d[16]
//   int16 q[16][16][2]               w = d * q, q within [-2047, 2047]
// Rows beyond n_out are zeros.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matmul.h"

namespace dki::kernels {

inline constexpr int kPackedRows = 16;  // of a tile

// All formats but F32, of whole blocks.
bool IsPackable(const WeightMatrix& w);
// The format whose layout a packed matrix has: Q8_0 for Q5_0 (the same numbers), F16 for those that
// become 12-bit integers. It is the matrix's dtype from then on.
DType PackedDType(DType dtype);
size_t PackedBlockBytes(DType dtype);
// REQUIRES: IsPackable(w).
size_t PackedBytes(const WeightMatrix& w);
// Writes the tiles [tile_begin, tile_end) of w, where they belong in `out`: [PackedBytes(w)].
void PackTiles(const WeightMatrix& w, int tile_begin, int tile_end, uint8_t* out);

}  // namespace dki::kernels
