// SPDX-License-Identifier: Apache-2.0
#include "libs/model/kv_rounding.h"

#include <algorithm>

#include "kernels/dtype.h"
#include "kernels/kv_codec.h"
#include "libs/base/check.h"

namespace dki::model {
namespace {

using kernels::KvFormat;

constexpr int kMinTokensOfARange = 8;  // fewer say little of a channel

// Rows of one plane within a page, through a format and back.
class Rounder {
 public:
  Rounder(const KvShape& shape, const KvCodec& codec, kernels::Isa isa,
          const std::vector<float>& rotations)
      : shape_(shape), codec_(codec), isa_(isa), rotations_(rotations) {}

  void Keys(int page, int n_tokens, const float* from, float* to) {
    const int tail = n_tokens % kernels::kKvGroup;
    const bool apart = tail > 0 && tail < kMinTokensOfARange && kernels::IsQuantized(codec_.keys);
    const int whole = apart ? n_tokens - tail : n_tokens;
    const size_t at = static_cast<size_t>(whole) * shape_.row_size();
    Plane(true, codec_.keys, codec_.key_groups, page, whole, from, to);
    if (apart)
      Plane(true, KvFormat::kInt8, kernels::KeyGroups::kToken, page, tail, from + at, to + at);
  }
  void Values(int page, int n_tokens, const float* from, float* to) {
    Plane(false, codec_.values, codec_.key_groups, page, n_tokens, from, to);
  }

 private:
  struct alignas(64) Line {
    uint8_t bytes[64];
  };

  void Plane(bool keys, KvFormat format, kernels::KeyGroups groups, int page, int n_tokens,
             const float* from, float* to) {
    const size_t n = static_cast<size_t>(n_tokens) * shape_.row_size();
    if (n == 0) return;
    if (format == KvFormat::kF32) {
      std::copy_n(from, n, to);
      return;
    }
    if (!kernels::IsQuantized(format)) {
      const kernels::DType dtype =
          format == KvFormat::kF16 ? kernels::DType::kF16 : kernels::DType::kBF16;
      room_.resize(2 * n / sizeof(Line) + 1);
      kernels::QuantizeRow(dtype, from, n, room_[0].bytes);
      kernels::DequantizeRow(dtype, room_[0].bytes, n, to);
      return;
    }
    const kernels::KvGroupShape shape{format,          groups,       shape_.n_kv_heads,
                                      shape_.head_dim, codec_.pairs, codec_.n_rot};
    room_.resize(kernels::KvGroups(n_tokens) * shape_.n_kv_heads * kernels::KvGroupBytes(shape) /
                 sizeof(Line));
    uint8_t* const codes = room_[0].bytes;
    if (!keys) {
      kernels::EncodeValues(isa_, shape, from, n_tokens, codes);
      kernels::DecodeValues(isa_, shape, codes, n_tokens, to);
      return;
    }
    const float* const rotations =
        rotations_.empty()
            ? nullptr
            : rotations_.data() + static_cast<size_t>(page) * codec_.n_rot * kPageTokens;
    kernels::EncodeKeys(isa_, shape, from, n_tokens, rotations, codes);
    kernels::DecodeKeys(isa_, shape, codes, n_tokens, rotations, to);
  }

  const KvShape shape_;
  const KvCodec codec_;
  const kernels::Isa isa_;
  const std::vector<float>& rotations_;
  std::vector<Line> room_;
};

}  // namespace

KvBuffer RoundThrough(const KvBuffer& kv, int n_tokens, const KvCodec& codec, kernels::Isa isa,
                      const std::vector<double>& frequencies) {
  DKI_CHECK(n_tokens >= 0 && n_tokens <= kv.size());
  std::vector<float> rotations;
  if (codec.key_groups == kernels::KeyGroups::kChannelFirst) {
    DKI_CHECK(2 * frequencies.size() == static_cast<size_t>(codec.n_rot));
    rotations = kernels::KeyRotations(frequencies, PagesFor(n_tokens));
  }
  KvBuffer rounded(kv.shape(), n_tokens);
  Rounder rounder(kv.shape(), codec, isa, rotations);
  for (int page = 0; page < PagesFor(n_tokens); ++page) {
    const int first = page * kPageTokens;
    const int n = std::min(kPageTokens, n_tokens - first);
    for (int layer = 0; layer < kv.shape().n_layers; ++layer) {
      rounder.Keys(page, n, kv.keys(layer, first), rounded.keys(layer, first));
      rounder.Values(page, n, kv.values(layer, first), rounded.values(layer, first));
    }
  }
  rounded.Resize(n_tokens);
  return rounded;
}

}  // namespace dki::model
