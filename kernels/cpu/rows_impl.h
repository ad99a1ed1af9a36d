// SPDX-License-Identifier: Apache-2.0
// Row-wise functions over Lanes, included once by the file of each instruction set.
#pragma once

#include <math.h>
#include <stddef.h>

#include "kernels/cpu/exp.h"

namespace {

void RmsNormRows(const float* x, const float* weight, float epsilon, int n_rows, int n, float* y) {
  const int whole = n / Lanes::kCount * Lanes::kCount;
  for (int row = 0; row < n_rows; ++row, x += n, y += n) {
    Lanes::F sum = Lanes::Zero();
    for (int i = 0; i < whole; i += Lanes::kCount) {
      const Lanes::F v = Lanes::Load(x + i);
      sum = Lanes::Fma(v, v, sum);
    }
    if (whole < n) {
      const Lanes::F v = Lanes::LoadFirst(x + whole, n - whole);
      sum = Lanes::Fma(v, v, sum);
    }
    const float scale = 1.0f / sqrtf(Lanes::Sum(sum) / static_cast<float>(n) + epsilon);
    for (int i = 0; i < n; ++i) y[i] = x[i] * scale * weight[i];
  }
}

// gate = gate * sigmoid(z) * up with z = gate (silu), or the polynomial of gelu's approximation:
// (1 + tanh(y)) / 2 is sigmoid(2 y).
template <bool kGeluTanh>
inline Lanes::F Gated(Lanes::F x, Lanes::F up) {
  Lanes::F z = x;
  if constexpr (kGeluTanh) {
    constexpr float kTwoSqrt2OverPi = 1.5957691216057308f;
    const Lanes::F cubic = Lanes::Set(0.044715f * kTwoSqrt2OverPi);
    z = Lanes::Mul(x, Lanes::Fma(Lanes::Mul(x, x), cubic, Lanes::Set(kTwoSqrt2OverPi)));
  }
  const Lanes::F e = Exp(Lanes::Sub(Lanes::Zero(), z));
  return Lanes::Mul(Lanes::Div(x, Lanes::Add(Lanes::Set(1.0f), e)), up);
}

// up may be null.
template <bool kGeluTanh>
void GatedRow(const float* up, int n, float* gate) {
  Lanes::F u = Lanes::Set(1.0f);
  int i = 0;
  for (; i + Lanes::kCount <= n; i += Lanes::kCount) {
    if (up != nullptr) u = Lanes::Load(up + i);
    Lanes::Store(gate + i, Gated<kGeluTanh>(Lanes::Load(gate + i), u));
  }
  if (i < n) {
    float rest[Lanes::kCount];
    if (up != nullptr) u = Lanes::LoadFirst(up + i, n - i);
    Lanes::Store(rest, Gated<kGeluTanh>(Lanes::LoadFirst(gate + i, n - i), u));
    for (int j = 0; i + j < n; ++j) gate[i + j] = rest[j];
  }
}

// erf by Abramowitz and Stegun 7.1.26: within 1.5e-7, plus Exp's 2 ulp.
inline Lanes::F Erf(Lanes::F x) {
  const Lanes::F one = Lanes::Set(1.0f);
  const Lanes::F zero = Lanes::Zero();
  const Lanes::F size = Lanes::Max(x, Lanes::Sub(zero, x));
  const Lanes::F t = Lanes::Div(one, Lanes::Fma(Lanes::Set(0.3275911f), size, one));
  Lanes::F p = Lanes::Set(1.061405429f);
  p = Lanes::Fma(p, t, Lanes::Set(-1.453152027f));
  p = Lanes::Fma(p, t, Lanes::Set(1.421413741f));
  p = Lanes::Fma(p, t, Lanes::Set(-0.284496736f));
  p = Lanes::Fma(p, t, Lanes::Set(0.254829592f));
  const Lanes::F e = Exp(Lanes::Sub(zero, Lanes::Mul(size, size)));
  const Lanes::F magnitude = Lanes::Sub(one, Lanes::Mul(Lanes::Mul(p, t), e));
  // The sign of x; of its rounding to 0 nothing is left but 0.
  const Lanes::F sign =
      Lanes::Max(Lanes::Min(Lanes::Mul(x, Lanes::Set(1e30f)), one), Lanes::Set(-1.0f));
  return Lanes::Mul(magnitude, sign);
}

inline Lanes::F GeluOf(Lanes::F x) {
  const Lanes::F erf = Erf(Lanes::Mul(x, Lanes::Set(0.70710678118654752f)));
  return Lanes::Mul(Lanes::Mul(x, Lanes::Set(0.5f)), Lanes::Add(erf, Lanes::Set(1.0f)));
}

void GeluRow(int n, float* x) {
  int i = 0;
  for (; i + Lanes::kCount <= n; i += Lanes::kCount)
    Lanes::Store(x + i, GeluOf(Lanes::Load(x + i)));
  if (i < n) {
    float rest[Lanes::kCount];
    Lanes::Store(rest, GeluOf(Lanes::LoadFirst(x + i, n - i)));
    for (int j = 0; i + j < n; ++j) x[i + j] = rest[j];
  }
}

// Mean first, then the squares of the differences: the one-pass formula cancels.
void LayerNormRows(const float* x, const float* weight, const float* bias, float epsilon,
                   int n_rows, int n, float* y) {
  const int whole = n / Lanes::kCount * Lanes::kCount;
  for (int row = 0; row < n_rows; ++row, x += n, y += n) {
    Lanes::F sum = Lanes::Zero();
    for (int i = 0; i < whole; i += Lanes::kCount) sum = Lanes::Add(sum, Lanes::Load(x + i));
    if (whole < n) sum = Lanes::Add(sum, Lanes::LoadFirst(x + whole, n - whole));
    const float mean = Lanes::Sum(sum) / static_cast<float>(n);
    const Lanes::F means = Lanes::Set(mean);
    Lanes::F squares = Lanes::Zero();
    for (int i = 0; i < whole; i += Lanes::kCount) {
      const Lanes::F v = Lanes::Sub(Lanes::Load(x + i), means);
      squares = Lanes::Fma(v, v, squares);
    }
    float total = Lanes::Sum(squares);
    for (int i = whole; i < n; ++i) total += (x[i] - mean) * (x[i] - mean);
    const float scale = 1.0f / sqrtf(total / static_cast<float>(n) + epsilon);
    for (int i = 0; i < n; ++i) y[i] = (x[i] - mean) * scale * weight[i] + bias[i];
  }
}

}  // namespace
