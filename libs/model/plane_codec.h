// SPDX-License-Identifier: Apache-2.0
// Purpose: the number formats that stored K/V is kept in (design section 4, formats): a few tokens
//   take a few bytes, and what the bytes mean is the same on every machine. (What a running context
//   is read in, kernels/kv_codec.h, is laid out for attention instead: a short group takes the room
//   of a whole one.)
//
//   A plane, the keys or the values of one layer, is a run of groups of 32 tokens, the last of them
//   short. f32, f16 and bf16 are rows [n_kv_heads, head_dim]. int8, int4 and int2 are unsigned
//   codes with x = minimum + scale * code, scale and minimum halves:
//     keys    before their rotation: minimum[row], scale[row], of each channel over the group's
//             tokens, then the codes, a row for each token
//     fewer than 8 keys, of which a channel's range says little: always int8; minimum[n_kv_heads],
//             scale[n_kv_heads] and the codes, 8 bits, for each token
//     values  minimum[n], scale[n] and the codes, for each token; n: of each head's groups of 32
//             channels, the last of them short
//   A row of codes of b bits takes ceil(row * b / 8) bytes: field f of byte j is channel
//   j + f * ceil(row * b / 8), the first field in the low bits.
//
//   The minimum is rounded down and the scale up, so that no value is clipped: the error is at most
//   half a scale. Values beyond what halves can hold are.
// Thread-safety: immutable.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kv_format.h"
#include "libs/base/status.h"
#include "libs/model/config.h"
#include "libs/model/kv_buffer.h"

namespace dki::model {

class PlaneCodec {
 public:
  static constexpr int kGroup = 32;      // tokens
  static constexpr int kMinChannel = 8;  // tokens that make a channel's range worth its room

  explicit PlaneCodec(const ModelConfig& config);

  // Of buffers that are encoded and decoded here; it has no codec of its own.
  const KvShape& shape() const { return shape_; }

  // All planes of n_tokens tokens: for each layer keys, then values.
  static size_t SizeBytes(kernels::KvFormat format, const KvShape& shape, int n_tokens);
  // Appends them.
  void Encode(kernels::KvFormat format, const KvBuffer& kv, std::string* planes) const;
  // The inverse. `kv` is overwritten. REQUIRES: kv->size() tokens are in `planes`, no more, no
  // less.
  void Decode(kernels::KvFormat format, std::string_view planes, KvBuffer* kv) const;

  // What is left of the K/V of one layer's group, the tokens from group * 32 on, when it is encoded
  // and decoded. `n_tokens`: of the whole block. REQUIRES: both buffers have room for them.
  void RoundGroup(kernels::KvFormat format, int layer, int group, int n_tokens,
                  const KvBuffer& from, KvBuffer* to) const;
  // The same for all of it.
  KvBuffer Round(kernels::KvFormat format, const KvBuffer& kv) const;

 private:
  struct Room;  // scratch memory

  void EncodeKeys(kernels::KvFormat format, int layer, int first, int n, const float* keys,
                  uint8_t* to, Room* room) const;
  void DecodeKeys(kernels::KvFormat format, int layer, int first, int n, const uint8_t* from,
                  float* keys, Room* room) const;
  void EncodeValues(kernels::KvFormat format, int n, const float* values, uint8_t* to,
                    Room* room) const;
  void DecodeValues(kernels::KvFormat format, int n, const uint8_t* from, float* values,
                    Room* room) const;
  // The rotation of a token's keys: [n_rot], made in `room` where no table has it.
  const float* Rotation(int layer, int token, Room* room) const;

  // Of full and of windowed layers.
  struct Kind {
    RopeConfig rope;
    std::vector<double> frequencies;
    std::vector<float> table;  // [n_tabled_, n_rot]
  };
  const Kind& kind(int layer) const { return kinds_[windowed_[layer] ? 1 : 0]; }

  const KvShape shape_;
  std::vector<bool> windowed_;  // [n_layers]
  int n_tabled_ = 0;            // tokens
  Kind kinds_[2];
};

// What the product keeps blocks in unless told otherwise.
inline constexpr kernels::KvFormat kDefaultBlockFormat = kernels::KvFormat::kInt8;

// f32, f16, bf16, int8, int4 or int2; INVALID_ARGUMENT for anything else.
absl::StatusOr<kernels::KvFormat> ParseBlockFormat(std::string_view name);

}  // namespace dki::model
