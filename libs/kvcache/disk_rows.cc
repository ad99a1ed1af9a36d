// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/disk_rows.h"

#include <bit>

#include "libs/kvcache/byte_codec.h"

namespace dki::kvcache {
namespace {

constexpr uint64_t kNever = ~uint64_t{0};

std::string Joined(std::string_view prefix, std::string_view rest) {
  std::string key(prefix);
  key += rest;
  return key;
}

}  // namespace

std::string DiskBlockKey(std::string_view block_key) {
  return Joined("b/", block_key);
}
std::string DiskRowKey(std::string_view block_key) {
  return Joined(kDiskRowPrefix, block_key);
}
std::string DiskMarkKey(std::string_view name) {
  return Joined(kDiskMarkPrefix, name);
}

std::string DiskOwnerPrefix(const std::string& tenant_id, const std::string& memory_id) {
  std::string prefix = "m/";
  ByteWriter out(&prefix);
  out.String(tenant_id);
  out.String(memory_id);
  return prefix;
}

std::string EncodeDiskRow(const DiskRow& row) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U64(row.place);
  out.U64(static_cast<uint64_t>(row.size_bytes));
  out.U64(std::bit_cast<uint64_t>(row.recompute_seconds));
  out.U32(static_cast<uint32_t>(row.n_tokens));
  out.String(row.identity.tenant_id);
  out.String(row.identity.memory_id);
  out.String(row.identity.content_hash);
  out.String(row.identity.model_fingerprint);
  out.String(row.identity.chain_hash);
  out.U32(static_cast<uint32_t>(row.identity.format));
  out.Strings(row.chain_memory_ids);
  out.String(row.attributes.user_id);
  out.U32(row.attributes.pinned ? 1 : 0);
  out.U32(static_cast<uint32_t>(row.attributes.priority));
  const bool expires = row.attributes.expire_time != absl::InfiniteFuture();
  out.U64(expires ? static_cast<uint64_t>(absl::ToUnixMicros(row.attributes.expire_time)) : kNever);
  return bytes;
}

std::optional<DiskRow> DecodeDiskRow(std::string_view bytes) {
  ByteReader in(bytes);
  DiskRow row;
  row.place = in.U64();
  row.size_bytes = static_cast<int64_t>(in.U64());
  row.recompute_seconds = std::bit_cast<double>(in.U64());
  row.n_tokens = static_cast<int>(in.U32());
  row.identity.tenant_id = in.String();
  row.identity.memory_id = in.String();
  row.identity.content_hash = in.String();
  row.identity.model_fingerprint = in.String();
  row.identity.chain_hash = in.String();
  row.identity.format = static_cast<kernels::KvFormat>(in.U32());
  row.chain_memory_ids = in.Strings();
  row.attributes.user_id = in.String();
  row.attributes.pinned = in.U32() != 0;
  row.attributes.priority = static_cast<int>(in.U32());
  const uint64_t expiry = in.U64();
  if (expiry != kNever) {
    row.attributes.expire_time = absl::FromUnixMicros(static_cast<int64_t>(expiry));
  }
  if (!in.ok() || !in.rest().empty() || row.size_bytes <= 0) return std::nullopt;
  return row;
}

}  // namespace dki::kvcache
