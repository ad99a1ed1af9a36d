// SPDX-License-Identifier: Apache-2.0
// Purpose: the right to act as the local cluster's operator, who can read the cluster's key.
#pragma once

#include <memory>
#include <string>

#include "libs/base/ids.h"
#include "libs/rpc/client.h"
#include "tools/dki/cluster/config_files.h"
#include "tools/dki/context.h"

namespace dki::cli {

struct Operator {
  std::shared_ptr<grpc::Channel> memory_store;
  rpc::ClusterKey key;

  std::unique_ptr<grpc::ClientContext> NewCall(const std::string& tenant) const {
    return rpc::OutgoingContext(key, tenant, NewId("cli_"), std::chrono::seconds(60));
  }
};

// UNAVAILABLE when there is no cluster in the data folder.
inline absl::StatusOr<Operator> ConnectAsOperator(Context& context) {
  DKI_ASSIGN_OR_RETURN(const cluster::Layout layout, context.layout());
  const auto settings = cluster::ReadSettings(layout);
  if (absl::IsNotFound(settings.status()))
    return Unavailable("there is no cluster in %s: start one with `dki up`", layout.data);
  DKI_RETURN_IF_ERROR(settings.status());
  DKI_ASSIGN_OR_RETURN(rpc::ClusterKey key, rpc::ClusterKey::Load(layout.cluster_key()));
  const std::string address =
      absl::StrFormat("127.0.0.1:%d", cluster::ServicePort(settings->port_base, "memory_store"));
  return Operator{rpc::CreateChannel(address), std::move(key)};
}

}  // namespace dki::cli
