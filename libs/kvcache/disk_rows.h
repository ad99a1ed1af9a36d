// SPDX-License-Identifier: Apache-2.0
// Purpose: what the disk tier writes beside its blocks, and under which keys. All in one column
//   family, so that a batch is written or lost as a whole:
//     f                                the number of this format
//     b/<block key>                    the encoded block
//     i/<block key>                    DiskRow: its place in the order of insertion, size, cost,
//                                      identity, chain, attributes
//     m/<tenant><memory><block key>    empty: the blocks that have the memory in their chain;
//                                      memory empty: all. Strings with their length in front.
//     p/<name>                         a mark
//     s                                present: files may hold what was erased
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/kvcache/kv_tier.h"

namespace dki::kvcache {

inline constexpr const char* kDiskFormatKey = "f";
inline constexpr const char* kDiskPendingKey = "s";
inline constexpr std::string_view kDiskRowPrefix = "i/";
inline constexpr std::string_view kDiskMarkPrefix = "p/";
inline constexpr std::string_view kDiskMarkEnd = "p0";

std::string DiskBlockKey(std::string_view block_key);
std::string DiskRowKey(std::string_view block_key);
std::string DiskOwnerPrefix(const std::string& tenant_id, const std::string& memory_id);
std::string DiskMarkKey(std::string_view name);

struct DiskRow {
  uint64_t place = 0;
  int64_t size_bytes = 0;
  double recompute_seconds = 0;
  int n_tokens = 0;
  BlockIdentity identity;
  BlockAttributes attributes;
  std::vector<std::string> chain_memory_ids;
};

std::string EncodeDiskRow(const DiskRow& row);
// Nothing: damaged.
std::optional<DiskRow> DecodeDiskRow(std::string_view bytes);

}  // namespace dki::kvcache
