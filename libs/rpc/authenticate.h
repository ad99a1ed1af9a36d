// SPDX-License-Identifier: Apache-2.0
// Purpose: who is calling, as read from a call's metadata, and the metadata by which a service
// identifies itself. Internal to libs/rpc.
//
// The cluster identity: dki-tenant, dki-key-id, dki-permissions (with commas), dki-issued (Unix
// milliseconds), x-request-id and dki-signature over all of them; valid for 5 minutes around
// dki-issued. A client: "authorization: Bearer KEY".
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "libs/base/status.h"
#include "libs/rpc/identity.h"
#include "libs/rpc/service_runtime.h"

namespace dki::rpc {

using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

constexpr char kRequestIdKey[] = "x-request-id";

// The caller's request id where it is 1 to 128 printable ASCII characters without spaces, else a
// new one.
std::string RequestIdOf(const Metadata& metadata);
bool IsValidRequestId(std::string_view id);

// UNAUTHENTICATED when the metadata shows no identity, or a wrong one.
absl::StatusOr<Caller> Authenticate(const Metadata& metadata, const ClusterKey& key,
                                    const KeyVerifier& verifier, absl::Time now);

// Writes the cluster identity for `caller`.
void AddClusterIdentity(const ClusterKey& key, const Caller& caller, const std::string& request_id,
                        absl::Time now, grpc::ClientContext* context);

}  // namespace dki::rpc
