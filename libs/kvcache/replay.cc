// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/replay.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "libs/kvcache/tier_budget.h"

namespace dki::kvcache {
namespace {

using nlohmann::json;

constexpr int64_t kHeaderBytes = 1024;  // of an encoded block, and of the tables

double PrefillSeconds(const ReplayOptions& options, double first, double n_tokens) {
  const double middle = first + n_tokens / 2;
  return n_tokens / options.tokens_per_second * (1 + middle / options.double_at);
}

}  // namespace

absl::StatusOr<std::vector<TraceRequest>> ReadTrace(const std::string& path) {
  std::ifstream file(path);
  if (!file) return NotFound("trace %s", path);
  std::vector<TraceRequest> trace;
  for (std::string line; std::getline(file, line);) {
    const json row = json::parse(line, nullptr, /*allow_exceptions=*/false);
    const bool whole =
        row.is_object() && row.contains("timestamp") && row["timestamp"].is_number() &&
        row.contains("input_length") && row["input_length"].is_number() &&
        row.contains("hash_ids") && row["hash_ids"].is_array() &&
        std::ranges::all_of(row["hash_ids"], [](const json& id) { return id.is_number_integer(); });
    if (!whole) return InvalidArgument("%s: line %d", path, trace.size() + 1);
    trace.push_back({.milliseconds = row["timestamp"].get<int64_t>(),
                     .n_tokens = row["input_length"].get<int64_t>(),
                     .block_ids = row["hash_ids"].get<std::vector<int64_t>>()});
  }
  return trace;
}

absl::StatusOr<ReplayResult> Replay(const std::vector<TraceRequest>& trace,
                                    const ReplayOptions& options) {
  FakeClock clock;
  const absl::Time start = clock.Now();
  DKI_ASSIGN_OR_RETURN(const PolicyFactory policy, ParseEvictionPolicy(options.policy, &clock));
  const int64_t unlimited = std::numeric_limits<int64_t>::max() / 2;
  TierBudget budget(
      {.bytes = options.budget_bytes > 0 ? options.budget_bytes : unlimited, .policy = policy});
  ReplayResult result;
  std::unordered_set<int64_t> seen;
  for (const TraceRequest& request : trace) {
    clock.Set(start + absl::Milliseconds(request.milliseconds));
    int64_t first = 0;
    for (const int64_t id : request.block_ids) {
      const int64_t n_tokens = std::clamp<int64_t>(request.n_tokens - first, 1, kTraceBlockTokens);
      const int64_t size = n_tokens * options.bytes_per_token + kHeaderBytes;
      const double seconds =
          PrefillSeconds(options, static_cast<double>(first), static_cast<double>(n_tokens));
      first += n_tokens;
      ++result.blocks;
      result.tokens += n_tokens;
      result.bytes += size;
      result.prefill_seconds += seconds;
      if (seen.insert(id).second) result.unique_bytes += size;
      const std::string key = std::to_string(id);
      if (budget.Holds(key)) {
        budget.Touch(key);
        ++result.block_hits;
        result.token_hits += n_tokens;
        result.byte_hits += size;
        result.saved_seconds += seconds;
      } else if (budget.Admits(size)) {
        while (const auto victim = budget.Victim("", size)) budget.Remove(*victim);
        budget.Add(key, "", {.size_bytes = size, .recompute_seconds = seconds});
      }
    }
  }
  return result;
}

}  // namespace dki::kvcache
