// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/prefix_cache.h"

#include <gmock/gmock.h>

namespace dki::engine {
namespace {

constexpr model::KvShape kShape{.n_layers = 1, .n_kv_heads = 1, .head_dim = 2};

std::shared_ptr<const model::KvBuffer> Kv(int n_tokens) {
  auto kv = std::make_shared<model::KvBuffer>(kShape, n_tokens);
  kv->Resize(n_tokens);
  return kv;
}
bool Insert(PrefixCache& cache, const std::string& tenant, const std::vector<int32_t>& tokens) {
  return cache.Insert(tenant, tokens, Kv(static_cast<int>(tokens.size())));
}
int Found(PrefixCache& cache, const std::string& tenant, const std::vector<int32_t>& tokens) {
  return cache.Find(tenant, tokens).n_tokens;
}
int64_t Bytes(int n_tokens) {
  return static_cast<int64_t>(Kv(n_tokens)->size_bytes());
}

TEST(PrefixCacheTest, FindsTheLongestCommonBeginning) {
  PrefixCache cache(Bytes(100));
  Insert(cache, "t", {1, 2, 3, 9});
  Insert(cache, "t", {1, 2, 4});
  EXPECT_EQ(Found(cache, "t", {1, 2, 3, 4}), 3);
  EXPECT_EQ(Found(cache, "t", {1, 2, 4, 4}), 3);
  EXPECT_EQ(Found(cache, "t", {1}), 1);
  EXPECT_EQ(cache.Find("t", std::vector<int32_t>{2, 3}).kv, nullptr);
}

TEST(PrefixCacheTest, TenantsNeverShare) {
  PrefixCache cache(Bytes(100));
  Insert(cache, "a", {1, 2, 3});
  EXPECT_EQ(Found(cache, "b", {1, 2, 3}), 0);
  Insert(cache, "b", {1, 2, 3, 4});
  EXPECT_EQ(cache.n_entries(), 2);
  EXPECT_EQ(Found(cache, "a", {1, 2, 3, 4}), 3);
}

TEST(PrefixCacheTest, ALongerEntryReplacesItsBeginnings) {
  PrefixCache cache(Bytes(100));
  Insert(cache, "t", {1, 2});
  Insert(cache, "t", {1, 2, 3});
  EXPECT_TRUE(Insert(cache, "t", {1}));  // held already
  EXPECT_EQ(cache.n_entries(), 1);
  EXPECT_EQ(cache.size_bytes(), Bytes(3));
}

TEST(PrefixCacheTest, TheLeastRecentlyUsedMakesRoom) {
  PrefixCache cache(Bytes(6));
  Insert(cache, "t", {1, 1, 1});
  Insert(cache, "t", {2, 2, 2});
  const PrefixCache::Match held = cache.Find("t", std::vector<int32_t>{1, 1, 1});
  Insert(cache, "t", {3, 3});
  EXPECT_EQ(Found(cache, "t", {2, 2, 2}), 0);
  EXPECT_EQ(Found(cache, "t", {1, 1, 1}), 3);
  Insert(cache, "t", {4, 4, 4, 4, 4, 4});
  EXPECT_EQ(cache.n_entries(), 1);
  EXPECT_EQ(held.kv->size(), 3);  // lives on with who attends to it
  EXPECT_FALSE(Insert(cache, "t", {5, 5, 5, 5, 5, 5, 5}));
  EXPECT_EQ(Found(cache, "t", {4}), 1);  // a refused entry evicts nothing
}

}  // namespace
}  // namespace dki::engine
