// SPDX-License-Identifier: Apache-2.0
// Number formats of the K/V that a running context attends to. Pages that are full are read in the
// codec's formats; the page that is being filled stays in f32, so that a token's result does not
// depend on how its sequence was cut into chunks (P11).
#pragma once

#include <string>
#include <string_view>

#include "kernels/kv_format.h"
#include "kernels/rope.h"
#include "libs/base/status.h"

namespace dki::model {

struct KvCodec {
  kernels::KvFormat keys = kernels::KvFormat::kF32;
  kernels::KvFormat values = kernels::KvFormat::kF32;
  kernels::KeyGroups key_groups = kernels::KeyGroups::kChannel;
  // The model's rotation, for keys that are quantised before it.
  kernels::RopePairs pairs = kernels::RopePairs::kInterleaved;
  int n_rot = 0;
  bool operator==(const KvCodec&) const = default;

  bool codes_keys() const { return keys != kernels::KvFormat::kF32; }
  bool codes_values() const { return values != kernels::KvFormat::kF32; }
  bool codes_any() const { return codes_keys() || codes_values(); }
};

// FORMAT or KEYS/VALUES, of f32, f16, bf16, int8, int4, int2; then, of quantised keys, optionally
// :channel, :channel_first or :token (kernels/kv_format.h). "int8", "int4:channel_first/int8".
// INVALID_ARGUMENT for anything else.
absl::StatusOr<KvCodec> ParseKvCodec(std::string_view text);
// The inverse.
std::string Name(const KvCodec& codec);

}  // namespace dki::model
