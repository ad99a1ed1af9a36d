// SPDX-License-Identifier: Apache-2.0
// Purpose: vectors in numbered rows, compared with a query in two steps. An int8 copy gives the
//   inner product within a bound (Cauchy-Schwarz over what rounding took away): whoever keeps every
//   row whose upper bound reaches the k-th best lower bound loses none. Those few are compared
//   exactly. Memory: 5 bytes a dimension, in blocks, so that growing copies nothing.
// Thread-safety: const functions may run together; others need the object for themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/isa.h"

namespace dki::vectors {

using Row = uint32_t;

class VectorTable {
 public:
  // What a query is compared with.
  class Query {
   private:
    friend class VectorTable;
    std::vector<float> exact;  // padded
    std::vector<int8_t> copy;  // padded
    float scale = 0;
    float slack_per_error = 0;   // a row's slack is this times its error,
    float slack_per_length = 0;  // plus this times its length
  };
  // The inner product lies within [value - slack, value + slack], also as Dot rounds it.
  struct Estimate {
    float value;
    float slack;
  };

  // `isa`: a supported path; results are the same on all.
  explicit VectorTable(int dimension, kernels::Isa isa = kernels::BestIsa());

  int dimension() const { return dimension_; }
  size_t size() const { return rows_.size(); }

  // `vector`: [dimension], finite.
  void Append(std::span<const float> vector);
  void Set(Row row, std::span<const float> vector);
  // Moves the last row into the gap; the last row's bytes are overwritten.
  void RemoveAndFillWithLast(Row row);
  void Clear();
  std::span<const float> operator[](Row row) const;

  Query MakeQuery(std::span<const float> vector) const;
  // One estimate per row of `rows`.
  void EstimateRows(const Query& query, std::span<const Row> rows, Estimate* estimates) const;
  float Dot(const Query& query, Row row) const;

 private:
  // The copies of a block lie together: a scan reads them as one stream.
  static constexpr size_t kBlockRows = 256;
  struct RowCopy {  // x' = scale * the int8 values
    float scale = 0;
    float error = 0;   // at least |x - x'|
    float length = 0;  // of x'
  };
  struct Free {
    void operator()(char* p) const;
  };
  using Block = std::unique_ptr<char[], Free>;  // int8 [kBlockRows, padded], float the same shape

  int8_t* Copy(Row row) const;
  float* Exact(Row row) const;

  const int dimension_;
  const int padded_;
  const kernels::Isa isa_;
  std::vector<Block> blocks_;
  std::vector<RowCopy> rows_;
};

}  // namespace dki::vectors
