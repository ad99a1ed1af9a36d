// SPDX-License-Identifier: Apache-2.0
// Small blocks with known contents, for tests.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "libs/kvcache/block.h"

namespace dki::kvcache {

inline constexpr model::KvShape kTestShape{.n_layers = 2, .n_kv_heads = 2, .head_dim = 4};

inline model::ModelConfig TestConfig() {
  model::ModelConfig config;
  config.n_layers = kTestShape.n_layers;
  config.n_kv_heads = kTestShape.n_kv_heads;
  config.head_dim = kTestShape.head_dim;
  config.context_length = 256;
  config.rope.n_rot = kTestShape.head_dim;
  return config;
}
inline const model::PlaneCodec& TestCodec() {
  static const auto* const codec = new model::PlaneCodec(TestConfig());
  return *codec;
}

struct TestBlockSpec {
  std::string tenant_id = "tenant";
  std::string memory_id = "m1";
  std::vector<std::string> chain = {"m1"};
  int n_tokens = 3;
  int variant = 0;  // other tokens
  kernels::KvFormat format = kernels::KvFormat::kF32;
};

inline Block TestBlock(const TestBlockSpec& spec) {
  Block block{.identity = {.tenant_id = spec.tenant_id,
                           .memory_id = spec.memory_id,
                           .content_hash = "",
                           .model_fingerprint = "model",
                           .chain_hash = ContentHash({}),
                           .format = spec.format},
              .chain_memory_ids = spec.chain,
              .tokens = {},
              .kv = model::KvBuffer(kTestShape, spec.n_tokens),
              .format = spec.format};
  block.kv.Resize(spec.n_tokens);
  float value = 0.5f + static_cast<float>(spec.variant);
  for (int i = 0; i < spec.n_tokens; ++i) block.tokens.push_back(100 * spec.variant + i);
  for (int layer = 0; layer < kTestShape.n_layers; ++layer) {
    for (int i = 0; i < spec.n_tokens * kTestShape.row_size(); ++i) {
      const int token = i / kTestShape.row_size(), at = i % kTestShape.row_size();
      block.kv.keys(layer, token)[at] = value *= -1.01f;
      block.kv.values(layer, token)[at] = value *= 1.001f;
    }
  }
  block.identity.content_hash = ContentHash(block.tokens);
  return block;
}

inline std::string Encoded(const Block& block) {
  return EncodeBlock(block, TestCodec());
}

inline bool SameKv(const model::KvBuffer& a, const model::KvBuffer& b) {
  if (!a.shape().SameModel(b.shape()) || a.size() != b.size()) return false;
  const size_t bytes = sizeof(float) * a.shape().row_size();
  for (int layer = 0; layer < a.shape().n_layers; ++layer) {
    for (int token = 0; token < a.size(); ++token) {
      if (std::memcmp(a.keys(layer, token), b.keys(layer, token), bytes) != 0) return false;
      if (std::memcmp(a.values(layer, token), b.values(layer, token), bytes) != 0) return false;
    }
  }
  return true;
}

}  // namespace dki::kvcache
