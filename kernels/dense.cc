// SPDX-License-Identifier: Apache-2.0
#include "kernels/dense.h"

#include <cstring>

#include "kernels/cpu/dispatch.h"
#include "kernels/dtype.h"
#include "kernels/reference/reference.h"

namespace dki::kernels {

DenseMatrix PackDense(const char* w, const float* bias, int n_out, int k) {
  DenseMatrix matrix;
  matrix.n_out = n_out;
  matrix.k = k;
  const size_t n_padded = static_cast<size_t>(matrix.n_panels()) * kPanelRows;
  matrix.panels.resize(n_padded * k);
  matrix.bias.assign(bias, bias + n_out);
  matrix.bias.resize(n_padded);
  for (int row = 0; row < n_out; ++row) {
    uint16_t* panel = matrix.panels.data() + static_cast<size_t>(row / kPanelRows) * k * kPanelRows;
    for (int i = 0; i < k; ++i) {
      float value;
      std::memcpy(&value, w + (static_cast<size_t>(row) * k + i) * sizeof(float), sizeof(value));
      panel[static_cast<size_t>(i) * kPanelRows + row % kPanelRows] = FloatToHalf(value);
    }
  }
  return matrix;
}

void Dense(Isa isa, const DenseMatrix& matrix, const float* x, int n_tokens, float* y,
           int panel_begin, int panel_end) {
  if (isa == Isa::kReference)
    return reference::Dense(matrix, x, n_tokens, y, panel_begin, panel_end);
  const DenseView view{matrix.n_out, matrix.k, matrix.panels.data(), matrix.bias.data()};
  DKI_CALL_CPU(isa, Dense, view, x, n_tokens, y, panel_begin, panel_end);
}

}  // namespace dki::kernels
