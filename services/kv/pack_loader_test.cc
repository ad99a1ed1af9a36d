// SPDX-License-Identifier: Apache-2.0
#include "services/kv/pack_loader.h"

#include <gmock/gmock.h>

#include <latch>
#include <thread>

#include "libs/engine/loaded_model.h"
#include "libs/injection/compute_pack.h"
#include "libs/kvcache/in_memory_kv_tier.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"
#include "services/kv/prefetcher.h"
#include "services/kv/tombstone_kv_tier.h"

namespace dki::kv {
namespace {

using ::testing::Each;
using testing::StatusIs;

// Counts what it is asked to compute, and notices two calls at once.
class CountingModel : public model::Model {
 public:
  explicit CountingModel(model::Model* model) : model_(model) {}
  const model::ModelConfig& config() const override { return model_->config(); }
  std::string description() const override { return model_->description(); }
  size_t weight_bytes_per_token() const override { return model_->weight_bytes_per_token(); }
  absl::StatusOr<std::vector<float>> Forward(std::span<model::Chunk> chunks) override {
    EXPECT_FALSE(running_.exchange(true)) << "two calls at once";
    ++calls;
    for (const model::Chunk& chunk : chunks) {
      // Chunks with a segment are blocks; those without one are contexts.
      if (!chunk.segments.empty()) ++blocks;
    }
    if (on_forward) on_forward();
    auto result = model_->Forward(chunks);
    running_ = false;
    return result;
  }
  absl::StatusOr<std::unique_ptr<model::LayeredForward>> StartForward(
      std::span<model::Chunk> chunks) override {
    return model_->StartForward(chunks);
  }
  std::atomic<int> calls = 0;
  std::atomic<int> blocks = 0;
  std::function<void()> on_forward;

 private:
  model::Model* const model_;
  std::atomic<bool> running_ = false;
};

class PackLoaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = testing::WriteTinyModel(folder_.path(), {.context_length = 1024});
    ASSERT_OK_AND_ASSIGN(loaded_, engine::LoadedModel::Load(path, {}));
    model_ = std::make_unique<CountingModel>(loaded_.model.get());
    ram_ = std::make_unique<kvcache::InMemoryKvTier>(
        kvcache::TierBudget::Options{.bytes = 64 << 20}, model_->kv_shape());
    tier_ = std::make_unique<TombstoneKvTier>(ram_.get(), 100);
    loader_ = MakeLoader({});
  }
  std::unique_ptr<PackLoader> MakeLoader(PackLoader::Options options) {
    return std::make_unique<PackLoader>(model_.get(), loaded_.format.get(), tier_.get(), &metrics_,
                                        options);
  }
  static PackRequest Request(int n_memories, const std::string& tenant = "tenant") {
    PackRequest request{.tenant_id = tenant, .context_system_prompt = "Be brief.", .memories = {}};
    for (int i = 0; i < n_memories; ++i) {
      request.memories.push_back(
          {absl::StrFormat("mem_%d", i), absl::StrFormat("Note %d is about tea.", i)});
    }
    return request;
  }
  struct Loaded {
    std::vector<BlockOrigin> origins;
    std::vector<std::string> bytes;
  };
  static PackLoader::Sink Into(Loaded* loaded) {
    return [loaded](const injection::PlannedBlock&, const LoadedBlock& block) {
      loaded->origins.push_back(block.origin);
      loaded->bytes.emplace_back(*block.bytes);
      return absl::OkStatus();
    };
  }
  Loaded Load(const PackRequest& request) {
    Loaded loaded;
    EXPECT_OK(loader_->Load(request, Urgency::kRequest, Ok, Into(&loaded)));
    return loaded;
  }
  std::vector<std::string> Fresh(const PackRequest& request) {
    const auto plan =
        injection::PlanPack(*loaded_.format, request.tenant_id, loaded_.model->config().fingerprint,
                            request.context_system_prompt, request.memories);
    const auto blocks = injection::ComputePack(loaded_.model.get(), plan);
    EXPECT_OK(blocks);
    std::vector<std::string> bytes;
    for (const kvcache::Block& block : *blocks) bytes.push_back(kvcache::EncodeBlock(block));
    return bytes;
  }
  static absl::Status Ok() { return absl::OkStatus(); }

  testing::TempDir folder_;
  telemetry::Metrics metrics_;
  engine::LoadedModel loaded_;
  std::unique_ptr<CountingModel> model_;
  std::unique_ptr<kvcache::InMemoryKvTier> ram_;
  std::unique_ptr<TombstoneKvTier> tier_;
  std::unique_ptr<PackLoader> loader_;
};

TEST_F(PackLoaderTest, ComputesOnceThenServesTheSameBytes) {
  const Loaded first = Load(Request(3));
  EXPECT_THAT(first.origins, Each(BlockOrigin::kComputed));
  EXPECT_EQ(first.bytes, Fresh(Request(3)));
  EXPECT_EQ(model_->calls, 2) << "context, and all blocks in one pass";
  const Loaded second = Load(Request(3));
  EXPECT_THAT(second.origins, Each(BlockOrigin::kRam));
  EXPECT_EQ(second.bytes, first.bytes);
  EXPECT_EQ(model_->calls, 2);
  EXPECT_EQ(loader_->n_computed(), 5);
}

TEST_F(PackLoaderTest, AnAppendedMemoryCostsItsOwnTokensAndTheFooter) {
  Load(Request(2));
  model_->blocks = 0;
  const Loaded grown = Load(Request(3));
  EXPECT_EQ(model_->blocks, 2);
  EXPECT_EQ(grown.bytes, Fresh(Request(3)));
}

TEST_F(PackLoaderTest, SmallPassesGiveTheSameBytes) {
  loader_ = MakeLoader({.max_tokens_per_pass = 1});
  EXPECT_EQ(Load(Request(3)).bytes, Fresh(Request(3)));
  EXPECT_EQ(model_->calls, 6) << "context, and each block alone";
}

TEST_F(PackLoaderTest, ADamagedBlockInTheMiddleIsComputedAgain) {
  Load(Request(3));
  const auto plan = injection::PlanPack(*loaded_.format, "tenant", model_->config().fingerprint,
                                        "Be brief.", Request(3).memories);
  auto hit = ram_->Get(plan.blocks[2].identity);
  ASSERT_TRUE(hit);
  const_cast<char&>(hit->block.bytes->back()) ^= 1;
  const Loaded again = Load(Request(3));
  EXPECT_EQ(again.bytes, Fresh(Request(3)));
  EXPECT_EQ(again.origins[1], BlockOrigin::kRam);
  EXPECT_EQ(again.origins[2], BlockOrigin::kComputed);
  EXPECT_EQ(again.origins[3], BlockOrigin::kRam);
  EXPECT_EQ(ram_->Stats().corrupt, 1);
}

TEST_F(PackLoaderTest, EightAtOnceComputeOnce) {
  std::latch together(8);
  std::vector<Loaded> loaded(8);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      together.arrive_and_wait();
      EXPECT_OK(loader_->Load(Request(4), Urgency::kRequest, Ok, Into(&loaded[t])));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(model_->blocks, 6);
  for (const Loaded& one : loaded) EXPECT_EQ(one.bytes, loaded[0].bytes);
}

TEST_F(PackLoaderTest, TenantsShareNothing) {
  Load(Request(2));
  const Loaded other = Load(Request(2, "other"));
  EXPECT_THAT(other.origins, Each(BlockOrigin::kComputed));
}

TEST_F(PackLoaderTest, StopsBetweenPassesWhenTheCallerIsGone) {
  loader_ = MakeLoader({.max_tokens_per_pass = 1});
  const auto gone_after = [this] {
    return model_->blocks >= 2 ? Cancelled("gone") : absl::OkStatus();
  };
  Loaded loaded;
  EXPECT_THAT(loader_->Load(Request(4), Urgency::kRequest, gone_after, Into(&loaded)),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(model_->blocks, 2);
  // What was finished is kept.
  EXPECT_EQ(Load(Request(4)).origins[1], BlockOrigin::kRam);
}

TEST_F(PackLoaderTest, APackBeyondTheWindowIsOutOfRange) {
  PackRequest request = Request(1);
  request.memories[0].text = std::string(8000, 'x');
  EXPECT_THAT(loader_->Load(request, Urgency::kRequest, Ok, nullptr),
              StatusIs(absl::StatusCode::kOutOfRange, ::testing::HasSubstr("1024")));
}

TEST_F(PackLoaderTest, WhatIsDeletedWhileBeingComputedIsNotKept) {
  model_->on_forward = [this] { ASSERT_OK(tier_->EraseForGood("tenant", "mem_1")); };
  Load(Request(3));
  model_->on_forward = nullptr;
  const Loaded again = Load(Request(3));
  EXPECT_EQ(again.origins[0], BlockOrigin::kRam);       // header
  EXPECT_EQ(again.origins[1], BlockOrigin::kRam);       // mem_0
  EXPECT_EQ(again.origins[2], BlockOrigin::kComputed);  // mem_1
  EXPECT_EQ(again.origins[3], BlockOrigin::kComputed);  // has mem_1 in its chain
  EXPECT_EQ(again.origins[4], BlockOrigin::kComputed);
}

TEST_F(PackLoaderTest, PrefetchedPacksAreThereWhenAskedFor) {
  Prefetcher prefetcher(loader_.get(), &metrics_, 2);
  EXPECT_TRUE(prefetcher.Offer(Request(1)));
  EXPECT_TRUE(prefetcher.Offer(Request(3)));
  EXPECT_FALSE(prefetcher.Offer(Request(2))) << "the queue is full";
  prefetcher.Start();
  prefetcher.WaitUntilIdle();
  EXPECT_THAT(Load(Request(3)).origins, Each(BlockOrigin::kRam));
  prefetcher.Stop();
  EXPECT_FALSE(prefetcher.Offer(Request(1)));
}

}  // namespace
}  // namespace dki::kv
