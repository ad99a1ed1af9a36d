// SPDX-License-Identifier: Apache-2.0
#include "libs/model/kv_codec.h"

namespace dki::model {

absl::StatusOr<KvCodec> ParseKvCodec(std::string_view text) {
  const size_t slash = text.find('/');
  std::string_view keys = text.substr(0, slash);
  const size_t colon = keys.find(':');
  const std::string_view groups =
      colon == std::string_view::npos ? "channel" : keys.substr(colon + 1);
  keys = keys.substr(0, colon);
  const std::string_view values = slash == std::string_view::npos ? keys : text.substr(slash + 1);
  const auto key_format = kernels::ParseKvFormat(keys);
  const auto value_format = kernels::ParseKvFormat(values);
  const auto key_groups = kernels::ParseKeyGroups(groups);
  if (!key_format || !value_format || !key_groups) {
    return InvalidArgument(
        "kv_format is \"%s\", it must be a format or KEYS/VALUES, of f32, f16, bf16, int8, int4 "
        "and int2, the keys' followed by :channel, :channel_first, :token or nothing",
        text);
  }
  KvCodec codec;
  codec.keys = *key_format;
  codec.values = *value_format;
  codec.key_groups = *key_groups;
  return codec;
}

std::string Name(const KvCodec& codec) {
  std::string name = kernels::Name(codec.keys);
  const bool grouped = codec.key_groups != kernels::KeyGroups::kChannel;
  if (grouped) name += std::string(":") + kernels::Name(codec.key_groups);
  if (grouped || codec.values != codec.keys) name += std::string("/") + kernels::Name(codec.values);
  return name;
}

}  // namespace dki::model
