// SPDX-License-Identifier: Apache-2.0
// A model's tensors by the names of its files, whatever kind of file it is.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/dtype.h"
#include "libs/base/status.h"

namespace dki::model {

// Rows one after the other, in the file's own format.
struct TensorView {
  kernels::DType dtype = kernels::DType::kF32;
  int64_t n_rows = 0;  // 1 for a vector
  int64_t n_columns = 0;
  const char* data = nullptr;  // need not be aligned

  size_t row_bytes() const { return kernels::RowBytes(dtype, n_columns); }
};

// Thread-safety: const and thread-safe. Ownership: data lives as long as the source.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual bool Has(std::string_view name) const = 0;
  // INVALID_ARGUMENT names the tensor that is absent, has more than two dimensions, or a number
  // format that is not supported.
  virtual absl::StatusOr<TensorView> Get(std::string_view name) const = 0;
};

}  // namespace dki::model
