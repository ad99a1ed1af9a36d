// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/client.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "libs/rpc/authenticate.h"

namespace dki::rpc {
namespace {

constexpr int kMaxMessageBytes = 64 << 20;

void SetTimeout(std::chrono::milliseconds timeout, grpc::ClientContext* context) {
  if (timeout.count() > 0) context->set_deadline(std::chrono::system_clock::now() + timeout);
}

}  // namespace

std::shared_ptr<grpc::Channel> CreateChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // Despite its name: how long one attempt to connect may take.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // The server allows pings this often (grpc_server.cc). A feed may be silent for hours, so a dead
  // peer must be noticed without data.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  // Channels of one process to one address do not share a connection (and its back-off).
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

std::unique_ptr<grpc::ClientContext> OutgoingContext(const ClusterKey& key, const Call& call,
                                                     std::chrono::milliseconds timeout) {
  // Carries the deadline and the cancellation of the server's call; a deadline set beside it holds
  // where it is earlier.
  std::unique_ptr<grpc::ClientContext> context =
      grpc::ClientContext::FromServerContext(*call.context());
  SetTimeout(timeout, context.get());
  AddClusterIdentity(key, call.caller(), call.request_id(), absl::Now(), context.get());
  return context;
}

std::unique_ptr<grpc::ClientContext> OutgoingContext(const ClusterKey& key,
                                                     const std::string& tenant_id,
                                                     const std::string& request_id,
                                                     std::chrono::milliseconds timeout) {
  auto context = std::make_unique<grpc::ClientContext>();
  SetTimeout(timeout, context.get());
  Caller self;
  self.tenant_id = tenant_id;
  self.permissions = {Permission::kAdmin};
  AddClusterIdentity(key, self, request_id, absl::Now(), context.get());
  return context;
}

std::unique_ptr<grpc::ClientContext> BearerContext(const std::string& api_key,
                                                   const std::string& request_id,
                                                   std::chrono::milliseconds timeout) {
  auto context = std::make_unique<grpc::ClientContext>();
  SetTimeout(timeout, context.get());
  context->AddMetadata("authorization", "Bearer " + api_key);
  if (IsValidRequestId(request_id)) context->AddMetadata(kRequestIdKey, request_id);
  return context;
}

}  // namespace dki::rpc
