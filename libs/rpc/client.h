// SPDX-License-Identifier: Apache-2.0
// Purpose: calls from one service to another. The generated `XService::StubInterface` is the
// interface that domain code
//   depends on (its generated mock is the fake); this adds channel, identity, deadline and
//   cancellation.
//
//   auto client_context = rpc::OutgoingContext(identity, call, upstream_timeout);
//   grpc::Status status = stub->GetMemory(client_context.get(), request, &response);
//   DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(status));
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "libs/rpc/call.h"
#include "libs/rpc/identity.h"

namespace dki::rpc {

// A channel that reconnects quickly (back-off at most 1 s), keeps alive, and has no message limit
// below 64 MiB.
std::shared_ptr<grpc::Channel> CreateChannel(const std::string& address);

// For a call made on behalf of `call`: its tenant, permissions and request id, signed with the
// cluster key; its cancellation; the earlier of its deadline and now + timeout.
std::unique_ptr<grpc::ClientContext> OutgoingContext(const ClusterKey& key, const Call& call,
                                                     std::chrono::milliseconds timeout);

// For a call that a service makes on its own behalf. `tenant_id` may be empty. A zero timeout means
// none (streams).
std::unique_ptr<grpc::ClientContext> OutgoingContext(const ClusterKey& key,
                                                     const std::string& tenant_id,
                                                     const std::string& request_id,
                                                     std::chrono::milliseconds timeout);

// For a client that has an API key.
std::unique_ptr<grpc::ClientContext> BearerContext(const std::string& api_key,
                                                   const std::string& request_id,
                                                   std::chrono::milliseconds timeout);

}  // namespace dki::rpc
