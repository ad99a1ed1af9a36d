// SPDX-License-Identifier: Apache-2.0
// Handle, driven through a real server and channel.
#include <future>
#include <stdexcept>

#include "libs/rpc/call.h"
#include "libs/rpc/client.h"
#include "libs/rpc/grpc_server.h"
#include "libs/rpc/runtime_state.h"
#include "libs/rpc/test_service.h"
#include "libs/testing/status_matchers.h"

namespace dki::rpc {
namespace {

using ::dki::testing::StatusIs;
using retrieval::v1::RetrievalService;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr milliseconds kTimeout(20'000);

class HandleTest : public ::testing::Test {
 protected:
  HandleTest() : HandleTest(16) {}
  explicit HandleTest(int max_calls)
      : runtime_({"test", max_calls}, ClusterKey::FromBytes(std::string(32, 'k'))) {
    runtime_.SetKeyVerifier([](const std::string& secret) -> absl::StatusOr<Caller> {
      if (secret != "reader") return Unauthenticated("no such key");
      Caller caller;
      caller.tenant_id = "acme";
      caller.permissions = {Permission::kMemoryRead};
      return caller;
    });
  }

  void Serve(const Requirement& requirement, TestService::Body body) {
    service_ = std::make_unique<TestService>(&runtime_, requirement, std::move(body));
    auto server = GrpcServer::Start(TestServerConfig(), &runtime_, service_.get());
    ASSERT_OK(server);
    server_ = *std::move(server);
    stub_ =
        RetrievalService::NewStub(CreateChannel(absl::StrFormat("127.0.0.1:%d", server_->port())));
  }

  absl::Status Search(grpc::ClientContext* context) {
    retrieval::v1::SearchResponse response;
    return FromGrpcStatus(stub_->Search(context, {}, &response));
  }
  absl::Status SearchWithKey(const std::string& key) {
    return Search(BearerContext(key, "r-1", kTimeout).get());
  }
  double Calls(const std::string& code) {
    return runtime_.metrics()
        .GetCounter("dki_rpc_calls_total", "",
                    {{"service", "test"}, {"method", "Search"}, {"code", code}})
        ->value();
  }

  ServiceRuntime runtime_;
  std::unique_ptr<TestService> service_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<RetrievalService::Stub> stub_;
};

TEST_F(HandleTest, BodySeesCallerAndRequestId) {
  Caller caller;
  std::string request_id;
  Serve(Permission::kMemoryRead, [&](const Call& call) {
    caller = call.caller();
    request_id = call.request_id();
    return absl::OkStatus();
  });
  EXPECT_OK(SearchWithKey("reader"));
  EXPECT_EQ(caller.tenant_id, "acme");
  EXPECT_FALSE(caller.is_cluster);
  EXPECT_EQ(request_id, "r-1");

  EXPECT_OK(Search(OutgoingContext(runtime_.cluster_key(), "other", "r 2", kTimeout).get()));
  EXPECT_EQ(caller.tenant_id, "other");
  EXPECT_TRUE(caller.is_cluster);
  EXPECT_EQ(request_id.substr(0, 4), "req_");
  EXPECT_EQ(Calls("OK"), 2);
}

TEST_F(HandleTest, CallsWithoutGoodCredentialsNeverReachTheBody) {
  Serve(Requirement::Authenticated(), [](const Call&) { return Internal("reached"); });
  grpc::ClientContext none;
  EXPECT_THAT(Search(&none), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("Bearer KEY")));
  EXPECT_THAT(SearchWithKey("wrong"),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("no such key")));
  runtime_.SetKeyVerifier(nullptr);
  EXPECT_THAT(SearchWithKey("reader"),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("only the cluster identity")));
  EXPECT_EQ(Calls("UNAUTHENTICATED"), 3);
}

TEST_F(HandleTest, AMissingScopeIsPermissionDenied) {
  Serve(Permission::kMemoryWrite, [](const Call&) { return Internal("reached"); });
  EXPECT_THAT(SearchWithKey("reader"),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("memory:write")));
  EXPECT_THAT(Search(OutgoingContext(runtime_.cluster_key(), "", "r", kTimeout).get()),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("tenant")));
}

TEST_F(HandleTest, ClusterOnlyRefusesKeys) {
  Serve(Requirement::ClusterOnly(), [](const Call&) { return absl::OkStatus(); });
  EXPECT_THAT(SearchWithKey("reader"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_OK(Search(OutgoingContext(runtime_.cluster_key(), "", "r", kTimeout).get()));
}

TEST_F(HandleTest, AnExceptionFailsOneCallWithoutTellingWhat) {
  Serve(Permission::kMemoryRead,
        [](const Call&) -> absl::Status { throw std::runtime_error("secret detail"); });
  const absl::Status status = SearchWithKey("reader");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal, HasSubstr("r-1")));
  EXPECT_THAT(status,
              StatusIs(absl::StatusCode::kInternal, ::testing::Not(HasSubstr("secret detail"))));
  EXPECT_THAT(SearchWithKey("reader"), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(HandleTest, StatusAndALongMessageArrive) {
  Serve(Permission::kMemoryRead,
        [](const Call&) { return OutOfRange("k %s", std::string(100'000, 'x')); });
  const absl::Status status = SearchWithKey("reader");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("k xxx")));
  EXPECT_LE(status.message().size(), 2048u + std::string("…").size());
}

TEST_F(HandleTest, DeadlineAndCancellationArePropagatedDownstream) {
  // The body calls its own server again, as a service calls another one; the inner call waits until
  // it is cancelled, which only the outer one's end can do.
  std::promise<void> inner_running;
  std::promise<bool> inner_cancelled;
  Serve(Permission::kMemoryRead, [&](const Call& call) {
    if (call.caller().is_cluster) {
      inner_running.set_value();
      while (!call.IsCancelled()) std::this_thread::yield();
      inner_cancelled.set_value(call.deadline() < std::chrono::system_clock::now() + 2 * kTimeout);
      return absl::OkStatus();
    }
    retrieval::v1::SearchResponse response;
    const auto context = OutgoingContext(runtime_.cluster_key(), call, milliseconds(0));
    return FromGrpcStatus(stub_->Search(context.get(), {}, &response));
  });
  auto context = BearerContext("reader", "r", kTimeout);
  auto outer = std::async(std::launch::async, [&] { return Search(context.get()); });
  inner_running.get_future().wait();
  context->TryCancel();
  EXPECT_THAT(outer.get(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(inner_cancelled.get_future().get());
}

class FullHandleTest : public HandleTest {
 protected:
  FullHandleTest() : HandleTest(1) {}
};

TEST_F(FullHandleTest, MoreCallsThanSlotsAreRefusedWithARetryHint) {
  std::promise<void> running, go_on;
  Serve(Permission::kMemoryRead, [&](const Call&) {
    running.set_value();
    go_on.get_future().wait();
    return absl::OkStatus();
  });
  auto first = std::async(std::launch::async, [&] { return SearchWithKey("reader"); });
  running.get_future().wait();

  auto context = BearerContext("reader", "r-2", kTimeout);
  EXPECT_THAT(Search(context.get()),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("max_concurrent_calls")));
  EXPECT_EQ(context->GetServerTrailingMetadata().count("retry-after-ms"), 1u);
  go_on.set_value();
  EXPECT_OK(first.get());
  EXPECT_EQ(runtime_.state().running_calls, 0);
}

}  // namespace
}  // namespace dki::rpc
