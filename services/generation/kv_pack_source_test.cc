// SPDX-License-Identifier: Apache-2.0
#include "services/generation/kv_pack_source.h"

#include <gmock/gmock.h>

#include "libs/rpc/client.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"
#include "services/generation/test_kv_server.h"

namespace dki::generation {
namespace {

using dki::testing::StatusIs;
using ::testing::HasSubstr;

class KvPackSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(model_,
                         engine::LoadedModel::Load(testing::WriteTinyModel(folder_.path()), {}));
    kv_ = std::make_unique<TestKvService>(&model_, "tenant");
    server_ = std::make_unique<TestServer>(kv_.get());
    request_ = {.tenant_id = "tenant",
                .request_id = "request",
                .context_system_prompt = "You are brief.",
                .memories = {{"m1", "Jack is a baker."}, {"m2", "Mary lives in Oslo."}}};
    plan_ = injection::PlanPack(*model_.format, "tenant", model_.model->config().kv_fingerprint,
                                request_.context_system_prompt, request_.memories,
                                kernels::KvFormat::kInt8);
  }
  absl::StatusOr<std::vector<engine::LoadedBlock>> Load() {
    KvPackSource source(
        {.codec = model::PlaneCodec(model_.model->config()), .timeout = std::chrono::minutes(5)},
        rpc::ClusterKey::FromBytes(std::string(32, 'k')),
        kv::v1::KvService::NewStub(rpc::CreateChannel(server_->address())));
    return source.Load(request_, plan_);
  }

  testing::TempDir folder_;
  engine::LoadedModel model_;
  std::unique_ptr<TestKvService> kv_;
  std::unique_ptr<TestServer> server_;
  engine::PackRequest request_;
  injection::PackPlan plan_;
};

TEST_F(KvPackSourceTest, BlocksArriveAsPlanned) {
  ASSERT_OK_AND_ASSIGN(const auto blocks, Load());
  ASSERT_EQ(blocks.size(), plan_.blocks.size());
  for (size_t i = 0; i < blocks.size(); ++i) {
    EXPECT_EQ(blocks[i].block.tokens, plan_.blocks[i].tokens);
    EXPECT_EQ(blocks[i].tier, engine::Tier::kRam);
    EXPECT_EQ(blocks[i].load_us, 7);
  }
}

TEST_F(KvPackSourceTest, AFlippedBitIsNoticed) {
  kv_->damage = [](size_t index, std::string* bytes) {
    if (index == 1) bytes->at(bytes->size() / 2) ^= 1;
  };
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("block 1")));
}

TEST_F(KvPackSourceTest, AnotherBlocksBytesAreNoticed) {
  std::string first;
  kv_->damage = [&](size_t index, std::string* bytes) {
    if (index == 1) first = *bytes;
    if (index == 2) *bytes = first;
  };
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("block 2")));
}

TEST_F(KvPackSourceTest, EndlessAndMissingBlocksAreNoticed) {
  kv_->damage = [](size_t, std::string* bytes) { bytes->append(4 << 20, 'x'); };
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("more than")));
  kv_->damage = nullptr;
  kv_->stop_early = true;
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("of the pack's")));
}

TEST_F(KvPackSourceTest, AnotherTenantsBlocksAreRefused) {
  request_.tenant_id = "other";
  plan_ = injection::PlanPack(*model_.format, "other", model_.model->config().kv_fingerprint,
                              request_.context_system_prompt, request_.memories,
                              kernels::KvFormat::kInt8);
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(KvPackSourceTest, AnAnswerWithoutMemoryKeepsHalfOfTheTime) {
  request_.deadline = std::chrono::system_clock::now() + std::chrono::seconds(30);
  ASSERT_OK(Load());
  EXPECT_LT(kv_->deadline.load(), request_.deadline - std::chrono::seconds(10));
}

TEST_F(KvPackSourceTest, ASlowServiceIsNotWaitedFor) {
  kv_->hang = true;
  request_.deadline = std::chrono::system_clock::now() + std::chrono::milliseconds(200);
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(KvPackSourceTest, AServiceThatIsAwayIsUnavailable) {
  server_ = nullptr;
  KvPackSource source({.codec = model::PlaneCodec(model_.model->config())},
                      rpc::ClusterKey::FromBytes(std::string(32, 'k')),
                      kv::v1::KvService::NewStub(rpc::CreateChannel("127.0.0.1:1")));
  EXPECT_THAT(source.Load(request_, plan_), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace dki::generation
