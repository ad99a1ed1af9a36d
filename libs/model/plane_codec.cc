// SPDX-License-Identifier: Apache-2.0
#include "libs/model/plane_codec.h"

#include <algorithm>
#include <cstring>

#include "kernels/dtype.h"
#include "kernels/rope.h"
#include "libs/base/check.h"
#include "libs/model/forward.h"

namespace dki::model {
namespace {

using kernels::CodeBits;
using kernels::IsQuantized;
using kernels::KvFormat;

constexpr int kTabledTokens = 1024;
constexpr int kValueGroup = 32;  // channels

size_t CodeRowBytes(int n_channels, int bits) {
  return (static_cast<size_t>(n_channels) * bits + 7) / 8;
}
int ValueGroups(const KvShape& shape) {
  return shape.n_kv_heads * ((shape.head_dim + kValueGroup - 1) / kValueGroup);
}

size_t FloatBytes(KvFormat format) {
  return format == KvFormat::kF32 ? 4 : 2;
}

// Few keys are a token's matter, and int8.
bool KeysByToken(KvFormat format, int n) {
  return IsQuantized(format) && n < PlaneCodec::kMinChannel;
}

size_t KeyGroupBytes(KvFormat format, const KvShape& shape, int n) {
  const size_t row = shape.row_size();
  if (!IsQuantized(format)) return n * row * FloatBytes(format);
  if (KeysByToken(format, n)) return n * (4 * shape.n_kv_heads + row);
  return 4 * row + n * CodeRowBytes(shape.row_size(), CodeBits(format));
}
size_t ValueGroupBytes(KvFormat format, const KvShape& shape, int n) {
  const size_t row = shape.row_size();
  if (!IsQuantized(format)) return n * row * FloatBytes(format);
  return n * (4 * ValueGroups(shape) + CodeRowBytes(shape.row_size(), CodeBits(format)));
}

// Calls body(first token, number of tokens) for the groups of a plane.
template <typename F>
void ForGroups(int n_tokens, F&& body) {
  for (int first = 0; first < n_tokens; first += PlaneCodec::kGroup)
    body(first, std::min(PlaneCodec::kGroup, n_tokens - first));
}

void StoreHalf(float x, uint8_t* to) {
  const uint16_t half = kernels::FloatToHalf(x);
  std::memcpy(to, &half, sizeof(half));
}
float LoadHalf(const uint8_t* from) {
  uint16_t half;
  std::memcpy(&half, from, sizeof(half));
  return kernels::HalfToFloat(half);
}

// The range of values as a minimum and a scale that halves hold, minimum <= lowest and
// minimum + levels * scale >= highest: the margins cover rounding to the nearest half.
struct Range {
  float minimum;
  float scale;
};
Range StoreRange(float lowest, float highest, int bits, uint8_t* minimum_at, uint8_t* scale_at) {
  constexpr float kUp = 1.0f / 2000;  // of a half's 11 bits
  constexpr float kTiny = 6e-8f;      // a half's smallest step
  constexpr float kLargest = 65504.0f;
  const float size = lowest < 0 ? -lowest : lowest;
  StoreHalf(std::clamp(lowest - size * kUp - kTiny, -kLargest, kLargest), minimum_at);
  Range range;
  range.minimum = LoadHalf(minimum_at);
  const auto levels = static_cast<float>((1 << bits) - 1);
  StoreHalf(std::min((highest - range.minimum) / levels * (1 + kUp) + kTiny, kLargest), scale_at);
  range.scale = LoadHalf(scale_at);
  return range;
}

// Not a number becomes 0.
inline uint8_t Code(float x, float minimum, float inverse, float levels) {
  float code = (x - minimum) * inverse + 0.5f;
  code = code > 0 ? code : 0;
  code = code < levels ? code : levels;
  return static_cast<uint8_t>(static_cast<int>(code));
}

template <int kBits>
void PackFields(const uint8_t* codes, int n, uint8_t* to) {
  constexpr int kFields = 8 / kBits;
  const int n_bytes = static_cast<int>(CodeRowBytes(n, kBits));
  std::memcpy(to, codes, n_bytes);
  for (int field = 1; field < kFields; ++field) {
    const int first = field * n_bytes;
    const int left = std::min(n_bytes, n - first);
    for (int j = 0; j < left; ++j)
      to[j] |= static_cast<uint8_t>(codes[first + j] << (field * kBits));
  }
}
template <int kBits>
void UnpackFields(const uint8_t* from, int n, uint8_t* codes) {
  constexpr int kFields = 8 / kBits;
  constexpr uint8_t kMask = (1 << kBits) - 1;
  const int n_bytes = static_cast<int>(CodeRowBytes(n, kBits));
  for (int field = 0; field < kFields; ++field) {
    const int first = field * n_bytes;
    const int left = std::min(n_bytes, n - first);
    for (int j = 0; j < left; ++j)
      codes[first + j] = static_cast<uint8_t>(from[j] >> (field * kBits) & kMask);
  }
}
void Pack(const uint8_t* codes, int n, int bits, uint8_t* to) {
  if (bits == 4) return PackFields<4>(codes, n, to);
  if (bits == 2) return PackFields<2>(codes, n, to);
  std::memcpy(to, codes, n);
}
// The codes themselves where a byte is one.
const uint8_t* Unpack(const uint8_t* from, int n, int bits, uint8_t* codes) {
  if (bits == 8) return from;
  bits == 4 ? UnpackFields<4>(from, n, codes) : UnpackFields<2>(from, n, codes);
  return codes;
}

void EncodeFloats(KvFormat format, const float* from, size_t n, uint8_t* to) {
  if (format == KvFormat::kF32) {
    std::memcpy(to, from, n * sizeof(float));
  } else {
    kernels::QuantizeRow(format == KvFormat::kF16 ? kernels::DType::kF16 : kernels::DType::kBF16,
                         from, n, to);
  }
}
void DecodeFloats(KvFormat format, const uint8_t* from, size_t n, float* to) {
  if (format == KvFormat::kF32) {
    std::memcpy(to, from, n * sizeof(float));
  } else {
    kernels::DequantizeRow(format == KvFormat::kF16 ? kernels::DType::kF16 : kernels::DType::kBF16,
                           from, n, to);
  }
}

// A run of values that share a range.
void EncodeRun(const float* x, int n, int bits, uint8_t* minimum_at, uint8_t* scale_at,
               uint8_t* codes) {
  float lowest = x[0], highest = x[0];
  for (int i = 1; i < n; ++i) {
    lowest = x[i] < lowest ? x[i] : lowest;
    highest = x[i] > highest ? x[i] : highest;
  }
  const Range range = StoreRange(lowest, highest, bits, minimum_at, scale_at);
  const float inverse = 1 / range.scale;
  const auto levels = static_cast<float>((1 << bits) - 1);
  for (int i = 0; i < n; ++i) codes[i] = Code(x[i], range.minimum, inverse, levels);
}
void DecodeRun(const uint8_t* codes, int n, float minimum, float scale, float* x) {
  for (int i = 0; i < n; ++i) x[i] = minimum + scale * static_cast<float>(codes[i]);
}

}  // namespace

absl::StatusOr<KvFormat> ParseBlockFormat(std::string_view name) {
  if (const auto format = kernels::ParseKvFormat(name)) return *format;
  return InvalidArgument("\"%s\" is not one of f32, f16, bf16, int8, int4 and int2", name);
}

struct PlaneCodec::Room {
  explicit Room(const KvShape& shape)
      : keys(static_cast<size_t>(kGroup) * shape.row_size()),
        minimum(shape.row_size()),
        scale(shape.row_size()),
        rotation(shape.head_dim),
        codes(shape.row_size()),
        bytes(size_t{8} * kGroup * shape.row_size()) {}

  std::vector<float> keys;  // [32, row], not rotated
  std::vector<float> minimum, scale;
  std::vector<float> rotation;
  std::vector<uint8_t> codes;  // of a row
  std::vector<uint8_t> bytes;  // a group: of a value, at most its code and a range of its own
};

PlaneCodec::PlaneCodec(const ModelConfig& config)
    : shape_{config.n_layers, config.n_kv_heads, config.head_dim},
      n_tabled_(std::min(kTabledTokens, config.context_length)) {
  for (int layer = 0; layer < config.n_layers; ++layer)
    windowed_.push_back(config.is_windowed(layer));
  kinds_[0].rope = config.rope;
  if (config.window > 0) kinds_[1].rope = config.window_rope;
  for (Kind& kind : kinds_) {
    const RopeConfig& rope = kind.rope;
    kind.frequencies = kernels::RopeFrequencies(
        rope.theta, rope.n_rot, rope.factors.empty() ? nullptr : rope.factors.data());
    kind.table.resize(static_cast<size_t>(n_tabled_) * rope.n_rot);
    for (int token = 0; token < n_tabled_; ++token)
      kernels::RopeTable(token, kind.frequencies,
                         kind.table.data() + static_cast<size_t>(token) * rope.n_rot);
  }
}

const float* PlaneCodec::Rotation(int layer, int token, Room* room) const {
  const Kind& of = kind(layer);
  if (token < n_tabled_) return of.table.data() + static_cast<size_t>(token) * of.rope.n_rot;
  kernels::RopeTable(token, of.frequencies, room->rotation.data());
  return room->rotation.data();
}

size_t PlaneCodec::SizeBytes(KvFormat format, const KvShape& shape, int n_tokens) {
  size_t bytes = 0;
  ForGroups(n_tokens, [&](int, int n) {
    bytes += KeyGroupBytes(format, shape, n) + ValueGroupBytes(format, shape, n);
  });
  return shape.n_layers * bytes;
}

void PlaneCodec::EncodeKeys(KvFormat format, int layer, int first, int n, const float* keys,
                            uint8_t* to, Room* room) const {
  const int row = shape_.row_size();
  if (!IsQuantized(format)) return EncodeFloats(format, keys, static_cast<size_t>(n) * row, to);
  const RopeConfig& rope = kind(layer).rope;
  for (int t = 0; t < n; ++t) {  // turned back
    const float* const rotation = Rotation(layer, first + t, room);
    float* const back = room->scale.data();  // not needed yet; row >= head_dim >= n_rot
    for (int i = 0; i < rope.n_rot; ++i) back[i] = i % 2 == 0 ? rotation[i] : -rotation[i];
    kernels::ApplyRope(ToPairs(rope.pairing), back, rope.n_rot, shape_.n_kv_heads, shape_.head_dim,
                       keys + static_cast<size_t>(t) * row,
                       room->keys.data() + static_cast<size_t>(t) * row);
  }
  const float* const x = room->keys.data();
  if (KeysByToken(format, n)) {
    const int heads = shape_.n_kv_heads;
    for (int t = 0; t < n; ++t) {
      for (int h = 0; h < heads; ++h) {
        EncodeRun(x + static_cast<size_t>(t) * row + h * shape_.head_dim, shape_.head_dim, 8,
                  to + 2 * h, to + 2 * (heads + h), to + 4 * heads + h * shape_.head_dim);
      }
      to += 4 * heads + row;
    }
    return;
  }
  const int bits = CodeBits(format);
  const auto levels = static_cast<float>((1 << bits) - 1);
  float* const lowest = room->minimum.data();
  float* const highest = room->scale.data();
  std::copy_n(x, row, lowest);
  std::copy_n(x, row, highest);
  for (int t = 1; t < n; ++t) {
    const float* const xt = x + static_cast<size_t>(t) * row;
    for (int c = 0; c < row; ++c) {
      lowest[c] = xt[c] < lowest[c] ? xt[c] : lowest[c];
      highest[c] = xt[c] > highest[c] ? xt[c] : highest[c];
    }
  }
  for (int c = 0; c < row; ++c) {
    const Range range =
        StoreRange(lowest[c], highest[c], bits, to + 2 * c, to + 2 * static_cast<size_t>(row + c));
    lowest[c] = range.minimum;
    highest[c] = 1 / range.scale;
  }
  to += 4 * static_cast<size_t>(row);
  for (int t = 0; t < n; ++t, to += CodeRowBytes(row, bits)) {
    const float* const xt = x + static_cast<size_t>(t) * row;
    for (int c = 0; c < row; ++c) room->codes[c] = Code(xt[c], lowest[c], highest[c], levels);
    Pack(room->codes.data(), row, bits, to);
  }
}

void PlaneCodec::DecodeKeys(KvFormat format, int layer, int first, int n, const uint8_t* from,
                            float* keys, Room* room) const {
  const int row = shape_.row_size();
  if (!IsQuantized(format)) return DecodeFloats(format, from, static_cast<size_t>(n) * row, keys);
  const bool by_token = KeysByToken(format, n);
  const int heads = shape_.n_kv_heads;
  const int bits = CodeBits(format);
  if (!by_token) {
    for (int c = 0; c < row; ++c) {
      room->minimum[c] = LoadHalf(from + 2 * c);
      room->scale[c] = LoadHalf(from + 2 * static_cast<size_t>(row + c));
    }
    from += 4 * static_cast<size_t>(row);
  }
  const RopeConfig& rope = kind(layer).rope;
  for (int t = 0; t < n; ++t) {
    float* const x = keys + static_cast<size_t>(t) * row;
    if (by_token) {
      for (int h = 0; h < heads; ++h) {
        DecodeRun(from + 4 * heads + h * shape_.head_dim, shape_.head_dim, LoadHalf(from + 2 * h),
                  LoadHalf(from + 2 * (heads + h)), x + h * shape_.head_dim);
      }
      from += 4 * heads + row;
    } else {
      const uint8_t* const codes = Unpack(from, row, bits, room->codes.data());
      const float* const minimum = room->minimum.data();
      const float* const scale = room->scale.data();
      for (int c = 0; c < row; ++c) x[c] = minimum[c] + scale[c] * static_cast<float>(codes[c]);
      from += CodeRowBytes(row, bits);
    }
    kernels::ApplyRope(ToPairs(rope.pairing), Rotation(layer, first + t, room), rope.n_rot, heads,
                       shape_.head_dim, x, x);
  }
}

void PlaneCodec::EncodeValues(KvFormat format, int n, const float* values, uint8_t* to,
                              Room* room) const {
  const int row = shape_.row_size();
  if (!IsQuantized(format)) return EncodeFloats(format, values, static_cast<size_t>(n) * row, to);
  const int bits = CodeBits(format);
  const int groups = ValueGroups(shape_);
  for (int t = 0; t < n; ++t, values += row) {
    uint8_t* minimum_at = to;
    for (int h = 0; h < shape_.n_kv_heads; ++h) {
      for (int c = 0; c < shape_.head_dim; c += kValueGroup, minimum_at += 2) {
        const int at = h * shape_.head_dim + c;
        EncodeRun(values + at, std::min(kValueGroup, shape_.head_dim - c), bits, minimum_at,
                  minimum_at + 2 * groups, room->codes.data() + at);
      }
    }
    Pack(room->codes.data(), row, bits, to + 4 * groups);
    to += 4 * groups + CodeRowBytes(row, bits);
  }
}

void PlaneCodec::DecodeValues(KvFormat format, int n, const uint8_t* from, float* values,
                              Room* room) const {
  const int row = shape_.row_size();
  if (!IsQuantized(format)) return DecodeFloats(format, from, static_cast<size_t>(n) * row, values);
  const int bits = CodeBits(format);
  const int groups = ValueGroups(shape_);
  for (int t = 0; t < n; ++t, values += row) {
    const uint8_t* minimum_at = from;
    const uint8_t* const codes = Unpack(from + 4 * groups, row, bits, room->codes.data());
    for (int h = 0; h < shape_.n_kv_heads; ++h) {
      for (int c = 0; c < shape_.head_dim; c += kValueGroup, minimum_at += 2) {
        const int at = h * shape_.head_dim + c;
        DecodeRun(codes + at, std::min(kValueGroup, shape_.head_dim - c), LoadHalf(minimum_at),
                  LoadHalf(minimum_at + 2 * groups), values + at);
      }
    }
    from += 4 * groups + CodeRowBytes(row, bits);
  }
}

void PlaneCodec::Encode(KvFormat format, const KvBuffer& kv, std::string* planes) const {
  DKI_CHECK(kv.shape().SameModel(shape_));
  Room room(shape_);
  size_t at = planes->size();
  planes->resize(at + SizeBytes(format, shape_, kv.size()));
  auto* const out = reinterpret_cast<uint8_t*>(planes->data());
  for (int layer = 0; layer < shape_.n_layers; ++layer) {
    ForGroups(kv.size(), [&](int first, int n) {
      EncodeKeys(format, layer, first, n, kv.keys(layer, first), out + at, &room);
      at += KeyGroupBytes(format, shape_, n);
    });
    ForGroups(kv.size(), [&](int first, int n) {
      EncodeValues(format, n, kv.values(layer, first), out + at, &room);
      at += ValueGroupBytes(format, shape_, n);
    });
  }
}

void PlaneCodec::Decode(KvFormat format, std::string_view planes, KvBuffer* kv) const {
  DKI_CHECK(kv->shape().SameModel(shape_) &&
            planes.size() == SizeBytes(format, shape_, kv->size()));
  Room room(shape_);
  const auto* from = reinterpret_cast<const uint8_t*>(planes.data());
  for (int layer = 0; layer < shape_.n_layers; ++layer) {
    ForGroups(kv->size(), [&](int first, int n) {
      DecodeKeys(format, layer, first, n, from, kv->keys(layer, first), &room);
      from += KeyGroupBytes(format, shape_, n);
    });
    ForGroups(kv->size(), [&](int first, int n) {
      DecodeValues(format, n, from, kv->values(layer, first), &room);
      from += ValueGroupBytes(format, shape_, n);
    });
  }
}

void PlaneCodec::RoundGroup(KvFormat format, int layer, int group, int n_tokens,
                            const KvBuffer& from, KvBuffer* to) const {
  Room room(shape_);
  const int first = group * kGroup;
  const int n = std::min(kGroup, n_tokens - first);
  EncodeKeys(format, layer, first, n, from.keys(layer, first), room.bytes.data(), &room);
  DecodeKeys(format, layer, first, n, room.bytes.data(), to->keys(layer, first), &room);
  EncodeValues(format, n, from.values(layer, first), room.bytes.data(), &room);
  DecodeValues(format, n, room.bytes.data(), to->values(layer, first), &room);
}

KvBuffer PlaneCodec::Round(KvFormat format, const KvBuffer& kv) const {
  KvBuffer rounded(kv.shape(), kv.size());
  rounded.Resize(kv.size());
  for (int layer = 0; layer < shape_.n_layers; ++layer) {
    for (int group = 0; group * kGroup < kv.size(); ++group)
      RoundGroup(format, layer, group, kv.size(), kv, &rounded);
  }
  return rounded;
}

}  // namespace dki::model
