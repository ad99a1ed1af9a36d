// SPDX-License-Identifier: Apache-2.0
// Replays a trace of requests through a cache of a given size and the very policy classes that the
// tiers use: what share of the work would have been served?
//   Traces: Mooncake's format (Qin et al., FAST 2025), JSON lines {timestamp (ms), input_length
//   (tokens), hash_ids: of the prefix blocks of 512 tokens}. Equal ids are equal prefixes, so a
//   block counts as served when it is held; the loader computes what is missing between.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libs/base/status.h"

namespace dki::kvcache {

inline constexpr int kTraceBlockTokens = 512;

struct TraceRequest {
  int64_t milliseconds = 0;
  int64_t n_tokens = 0;
  std::vector<int64_t> block_ids;
};

// NOT_FOUND, or INVALID_ARGUMENT naming the line.
absl::StatusOr<std::vector<TraceRequest>> ReadTrace(const std::string& path);

struct ReplayOptions {
  std::string policy = "greedy_dual";
  int64_t budget_bytes = 0;  // 0: unlimited
  // The model. Prefill of a token takes 1 / rate at the start of a context and twice that behind
  // `double_at` tokens, since attention reads the whole context. Defaults: SmolLM2-135M in float32
  // on two cores.
  int64_t bytes_per_token = 46080;
  double tokens_per_second = 2000;
  double double_at = 3900;
};

struct ReplayResult {
  int64_t blocks = 0, block_hits = 0;
  int64_t tokens = 0, token_hits = 0;
  int64_t bytes = 0, byte_hits = 0;
  double prefill_seconds = 0, saved_seconds = 0;
  int64_t unique_bytes = 0;  // of different blocks
};

// INVALID_ARGUMENT for an unknown policy.
absl::StatusOr<ReplayResult> Replay(const std::vector<TraceRequest>& trace,
                                    const ReplayOptions& options);

}  // namespace dki::kvcache
