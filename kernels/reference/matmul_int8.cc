// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "kernels/reference/reference.h"

namespace dki::kernels::reference {
namespace {

// A block of weights as integers: w = d * (q - zero) + m.
struct IntBlock {
  float d = 0;
  float m = 0;
  int zero = 0;
  int q[kQuantBlock];
};

IntBlock LoadBlock(DType dtype, const char* row, int b) {
  IntBlock out;
  const auto unpack = [&out](const uint8_t* q) {
    for (int i = 0; i < 16; ++i) {
      out.q[i] = q[i] & 15;
      out.q[i + 16] = q[i] >> 4;
    }
  };
  if (dtype == DType::kQ8_0) {
    const BlockQ8_0& block = reinterpret_cast<const BlockQ8_0*>(row)[b];
    out.d = HalfToFloat(block.d);
    for (int i = 0; i < 32; ++i) out.q[i] = block.q[i];
  } else if (dtype == DType::kQ4_0) {
    const BlockQ4_0& block = reinterpret_cast<const BlockQ4_0*>(row)[b];
    out.d = HalfToFloat(block.d);
    out.zero = 8;
    unpack(block.q);
  } else {
    const BlockQ4_1& block = reinterpret_cast<const BlockQ4_1*>(row)[b];
    out.d = HalfToFloat(block.d);
    out.m = HalfToFloat(block.m);
    unpack(block.q);
  }
  return out;
}

}  // namespace

void MatMulInt8(const WeightMatrix& w, const QuantizedActivations& x, int n_tokens, float* y,
                int row_begin, int row_end) {
  const size_t row_bytes = RowBytes(w.dtype, w.k);
  const int n_blocks = w.k / kQuantBlock;
  for (int r = row_begin; r < row_end; ++r) {
    const char* row = static_cast<const char*>(w.data) + r * row_bytes;
    for (int t = 0; t < n_tokens; ++t) y[static_cast<size_t>(t) * w.n_out + r] = 0;
    for (int b = 0; b < n_blocks; ++b) {
      const IntBlock block = LoadBlock(w.dtype, row, b);
      for (int t = 0; t < n_tokens; ++t) {
        const size_t at = static_cast<size_t>(t) * n_blocks + b;
        const int8_t* high = x.high.data() + at * kQuantBlock;
        const int8_t* low = x.low.data() + at * kQuantBlock;
        int dot = 0;
        for (int i = 0; i < kQuantBlock; ++i)
          dot += (block.q[i] - block.zero) * (256 * high[i] + low[i]);
        float& out = y[static_cast<size_t>(t) * w.n_out + r];
        out = out + (block.d * x.d[at]) * static_cast<float>(dot);
        if (w.dtype == DType::kQ4_1)
          out = out + block.m * (x.d[at] * static_cast<float>(x.sum[at]));
      }
    }
  }
}

}  // namespace dki::kernels::reference
