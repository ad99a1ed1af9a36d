// SPDX-License-Identifier: Apache-2.0
// kernels/logits.h over Lanes, included once by the file of each instruction set.
#pragma once

#include "kernels/cpu/exp.h"
#include "kernels/logits.h"

namespace {

using dki::kernels::kLogitBlock;

constexpr float kNoLogit = -__builtin_inff();

// Calls body(x, block) for each block of x; the last one is filled up with `kNoLogit`.
template <typename Body>
inline void ForLogitBlocks(const float* x, int n, const Body& body) {
  int i = 0;
  for (; i + kLogitBlock <= n; i += kLogitBlock) body(x + i, i / kLogitBlock);
  if (i == n) return;
  float rest[kLogitBlock];
  for (int j = 0; j < kLogitBlock; ++j) rest[j] = i + j < n ? x[i + j] : kNoLogit;
  body(rest, i / kLogitBlock);
}

// Of a NaN and a number Max gives the second.
void BlockMaximaRow(const float* x, int n, float* maxima) {
  ForLogitBlocks(x, n, [&](const float* logits, int block) {
    Lanes::F largest = Lanes::Set(kNoLogit);
    for (int i = 0; i < kLogitBlock; i += Lanes::kCount)
      largest = Lanes::Max(Lanes::Load(logits + i), largest);
    maxima[block] = Lanes::MaxOf(largest);
  });
}

void ExpWeightsRow(const float* x, int n, float max, float scale, float* y, float* sums) {
  // Exp does not fall below its value here, which is to be 0. Taken off, it changes no weight by
  // more than it is itself.
  const Lanes::F lowest = Lanes::Set(-87.3f);
  const Lanes::F floor = Exp(lowest);
  const Lanes::F maxima = Lanes::Set(max), scales = Lanes::Set(scale);
  float weights[kLogitBlock];
  ForLogitBlocks(x, n, [&](const float* logits, int block) {
    Lanes::F sum = Lanes::Zero();
    for (int i = 0; i < kLogitBlock; i += Lanes::kCount) {
      const Lanes::F z = Lanes::Mul(Lanes::Sub(Lanes::Load(logits + i), maxima), scales);
      const Lanes::F e = Exp(Lanes::Max(z, lowest));
      const Lanes::F weight = Lanes::Max(Lanes::Sub(e, floor), Lanes::Zero());
      Lanes::Store(weights + i, weight);
      sum = Lanes::Add(sum, weight);
    }
    sums[block] = Lanes::Sum(sum);
    const int first = block * kLogitBlock;
    const int count = n - first < kLogitBlock ? n - first : kLogitBlock;
    for (int i = 0; i < count; ++i) y[first + i] = weights[i];
  });
}

}  // namespace
