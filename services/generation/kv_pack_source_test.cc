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
    KvPackSource source({.codec = model::PlaneCodec(model_.model->config()),
                         .timeout = std::chrono::minutes(5),
                         .handoff_socket = socket_},
                        rpc::ClusterKey::FromBytes(std::string(32, 'k')),
                        kv::v1::KvService::NewStub(rpc::CreateChannel(server_->address())),
                        &metrics_);
    return source.Load(request_, plan_);
  }

  void OfferHandoff() {
    socket_ = folder_.File("kv.sock");
    ASSERT_OK_AND_ASSIGN(giver_, transfer::HandoffGiver::Start(socket_));
    kv_->handoff = giver_.get();
  }
  double HandedOver() { return Packs("handoff"); }
  double Streamed() { return Packs("stream"); }
  double Packs(const char* way) {
    return metrics_.GetCounter("dki_generation_packs_total", "", {{"way", way}})->value();
  }
  double Failures() {
    return metrics_.GetCounter("dki_generation_handoff_failures_total", "")->value();
  }

  testing::TempDir folder_;
  telemetry::Metrics metrics_;
  std::string socket_;
  std::unique_ptr<transfer::HandoffGiver> giver_;
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

TEST_F(KvPackSourceTest, EndlessBlocksAreNoticed) {
  kv_->damage = [](size_t, std::string* bytes) { bytes->append(1200 << 10, 'x'); };
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("more than")));
}

TEST_F(KvPackSourceTest, MissingBlocksAreNoticed) {
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
                      kv::v1::KvService::NewStub(rpc::CreateChannel("127.0.0.1:1")), &metrics_);
  EXPECT_THAT(source.Load(request_, plan_), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(KvPackSourceTest, OnOneHostBlocksAreHandedOverAndAreTheSame) {
  ASSERT_OK_AND_ASSIGN(const auto streamed, Load());
  OfferHandoff();
  ASSERT_OK_AND_ASSIGN(const auto handed, Load());
  ASSERT_EQ(handed.size(), streamed.size());
  for (size_t i = 0; i < handed.size(); ++i) {
    const model::KvBuffer &a = handed[i].block.kv, &b = streamed[i].block.kv;
    EXPECT_EQ(handed[i].tier, engine::Tier::kRam);
    ASSERT_EQ(a.size(), b.size());
    EXPECT_TRUE(std::equal(a.keys(0, 0), a.keys(0, 0) + a.shape().row_size(), b.keys(0, 0)));
  }
  EXPECT_EQ(HandedOver(), 1);
  EXPECT_EQ(Streamed(), 1);
  EXPECT_EQ(Failures(), 0);
}

TEST_F(KvPackSourceTest, WithoutTheSideSocketPacksAreStreamed) {
  socket_ = folder_.File("nobody.sock");
  ASSERT_OK(Load());
  EXPECT_EQ(Streamed(), 1);
  EXPECT_EQ(Failures(), 1);
  // A socket, but of another worker than the one that is called.
  OfferHandoff();
  kv_->handoff = nullptr;
  ASSERT_OK(Load());
  EXPECT_EQ(Streamed(), 2);
  EXPECT_EQ(Failures(), 1);
  // The path of a worker that is gone.
  giver_ = nullptr;
  ASSERT_OK(Load());
  EXPECT_EQ(Streamed(), 3);
}

TEST_F(KvPackSourceTest, WhateverIsWrongWithWhatIsHandedOverItIsStreamedInstead) {
  OfferHandoff();
  using Start = kv::v1::GetPackResponse::BlockStart;
  const std::vector<std::function<void(Start*)>> lies = {
      [](Start* start) { start->set_handoff_tag(std::string(16, 'x')); },
      [](Start* start) { start->set_handoff_tag("x"); },
      [](Start* start) { start->set_n_bytes(start->n_bytes() + 1); },
      [](Start* start) { start->set_n_bytes(start->n_bytes() - 1); },
      [](Start* start) { start->set_n_bytes(int64_t{1} << 50); },
      [](Start* start) { start->set_n_bytes(-1); }};
  double failures = 0;
  for (const auto& lie : lies) {
    kv_->misreport = lie;
    const int before = kv_->n_calls;
    ASSERT_OK(Load());
    EXPECT_EQ(kv_->n_calls, before + 2);
    EXPECT_EQ(Failures(), ++failures);
  }
  kv_->misreport = nullptr;
  // Sealed, but not the block.
  int n_damaged = 0;
  kv_->damage = [&](size_t index, std::string* bytes) {
    if (index == 1 && n_damaged++ == 0) bytes->at(bytes->size() / 2) ^= 1;
  };
  ASSERT_OK(Load());
  EXPECT_EQ(Failures(), ++failures);
  EXPECT_EQ(HandedOver(), 0);
  // And where it is damaged itself, it is no better in the stream.
  kv_->damage = [](size_t index, std::string* bytes) {
    if (index == 1) bytes->at(bytes->size() / 2) ^= 1;
  };
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("block 1")));
}

TEST_F(KvPackSourceTest, WhatWasNotAskedForIsNotTaken) {
  kv_->damage = nullptr;
  OfferHandoff();
  kv_->handoff = nullptr;
  // A tag in the answer to a call without a token.
  socket_.clear();
  kv_->tag_anyway = true;
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not asked for")));
}

}  // namespace
}  // namespace dki::generation
