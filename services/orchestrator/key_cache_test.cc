// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/key_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "libs/testing/status_matchers.h"

namespace dki::orchestrator {
namespace {

using ::dki::testing::StatusIs;

class KeyCacheTest : public ::testing::Test {
 protected:
  KeyCache Make(absl::Duration stale_for, size_t max_entries = 100) {
    return KeyCache(
        {.stale_for = stale_for, .max_entries = max_entries},
        [this](const std::string& secret) -> absl::StatusOr<rpc::Caller> {
          ++asked_;
          if (away_) return Unavailable("away");
          const auto found = tenants_.find(secret);
          if (found == tenants_.end()) return Unauthenticated("bad key");
          rpc::Caller caller;
          caller.tenant_id = found->second;
          return caller;
        },
        &clock_);
  }

  FakeClock clock_;
  std::map<std::string, std::string> tenants_ = {{"a", "tenant-a"}, {"b", "tenant-b"}};
  bool away_ = false;
  int asked_ = 0;
};

TEST_F(KeyCacheTest, EachSecretHasItsOwnTenant) {
  KeyCache cache = Make(absl::ZeroDuration());
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(cache.Verify("a")->tenant_id, "tenant-a");
    EXPECT_EQ(cache.Verify("b")->tenant_id, "tenant-b");
  }
  EXPECT_EQ(asked_, 2);
}

TEST_F(KeyCacheTest, ARevokedKeyStopsWithinFiveSeconds) {
  KeyCache cache = Make(absl::Minutes(10));
  ASSERT_OK(cache.Verify("a"));
  tenants_.erase("a");
  clock_.Advance(absl::Milliseconds(4999));
  EXPECT_OK(cache.Verify("a"));
  clock_.Advance(absl::Milliseconds(1));
  EXPECT_THAT(cache.Verify("a"), StatusIs(absl::StatusCode::kUnauthenticated));
  away_ = true;  // and is not remembered as good
  EXPECT_THAT(cache.Verify("a"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(KeyCacheTest, BadKeysAreAskedEachTime) {
  KeyCache cache = Make(absl::ZeroDuration());
  EXPECT_THAT(cache.Verify("x"), StatusIs(absl::StatusCode::kUnauthenticated));
  tenants_["x"] = "tenant-x";
  EXPECT_OK(cache.Verify("x"));
}

TEST_F(KeyCacheTest, KnownKeysOutliveTheStoreOnlyWhereAllowed) {
  KeyCache strict = Make(absl::ZeroDuration());
  KeyCache lenient = Make(absl::Minutes(10));
  ASSERT_OK(strict.Verify("a"));
  ASSERT_OK(lenient.Verify("a"));
  away_ = true;
  clock_.Advance(absl::Seconds(6));
  EXPECT_THAT(strict.Verify("a"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_OK(lenient.Verify("a"));
  const int asked = asked_;
  EXPECT_OK(lenient.Verify("a"));  // a hanging store is not asked by each call
  EXPECT_EQ(asked_, asked);
  EXPECT_THAT(lenient.Verify("b"), StatusIs(absl::StatusCode::kUnavailable));
  clock_.Advance(absl::Minutes(10));
  EXPECT_THAT(lenient.Verify("a"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(KeyCacheTest, StaysCorrectWhenFull) {
  for (int i = 0; i < 50; ++i) tenants_["key" + std::to_string(i)] = "t" + std::to_string(i);
  KeyCache cache = Make(absl::ZeroDuration(), /*max_entries=*/4);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(cache.Verify("key" + std::to_string(i))->tenant_id, "t" + std::to_string(i));
    }
  }
}

}  // namespace
}  // namespace dki::orchestrator
