// SPDX-License-Identifier: Apache-2.0
// cache_replay FILE...: Mooncake traces through each eviction policy at several cache sizes. Prints
// a JSON list of {trace, policy, share, gib, blocks, tokens, bytes, saved}: the size as a share of
// all different blocks (0: unlimited) and in GiB, hit rates and the share of prefill time saved in
// percent.
#include <cstdio>
#include <filesystem>
#include <string>

#include "libs/kvcache/replay.h"

namespace {

using dki::kvcache::Replay;
using dki::kvcache::ReplayResult;

double Percent(double part, double whole) {
  return whole > 0 ? 100 * part / whole : 0;
}

bool Run(const std::string& path, bool* first) {
  const auto trace = dki::kvcache::ReadTrace(path);
  if (!trace.ok()) {
    std::fprintf(stderr, "%s\n", dki::ToString(trace.status()).c_str());
    return false;
  }
  const auto all = Replay(*trace, {});
  for (const double share : {0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5}) {
    for (const char* policy : {"greedy_dual", "lru", "lfu", "as_original"}) {
      const auto budget = static_cast<int64_t>(share * static_cast<double>(all->unique_bytes));
      const auto result = Replay(*trace, {.policy = policy, .budget_bytes = budget});
      if (!result.ok()) return false;
      const ReplayResult& r = *result;
      std::printf(
          "%s{\"trace\": \"%s\", \"policy\": \"%s\", \"share\": %g, \"gib\": %.1f, \"blocks\": "
          "%.3f, \"tokens\": %.3f, \"bytes\": %.3f, \"saved\": %.3f}",
          *first ? "[" : ",\n", std::filesystem::path(path).stem().c_str(), policy, share,
          static_cast<double>(budget) / (1 << 30), Percent(r.block_hits, r.blocks),
          Percent(r.token_hits, r.tokens), Percent(r.byte_hits, r.bytes),
          Percent(r.saved_seconds, r.prefill_seconds));
      *first = false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  bool first = true;
  for (int i = 1; i < argc; ++i) {
    if (!Run(argv[i], &first)) return 1;
  }
  if (first) {
    std::fprintf(stderr, "usage: %s FILE...\n", argv[0]);
    return 2;
  }
  std::printf("]\n");
  return 0;
}
