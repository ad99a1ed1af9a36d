// SPDX-License-Identifier: Apache-2.0
// The whole service in this process, on a real database.
#include "services/memory_store/server.h"

#include <gmock/gmock.h>

#include <thread>

#include "dki/audit/v1/audit_service.grpc.pb.h"
#include "dki/memory/v1/memory_store_service.grpc.pb.h"
#include "dki/tenant/v1/tenant_service.grpc.pb.h"
#include "libs/rpc/client.h"
#include "libs/rpc/grpc_server.h"
#include "libs/testing/postgres.h"
#include "libs/testing/status_matchers.h"
#include "services/memory_store/database.h"
#include "services/memory_store/test_requests.h"

namespace dki::memory_store {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;
using testing::TestPostgres;

constexpr std::chrono::seconds kTimeout{30};

class ServerTest : public ::testing::Test {
 protected:
  void Start() {
    config::v1::MemoryStoreServer config = DefaultConfig();
    config.set_database(database_);
    config.mutable_server()->set_listen("127.0.0.1:0");
    config.mutable_server()->set_metrics_listen("");
    ASSERT_OK_AND_ASSIGN(instance_, BuildMemoryStoreServer(config, runtime_.get()));
    ASSERT_OK_AND_ASSIGN(server_,
                         rpc::GrpcServer::Start(config.server(), runtime_.get(), instance_.get()));
    channel_ = rpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port()));
    stub_ = v1::MemoryStoreService::NewStub(channel_);
  }
  void WaitUntilReady() {
    while (!runtime_->ready()) std::this_thread::yield();
  }
  std::unique_ptr<grpc::ClientContext> Context(std::chrono::milliseconds timeout = kTimeout) {
    return rpc::OutgoingContext(runtime_->cluster_key(), "a", "", timeout);
  }
  absl::Status Create(const std::string& text) {
    v1::CreateMemoryRequest request;
    request.set_request_id(text);
    *request.mutable_memory() = TextMemory(UserScope("ann"), text);
    v1::CreateMemoryResponse response;
    const auto context = Context();
    return rpc::FromGrpcStatus(stub_->CreateMemory(context.get(), request, &response));
  }

  const std::string database_ = TestPostgres::Get().CreateDatabase();
  std::unique_ptr<rpc::ServiceRuntime> runtime_ = rpc::ServiceRuntime::ForTesting();
  std::unique_ptr<rpc::ServiceInstance> instance_;
  std::unique_ptr<rpc::GrpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::MemoryStoreService::Stub> stub_;
};

TEST_F(ServerTest, ItBecomesReadyWhenTheDatabaseComes) {
  TestPostgres::Get().Stop();
  Start();
  EXPECT_FALSE(runtime_->ready());
  EXPECT_THAT(Create("early"), StatusIs(absl::StatusCode::kUnavailable));
  TestPostgres::Get().Start();
  WaitUntilReady();
  EXPECT_OK(Create("tea"));
}

TEST_F(ServerTest, AFollowerSeesWritesAcrossARestartOfTheDatabaseUntilTheDrain) {
  Start();
  WaitUntilReady();
  EXPECT_OK(Create("before"));
  const auto context = Context(std::chrono::milliseconds(0));
  auto reader = stub_->FollowFeed(context.get(), v1::FollowFeedRequest());
  std::vector<int64_t> positions;
  const auto read_until = [&](int64_t position) {
    v1::FollowFeedResponse response;
    while ((positions.empty() || positions.back() < position) && reader->Read(&response)) {
      for (const auto& entry : response.entries()) {
        if (entry.kind() == v1::FeedEntry::KIND_UPSERT) positions.push_back(entry.position());
      }
    }
  };
  read_until(1);
  TestPostgres::Get().Restart();
  EXPECT_OK(Create("after"));
  read_until(2);
  EXPECT_THAT(positions, ::testing::ElementsAre(1, 2));
  server_->Drain();
  v1::FollowFeedResponse rest;
  while (reader->Read(&rest)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServerTest, AKeyOpensItsTenantAndItsAuditLog) {
  Start();
  WaitUntilReady();
  const auto tenants = tenant::v1::TenantService::NewStub(channel_);
  tenant::v1::CreateTenantRequest tenant;
  tenant.set_id("a");
  tenant::v1::CreateTenantResponse made_tenant;
  EXPECT_TRUE(tenants->CreateTenant(Context().get(), tenant, &made_tenant).ok());
  tenant::v1::CreateKeyRequest key;
  key.add_scopes("admin");
  tenant::v1::CreateKeyResponse made_key;
  EXPECT_TRUE(tenants->CreateKey(Context().get(), key, &made_key).ok());
  EXPECT_OK(Create("tea"));

  const auto with_key = [&] { return rpc::BearerContext(made_key.secret(), "", kTimeout); };
  v1::ListMemoriesResponse memories;
  EXPECT_TRUE(stub_->ListMemories(with_key().get(), {}, &memories).ok());
  EXPECT_EQ(memories.memories_size(), 1);
  const auto audit = audit::v1::AuditService::NewStub(channel_);
  audit::v1::VerifyChainResponse chain;
  EXPECT_TRUE(audit->VerifyChain(with_key().get(), {}, &chain).ok());
  EXPECT_TRUE(chain.valid());
}

TEST_F(ServerTest, ADatabaseOfANewerVersionIsRefused) {
  Start();
  WaitUntilReady();
  server_->Drain();
  Database database({.connection_string = database_});
  EXPECT_OK(database.Transact(Database::Deadline::max(), [](pqxx::work& work) {
    work.exec("INSERT INTO schema_migrations (number, name, checksum) VALUES (9999, 'x', 'x')");
    return absl::OkStatus();
  }));
  config::v1::MemoryStoreServer config = DefaultConfig();
  config.set_database(database_);
  ASSERT_OK_AND_ASSIGN(const auto instance, BuildMemoryStoreServer(config, runtime_.get()));
  EXPECT_THAT(instance->Start(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("too old")));
}

TEST_F(ServerTest, TheConfigurationIsChecked) {
  config::v1::MemoryStoreServer config = DefaultConfig();
  config.set_pool_size(0);
  EXPECT_THAT(BuildMemoryStoreServer(config, runtime_.get()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("pool_size")));
}

}  // namespace
}  // namespace dki::memory_store
