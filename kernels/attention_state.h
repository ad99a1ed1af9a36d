// SPDX-License-Identifier: Apache-2.0
// The algebra of attention. The result of a query over some keys is a state (m, d, o):
//   m = max_j s_j            running maximum of the logits
//   d = sum_j exp(s_j - m)   denominator
//   o = sum_j exp(s_j - m) v_j   output, not yet divided by d
// and the state over the union of two sets of keys is the merge of their states (Milakov &
// Gimelshein, arXiv:1805.02867; Dao et al., arXiv:2205.14135). Merging is associative and
// commutative up to rounding; the kernels merge in one fixed order, which makes it exact.
//
// A bias on all logits of a set moves m and nothing else: weighing a memory by alpha is
// state.m += ln(alpha).
//
// The empty state is (-inf, 0, 0). It needs care: (-inf) - (-inf) is NaN, so the merge asks for
// d == 0 before it looks at m. A set whose alpha is 0 is never computed, rather than biased by
// -inf: then every m in play is finite and no other case can give a NaN.
#pragma once

#include <limits>
#include <vector>

namespace dki::kernels {

// Maximum and denominator; what a merge needs to know of a state.
struct SoftmaxState {
  float m = -std::numeric_limits<float>::infinity();
  float d = 0.0f;
  bool empty() const { return d == 0.0f; }
};

// What a merge multiplies the two outputs by. One of them is exactly 1.
struct MergeScales {
  float into = 1.0f;
  float other = 0.0f;
};

// *into = *into merged with `other`.
MergeScales Merge(const SoftmaxState& other, SoftmaxState* into);

// The share of `part` in `whole`, part having been merged into it: part's softmax mass. 0 for an
// empty part.
double Share(const SoftmaxState& part, const SoftmaxState& whole);

// A whole state, for clear code and tests.
struct AttentionState {
  SoftmaxState softmax;
  std::vector<float> o;  // [head_dim]

  explicit AttentionState(int head_dim) : o(head_dim, 0.0f) {}
  // Adds one key's logit and value. value: [head_dim].
  void Add(float logit, const float* value);
  void MergeFrom(const AttentionState& other);
  // o / d; zeros for the empty state.
  std::vector<float> Output() const;
};

}  // namespace dki::kernels
