// SPDX-License-Identifier: Apache-2.0
// The service as a client sees it: object graph, RPCs, kv over gRPC.
#include "services/generation/generation_server.h"

#include <gmock/gmock.h>

#include <limits>

#include "dki/generation/v1/generation_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/injection/modulation_fixture.h"
#include "libs/rpc/call.h"
#include "libs/rpc/client.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"
#include "services/generation/config.h"
#include "services/generation/test_kv_server.h"

namespace dki::generation {
namespace {

using dki::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Received {
  absl::Status status;
  v1::GenerateResponse::Started started;
  v1::GenerateResponse::Finished finished;
  std::string text;
};

class GenerationServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = testing::WriteTinyModel(folder_.path());
    ASSERT_OK_AND_ASSIGN(model_, engine::LoadedModel::Load(path, {}));
    kv_ = std::make_unique<TestKvService>(&model_, "tenant");
    kv_server_ = std::make_unique<TestServer>(kv_.get());
    config_ = DefaultConfig();
    config_.mutable_runtime()->set_model(path);
    config_.mutable_kv()->set_address(kv_server_->address());
    runtime_ = rpc::ServiceRuntime::ForTesting("generation");
    Build();
  }
  // The server of config_, not started.
  void Build() {
    server_ = nullptr;
    ASSERT_OK_AND_ASSIGN(instance_, BuildGenerationServer(config_, runtime_.get()));
    server_ = std::make_unique<TestServer>(instance_->services().front());
    stub_ = v1::GenerationService::NewStub(rpc::CreateChannel(server_->address()));
  }
  void TearDown() override {
    server_ = nullptr;
    instance_ = nullptr;
  }

  std::unique_ptr<grpc::ClientContext> Context(const std::string& tenant_id = "tenant") {
    return rpc::OutgoingContext(runtime_->cluster_key(), tenant_id, "request",
                                std::chrono::seconds(60));
  }
  Received Generate(const v1::GenerateRequest& request, const std::string& tenant_id = "tenant") {
    Received received;
    const auto context = Context(tenant_id);
    const auto reader = stub_->Generate(context.get(), request);
    v1::GenerateResponse response;
    while (reader->Read(&response)) {
      if (response.has_started()) received.started = response.started();
      if (response.has_finished()) received.finished = response.finished();
      received.text += response.text();
    }
    received.status = rpc::FromGrpcStatus(reader->Finish());
    return received;
  }
  static v1::GenerateRequest Request(double alpha) {
    v1::GenerateRequest request;
    request.mutable_prompt()->mutable_turn()->set_role("user");
    request.mutable_prompt()->mutable_turn()->set_content("What is Jack's job?");
    request.mutable_sampling()->set_max_tokens(8);
    v1::WeighedMemory* memory = request.mutable_prompt()->mutable_injection()->add_memories();
    memory->set_memory_id("mem_1");
    memory->set_text("Jack is a baker.");
    memory->set_alpha_read(alpha);
    memory->set_alpha_answer(alpha);
    return request;
  }

  testing::TempDir folder_;
  engine::LoadedModel model_;
  std::unique_ptr<TestKvService> kv_;
  std::unique_ptr<TestServer> kv_server_;
  config::v1::GenerationServer config_;
  std::unique_ptr<rpc::ServiceRuntime> runtime_;
  std::unique_ptr<rpc::ServiceInstance> instance_;
  std::unique_ptr<TestServer> server_;
  std::unique_ptr<v1::GenerationService::Stub> stub_;
};

TEST_F(GenerationServerTest, IsNotReadyBeforeTheModelIs) {
  EXPECT_FALSE(runtime_->ready());
  EXPECT_THAT(Generate(Request(1.0)).status, StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_OK(instance_->Start());
  EXPECT_TRUE(runtime_->ready());
  v1::GetModelResponse model;
  EXPECT_OK(rpc::FromGrpcStatus(stub_->GetModel(Context("").get(), v1::GetModelRequest(), &model)));
  EXPECT_EQ(model.fingerprint(), model_.model->config().fingerprint);
  EXPECT_EQ(model.kv_fingerprint(), model_.model->config().kv_fingerprint);
  EXPECT_EQ(model.context_length(), model_.model->config().context_length);
  EXPECT_THAT(runtime_->metrics().Expose(),
              HasSubstr("dki_runtime_info{runtime=\"" + model.runtime() + "\"} 1"));
}

TEST_F(GenerationServerTest, AnswersWithMemoryFromKv) {
  ASSERT_OK(instance_->Start());
  const Received received = Generate(Request(1.0));
  ASSERT_OK(received.status);
  EXPECT_EQ(received.started.model_fingerprint(), model_.model->config().fingerprint);
  EXPECT_THAT(received.started.degraded(), IsEmpty());
  EXPECT_GT(received.started.usage().injected_tokens(), 0);
  ASSERT_EQ(received.finished.memories_size(), 1);
  const audit::v1::MemoryOutcome& memory = received.finished.memories(0);
  EXPECT_EQ(memory.memory_id(), "mem_1");
  EXPECT_EQ(memory.tier(), common::v1::TIER_RAM);
  EXPECT_EQ(memory.load_us(), 7);
  EXPECT_EQ(memory.choice().path(), common::v1::LoadChoice::PATH_LOAD);
  EXPECT_EQ(memory.choice().load_estimate_us(), 5);
  EXPECT_EQ(memory.choice().recompute_estimate_us(), 5000);
  EXPECT_GT(memory.attention_share(), 0.0);
  EXPECT_GT(received.finished.lead_in_share(), 0.0);
  EXPECT_GT(received.finished.timings().total_us(), 0);
  EXPECT_EQ(received.finished.token_ids_size(), received.finished.usage().completion_tokens());
  EXPECT_THAT(runtime_->metrics().Expose(),
              HasSubstr("dki_generation_requests_total{event=\"queued\"} 1"));
}

TEST_F(GenerationServerTest, KvHearsOfTheMemoriesAttributes) {
  ASSERT_OK(instance_->Start());
  v1::GenerateRequest request = Request(1.0);
  common::v1::MemoryAttributes* attributes =
      request.mutable_prompt()->mutable_injection()->mutable_memories(0)->mutable_attributes();
  attributes->set_user_id("ann");
  attributes->set_source_class(common::v1::SOURCE_CLASS_ASSISTANT);
  attributes->set_pinned(true);
  attributes->set_priority(-5);
  attributes->mutable_expire_time()->set_seconds(4'000'000'000);
  attributes->mutable_expire_time()->set_nanos(1000);
  ASSERT_OK(Generate(request).status);
  const kv::v1::GetPackRequest asked = kv_->last_request();
  ASSERT_EQ(asked.pack().memories_size(), 1);
  EXPECT_EQ(asked.pack().memories(0).attributes().SerializeAsString(),
            attributes->SerializeAsString());
}

TEST_F(GenerationServerTest, DamagedKvIsNeverUsed) {
  kv_->damage = [](size_t, std::string* bytes) { bytes->back() ^= 1; };
  ASSERT_OK(instance_->Start());
  v1::GenerateRequest request = Request(1.0);
  const Received received = Generate(request);
  ASSERT_OK(received.status);
  EXPECT_THAT(received.started.degraded(), ElementsAre("kv"));
  const Received vanilla = Generate(Request(0.0));
  EXPECT_THAT(vanilla.started.degraded(), IsEmpty());
  EXPECT_EQ(received.text, vanilla.text);

  request.mutable_prompt()->set_memory_required(true);
  EXPECT_THAT(Generate(request).status, StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(GenerationServerTest, ScoresAGivenContinuation) {
  ASSERT_OK(instance_->Start());
  v1::ScoreRequest request;
  *request.mutable_prompt() = Request(1.0).prompt();
  request.set_continuation(" He is a baker.");
  v1::ScoreResponse response;
  ASSERT_OK(rpc::FromGrpcStatus(stub_->Score(Context().get(), request, &response)));
  EXPECT_EQ(response.token_ids_size(),
            static_cast<int>(model_.tokenizer->Encode(request.continuation()).size()));
  EXPECT_EQ(response.log_probabilities_size(), response.token_ids_size());
  for (const double log_probability : response.log_probabilities()) {
    EXPECT_LT(log_probability, 0.0);
  }
}

TEST_F(GenerationServerTest, ModulatesMemoriesWhereAFileIsLoadedAndNobodyObjects) {
  const auto request = [](const std::string& modulation, double alpha = 1.0) {
    v1::GenerateRequest request = Request(alpha);
    request.mutable_prompt()->mutable_injection()->set_modulation(modulation);
    return request;
  };
  const auto scores = [&](const std::string& modulation, double alpha = 1.0) {
    v1::ScoreRequest score;
    *score.mutable_prompt() = request(modulation, alpha).prompt();
    score.set_continuation(" He is a baker.");
    v1::ScoreResponse response;
    EXPECT_OK(rpc::FromGrpcStatus(stub_->Score(Context().get(), score, &response)));
    return std::vector<double>(response.log_probabilities().begin(),
                               response.log_probabilities().end());
  };
  ASSERT_OK(instance_->Start());
  const std::vector<double> plain = scores("");
  const std::vector<double> vanilla = scores("", 0.0);
  EXPECT_FALSE(Generate(request("")).started.modulated());
  EXPECT_THAT(Generate(request("on")).status,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("modulation_file")));
  EXPECT_THAT(Generate(request("perhaps")).status,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("default, on or off")));

  const model::ModelConfig& model = model_.model->config();
  config_.set_modulation_file(folder_.path() + "/modulation.safetensors");
  ASSERT_OK(
      WriteFileAtomically(config_.modulation_file(),
                          injection::FileBytes(injection::RandomModulation(model, 4, 1, 0.25f))));
  Build();
  ASSERT_OK(instance_->Start());
  EXPECT_NE(scores(""), plain);
  EXPECT_EQ(scores("on"), scores("default"));
  EXPECT_EQ(scores("off"), plain);
  EXPECT_EQ(scores("on", 0.0), vanilla);
  EXPECT_TRUE(Generate(request("")).started.modulated());
  EXPECT_FALSE(Generate(request("off")).started.modulated());
  v1::GetModelResponse response;
  EXPECT_OK(
      rpc::FromGrpcStatus(stub_->GetModel(Context("").get(), v1::GetModelRequest(), &response)));
  EXPECT_EQ(response.modulation_fingerprint().size(), 64u);

  model::ModelConfig other = model;
  other.fingerprint = "beef";
  ASSERT_OK(WriteFileAtomically(config_.modulation_file(),
                                injection::FileBytes(injection::RandomModulation(other, 4, 1))));
  Build();
  EXPECT_THAT(instance_->Start(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("model_fingerprint")));
}

TEST_F(GenerationServerTest, RefusesBadInput) {
  ASSERT_OK(instance_->Start());
  const auto refused = [&](const v1::GenerateRequest& request, const char* field) {
    EXPECT_THAT(Generate(request).status,
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field)));
  };
  refused(v1::GenerateRequest(), "prompt.turn");
  refused(Request(std::numeric_limits<double>::quiet_NaN()), "alpha_read");
  refused(Request(17.0), "alpha_read");
  v1::GenerateRequest request = Request(1.0);
  request.mutable_sampling()->set_top_p(2.0f);
  refused(request, "sampling.top_p");
  request = Request(1.0);
  request.mutable_prompt()->mutable_prompt_memories()->set_place(
      static_cast<common::v1::PromptPlace>(9));
  refused(request, "prompt.prompt_memories.place");
  EXPECT_THAT(Generate(Request(1.0), "").status, StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(GenerationServerTest, StopsForAClientThatCancels) {
  ASSERT_OK(instance_->Start());
  v1::GenerateRequest request = Request(1.0);
  request.mutable_sampling()->set_max_tokens(300);
  request.mutable_sampling()->set_temperature(3.0f);
  const auto context = Context();
  const auto reader = stub_->Generate(context.get(), request);
  v1::GenerateResponse response;
  ASSERT_TRUE(reader->Read(&response));
  context->TryCancel();
  while (reader->Read(&response)) {
  }
  EXPECT_THAT(rpc::FromGrpcStatus(reader->Finish()), StatusIs(absl::StatusCode::kCancelled));
  // The place is free again.
  EXPECT_OK(Generate(Request(1.0)).status);
}

TEST(GenerationConfigTest, NamesTheField) {
  config::v1::GenerationServer config = DefaultConfig();
  EXPECT_OK(ReadConfig(config));
  config.set_max_running(0);
  EXPECT_THAT(ReadConfig(config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("max_running")));
  const auto refused = [](auto change, const char* field) {
    config::v1::GenerationServer config = DefaultConfig();
    change(config);
    EXPECT_THAT(ReadConfig(config), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field)));
  };
  refused([](auto& c) { c.set_kv_cache_bytes(0); }, "kv_cache_bytes");
  refused([](auto& c) { c.set_prefix_cache_bytes(c.kv_cache_bytes() + 1); }, "prefix_cache_bytes");
  refused([](auto& c) { c.set_max_waiting_bytes(-1); }, "max_waiting_bytes");
  refused([](auto& c) { c.set_decode_slowdown(1.0); }, "decode_slowdown");
  refused([](auto& c) { c.set_decode_slowdown(0.0 / 0.0); }, "decode_slowdown");
  refused([](auto& c) { c.set_shared_system_prompt("\xff"); }, "shared_system_prompt");
  refused([](auto& c) { c.set_kv_format("int8/int3"); }, "kv_format");
  refused([](auto& c) { c.mutable_runtime()->set_block_format("int3"); }, "runtime.block_format");
  config = DefaultConfig();
  config.mutable_kv()->mutable_timeout()->set_seconds(-1);
  EXPECT_THAT(ReadConfig(config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("kv.timeout")));
}

}  // namespace
}  // namespace dki::generation
