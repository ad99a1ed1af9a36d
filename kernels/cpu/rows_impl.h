// SPDX-License-Identifier: Apache-2.0
// Row-wise functions over Lanes, included once by the file of each instruction set.
#pragma once

#include <math.h>
#include <stddef.h>

namespace {

// exp(x): x = n ln2 + r, a polynomial of degree 7 for exp(r) (Cephes; 2 ulp), times 2^n. Below
// -87.3 the result stays at the smallest normal number, above 88 it is held at exp(88).
inline Lanes::F Exp(Lanes::F x) {
  x = Lanes::Max(Lanes::Min(x, Lanes::Set(88.0f)), Lanes::Set(-87.3f));
  const Lanes::F n = Lanes::Round(Lanes::Mul(x, Lanes::Set(1.44269504088896341f)));
  Lanes::F r = Lanes::Fma(n, Lanes::Set(-0.693359375f), x);
  r = Lanes::Fma(n, Lanes::Set(2.12194440e-4f), r);
  Lanes::F p = Lanes::Set(1.9875691500e-4f);
  p = Lanes::Fma(p, r, Lanes::Set(1.3981999507e-3f));
  p = Lanes::Fma(p, r, Lanes::Set(8.3334519073e-3f));
  p = Lanes::Fma(p, r, Lanes::Set(4.1665795894e-2f));
  p = Lanes::Fma(p, r, Lanes::Set(1.6666665459e-1f));
  p = Lanes::Fma(p, r, Lanes::Set(5.0000001201e-1f));
  p = Lanes::Fma(p, Lanes::Mul(r, r), Lanes::Add(r, Lanes::Set(1.0f)));
  return Lanes::ScaleByPowerOf2(p, n);
}

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

void SiluMulRow(const float* up, int n, float* gate) {
  const Lanes::F one = Lanes::Set(1.0f);
  int i = 0;
  for (; i + Lanes::kCount <= n; i += Lanes::kCount) {
    const Lanes::F x = Lanes::Load(gate + i);
    const Lanes::F e = Exp(Lanes::Sub(Lanes::Zero(), x));
    Lanes::Store(gate + i, Lanes::Mul(Lanes::Div(x, Lanes::Add(one, e)), Lanes::Load(up + i)));
  }
  if (i < n) {
    float rest[Lanes::kCount];
    const Lanes::F x = Lanes::LoadFirst(gate + i, n - i);
    const Lanes::F e = Exp(Lanes::Sub(Lanes::Zero(), x));
    const Lanes::F u = Lanes::LoadFirst(up + i, n - i);
    Lanes::Store(rest, Lanes::Mul(Lanes::Div(x, Lanes::Add(one, e)), u));
    for (int j = 0; i + j < n; ++j) gate[i + j] = rest[j];
  }
}

}  // namespace
