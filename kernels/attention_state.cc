// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention_state.h"

#include <cmath>

namespace dki::kernels {

MergeScales Merge(const SoftmaxState& other, SoftmaxState* into) {
  if (other.empty()) return {1.0f, 0.0f};
  if (into->empty()) {
    *into = other;
    return {0.0f, 1.0f};
  }
  MergeScales scales{1.0f, 1.0f};
  if (other.m > into->m) {
    scales.into = std::exp(into->m - other.m);
    into->m = other.m;
  } else {
    scales.other = std::exp(other.m - into->m);
  }
  into->d = into->d * scales.into + other.d * scales.other;
  return scales;
}

double Share(const SoftmaxState& part, const SoftmaxState& whole) {
  if (part.empty() || whole.empty()) return 0.0;
  return part.d * std::exp(static_cast<double>(part.m) - whole.m) / whole.d;
}

void AttentionState::Add(float logit, const float* value) {
  const MergeScales scales = Merge({logit, 1.0f}, &softmax);
  for (size_t i = 0; i < o.size(); ++i) o[i] = o[i] * scales.into + value[i] * scales.other;
}

void AttentionState::MergeFrom(const AttentionState& other) {
  const MergeScales scales = Merge(other.softmax, &softmax);
  for (size_t i = 0; i < o.size(); ++i) o[i] = o[i] * scales.into + other.o[i] * scales.other;
}

std::vector<float> AttentionState::Output() const {
  std::vector<float> out(o.size(), 0.0f);
  if (softmax.empty()) return out;
  for (size_t i = 0; i < o.size(); ++i) out[i] = o[i] / softmax.d;
  return out;
}

}  // namespace dki::kernels
