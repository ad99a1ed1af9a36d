// SPDX-License-Identifier: Apache-2.0
// Who may do what on the wire, over gRPC on the fake.
#include "services/memory_store/memory_store_service.h"

#include <gmock/gmock.h>

#include "libs/rpc/client.h"
#include "libs/testing/status_matchers.h"
#include "services/memory_store/in_memory_store.h"
#include "services/memory_store/test_requests.h"

namespace dki::memory_store {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using testing::StatusIs;

constexpr std::chrono::seconds kTimeout{30};

class MemoryStoreServiceTest : public ::testing::Test {
 protected:
  MemoryStoreServiceTest() {
    // A key is "tenant permission".
    runtime_->SetKeyVerifier([](const std::string& secret) -> absl::StatusOr<rpc::Caller> {
      const size_t space = secret.find('.');
      DKI_ASSIGN_OR_RETURN(const rpc::Permission permission,
                           rpc::ParsePermission(secret.substr(space + 1)));
      return rpc::Caller{.tenant_id = secret.substr(0, space),
                         .key_id = "key",
                         .permissions = {permission},
                         .is_cluster = false};
    });
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = v1::MemoryStoreService::NewStub(server_->InProcessChannel({}));
  }
  ~MemoryStoreServiceTest() override {
    signal_.Stop();
    server_->Shutdown();
  }

  static std::unique_ptr<grpc::ClientContext> Key(const std::string& key) {
    return rpc::BearerContext(key, "", kTimeout);
  }
  std::unique_ptr<grpc::ClientContext> Cluster(const std::string& tenant_id) {
    return rpc::OutgoingContext(runtime_->cluster_key(), tenant_id, "r", kTimeout);
  }

  absl::StatusOr<v1::CreateMemoryResponse> Create(std::unique_ptr<grpc::ClientContext> context,
                                                  const v1::NewMemory& memory) {
    v1::CreateMemoryRequest request;
    request.set_request_id("request " + std::to_string(++n_requests_));
    *request.mutable_memory() = memory;
    v1::CreateMemoryResponse response;
    DKI_RETURN_IF_ERROR(
        rpc::FromGrpcStatus(stub_->CreateMemory(context.get(), request, &response)));
    return response;
  }

  absl::Status Get(std::unique_ptr<grpc::ClientContext> context, const std::string& id,
                   const std::optional<common::v1::Scope>& viewer) {
    v1::GetMemoryRequest request;
    request.set_id(id);
    if (viewer.has_value()) *request.mutable_viewer() = *viewer;
    v1::GetMemoryResponse response;
    return rpc::FromGrpcStatus(stub_->GetMemory(context.get(), request, &response));
  }

  // The first entry of the feed, or why there is none.
  absl::StatusOr<v1::FeedEntry> Follow(std::unique_ptr<grpc::ClientContext> context,
                                       bool own_tenant_only = false) {
    v1::FollowFeedRequest request;
    request.set_own_tenant_only(own_tenant_only);
    auto reader = stub_->FollowFeed(context.get(), request);
    v1::FollowFeedResponse response;
    const bool any = reader->Read(&response);
    if (any) context->TryCancel();
    const grpc::Status status = reader->Finish();
    if (!any) return rpc::FromGrpcStatus(status);
    return response.entries(0);
  }

  FakeClock clock_;
  FeedSignal signal_;
  InMemoryStore store_{&signal_, &clock_};
  FeedFollower follower_{&store_, &signal_, FeedFollower::Options()};
  std::unique_ptr<rpc::ServiceRuntime> runtime_ = rpc::ServiceRuntime::ForTesting();
  MemoryStoreService service_{{.runtime = runtime_.get(),
                               .memories = &store_,
                               .conversations = &store_,
                               .follower = &follower_,
                               .clock = &clock_}};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::MemoryStoreService::Stub> stub_;
  int n_requests_ = 0;
};

TEST_F(MemoryStoreServiceTest, TheSourceClassOfAKeyIsUser) {
  v1::NewMemory memory = TextMemory(UserScope("ann"), "tea");
  memory.set_source_class(common::v1::SOURCE_CLASS_OPERATOR);
  ASSERT_OK_AND_ASSIGN(const auto by_key, Create(Key("a.memory:write"), memory));
  EXPECT_EQ(by_key.memory().source_class(), common::v1::SOURCE_CLASS_USER);
  memory.set_text("milk");
  ASSERT_OK_AND_ASSIGN(const auto by_cluster, Create(Cluster("a"), memory));
  EXPECT_EQ(by_cluster.memory().source_class(), common::v1::SOURCE_CLASS_OPERATOR);
}

TEST_F(MemoryStoreServiceTest, PermissionsAreNeeded) {
  const auto denied = StatusIs(StatusCode::kPermissionDenied);
  const v1::NewMemory own = TextMemory(UserScope("ann"), "tea");
  const v1::NewMemory shared = TextMemory(common::v1::Scope(), "for all");
  EXPECT_THAT(Create(Key("a.memory:read"), own), denied);
  EXPECT_THAT(Create(Key("a.memory:write"), shared), denied);
  EXPECT_OK(Create(Key("a.admin"), shared));
  ASSERT_OK_AND_ASSIGN(const auto created, Create(Key("a.memory:write"), own));
  const std::string& id = created.memory().id();
  EXPECT_THAT(Get(Key("a.memory:write"), id, UserScope("ann")), denied);
  EXPECT_OK(Get(Key("a.memory:read"), id, UserScope("ann")));
  EXPECT_THAT(Get(Key("a.memory:read"), id, std::nullopt), denied);
  EXPECT_OK(Get(Key("a.admin"), id, std::nullopt));
  EXPECT_OK(Get(Cluster("a"), id, std::nullopt));
  EXPECT_THAT(Get(Key("b.admin"), id, std::nullopt), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(Get(Key("a.memory:read"), id, UserScope("bob")), StatusIs(StatusCode::kNotFound));
}

TEST_F(MemoryStoreServiceTest, BadInputNamesFieldAndLimit) {
  EXPECT_THAT(Create(Key("a.memory:write"), TextMemory(UserScope("ann"), "")),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("memory.text: 0 bytes")));
}

TEST_F(MemoryStoreServiceTest, OnlyTheClusterFollowsAllTenants) {
  EXPECT_OK(Create(Cluster("a"), TextMemory(UserScope("ann"), "tea")));
  EXPECT_OK(Create(Cluster("b"), TextMemory(UserScope("ann"), "milk")));
  EXPECT_THAT(Follow(Key("b.memory:read")), StatusIs(StatusCode::kPermissionDenied));
  ASSERT_OK_AND_ASSIGN(const auto own, Follow(Key("b.admin")));
  EXPECT_EQ(own.tenant_id(), "b");
  ASSERT_OK_AND_ASSIGN(const auto first, Follow(Cluster("")));
  EXPECT_EQ(first.tenant_id(), "a");
  ASSERT_OK_AND_ASSIGN(const auto chosen, Follow(Cluster("b"), true));
  EXPECT_EQ(chosen.tenant_id(), "b");
  EXPECT_THAT(Follow(Cluster(""), true), StatusIs(StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace dki::memory_store
