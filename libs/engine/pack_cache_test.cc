// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/pack_cache.h"

#include <gmock/gmock.h>

#include <functional>
#include <future>

#include "libs/engine/test_engine.h"
#include "libs/kvcache/test_blocks.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"

namespace dki::engine {
namespace {

using dki::testing::StatusIs;

class CountingSource : public PackSource {
 public:
  CountingSource(model::Model* model, const model::ChatFormat& format) : source_(model, format) {}
  absl::StatusOr<std::vector<LoadedBlock>> Load(const PackRequest& request,
                                                const injection::PackPlan& plan) override {
    ++loads;
    if (meanwhile) meanwhile();
    if (fails) return Unavailable("away");
    return source_.Load(request, plan);
  }
  int loads = 0;
  bool fails = false;
  std::function<void()> meanwhile;  // while it loads

 private:
  LocalPackSource source_;
};

class PackCacheTest : public ::testing::Test {
 protected:
  PackCacheTest() : loaded_(*LoadedModel::Load(testing::WriteTinyModel(folder_.path()), {})) {}

  injection::PackPlan Plan(const std::string& tenant, const std::string& text) const {
    return injection::PlanPack(*loaded_.format, tenant, loaded_.model->config().kv_fingerprint, "",
                               {{"m", text}}, kernels::KvFormat::kInt8);
  }

  testing::TempDir folder_;
  LoadedModel loaded_;
  CountingSource source_{loaded_.model.get(), *loaded_.format};
};

TEST_F(PackCacheTest, ServesWhatItHasJustLoadedToTheSameTenantAlone) {
  PackCache cache({}, &source_);
  const injection::PackPlan plan = Plan("a", "Jack is a baker.");
  ASSERT_OK_AND_ASSIGN(const auto first, cache.Load({}, plan));
  ASSERT_OK_AND_ASSIGN(const auto second, cache.Load({}, plan));
  EXPECT_EQ(source_.loads, 1);
  ASSERT_EQ(second.size(), first.size());
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(second[i].tier, Tier::kDevice);
    EXPECT_EQ(second[i].block.identity, plan.blocks[i].identity);
    EXPECT_TRUE(kvcache::SameKv(second[i].block.kv, first[i].block.kv));
  }
  ASSERT_OK(cache.Load({}, Plan("b", "Jack is a baker.")));
  ASSERT_OK(cache.Load({}, Plan("a", "Jack is a pilot.")));
  EXPECT_EQ(source_.loads, 3);
}

TEST_F(PackCacheTest, TheSameRequestIsToldWhereItsBlocksCameFrom) {
  PackCache cache({}, &source_);
  PackRequest request;
  request.request_id = "r";
  const injection::PackPlan plan = Plan("a", "x");
  ASSERT_OK(cache.Load(request, plan));
  ASSERT_OK_AND_ASSIGN(const auto again, cache.Load(request, plan));
  EXPECT_EQ(again[1].tier, Tier::kRecomputed);
  request.request_id = "s";
  ASSERT_OK_AND_ASSIGN(const auto other, cache.Load(request, plan));
  EXPECT_EQ(other[1].tier, Tier::kDevice);
}

TEST_F(PackCacheTest, AnErrorIsNotKept) {
  PackCache cache({}, &source_);
  source_.fails = true;
  EXPECT_FALSE(cache.Load({}, Plan("a", "x")).ok());
  source_.fails = false;
  EXPECT_OK(cache.Load({}, Plan("a", "x")));
}

TEST_F(PackCacheTest, DropsBlocksAtTheEndOfTheirLifeByItself) {
  PackCache cache({.lifetime = std::chrono::milliseconds(1)}, &source_);
  ASSERT_OK(cache.Load({}, Plan("a", "x")));
  while (cache.size_bytes() > 0) std::this_thread::yield();
  ASSERT_OK(cache.Load({}, Plan("a", "x")));
  EXPECT_EQ(source_.loads, 2);
}

TEST_F(PackCacheTest, StaysWithinItsBudget) {
  PackCache whole({}, &source_);
  ASSERT_OK(whole.Load({}, Plan("a", "x")));
  const int64_t one = whole.size_bytes();
  PackCache cache({.budget_bytes = one + one / 2}, &source_);
  for (const char* text : {"x", "y", "z"}) {
    ASSERT_OK(cache.Load({}, Plan("a", text)));
    EXPECT_LE(cache.size_bytes(), one + one / 2);
  }
}

TEST_F(PackCacheTest, WhatIsErasedWhileItIsLoadedIsNotKept) {
  PackCache cache({}, &source_);
  cache.SetFollowing(true);
  const PackRequest request{.tenant_id = "a", .request_id = "", .memories = {{"m", "x"}}};
  source_.meanwhile = [&] { cache.Erase("a", "m"); };
  ASSERT_OK(cache.Load(request, Plan("a", "x")));
  EXPECT_EQ(cache.size_bytes(), 0) << "changed: this request may have had its old text";
  source_.meanwhile = [&] { cache.EraseForGood("a", "m"); };
  EXPECT_THAT(cache.Load(request, Plan("a", "x")), StatusIs(absl::StatusCode::kNotFound));
  source_.meanwhile = nullptr;
  EXPECT_THAT(cache.Load(request, Plan("a", "x")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(source_.loads, 2) << "not even asked for";
  EXPECT_EQ(cache.size_bytes(), 0);
}

TEST_F(PackCacheTest, OfDeletionsTheNewestAreRemembered) {
  PackCache cache({.max_tombstones = 2}, &source_);
  for (const char* id : {"m", "n", "o"}) cache.EraseForGood("a", id);
  EXPECT_OK(
      cache.Load({.tenant_id = "a", .request_id = "", .memories = {{"m", "x"}}}, Plan("a", "x")));
  EXPECT_FALSE(
      cache.Load({.tenant_id = "a", .request_id = "", .memories = {{"o", "x"}}}, Plan("a", "x"))
          .ok());
}

TEST_F(PackCacheTest, ARequestThatHasItsPackKeepsItToItsEnd) {
  PackCache cache({}, &source_);
  cache.SetFollowing(true);
  ASSERT_OK_AND_ASSIGN(const auto held, cache.Load({}, Plan("a", "x")));
  ASSERT_OK_AND_ASSIGN(const auto fresh, source_.Load({}, Plan("a", "x")));
  EXPECT_EQ(cache.Erase("a", ""), static_cast<int64_t>(held.size()));
  for (size_t i = 0; i < held.size(); ++i) {
    EXPECT_TRUE(kvcache::SameKv(held[i].block.kv, fresh[i].block.kv));
  }
}

TEST_F(PackCacheTest, ATenantThatFloodsDoesNotEvictAnothers) {
  PackCache whole({}, &source_);
  ASSERT_OK(whole.Load({}, Plan("a", "x")));
  PackCache cache({.budget_bytes = 4 * whole.size_bytes()}, &source_);
  cache.SetFollowing(true);
  ASSERT_OK(cache.Load({}, Plan("a", "x")));
  for (int i = 0; i < 50; ++i) ASSERT_OK(cache.Load({}, Plan("b", std::to_string(i))));
  const int loads = source_.loads;
  ASSERT_OK(cache.Load({}, Plan("a", "x")));
  EXPECT_EQ(source_.loads, loads);
}

}  // namespace
}  // namespace dki::engine
