// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/pack_cache.h"

#include <gmock/gmock.h>

#include <future>

#include "libs/engine/test_engine.h"
#include "libs/kvcache/test_blocks.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"

namespace dki::engine {
namespace {

class CountingSource : public PackSource {
 public:
  CountingSource(model::Model* model, const model::ChatFormat& format) : source_(model, format) {}
  absl::StatusOr<std::vector<LoadedBlock>> Load(const PackRequest& request,
                                                const injection::PackPlan& plan) override {
    ++loads;
    if (fails) return Unavailable("away");
    return source_.Load(request, plan);
  }
  int loads = 0;
  bool fails = false;

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

}  // namespace
}  // namespace dki::engine
