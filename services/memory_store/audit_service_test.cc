// SPDX-License-Identifier: Apache-2.0
// Who may do what on the wire, and what is refused, over gRPC on the fake.
#include "services/memory_store/audit_service.h"

#include <gmock/gmock.h>

#include "libs/rpc/client.h"
#include "libs/testing/status_matchers.h"
#include "services/memory_store/audit_fixture.h"

namespace dki::memory_store {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using testing::StatusIs;

constexpr std::chrono::seconds kTimeout{30};

class AuditServiceTest : public ::testing::Test {
 protected:
  AuditServiceTest() {
    // A key is the permission it gives in tenant "a".
    runtime_->SetKeyVerifier([](const std::string& secret) -> absl::StatusOr<rpc::Caller> {
      DKI_ASSIGN_OR_RETURN(const rpc::Permission permission, rpc::ParsePermission(secret));
      return rpc::Caller{
          .tenant_id = "a", .key_id = "key", .permissions = {permission}, .is_cluster = false};
    });
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = audit::v1::AuditService::NewStub(server_->InProcessChannel({}));
  }

  static std::unique_ptr<grpc::ClientContext> Key(const std::string& key) {
    return rpc::BearerContext(key, "", kTimeout);
  }
  std::unique_ptr<grpc::ClientContext> Cluster(const std::string& tenant_id) {
    return rpc::OutgoingContext(runtime_->cluster_key(), tenant_id, "r", kTimeout);
  }
  absl::Status Append(std::unique_ptr<grpc::ClientContext> context,
                      const audit::v1::AppendDecisionRequest& request) {
    audit::v1::AppendDecisionResponse response;
    return rpc::FromGrpcStatus(stub_->AppendDecision(context.get(), request, &response));
  }
  absl::Status Append(std::unique_ptr<grpc::ClientContext> context,
                      const audit::v1::AppendOutcomeRequest& request) {
    audit::v1::AppendOutcomeResponse response;
    return rpc::FromGrpcStatus(stub_->AppendOutcome(context.get(), request, &response));
  }
  absl::Status Get(std::unique_ptr<grpc::ClientContext> context, const std::string& id) {
    audit::v1::GetDecisionRequest request;
    request.set_decision_id(id);
    audit::v1::GetDecisionResponse response;
    return rpc::FromGrpcStatus(stub_->GetDecision(context.get(), request, &response));
  }
  absl::Status List(std::unique_ptr<grpc::ClientContext> context, int page_size) {
    audit::v1::ListDecisionsRequest request;
    request.set_page_size(page_size);
    audit::v1::ListDecisionsResponse response;
    return rpc::FromGrpcStatus(stub_->ListDecisions(context.get(), request, &response));
  }
  absl::Status Verify(std::unique_ptr<grpc::ClientContext> context) {
    audit::v1::VerifyChainResponse response;
    return rpc::FromGrpcStatus(stub_->VerifyChain(context.get(), {}, &response));
  }
  absl::Status Erase(std::unique_ptr<grpc::ClientContext> context, const std::string& id) {
    audit::v1::EraseTextsRequest request;
    request.set_decision_id(id);
    audit::v1::EraseTextsResponse response;
    return rpc::FromGrpcStatus(stub_->EraseTexts(context.get(), request, &response));
  }

  FakeClock clock_;
  InMemoryAuditRepository repository_{&clock_};
  std::unique_ptr<rpc::ServiceRuntime> runtime_ = rpc::ServiceRuntime::ForTesting();
  AuditService service_{runtime_.get(), &repository_};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<audit::v1::AuditService::Stub> stub_;
};

TEST_F(AuditServiceTest, OnlyTheClusterAppendsAndForATenant) {
  const auto denied = StatusIs(StatusCode::kPermissionDenied);
  EXPECT_THAT(Append(Key("admin"), DecisionRequest(1, "ann")), denied);
  EXPECT_THAT(Append(Cluster(""), DecisionRequest(1, "ann")), denied);
  EXPECT_OK(Append(Cluster("a"), DecisionRequest(1, "ann")));
  EXPECT_THAT(Append(Key("admin"), OutcomeRequest(1)), denied);
  EXPECT_THAT(Append(Cluster(""), OutcomeRequest(1)), denied);
  EXPECT_OK(Append(Cluster("a"), OutcomeRequest(1)));
}

TEST_F(AuditServiceTest, ReadingNeedsChatVerifyingAndErasingNeedAdmin) {
  const auto denied = StatusIs(StatusCode::kPermissionDenied);
  EXPECT_OK(Append(Cluster("a"), DecisionRequest(1, "ann")));
  EXPECT_OK(Get(Key("chat"), DecisionId(1)));
  EXPECT_OK(List(Key("chat"), 10));
  EXPECT_THAT(Get(Key("memory:read"), DecisionId(1)), denied);
  EXPECT_THAT(List(Key("memory:read"), 10), denied);
  EXPECT_THAT(Verify(Key("chat")), denied);
  EXPECT_THAT(Erase(Key("chat"), DecisionId(1)), denied);
  EXPECT_OK(Verify(Key("admin")));
  EXPECT_OK(Erase(Key("admin"), DecisionId(1)));
  EXPECT_THAT(Get(Cluster("b"), DecisionId(1)), StatusIs(StatusCode::kNotFound));
}

TEST_F(AuditServiceTest, BadInputNamesFieldAndLimit) {
  const auto invalid = [](const std::string& what) {
    return StatusIs(StatusCode::kInvalidArgument, HasSubstr(what));
  };
  const auto decision = [&](const std::function<void(audit::v1::AppendDecisionRequest*)>& spoil) {
    audit::v1::AppendDecisionRequest request = DecisionRequest(1, "ann");
    spoil(&request);
    return Append(Cluster("a"), request);
  };
  EXPECT_THAT(decision([](auto* r) { r->mutable_decision()->set_decision_id("dec_1"); }),
              invalid("decision.decision_id"));
  EXPECT_THAT(decision([](auto* r) {
                r->mutable_decision()->mutable_scope()->set_user_id(std::string(257, 'u'));
              }),
              invalid("decision.scope.user_id: 257 bytes"));
  EXPECT_THAT(decision([](auto* r) {
                r->mutable_decision()->mutable_scope()->set_user_id(std::string("a\0b", 3));
              }),
              invalid("NUL"));
  EXPECT_THAT(decision([](auto* r) { r->mutable_decision()->set_query_hash("abc"); }),
              invalid("decision.query_hash"));
  EXPECT_THAT(decision([](auto* r) { r->mutable_texts(0)->set_text("another"); }),
              invalid("decision.query_hash: not the hash of texts[0]"));
  EXPECT_THAT(decision([](auto* r) { r->mutable_texts(0)->set_salt("short"); }),
              invalid("texts[0].salt: 5 bytes, must be 16"));
  EXPECT_THAT(decision([](auto* r) { r->mutable_texts(0)->set_kind("answer"); }),
              invalid("texts[0].kind"));
  EXPECT_THAT(decision([](auto* r) { *r->add_texts() = r->texts(0); }), invalid("texts: 2"));
  EXPECT_THAT(decision([](auto* r) { r->mutable_decision()->set_gate(std::string(1 << 20, 'g')); }),
              invalid("at most 1048576"));
  audit::v1::AppendOutcomeRequest outcome = OutcomeRequest(1);
  outcome.mutable_texts(0)->set_text("another");
  EXPECT_THAT(Append(Cluster("a"), outcome), invalid("outcome.answer_hash"));
  EXPECT_THAT(Get(Key("chat"), "dec_" + std::string(32, 'X')), invalid("decision_id"));
  EXPECT_THAT(Erase(Key("admin"), ""), invalid("decision_id"));
  EXPECT_THAT(List(Key("chat"), -1), invalid("page_size: -1, must be 0 to 1000"));
  EXPECT_EQ(repository_.VerifyChain({.tenant_id = "a"})->n_links(), 0);
}

}  // namespace
}  // namespace dki::memory_store
