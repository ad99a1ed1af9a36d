// SPDX-License-Identifier: Apache-2.0
// Purpose: a request that protobuf cannot parse (a string that is no UTF-8, bytes that are no
// message) never reaches a handler, and gRPC
//   answers it with an INTERNAL without words. These interceptors make it INVALID_ARGUMENT, with
//   the field where protobuf names it.
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <memory>
#include <vector>

namespace dki::rpc {

// For ServerBuilder::experimental().SetInterceptorCreators.
std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
ParseErrorInterceptors();

}  // namespace dki::rpc
