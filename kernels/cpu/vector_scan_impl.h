// SPDX-License-Identifier: Apache-2.0
// Four rows at a time over ScanLanes, included once by the file of each instruction set.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace {

constexpr int kTile = 4;   // rows whose sums are in flight together
constexpr int kAhead = 8;  // rows that are fetched before their turn: they may lie anywhere
constexpr int kCacheLine = 64;

inline void Prefetch(const int8_t* row, int n) {
  for (int k = 0; k < n; k += kCacheLine) __builtin_prefetch(row + k);
}

// kRows <= kTile rows at `rows`.
template <int kRows>
inline void TileDots(const int8_t* query, int32_t correction, const int8_t* const* rows, int n,
                     int32_t* dots) {
  ScanLanes::I sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = ScanLanes::Zero();
  for (int k = 0; k < n; k += ScanLanes::kCount) {
    const ScanLanes::Query q = ScanLanes::LoadQuery(query + k);
    for (int r = 0; r < kRows; ++r) sums[r] = ScanLanes::AddProducts(sums[r], rows[r] + k, q);
  }
  for (int r = 0; r < kRows; ++r) dots[r] = ScanLanes::Sum(sums[r]) - correction;
}

void AllDots(const int8_t* query, const int8_t* const* rows, int n_rows, int n, int32_t* dots) {
  const int32_t correction = ScanLanes::Correction(query, n);
  int i = 0;
  for (; i + kTile <= n_rows; i += kTile) {
    for (int r = i + kAhead; r < i + kAhead + kTile && r < n_rows; ++r) Prefetch(rows[r], n);
    TileDots<kTile>(query, correction, rows + i, n, dots + i);
  }
  for (; i < n_rows; ++i) TileDots<1>(query, correction, rows + i, n, dots + i);
}

}  // namespace
