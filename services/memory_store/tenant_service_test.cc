// SPDX-License-Identifier: Apache-2.0
// Tenants and keys over gRPC on the fake, with the real key verifier.
#include "services/memory_store/tenant_service.h"

#include <gmock/gmock.h>

#include "libs/rpc/client.h"
#include "libs/testing/status_matchers.h"
#include "services/memory_store/audit_fixture.h"
#include "services/memory_store/key_verifier.h"

namespace dki::memory_store {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StatusIs;

constexpr std::chrono::seconds kTimeout{30};

class TenantServiceTest : public ::testing::Test {
 protected:
  using Context = std::unique_ptr<grpc::ClientContext>;

  TenantServiceTest() {
    runtime_->SetKeyVerifier(MakeKeyVerifier(&backend_.tenants()));
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = tenant::v1::TenantService::NewStub(server_->InProcessChannel({}));
  }

  static Context Key(const std::string& secret) { return rpc::BearerContext(secret, "", kTimeout); }
  Context Cluster(const std::string& tenant_id = "") {
    return rpc::OutgoingContext(runtime_->cluster_key(), tenant_id, "r", kTimeout);
  }
  absl::Status CreateTenant(const Context& context, const std::string& id) {
    tenant::v1::CreateTenantRequest request;
    request.set_id(id);
    tenant::v1::CreateTenantResponse response;
    return rpc::FromGrpcStatus(stub_->CreateTenant(context.get(), request, &response));
  }
  absl::Status DeleteTenant(const Context& context, const std::string& id) {
    tenant::v1::DeleteTenantRequest request;
    request.set_id(id);
    tenant::v1::DeleteTenantResponse response;
    return rpc::FromGrpcStatus(stub_->DeleteTenant(context.get(), request, &response));
  }
  absl::Status ListTenants(const Context& context) {
    tenant::v1::ListTenantsResponse response;
    return rpc::FromGrpcStatus(stub_->ListTenants(context.get(), {}, &response));
  }
  absl::StatusOr<tenant::v1::CreateKeyResponse> CreateKey(const Context& context,
                                                          const std::vector<std::string>& scopes,
                                                          const std::string& note = "") {
    tenant::v1::CreateKeyRequest request;
    request.mutable_scopes()->Add(scopes.begin(), scopes.end());
    request.set_note(note);
    tenant::v1::CreateKeyResponse response;
    DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub_->CreateKey(context.get(), request, &response)));
    return response;
  }
  absl::StatusOr<tenant::v1::ListKeysResponse> ListKeys(const Context& context) {
    tenant::v1::ListKeysResponse response;
    DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub_->ListKeys(context.get(), {}, &response)));
    return response;
  }
  absl::Status RevokeKey(const Context& context, const std::string& id) {
    tenant::v1::RevokeKeyRequest request;
    request.set_id(id);
    tenant::v1::RevokeKeyResponse response;
    return rpc::FromGrpcStatus(stub_->RevokeKey(context.get(), request, &response));
  }
  absl::StatusOr<tenant::v1::AuthenticateResponse> Authenticate(const Context& context,
                                                                const std::string& secret) {
    tenant::v1::AuthenticateRequest request;
    request.set_secret(secret);
    tenant::v1::AuthenticateResponse response;
    DKI_RETURN_IF_ERROR(
        rpc::FromGrpcStatus(stub_->Authenticate(context.get(), request, &response)));
    return response;
  }

  FakeAuditBackend backend_;
  std::unique_ptr<rpc::ServiceRuntime> runtime_ = rpc::ServiceRuntime::ForTesting();
  TenantService service_{runtime_.get(), &backend_.tenants(), &backend_.clock};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<tenant::v1::TenantService::Stub> stub_;
};

TEST_F(TenantServiceTest, AKeyWorksUntilItIsRevoked) {
  EXPECT_OK(CreateTenant(Cluster(), "a"));
  ASSERT_OK_AND_ASSIGN(const auto made, CreateKey(Cluster("a"), {"chat", "admin", "chat"}, "mine"));
  EXPECT_THAT(made.key().scopes(), ElementsAre("admin", "chat"));
  EXPECT_EQ(made.key().tenant_id(), "a");
  ASSERT_OK_AND_ASSIGN(const auto who, Authenticate(Cluster(), made.secret()));
  EXPECT_EQ(who.tenant_id(), "a");
  EXPECT_EQ(who.key_id(), made.key().id());
  EXPECT_THAT(who.scopes(), ElementsAre("chat", "admin"));
  // An admin's key manages the keys of its tenant, itself included.
  ASSERT_OK_AND_ASSIGN(const auto listed, ListKeys(Key(made.secret())));
  EXPECT_THAT(listed.DebugString(), ::testing::Not(HasSubstr(made.secret())));
  EXPECT_OK(RevokeKey(Key(made.secret()), made.key().id()));
  EXPECT_THAT(ListKeys(Key(made.secret())), StatusIs(StatusCode::kUnauthenticated));
  EXPECT_THAT(Authenticate(Cluster(), made.secret()), StatusIs(StatusCode::kUnauthenticated));
}

TEST_F(TenantServiceTest, WhoMayDoWhat) {
  const auto denied = StatusIs(StatusCode::kPermissionDenied);
  EXPECT_OK(CreateTenant(Cluster(), "a"));
  EXPECT_OK(CreateTenant(Cluster(), "b"));
  const std::string admin = CreateKey(Cluster("a"), {"admin"})->secret();
  const std::string chat = CreateKey(Cluster("a"), {"chat", "memory:write"})->secret();
  const auto of_b = CreateKey(Cluster("b"), {"chat"});
  EXPECT_THAT(CreateTenant(Key(admin), "c"), denied);
  EXPECT_THAT(DeleteTenant(Key(admin), "a"), denied);
  EXPECT_THAT(ListTenants(Key(admin)), denied);
  EXPECT_THAT(Authenticate(Key(admin), admin), denied);
  EXPECT_THAT(CreateKey(Key(chat), {"admin"}), denied);
  EXPECT_THAT(ListKeys(Key(chat)), denied);
  EXPECT_THAT(RevokeKey(Key(chat), of_b->key().id()), denied);
  EXPECT_THAT(RevokeKey(Key(admin), of_b->key().id()), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(CreateKey(Cluster(""), {"chat"}), denied);
  EXPECT_OK(ListTenants(Cluster()));
  EXPECT_OK(DeleteTenant(Cluster(), "a"));
  EXPECT_THAT(ListKeys(Key(admin)), StatusIs(StatusCode::kUnauthenticated));
}

TEST_F(TenantServiceTest, BadInputNamesFieldAndLimit) {
  const auto invalid = [](const std::string& what) {
    return StatusIs(StatusCode::kInvalidArgument, HasSubstr(what));
  };
  for (const std::string& id : {std::string(), std::string("A"), std::string("a b"),
                                std::string(65, 'a'), std::string("a\0", 2)}) {
    EXPECT_THAT(CreateTenant(Cluster(), id), invalid("id: must be 1 to 64"));
    EXPECT_THAT(DeleteTenant(Cluster(), id), invalid("id: must be 1 to 64"));
  }
  EXPECT_OK(CreateTenant(Cluster(), std::string(64, 'a')));
  EXPECT_OK(CreateTenant(Cluster(), "a"));
  EXPECT_THAT(CreateTenant(Cluster(), "a"), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(CreateKey(Cluster("a"), {}), invalid("scopes"));
  EXPECT_THAT(CreateKey(Cluster("a"), {"chat", "root"}), invalid("scopes[1]"));
  EXPECT_THAT(CreateKey(Cluster("a"), {"chat"}, std::string(257, 'n')), invalid("note: 257 bytes"));
  EXPECT_THAT(CreateKey(Cluster("nobody"), {"chat"}), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(RevokeKey(Cluster("a"), "key_1"), invalid("id: must be \"key_\""));
  EXPECT_THAT(DeleteTenant(Cluster(), "nobody"), StatusIs(StatusCode::kNotFound));
}

}  // namespace
}  // namespace dki::memory_store
