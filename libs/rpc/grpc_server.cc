// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/grpc_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/impl/server_initializer.h>
#include <grpcpp/resource_quota.h>
#include <prometheus/exposer.h>
#include <prometheus/registry.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <mutex>

#include "libs/rpc/parse_errors.h"
#include "libs/rpc/runtime_state.h"
#include "libs/telemetry/log.h"

namespace dki::rpc {
namespace {

constexpr int kMaxIdleMs = 15'000;
constexpr int kMaxMessageBytes = 64 << 20;
// A running call and an open stream hold a thread each.
constexpr int kMinThreads = 512;
// Threads that stay to wait for calls: as many as usually come at once, else they end and begin
// anew with each.
constexpr int kMaxPollers = 24;
constexpr int kMaxConcurrentCalls = 16'384;
constexpr std::string_view kUnix = "unix:";

// gRPC would delete the socket of a live server and bind its own. True when somebody answers there.
bool UnixSocketIsAlive(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool alive = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  ::close(fd);
  return alive;
}

absl::Status CannotListen(const std::string& field, const std::string& address) {
  return FailedPrecondition("%s: cannot listen on %s (is the address in use?)", field, address);
}

// For all servers made from now on; gRPC keeps the setting per process.
void InitReflection() {
  static std::once_flag once;
  std::call_once(once, [] { grpc::reflection::InitProtoReflectionServerBuilderPlugin(); });
}

// Learns the full names of the registered services, which a grpc::Service does not tell.
class NamesPlugin : public grpc::ServerBuilderPlugin {
 public:
  explicit NamesPlugin(std::vector<std::string>* names) : names_(names) {}
  std::string name() override { return "dki_service_names"; }
  void InitServer(grpc::ServerInitializer*) override {}
  void Finish(grpc::ServerInitializer* server) override { *names_ = *server->GetServiceList(); }
  void ChangeArguments(const std::string&, void*) override {}

 private:
  std::vector<std::string>* names_;
};

class NamesOption : public grpc::ServerBuilderOption {
 public:
  explicit NamesOption(std::vector<std::string>* names) : names_(names) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->push_back(std::make_unique<NamesPlugin>(names_));
  }

 private:
  std::vector<std::string>* names_;
};

}  // namespace

absl::Status ValidateServer(const config::v1::Server& server) {
  if (server.listen().empty()) return InvalidArgument("server.listen must not be empty");
  if (server.cluster_key_file().empty()) {
    return InvalidArgument("server.cluster_key_file must name the cluster's key file");
  }
  const auto level = log::ParseLevel(server.log_level());
  if (!level.ok()) return Annotate(level.status(), "server.log_level");
  if (server.drain_timeout().seconds() < 0 || server.drain_timeout().nanos() < 0 ||
      server.drain_timeout().seconds() > 3600) {
    return InvalidArgument("server.drain_timeout must be between 0s and 1h");
  }
  if (server.max_concurrent_calls() < 1 || server.max_concurrent_calls() > kMaxConcurrentCalls) {
    return InvalidArgument("server.max_concurrent_calls is %d; it must be 1 to %d",
                           server.max_concurrent_calls(), kMaxConcurrentCalls);
  }
  return absl::OkStatus();
}

GrpcServer::GrpcServer(const config::v1::Server& config, ServiceRuntime* runtime,
                       ServiceInstance* instance)
    : config_(config), runtime_(runtime), instance_(instance) {}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const config::v1::Server& config,
                                                              ServiceRuntime* runtime,
                                                              ServiceInstance* instance) {
  InitReflection();
  std::unique_ptr<GrpcServer> server(new GrpcServer(config, runtime, instance));
  DKI_RETURN_IF_ERROR(server->StartMetrics());
  DKI_RETURN_IF_ERROR(server->Listen());
  DKI_RETURN_IF_ERROR(instance->Start());
  return server;
}

absl::Status GrpcServer::StartMetrics() {
  if (config_.metrics_listen().empty()) return absl::OkStatus();
  try {
    exposer_ = std::make_unique<prometheus::Exposer>(config_.metrics_listen());
    exposer_->RegisterCollectable(runtime_->metrics().registry());
  } catch (const std::exception&) {  // CivetWeb's message does not say more
    return CannotListen("server.metrics_listen", config_.metrics_listen());
  }
  return absl::OkStatus();
}

absl::Status GrpcServer::Listen() {
  const std::string& address = config_.listen();
  if (address.compare(0, kUnix.size(), kUnix) == 0 &&
      UnixSocketIsAlive(address.substr(kUnix.size()))) {
    return CannotListen("server.listen", address);
  }
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
  // Otherwise two servers may listen on one port and share its calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  // Clients ping silent streams every 20 s (client.cc).
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Both ends of a connection keep buffers with what came through it last, which may have been
  // erased meanwhile (P7).
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kMaxIdleMs);
  grpc::ResourceQuota quota(runtime_->service_name());
  quota.SetMaxThreads(std::max(kMinThreads, 2 * config_.max_concurrent_calls()));
  builder.SetResourceQuota(quota);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, kMaxPollers);
  std::vector<std::string> names;
  builder.SetOption(std::make_unique<NamesOption>(&names));
  builder.RegisterService(&health_);
  for (grpc::Service* service : instance_->services()) builder.RegisterService(service);
  builder.experimental().SetInterceptorCreators(ParseErrorInterceptors());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port_ == 0) return CannotListen("server.listen", address);
  health_.SetServices(std::move(names));
  runtime_->state().SetReadyListener([this](bool ready) { health_.SetServing(ready); });
  return absl::OkStatus();
}

void GrpcServer::Drain() {
  if (server_ == nullptr) return;
  runtime_->state().BeginDrain();
  instance_->Drain();
  health_.Shutdown();
  const auto timeout = std::chrono::seconds(config_.drain_timeout().seconds()) +
                       std::chrono::nanoseconds(config_.drain_timeout().nanos());
  server_->Shutdown(std::chrono::system_clock::now() +
                    std::chrono::duration_cast<std::chrono::system_clock::duration>(timeout));
  runtime_->state().SetReadyListener(nullptr);
  server_->Wait();
  server_.reset();
  exposer_.reset();
}

GrpcServer::~GrpcServer() {
  if (server_ == nullptr) return;
  runtime_->state().SetReadyListener(nullptr);
  instance_->Drain();
  health_.Shutdown();
  server_->Shutdown(std::chrono::system_clock::now());
}

}  // namespace dki::rpc
