// SPDX-License-Identifier: Apache-2.0
// The dimensions of a model's K/V.
#pragma once

#include <cstddef>

#include "libs/model/kv_codec.h"

namespace dki::model {

inline constexpr int kPageTokens = 64;

struct KvShape {
  int n_layers = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  KvCodec codec = {};  // what full pages are read in; they are kept in f32 as well
  bool operator==(const KvShape&) const = default;

  // True for buffers of the same model, whatever their codecs.
  bool SameModel(const KvShape& other) const {
    return n_layers == other.n_layers && n_kv_heads == other.n_kv_heads &&
           head_dim == other.head_dim;
  }
  // Floats of one token in one plane (the keys, or the values, of one layer).
  int row_size() const { return n_kv_heads * head_dim; }
  // In f32.
  size_t bytes_per_token() const { return size_t{2} * n_layers * row_size() * sizeof(float); }
};

}  // namespace dki::model
