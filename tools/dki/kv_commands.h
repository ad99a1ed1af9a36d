// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki kv ...`: what the K/V tiers hold of the tenant, for operators (admin keys).
#pragma once

#include <string>

#include "tools/dki/context.h"

namespace dki::cli {

struct KvOptions {
  std::string memory_id;
  int limit = 100;
  bool all = false;
};

absl::Status KvStats(Context& context);
absl::Status ListKvBlocks(Context& context, const KvOptions& options);
// Fails with DATA_LOSS when a block was damaged.
absl::Status VerifyKvBlocks(Context& context);
// A pin belongs to the memory; its blocks follow when they are next computed.
absl::Status PinMemory(Context& context, const KvOptions& options, bool pinned);
absl::Status EvictKvBlocks(Context& context, const KvOptions& options);

}  // namespace dki::cli
