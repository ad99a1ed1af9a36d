// SPDX-License-Identifier: Apache-2.0
#include "libs/vectors/vector_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <new>

#include "kernels/vector_scan.h"

namespace dki::vectors {
namespace {

constexpr std::align_val_t kAlignment{64};

// What the float operations of an estimate and of Dot may lose, as a share of |x| |y|: some 30
// roundings of 6e-8 each for 384 dimensions.
constexpr float kRounding = 1e-5f;

double Length(std::span<const float> vector) {
  double squares = 0;
  for (const float value : vector) squares += double{value} * value;
  return std::sqrt(squares);
}

}  // namespace

void VectorTable::Free::operator()(char* p) const {
  ::operator delete[](p, kAlignment);
}

VectorTable::VectorTable(int dimension, kernels::Isa isa)
    : dimension_(dimension), padded_(kernels::PaddedDimension(dimension)), isa_(isa) {}

int8_t* VectorTable::Copy(Row row) const {
  return reinterpret_cast<int8_t*>(blocks_[row / kBlockRows].get()) + row % kBlockRows * padded_;
}

float* VectorTable::Exact(Row row) const {
  char* floats = blocks_[row / kBlockRows].get() + kBlockRows * padded_;
  return reinterpret_cast<float*>(floats) + row % kBlockRows * padded_;
}

std::span<const float> VectorTable::operator[](Row row) const {
  return {Exact(row), static_cast<size_t>(dimension_)};
}

void VectorTable::Append(std::span<const float> vector) {
  if (rows_.size() == blocks_.size() * kBlockRows) {
    const size_t bytes = kBlockRows * padded_ * (sizeof(int8_t) + sizeof(float));
    blocks_.emplace_back(static_cast<char*>(::operator new[](bytes, kAlignment)));
  }
  rows_.emplace_back();
  Set(static_cast<Row>(rows_.size() - 1), vector);
}

void VectorTable::Set(Row row, std::span<const float> vector) {
  float* exact = Exact(row);
  std::fill(std::copy(vector.begin(), vector.end(), exact), exact + padded_, 0.0f);
  const kernels::Int8Copy copy = kernels::QuantizeToInt8(exact, padded_, Copy(row));
  const auto length = static_cast<float>(Length(vector)) + copy.error;
  rows_[row] = {copy.scale, copy.error, length};
}

void VectorTable::RemoveAndFillWithLast(Row row) {
  const auto last = static_cast<Row>(rows_.size() - 1);
  if (row != last) {
    std::copy_n(Copy(last), padded_, Copy(row));
    std::copy_n(Exact(last), padded_, Exact(row));
    rows_[row] = rows_[last];
  }
  std::fill_n(Copy(last), padded_, int8_t{0});
  std::fill_n(Exact(last), padded_, 0.0f);
  rows_.pop_back();
  // One empty block is kept: a size that swings around a border allocates nothing.
  if (rows_.size() + 2 * kBlockRows <= blocks_.size() * kBlockRows) blocks_.pop_back();
}

void VectorTable::Clear() {
  blocks_.clear();
  rows_.clear();
}

VectorTable::Query VectorTable::MakeQuery(std::span<const float> vector) const {
  Query query;
  query.exact.assign(padded_, 0.0f);
  std::copy(vector.begin(), vector.end(), query.exact.begin());
  query.copy.resize(padded_);
  const kernels::Int8Copy copy =
      kernels::QuantizeToInt8(query.exact.data(), padded_, query.copy.data());
  const auto length = static_cast<float>(Length(vector));
  // <x, y> - <x', y'> = <x - x', y> + <x', y - y'>
  query.scale = copy.scale;
  query.slack_per_error = length * (1 + kRounding);
  query.slack_per_length = copy.error + length * kRounding;
  return query;
}

void VectorTable::EstimateRows(const Query& query, std::span<const Row> rows,
                               Estimate* estimates) const {
  constexpr size_t kTogether = 256;
  std::array<const int8_t*, kTogether> copies;
  std::array<int32_t, kTogether> dots;
  for (size_t first = 0; first < rows.size(); first += kTogether) {
    const size_t n = std::min(kTogether, rows.size() - first);
    for (size_t i = 0; i < n; ++i) copies[i] = Copy(rows[first + i]);
    kernels::Int8Dots(isa_, query.copy.data(), copies.data(), static_cast<int>(n), padded_,
                      dots.data());
    for (size_t i = 0; i < n; ++i) {
      const RowCopy& row = rows_[rows[first + i]];
      estimates[first + i] = {
          static_cast<float>(dots[i]) * row.scale * query.scale,
          row.error * query.slack_per_error + row.length * query.slack_per_length};
    }
  }
}

float VectorTable::Dot(const Query& query, Row row) const {
  return kernels::Dot(isa_, query.exact.data(), Exact(row), padded_);
}

}  // namespace dki::vectors
