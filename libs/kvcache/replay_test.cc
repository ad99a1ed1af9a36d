// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/replay.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::kvcache {
namespace {

using testing::StatusIs;

// Tests run in the root of the repository.
std::string TracePath(const std::string& name) {
  const char* data = std::getenv("DKI_DATA");
  return std::string(data != nullptr ? data : "../shared/data") + "/traces_mooncake/" + name +
         "_trace_first_half.jsonl";
}

double UnlimitedHitRate(const std::string& name) {
  const auto trace = ReadTrace(TracePath(name));
  if (!trace.ok()) return -1;
  const auto result = Replay(*trace, {});
  EXPECT_OK(result);
  return 100.0 * static_cast<double>(result->block_hits) / static_cast<double>(result->blocks);
}

// The published rates; they hold for any policy, since nothing is evicted.
TEST(ReplayTest, AnUnlimitedCacheGivesThePublishedHitRates) {
  if (!std::filesystem::exists(TracePath("conversation"))) {
    GTEST_SKIP() << "no traces; set DKI_DATA";
  }
  EXPECT_NEAR(UnlimitedHitRate("conversation"), 34.0, 0.05);
  EXPECT_NEAR(UnlimitedHitRate("synthetic"), 31.4, 0.05);
}

// Means over cache sizes, as shares of all different blocks.
struct Served {
  double tokens = 0, bytes = 0, time = 0;
};
Served MeanServed(const std::vector<TraceRequest>& trace, int64_t unique_bytes,
                  const std::string& policy) {
  const std::vector<double> shares = {0.02, 0.1, 0.5};
  Served mean;
  for (const double share : shares) {
    const auto budget = static_cast<int64_t>(share * static_cast<double>(unique_bytes));
    const auto result = Replay(trace, {.policy = policy, .budget_bytes = budget});
    EXPECT_OK(result);
    const auto n = static_cast<double>(shares.size());
    mean.tokens += static_cast<double>(result->token_hits) / result->tokens / n;
    mean.bytes += static_cast<double>(result->byte_hits) / result->bytes / n;
    mean.time += result->saved_seconds / result->prefill_seconds / n;
  }
  return mean;
}

TEST(ReplayTest, TheDefaultPolicyServesAtLeastAsMuchAsTheBestOfTheOthers) {
  for (const std::string name : {"conversation", "synthetic"}) {
    const auto trace = ReadTrace(TracePath(name));
    if (absl::IsNotFound(trace.status())) GTEST_SKIP() << "no traces; set DKI_DATA";
    ASSERT_OK(trace);
    ASSERT_OK_AND_ASSIGN(const ReplayResult all, Replay(*trace, {}));
    const Served ours = MeanServed(*trace, all.unique_bytes, ReplayOptions().policy);
    for (const char* other : {"lru", "lfu", "as_original"}) {
      const Served theirs = MeanServed(*trace, all.unique_bytes, other);
      EXPECT_GE(ours.tokens, theirs.tokens) << name << " " << other;
      EXPECT_GE(ours.bytes, theirs.bytes) << name << " " << other;
      EXPECT_GE(ours.time, theirs.time) << name << " " << other;
    }
  }
}

TEST(ReplayTest, CountsBlocksTokensAndTime) {
  const std::vector<TraceRequest> trace = {
      {0, 600, {1, 2}}, {1, 1100, {1, 3, 4}}, {2, 600, {1, 2}}};
  ASSERT_OK_AND_ASSIGN(const ReplayResult all,
                       Replay(trace, {.tokens_per_second = 100, .double_at = 1e12}));
  EXPECT_EQ(all.blocks, 7);
  EXPECT_EQ(all.block_hits, 3);
  EXPECT_EQ(all.tokens, 2300);
  EXPECT_EQ(all.token_hits, 512 + 600);
  EXPECT_NEAR(all.prefill_seconds, 23.0, 1e-6);
  EXPECT_NEAR(all.saved_seconds, 11.12, 1e-6);
  // Room for two whole blocks: LRU has lost the second when it is asked for again.
  const int64_t block = 512 * 46080 + 1024;
  ASSERT_OK_AND_ASSIGN(const ReplayResult small,
                       Replay(trace, {.policy = "lru", .budget_bytes = 2 * block}));
  EXPECT_EQ(small.block_hits, 1);
  EXPECT_THAT(Replay(trace, {.policy = "fifo"}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ReplayTest, ABadLineIsNamed) {
  testing::TempDir folder;
  const std::string path = folder.File("trace");
  std::ofstream(path) << R"({"timestamp": 0, "input_length": 6, "hash_ids": [0]})"
                         "\n"
                      << R"({"timestamp": 0, "input_length": "6", "hash_ids": [0]})"
                         "\n";
  EXPECT_THAT(ReadTrace(path),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("line 2")));
  EXPECT_THAT(ReadTrace(folder.File("none")), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace dki::kvcache
