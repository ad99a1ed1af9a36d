// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/prefix_cache.h"

#include <gmock/gmock.h>

#include <numeric>

namespace dki::engine {
namespace {

using Tokens = std::vector<int32_t>;
constexpr model::KvShape kShape{.n_layers = 1, .n_kv_heads = 1, .head_dim = 2};
constexpr int64_t kPage = int64_t{64} * 4 * sizeof(float);  // bytes

model::KvBuffer Kv(int n_tokens) {
  model::KvBuffer kv(kShape, 0);
  kv.Reserve(n_tokens);
  kv.Resize(n_tokens);
  return kv;
}
void Insert(PrefixCache& cache, const std::string& tenant, const Tokens& tokens) {
  cache.Insert(tenant, tokens, Kv(static_cast<int>(tokens.size())));
}
int Found(PrefixCache& cache, const std::string& tenant, const Tokens& tokens) {
  return cache.Find(tenant, tokens).n_tokens;
}
// n tokens from `first` on, then `last`.
Tokens Ids(int first, int n, const Tokens& last = {}) {
  Tokens tokens(n);
  std::iota(tokens.begin(), tokens.end(), first);
  tokens.insert(tokens.end(), last.begin(), last.end());
  return tokens;
}

TEST(PrefixCacheTest, FindsTheLongestCommonBeginningWithinAPage) {
  PrefixCache cache({.budget_bytes = 100 * kPage});
  Insert(cache, "t", {1, 2, 3, 9});
  Insert(cache, "t", {1, 2, 4});
  Insert(cache, "t", {1, 2, 4, 5});  // replaces the one before
  EXPECT_EQ(cache.n_pages(), 2);
  EXPECT_EQ(Found(cache, "t", {1, 2, 3, 4}), 3);
  EXPECT_EQ(Found(cache, "t", {1, 2, 4, 4}), 3);
  EXPECT_EQ(Found(cache, "t", {1}), 1);
  EXPECT_EQ(Found(cache, "t", {2, 3}), 0);
  EXPECT_TRUE(cache.Find("t", Tokens{2, 3}).pages.empty());
}

TEST(PrefixCacheTest, ATenantsPagesAreDroppedAndNobodyElses) {
  PrefixCache cache({.budget_bytes = 100 * kPage, .shared_prefix = Ids(0, 64)});
  Insert(cache, "t", Ids(0, 200));
  Insert(cache, "t", Ids(0, 150, {7, 8}));
  Insert(cache, "u", Ids(0, 150));
  Found(cache, "t", Ids(0, 200));
  EXPECT_EQ(cache.DropTenant("t"), 4);
  EXPECT_EQ(Found(cache, "t", Ids(0, 200)), 64);  // of the operator's prefix
  EXPECT_EQ(Found(cache, "u", Ids(0, 150)), 150);
  EXPECT_EQ(cache.DropTenant("t"), 0);
}

TEST(PrefixCacheTest, ConversationsShareTheirPages) {
  PrefixCache cache({.budget_bytes = 100 * kPage});
  const model::KvBuffer first = Kv(150);
  cache.Insert("t", Ids(0, 150), first);
  EXPECT_EQ(cache.size_bytes(), 3 * kPage);
  Insert(cache, "t", Ids(0, 128, {7, 8, 9}));
  EXPECT_EQ(cache.size_bytes(), 4 * kPage);
  PrefixCache::Match match = cache.Find("t", Ids(0, 128, {7, 8, 1}));
  EXPECT_EQ(match.n_tokens, 130);
  ASSERT_EQ(match.pages.size(), 3u);
  EXPECT_EQ(match.pages[1], first.pages()[1]);
  match.Truncate(70);
  EXPECT_EQ(match.pages.size(), 2u);
  Insert(cache, "t", Ids(0, 140));  // held already
  EXPECT_EQ(cache.n_pages(), 4);
}

TEST(PrefixCacheTest, TenantsNeverShare) {
  PrefixCache cache({.budget_bytes = 100 * kPage});
  Insert(cache, "a", Ids(0, 100));
  EXPECT_EQ(Found(cache, "b", Ids(0, 100)), 0);
  Insert(cache, "b", Ids(0, 110));
  EXPECT_EQ(cache.n_pages(), 4);
  EXPECT_EQ(Found(cache, "a", Ids(0, 110)), 100);
}

TEST(PrefixCacheTest, WholePagesOfANamedPrefixAreSharedByTenants) {
  PrefixCache cache({.budget_bytes = 100 * kPage, .shared_prefix = Ids(0, 130)});
  Insert(cache, "a", Ids(0, 200));
  EXPECT_EQ(Found(cache, "b", Ids(0, 200)), 128);
  EXPECT_EQ(Found(cache, "b", Ids(0, 100)), 64);
  EXPECT_EQ(Found(cache, "b", Ids(1, 64)), 0);
  Insert(cache, "b", Ids(0, 130));
  EXPECT_EQ(cache.n_pages(), 5);
}

TEST(PrefixCacheTest, TheLeastRecentlyUsedMakesRoom) {
  PrefixCache cache({.budget_bytes = 4 * kPage});
  Insert(cache, "t", Ids(0, 128));
  Insert(cache, "t", Ids(1000, 128));
  const PrefixCache::Match held = cache.Find("t", Ids(0, 128));
  Insert(cache, "t", Ids(2000, 64));
  EXPECT_EQ(Found(cache, "t", Ids(1000, 128)), 64);  // the end goes first
  EXPECT_EQ(Found(cache, "t", Ids(0, 128)), 128);
  Insert(cache, "t", Ids(3000, 1000));  // more than the budget: its beginning is kept
  EXPECT_EQ(Found(cache, "t", Ids(3000, 1000)), 256);
  EXPECT_EQ(cache.size_bytes(), 4 * kPage);
  EXPECT_EQ(held.pages[1].use_count(), 1);  // lives on with who attends to it
}

TEST(PrefixCacheTest, WhatIsAttendedToIsNotEvictedForItsMemory) {
  PrefixCache cache({.budget_bytes = 100 * kPage});
  Insert(cache, "t", Ids(0, 128));
  Insert(cache, "t", Ids(1000, 128));
  const PrefixCache::Match held = cache.Find("t", Ids(0, 64));
  EXPECT_EQ(cache.UnusedBytes(), 3 * kPage);
  while (cache.EvictUnused()) {
  }
  EXPECT_EQ(cache.n_pages(), 1);
  EXPECT_EQ(Found(cache, "t", Ids(0, 128)), 64);
}

TEST(PrefixCacheTest, NoBudgetKeepsNothing) {
  PrefixCache cache({.budget_bytes = 0});
  Insert(cache, "t", Ids(0, 128));
  EXPECT_EQ(cache.size_bytes(), 0);
  EXPECT_EQ(Found(cache, "t", Ids(0, 128)), 0);
}

}  // namespace
}  // namespace dki::engine
