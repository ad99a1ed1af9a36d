// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/grpc_server.h"

#include <grpcpp/generic/generic_stub.h>

#include <future>

#include "grpc/health/v1/health.grpc.pb.h"
#include "libs/rpc/client.h"
#include "libs/rpc/test_service.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::rpc {
namespace {

using ::dki::testing::StatusIs;
using ::grpc::health::v1::Health;
using ::grpc::health::v1::HealthCheckResponse;
using ::testing::HasSubstr;

constexpr char kServiceName[] = "dki.retrieval.v1.RetrievalService";

absl::Status Nothing(const Call&) {
  return absl::OkStatus();
}

HealthCheckResponse::ServingStatus HealthOf(const std::shared_ptr<grpc::Channel>& channel,
                                            const std::string& service) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  HealthCheckResponse response;
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  const grpc::Status status = Health::NewStub(channel)->Check(&context, request, &response);
  return status.ok() ? response.status() : HealthCheckResponse::SERVICE_UNKNOWN;
}

class GrpcServerTest : public ::testing::Test {
 protected:
  void Start(const config::v1::Server& config = TestServerConfig()) {
    auto server = GrpcServer::Start(config, runtime_.get(), &service_);
    ASSERT_OK(server);
    server_ = *std::move(server);
    channel_ = CreateChannel(absl::StrFormat("127.0.0.1:%d", server_->port()));
  }

  std::unique_ptr<ServiceRuntime> runtime_ = ServiceRuntime::ForTesting();
  TestService service_{runtime_.get(), Requirement::Authenticated(), Nothing};
  std::unique_ptr<GrpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(GrpcServerTest, HealthFollowsReadiness) {
  Start();
  for (const char* name : {"", kServiceName}) {
    runtime_->SetReady(false);
    EXPECT_EQ(HealthOf(channel_, name), HealthCheckResponse::NOT_SERVING);
    runtime_->SetReady(true);
    EXPECT_EQ(HealthOf(channel_, name), HealthCheckResponse::SERVING);
  }
  EXPECT_EQ(HealthOf(channel_, "dki.Other"), HealthCheckResponse::SERVICE_UNKNOWN);
}

TEST_F(GrpcServerTest, HealthIsWatchedUntilTheServerEnds) {
  Start();
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(kServiceName);
  grpc::ClientContext context;
  const auto stub = Health::NewStub(channel_);
  const auto watch = stub->Watch(&context, request);
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  runtime_->SetReady(true);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  server_->Drain();
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(watch->Read(&response));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcServerTest, WatchersAreLimited) {
  Start();
  const auto stub = Health::NewStub(channel_);
  struct Watcher {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> stream;
  };
  std::vector<std::unique_ptr<Watcher>> watchers;
  HealthCheckResponse response;
  for (int i = 0; i < 64; ++i) {
    watchers.push_back(std::make_unique<Watcher>());
    watchers.back()->stream = stub->Watch(&watchers.back()->context, {});
    ASSERT_TRUE(watchers.back()->stream->Read(&response));
  }
  grpc::ClientContext context;
  const auto refused = stub->Watch(&context, {});
  EXPECT_FALSE(refused->Read(&response));
  EXPECT_EQ(refused->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(HealthOf(channel_, ""), HealthCheckResponse::NOT_SERVING);
  for (auto& watcher : watchers) {
    watcher->context.TryCancel();
    watcher->stream->Finish();
  }
}

TEST_F(GrpcServerTest, DrainingIsNotServingAndCannotBecomeReady) {
  Start();
  runtime_->SetReady(true);
  HealthCheckResponse::ServingStatus while_draining = HealthCheckResponse::UNKNOWN;
  service_.on_drain = [&] {
    runtime_->SetReady(true);  // what a background thread may still do
    while_draining = HealthOf(channel_, "");
  };
  server_->Drain();
  EXPECT_EQ(while_draining, HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(runtime_->ready());
}

TEST_F(GrpcServerTest, ARunningCallMayEndWhileDraining) {
  std::promise<void> running;
  std::promise<void> draining;
  TestService slow(runtime_.get(), Requirement::Authenticated(), [&](const Call&) {
    running.set_value();
    draining.get_future().wait();
    return absl::OkStatus();
  });
  slow.on_drain = [&] { draining.set_value(); };
  ASSERT_OK_AND_ASSIGN(auto server, GrpcServer::Start(TestServerConfig(), runtime_.get(), &slow));
  const auto stub = retrieval::v1::RetrievalService::NewStub(
      CreateChannel(absl::StrFormat("127.0.0.1:%d", server->port())));
  auto call = std::async(std::launch::async, [&] {
    retrieval::v1::SearchResponse response;
    const auto context = OutgoingContext(runtime_->cluster_key(), "t", "r", {});
    return FromGrpcStatus(stub->Search(context.get(), {}, &response));
  });
  running.get_future().wait();
  server->Drain();
  EXPECT_OK(call.get());
}

TEST_F(GrpcServerTest, AnAddressInUseIsAnError) {
  Start();
  config::v1::Server config = TestServerConfig();
  config.set_listen(absl::StrFormat("127.0.0.1:%d", server_->port()));
  TestService other(runtime_.get(), Requirement::Authenticated(), Nothing);
  EXPECT_THAT(GrpcServer::Start(config, runtime_.get(), &other),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(config.listen())));

  config::v1::Server metrics = TestServerConfig();
  metrics.set_metrics_listen(config.listen());
  EXPECT_THAT(GrpcServer::Start(metrics, runtime_.get(), &other),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("metrics_listen")));
}

TEST_F(GrpcServerTest, AUnixSocketIsReplacedOnlyWhenNobodyAnswers) {
  const testing::TempDir dir;
  config::v1::Server config = TestServerConfig();
  config.set_listen("unix:" + dir.File("s"));
  Start(config);
  runtime_->SetReady(true);
  EXPECT_EQ(HealthOf(CreateChannel(config.listen()), ""), HealthCheckResponse::SERVING);
  TestService other(runtime_.get(), Requirement::Authenticated(), Nothing);
  EXPECT_THAT(GrpcServer::Start(config, runtime_.get(), &other),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(HealthOf(CreateChannel(config.listen()), ""), HealthCheckResponse::SERVING);
}

// The reflection API's list_services request (field 7, empty), as bytes: its proto is not packaged.
TEST_F(GrpcServerTest, ReflectionListsTheServices) {
  Start();
  grpc::GenericStub stub(channel_);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto wait = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  auto stream = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  stream->StartCall(nullptr);
  ASSERT_TRUE(wait());
  const grpc::Slice request("\x3a\x00", 2);
  stream->WriteLast(grpc::ByteBuffer(&request, 1), {}, nullptr);
  ASSERT_TRUE(wait());
  grpc::ByteBuffer response;
  stream->Read(&response, nullptr);
  ASSERT_TRUE(wait());
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(response.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  EXPECT_THAT(bytes, HasSubstr(kServiceName));
  grpc::Status status;
  stream->Finish(&status, nullptr);
  EXPECT_TRUE(wait());
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST(ValidateServerTest, NamesFieldAndLimit) {
  config::v1::Server config = DefaultServer(7100);
  EXPECT_OK(ValidateServer(config));
  config.set_max_concurrent_calls(0);
  EXPECT_THAT(ValidateServer(config),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("server.max_concurrent_calls is 0; it must be 1 to")));
  config = DefaultServer(7100);
  config.set_log_level("loud");
  EXPECT_THAT(ValidateServer(config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("server.log_level")));
  config = DefaultServer(7100);
  config.set_listen("");
  EXPECT_THAT(ValidateServer(config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("server.listen")));
}

}  // namespace
}  // namespace dki::rpc
