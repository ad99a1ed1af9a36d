// SPDX-License-Identifier: Apache-2.0
// The service as generation sees it: real tiers, real RPCs, a small model, restarts.
#include "services/kv/server.h"

#include <gmock/gmock.h>
#include <rocksdb/db.h>
#include <sys/stat.h>

#include <cstdio>
#include <functional>
#include <set>
#include <thread>

#include "dki/kv/v1/kv_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/clients/memory_attributes.h"
#include "libs/engine/loaded_model.h"
#include "libs/injection/block_maker.h"
#include "libs/rpc/client.h"
#include "libs/rpc/grpc_server.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"
#include "libs/transfer/handoff_taker.h"
#include "services/kv/test_feed.h"

namespace dki::kv {
namespace {

using common::v1::TIER_DISK;
using common::v1::TIER_RAM;
using common::v1::TIER_RECOMPUTED;
using memory::v1::FeedEntry;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StatusIs;

// A running service; gone with its destructor, as a process is.
class Process {
 public:
  explicit Process(const config::v1::KvServer& config)
      : runtime_(rpc::ServiceRuntime::ForTesting("kv")) {
    auto instance = BuildKvServer(config, runtime_.get());
    DKI_CHECK(instance.ok());
    instance_ = *std::move(instance);
    auto server = rpc::GrpcServer::Start(config.server(), runtime_.get(), instance_.get());
    EXPECT_OK(server);
    server_ = *std::move(server);
    stub_ =
        v1::KvService::NewStub(rpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port())));
  }
  ~Process() { server_->Drain(); }

  rpc::ServiceRuntime& runtime() { return *runtime_; }
  v1::KvService::Stub& stub() { return *stub_; }
  std::unique_ptr<grpc::ClientContext> Context(const std::string& tenant_id = "tenant") {
    auto context =
        rpc::OutgoingContext(runtime_->cluster_key(), tenant_id, "test", std::chrono::seconds(600));
    context->set_wait_for_ready(true);
    return context;
  }
  v1::GetStatsResponse Stats() {
    v1::GetStatsResponse stats;
    EXPECT_TRUE(stub_->GetStats(Context().get(), {}, &stats).ok());
    return stats;
  }

 private:
  std::unique_ptr<rpc::ServiceRuntime> runtime_;
  std::unique_ptr<rpc::ServiceInstance> instance_;
  std::unique_ptr<rpc::GrpcServer> server_;
  std::unique_ptr<v1::KvService::Stub> stub_;
};

struct Received {
  absl::Status status;
  std::vector<common::v1::Tier> tiers;
  std::vector<std::string> blocks;
  std::vector<v1::GetPackResponse::BlockStart> starts;
  size_t largest_chunk = 0;
};

class KvServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = testing::WriteTinyModel(folder_.path());
    ASSERT_OK_AND_ASSIGN(model_, engine::LoadedModel::Load(path, {}));
    config_ = DefaultConfig();
    config_.mutable_server()->set_listen("127.0.0.1:0");
    config_.mutable_server()->set_metrics_listen("");
    config_.mutable_memory_store()->set_address(feed_.address());
    config_.mutable_runtime()->set_model(path);
    // Whether a tiny model computes faster than this machine reads is not for these tests to know.
    config_.set_always_load(true);
    config_.set_disk_path(folder_.File("blocks"));
    Start();
  }
  void Start() { process_ = std::make_unique<Process>(config_); }
  void Restart() {
    process_ = nullptr;
    Start();
  }

  v1::GetPackRequest Request(int n_memories) {
    v1::GetPackRequest request;
    request.set_model_fingerprint(model_.model->config().kv_fingerprint);
    request.mutable_pack()->set_composition("pack");  // each memory has seen the earlier ones
    for (int i = 0; i < n_memories; ++i) {
      v1::PackMemory* memory = request.mutable_pack()->add_memories();
      memory->set_memory_id(absl::StrFormat("mem_%d", i));
      memory->set_text(absl::StrFormat("Note %d is about tea.", i));
      memory->mutable_attributes()->set_source_class(common::v1::SOURCE_CLASS_USER);
    }
    return request;
  }
  Received GetPack(const v1::GetPackRequest& request, const std::string& tenant_id = "tenant") {
    Received received;
    const auto context = process_->Context(tenant_id);
    const auto reader = process_->stub().GetPack(context.get(), request);
    v1::GetPackResponse response;
    while (reader->Read(&response)) {
      if (response.has_start()) {
        received.starts.push_back(response.start());
        received.tiers.push_back(response.start().tier());
        received.blocks.emplace_back();
      } else {
        received.largest_chunk = std::max(received.largest_chunk, response.chunk().size());
        received.blocks.back() += response.chunk();
      }
    }
    received.status = rpc::FromGrpcStatus(reader->Finish());
    return received;
  }
  injection::PackPlan Plan(const v1::GetPackRequest& request,
                           const std::string& tenant_id = "tenant") {
    std::vector<injection::PackMemoryText> memories;
    for (const auto& memory : request.pack().memories()) {
      memories.push_back(
          {memory.memory_id(), memory.text(), clients::ToAttributes(memory.attributes())});
    }
    return injection::PlanPack(*model_.format, tenant_id, model_.model->config().kv_fingerprint,
                               model_.format->default_system_prompt(), memories,
                               *model::ParseBlockFormat(config_.runtime().block_format()));
  }
  model::PlaneCodec Codec() const { return model::PlaneCodec(model_.model->config()); }
  std::vector<std::string> Fresh(const v1::GetPackRequest& request) {
    injection::BlockMaker maker(model_.model.get(), *model_.format, {});
    const auto blocks = maker.MakePack(Plan(request));
    EXPECT_OK(blocks);
    std::vector<std::string> bytes;
    for (const injection::MadeBlock& made : *blocks) {
      bytes.push_back(kvcache::EncodeBlock(made.block, Codec()));
    }
    return bytes;
  }
  // Waits by a question that the server answers: how many erasures it has applied.
  void WaitForErasures(double n) {
    telemetry::Counter* erasures =
        process_->runtime().metrics().GetCounter("dki_kv_erasures_total", "");
    while (erasures->value() < n) std::this_thread::yield();
  }

  testing::TempDir folder_;
  TestFeed feed_;
  engine::LoadedModel model_;
  config::v1::KvServer config_;
  std::unique_ptr<Process> process_;
};

TEST_F(KvServerTest, ComputedThenRamThenAfterARestartDiskAllBitEqual) {
  const v1::GetPackRequest request = Request(3);
  const std::vector<std::string> fresh = Fresh(request);
  const Received computed = GetPack(request);
  ASSERT_OK(computed.status);
  EXPECT_EQ(computed.blocks, fresh);
  EXPECT_THAT(computed.tiers, AllOf(::testing::SizeIs(5), Each(TIER_RECOMPUTED)));
  const Received ram = GetPack(request);
  EXPECT_EQ(ram.blocks, fresh);
  EXPECT_THAT(ram.tiers, Each(TIER_RAM));
  Restart();
  const Received disk = GetPack(request);
  EXPECT_EQ(disk.blocks, fresh);
  EXPECT_THAT(disk.tiers, Each(TIER_DISK));
  const Received promoted = GetPack(request);
  EXPECT_EQ(promoted.blocks, fresh);
  EXPECT_THAT(promoted.tiers, Each(TIER_RAM));
  const v1::GetStatsResponse stats = process_->Stats();
  EXPECT_EQ(stats.computed(), 0);
  EXPECT_EQ(stats.disk_hits(), 5);
  EXPECT_EQ(stats.ram_hits(), 5);
  EXPECT_EQ(stats.ram_blocks(), 5);
  EXPECT_GT(stats.disk_bytes(), 0);
  EXPECT_EQ(stats.model_fingerprint(), model_.model->config().kv_fingerprint);
}

TEST_F(KvServerTest, EachBlockSaysWhatItIs) {
  const Received received = GetPack(Request(1));
  ASSERT_EQ(received.starts.size(), 3u);
  EXPECT_EQ(received.starts[0].kind(), v1::GetPackResponse::BlockStart::KIND_HEADER);
  EXPECT_EQ(received.starts[1].kind(), v1::GetPackResponse::BlockStart::KIND_MEMORY);
  EXPECT_EQ(received.starts[1].memory_id(), "mem_0");
  EXPECT_EQ(received.starts[2].kind(), v1::GetPackResponse::BlockStart::KIND_FOOTER);
  const injection::PackPlan plan = Plan(Request(1));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(received.starts[i].n_tokens(), static_cast<int>(plan.blocks[i].tokens.size()));
    EXPECT_EQ(received.starts[i].n_bytes(), static_cast<int64_t>(received.blocks[i].size()));
    EXPECT_OK(kvcache::DecodeBlock(received.blocks[i], plan.blocks[i].identity, Codec()));
  }
}

TEST_F(KvServerTest, OperatorsSeeVerifyAndEvictTheirTenantsBlocks) {
  v1::GetPackRequest request = Request(2);
  request.mutable_pack()->mutable_memories(1)->mutable_attributes()->set_pinned(true);
  request.mutable_pack()->mutable_memories(1)->mutable_attributes()->set_priority(5);
  ASSERT_OK(GetPack(request).status);
  ASSERT_OK(GetPack(Request(1), "other").status);
  const v1::GetStatsResponse stats = process_->Stats();
  ASSERT_EQ(stats.tiers_size(), 2);
  for (const v1::TierUsage& tier : stats.tiers()) {
    EXPECT_EQ(tier.blocks(), 7);
    EXPECT_EQ(tier.tenant_blocks(), 4) << "header, two memories, footer";
    EXPECT_GT(tier.tenant_bytes(), 0);
    EXPECT_LT(tier.tenant_bytes(), tier.bytes());
    EXPECT_GT(tier.tenant_pinned_bytes(), 0);
    EXPECT_LT(tier.tenant_pinned_bytes(), tier.tenant_bytes());
  }

  // Page by page, each block of each tier once.
  std::set<std::pair<int, std::string>> seen;
  v1::ListBlocksRequest list;
  list.set_page_size(3);
  do {
    v1::ListBlocksResponse page;
    ASSERT_OK(
        rpc::FromGrpcStatus(process_->stub().ListBlocks(process_->Context().get(), list, &page)));
    EXPECT_LE(page.blocks_size(), 3);
    for (const v1::BlockEntry& block : page.blocks()) {
      EXPECT_TRUE(seen.insert({block.tier(), block.key()}).second);
      EXPECT_TRUE(block.memory_id().empty() || block.n_tokens() > 0);
      EXPECT_GT(block.bytes(), 0);
      EXPECT_EQ(block.pinned(), block.memory_id() == "mem_1");
      EXPECT_EQ(block.attributes().priority(), block.memory_id() == "mem_1" ? 5 : 0);
    }
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  EXPECT_EQ(seen.size(), 8u);

  v1::VerifyBlocksResponse verified;
  ASSERT_OK(
      rpc::FromGrpcStatus(process_->stub().VerifyBlocks(process_->Context().get(), {}, &verified)));
  EXPECT_EQ(verified.checked(), 8);
  EXPECT_EQ(verified.n_damaged(), 0);

  v1::EvictBlocksRequest evict;
  v1::EvictBlocksResponse evicted;
  EXPECT_EQ(process_->stub().EvictBlocks(process_->Context().get(), evict, &evicted).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  evict.set_memory_id("mem_1");
  ASSERT_OK(rpc::FromGrpcStatus(
      process_->stub().EvictBlocks(process_->Context().get(), evict, &evicted)));
  EXPECT_EQ(evicted.blocks(), 4) << "its block and the footer, in two tiers";
  EXPECT_THAT(GetPack(request).tiers,
              ElementsAre(TIER_RAM, TIER_RAM, TIER_RECOMPUTED, TIER_RECOMPUTED));
  evict.clear_memory_id();
  evict.set_all(true);
  ASSERT_OK(rpc::FromGrpcStatus(
      process_->stub().EvictBlocks(process_->Context().get(), evict, &evicted)));
  EXPECT_THAT(GetPack(request).tiers, Each(TIER_RECOMPUTED));
  EXPECT_THAT(GetPack(Request(1), "other").tiers, Each(TIER_RAM)) << "another tenant's stay";
}

TEST_F(KvServerTest, AnotherBlockFormatIsRefusedAndNamed) {
  v1::GetPackRequest request = Request(1);
  request.set_block_format("int8");
  EXPECT_OK(GetPack(request).status);
  request.set_block_format("f32");
  EXPECT_THAT(GetPack(request).status,
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("block_format: f32, this worker keeps blocks in int8")));
}

TEST_F(KvServerTest, BlocksOfAnotherFormatAreMisses) {
  const v1::GetPackRequest request = Request(1);
  ASSERT_OK(GetPack(request).status);
  config_.mutable_runtime()->set_block_format("f16");
  Restart();
  EXPECT_THAT(GetPack(request).tiers, Each(TIER_RECOMPUTED));
  EXPECT_EQ(process_->Stats().corrupt(), 0);
  config_.mutable_runtime()->set_block_format("int8");
  Restart();
  EXPECT_THAT(GetPack(request).tiers, Each(TIER_DISK));
}

TEST_F(KvServerTest, LargeBlocksComeInPieces) {
  config_.mutable_runtime()->set_block_format("f32");
  Restart();
  v1::GetPackRequest request = Request(1);
  request.mutable_pack()->mutable_memories(0)->set_text(std::string(3500, 'x'));
  const Received received = GetPack(request);
  ASSERT_OK(received.status);
  ASSERT_GT(received.blocks[1].size(), size_t{1} << 20);
  EXPECT_LE(received.largest_chunk, size_t{1} << 20);
  EXPECT_EQ(received.blocks, Fresh(request));
}

TEST_F(KvServerTest, DamageOnDiskIsDetectedCountedAndRecomputed) {
  const v1::GetPackRequest request = Request(2);
  const std::vector<std::string> fresh = GetPack(request).blocks;
  process_ = nullptr;
  {
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, config_.disk_path(), &db).ok());
    const std::string key = "b/" + kvcache::BlockKey(Plan(request).blocks[1].identity);
    std::string value;
    ASSERT_TRUE(db->Get({}, key, &value).ok());
    value[value.size() / 2] ^= 0x20;
    ASSERT_TRUE(db->Put({}, key, value).ok());
    delete db;
  }
  Start();
  const Received received = GetPack(request);
  ASSERT_OK(received.status);
  EXPECT_EQ(received.blocks, fresh);
  EXPECT_THAT(received.tiers, ElementsAre(TIER_DISK, TIER_RECOMPUTED, TIER_DISK, TIER_DISK));
  EXPECT_EQ(process_->Stats().corrupt(), 1);
  EXPECT_EQ(process_->Stats().computed(), 1);
  // Repaired for good.
  Restart();
  EXPECT_THAT(GetPack(request).tiers, Each(TIER_DISK));
}

TEST_F(KvServerTest, ADeletionTakesAllThatDependOnItFromBothTiers) {
  feed_.Add(FeedEntry::KIND_UPSERT, "mem_0");
  feed_.Add(FeedEntry::KIND_UPSERT, "mem_1");
  GetPack(Request(3));
  feed_.Add(FeedEntry::KIND_DELETE, "mem_1");
  WaitForErasures(1);
  // Header and mem_0 have not seen mem_1.
  const auto expected =
      ElementsAre(TIER_RAM, TIER_RAM, TIER_RECOMPUTED, TIER_RECOMPUTED, TIER_RECOMPUTED);
  EXPECT_THAT(GetPack(Request(3)).tiers, expected);
  // And nothing of a deleted memory is kept again.
  EXPECT_THAT(GetPack(Request(3)).tiers, expected);
  EXPECT_EQ(process_->Stats().ram_blocks(), 2);
}

TEST_F(KvServerTest, WhatWasDeletedMeanwhileIsErasedAfterARestart) {
  GetPack(Request(2));
  feed_.Add(FeedEntry::KIND_UPSERT, "mem_0");
  feed_.Add(FeedEntry::KIND_UPSERT, "mem_1", 2);
  WaitForErasures(1);
  GetPack(Request(2));
  process_ = nullptr;
  feed_.Add(FeedEntry::KIND_DELETE, "mem_0");
  Start();
  WaitForErasures(1);
  EXPECT_THAT(GetPack(Request(2)).tiers,
              ElementsAre(TIER_DISK, TIER_RECOMPUTED, TIER_RECOMPUTED, TIER_RECOMPUTED));
  Restart();
  // It goes on from where it stood: nothing is erased twice.
  feed_.Add(FeedEntry::KIND_DELETE, "mem_7");
  WaitForErasures(1);
  EXPECT_EQ(process_->runtime().metrics().GetCounter("dki_kv_erasures_total", "")->value(), 1);
}

TEST_F(KvServerTest, ANewVersionErasesTheOldOne) {
  feed_.Add(FeedEntry::KIND_UPSERT, "mem_0");
  GetPack(Request(1));
  feed_.Add(FeedEntry::KIND_UPSERT, "mem_0", 2);
  WaitForErasures(1);
  EXPECT_THAT(GetPack(Request(1)).tiers, ElementsAre(TIER_RAM, TIER_RECOMPUTED, TIER_RECOMPUTED));
  EXPECT_THAT(GetPack(Request(1)).tiers, Each(TIER_RAM)) << "the memory lives on";
}

TEST_F(KvServerTest, AnErasedTenantLeavesNothing) {
  GetPack(Request(1), "tenant");
  GetPack(Request(1), "other");
  feed_.Add(FeedEntry::KIND_ERASE_TENANT, "");
  WaitForErasures(1);
  EXPECT_THAT(GetPack(Request(1), "tenant").tiers, Each(TIER_RECOMPUTED));
  EXPECT_THAT(GetPack(Request(1), "other").tiers, Each(TIER_RAM));
}

TEST_F(KvServerTest, AnotherDatabaseMeansStartingOver) {
  GetPack(Request(1));
  feed_.Add(FeedEntry::KIND_UPSERT, "mem_0");
  feed_.Add(FeedEntry::KIND_DELETE, "mem_9");
  WaitForErasures(1);
  process_ = nullptr;
  feed_.Replace();
  Start();
  feed_.Add(FeedEntry::KIND_DELETE, "mem_8");
  WaitForErasures(1);
  EXPECT_THAT(GetPack(Request(1)).tiers, Each(TIER_RECOMPUTED));
}

TEST_F(KvServerTest, TenantsDoNotShareBlocks) {
  GetPack(Request(2), "tenant");
  EXPECT_THAT(GetPack(Request(2), "other").tiers, Each(TIER_RECOMPUTED));
}

// Behind a key of the GGUF: its value, of a known type, as the format has it.
size_t ValueAt(const std::string& gguf, const std::string& key) {
  const size_t at = gguf.find(key);
  EXPECT_NE(at, std::string::npos) << key;
  return at + key.size() + 4;
}

TEST_F(KvServerTest, AnotherModelUnderTheSameNameFindsNoneOfTheOldOnesBlocks) {
  const std::string path = config_.runtime().model();
  ASSERT_OK_AND_ASSIGN(const std::string sound, ReadFile(path));
  GetPack(Request(2));
  const std::function<void(std::string*)> changes[] = {
      [](std::string* gguf) { gguf->back() ^= 1; },  // a weight
      [](std::string* gguf) {
        const float base = 500000.0f;
        gguf->replace(ValueAt(*gguf, "rope.freq_base"), 4,
                      std::string(reinterpret_cast<const char*>(&base), 4));
      },
      [](std::string* gguf) {  // the tokenizer: its first two merges in the other order
        const size_t first = ValueAt(*gguf, "tokenizer.ggml.merges") + 4 + 8;
        const auto size = [&](size_t at) { return 8 + static_cast<uint8_t>((*gguf)[at]); };
        const size_t second = first + size(first), end = second + size(second);
        *gguf = gguf->substr(0, first) + gguf->substr(second, end - second) +
                gguf->substr(first, second - first) + gguf->substr(end);
      },
  };
  for (const auto& change : changes) {
    process_ = nullptr;
    std::string other = sound;
    change(&other);
    ASSERT_NE(other, sound);
    ASSERT_OK(WriteFileAtomically(path, other));
    ASSERT_OK_AND_ASSIGN(model_, engine::LoadedModel::Load(path, {}));
    Start();
    const Received received = GetPack(Request(2));
    ASSERT_OK(received.status);
    EXPECT_THAT(received.tiers, Each(TIER_RECOMPUTED));
    EXPECT_EQ(received.blocks, Fresh(Request(2)));
  }
  process_ = nullptr;
  ASSERT_OK(WriteFileAtomically(path, sound));
  ASSERT_OK_AND_ASSIGN(model_, engine::LoadedModel::Load(path, {}));
  Start();
  EXPECT_THAT(GetPack(Request(2)).tiers, Each(TIER_DISK)) << "the old ones are still there";
}

TEST_F(KvServerTest, RefusesWhatItCannotServe) {
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  v1::GetPackRequest request = Request(1);
  request.set_model_fingerprint("another");
  EXPECT_THAT(GetPack(request).status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("model_fingerprint")));
  EXPECT_THAT(GetPack(Request(257)).status, StatusIs(kInvalid, HasSubstr("256")));
  for (const std::string& text : {std::string(), std::string(8193, 'x')}) {
    request = Request(2);
    request.mutable_pack()->mutable_memories(1)->set_text(text);
    EXPECT_THAT(GetPack(request).status, StatusIs(kInvalid, HasSubstr("pack.memories[1].text")));
  }
  request = Request(1);
  request.mutable_pack()->mutable_memories(0)->clear_memory_id();
  EXPECT_THAT(GetPack(request).status, StatusIs(kInvalid, HasSubstr("memory_id")));
  request = Request(0);
  request.mutable_pack()->set_context_system_prompt(std::string(20000, 'x'));
  EXPECT_THAT(GetPack(request).status, StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(GetPack(Request(1), "").status, StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_OK(GetPack(Request(0)).status);
}

TEST_F(KvServerTest, OnlyTheClusterMayAsk) {
  grpc::ClientContext stranger;
  v1::GetStatsResponse stats;
  EXPECT_EQ(process_->stub().GetStats(&stranger, {}, &stats).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(KvServerTest, WorksWithoutADisk) {
  config_.set_disk_path("");
  Restart();
  EXPECT_THAT(GetPack(Request(1)).tiers, Each(TIER_RECOMPUTED));
  EXPECT_THAT(GetPack(Request(1)).tiers, Each(TIER_RAM));
  EXPECT_EQ(process_->Stats().disk_bytes(), 0);
}

TEST_F(KvServerTest, ADiskThatCannotBeUsedIsDoneWithout) {
  // A file where the folder should be.
  config_.set_disk_path(folder_.File("file"));
  std::FILE* file = std::fopen(config_.disk_path().c_str(), "w");
  ASSERT_NE(file, nullptr);
  std::fclose(file);
  Restart();
  EXPECT_THAT(GetPack(Request(1)).tiers, Each(TIER_RECOMPUTED));
  EXPECT_THAT(GetPack(Request(1)).tiers, Each(TIER_RAM));
}

TEST(KvConfigTest, ErrorsNameTheField) {
  config::v1::KvServer config = DefaultConfig();
  EXPECT_OK(ReadConfig(config));
  config.set_ram_bytes(-1);
  EXPECT_THAT(ReadConfig(config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ram_bytes")));
  config = DefaultConfig();
  config.mutable_runtime()->set_block_format("int5");
  EXPECT_THAT(ReadConfig(config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("runtime.block_format")));
  config = DefaultConfig();
  config.set_drift_budget(-1);
  EXPECT_THAT(ReadConfig(config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("drift_budget")));
  config = DefaultConfig();
  config.mutable_runtime()->clear_model();
  EXPECT_THAT(ReadConfig(config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("runtime.model")));
}

TEST_F(KvServerTest, OnOneHostBlocksOfTheRamTierAreHandedOverWithoutACopy) {
  v1::GetPackRequest request = Request(2);
  const std::vector<std::string> fresh = Fresh(request);
  config_.set_handoff_socket(folder_.File("kv.sock"));
  Restart();
  transfer::HandoffTaker taker({.path = config_.handoff_socket()});
  std::vector<ino_t> files_before;
  for (const common::v1::Tier tier : {TIER_RECOMPUTED, TIER_RAM, TIER_RAM}) {
    ASSERT_OK_AND_ASSIGN(const auto lease, taker.Take());
    request.set_handoff_token(lease->token());
    const Received received = GetPack(request);
    ASSERT_OK(received.status);
    ASSERT_EQ(received.starts.size(), fresh.size());
    std::vector<ino_t> files;
    for (size_t i = 0; i < fresh.size(); ++i) {
      EXPECT_EQ(received.blocks[i], "") << "no chunks";
      EXPECT_EQ(received.tiers[i], tier);
      ASSERT_OK_AND_ASSIGN(const auto block, lease->Take(received.starts[i].handoff_tag(),
                                                         received.starts[i].n_bytes()));
      EXPECT_EQ(block->bytes(), fresh[i]);
      struct stat status = {};
      ASSERT_EQ(fstat(block->descriptor(), &status), 0);
      files.push_back(status.st_ino);
    }
    lease->Done();
    if (tier == TIER_RAM && !files_before.empty()) {
      EXPECT_EQ(files, files_before) << "the very memory of the tier";
    }
    files_before = tier == TIER_RAM ? files : std::vector<ino_t>();
  }
  // Whoever has no connection, or made up a token, is served all the same.
  request.set_handoff_token(std::string(32, 'x'));
  EXPECT_EQ(GetPack(request).blocks, fresh);
}

TEST_F(KvServerTest, ASideSocketThatCannotBeHadIsDoneWithout) {
  config_.set_handoff_socket(folder_.File("no/such/folder/kv.sock"));
  Restart();
  ASSERT_OK(GetPack(Request(1)).status);
  config_.set_handoff_socket(std::string(108, 'x'));
  EXPECT_THAT(ReadConfig(config_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("handoff_socket")));
}

}  // namespace
}  // namespace dki::kv
