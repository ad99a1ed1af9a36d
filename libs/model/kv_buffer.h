// SPDX-License-Identifier: Apache-2.0
// Purpose: the keys and values of a run of tokens for all layers, in one frame of positions: the
// key of token j is
//   rotated by position j, wherever the run is placed later. Placing it (model.h, Segment::offset)
//   rotates the query.
// Thread-safety: thread-compatible. Ownership: owns its memory.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "libs/base/status.h"

namespace dki::model {

struct KvShape {
  int n_layers = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  bool operator==(const KvShape&) const = default;

  // Floats of one token in one plane (the keys, or the values, of one layer).
  int row_size() const { return n_kv_heads * head_dim; }
  size_t bytes_per_token() const { return size_t{2} * n_layers * row_size() * sizeof(float); }
};

class KvBuffer {
 public:
  KvBuffer(const KvShape& shape, int capacity_tokens);
  KvBuffer(KvBuffer&&) noexcept = default;
  KvBuffer& operator=(KvBuffer&&) noexcept = default;

  // A copy of the first `n_tokens` tokens with room for `capacity_tokens`. REQUIRES: n_tokens <=
  // size().
  KvBuffer Clone(int n_tokens, int capacity_tokens) const;

  const KvShape& shape() const { return shape_; }
  int size() const { return size_; }  // tokens held
  int capacity() const { return capacity_; }
  size_t size_bytes() const { return shape_.bytes_per_token() * capacity_; }

  // Planes of one layer: [capacity, n_kv_heads, head_dim].
  float* keys(int layer);
  float* values(int layer);
  const float* keys(int layer) const;
  const float* values(int layer) const;

  // Grows or shrinks the number of tokens held. REQUIRES: 0 <= n_tokens <= capacity().
  void Resize(int n_tokens);
  // Makes room for at least `capacity_tokens`, keeping what is held; existing pointers become
  // invalid.
  void Reserve(int capacity_tokens);

 private:
  KvShape shape_;
  int capacity_ = 0;
  int size_ = 0;
  std::unique_ptr<float[]> data_;  // [n_layers, 2, capacity, n_kv_heads, head_dim]
};

}  // namespace dki::model
