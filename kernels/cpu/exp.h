// SPDX-License-Identifier: Apache-2.0
// The exponential function over Lanes.
#pragma once

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

}  // namespace
