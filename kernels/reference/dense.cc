// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/dtype.h"
#include "kernels/reference/reference.h"

namespace dki::kernels::reference {

void Dense(const DenseMatrix& matrix, const float* x, int n_tokens, float* y, int panel_begin,
           int panel_end) {
  const int row_end = std::min(matrix.n_out, panel_end * kPanelRows);
  for (int t = 0; t < n_tokens; ++t) {
    for (int row = panel_begin * kPanelRows; row < row_end; ++row) {
      const uint16_t* w = matrix.panels.data() +
                          static_cast<size_t>(row / kPanelRows) * matrix.k * kPanelRows +
                          row % kPanelRows;
      double sum = matrix.bias[row];
      for (int i = 0; i < matrix.k; ++i)
        sum += double{HalfToFloat(w[static_cast<size_t>(i) * kPanelRows])} *
               x[static_cast<size_t>(t) * matrix.k + i];
      y[static_cast<size_t>(t) * matrix.n_out + row] = static_cast<float>(sum);
    }
  }
}

}  // namespace dki::kernels::reference
