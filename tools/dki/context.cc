// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/context.h"

#include <cstdlib>

#include "libs/base/ids.h"
#include "libs/base/strings.h"
#include "libs/rpc/client.h"
#include "tools/dki/cluster/local_cluster.h"

namespace dki::cli {
namespace {

std::string FirstOf(const std::string& option, const char* variable) {
  if (!option.empty()) return option;
  const char* value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

// What is sent there does not leave the machine.
bool IsLoopback(const std::string& address) {
  for (const char* prefix : {"127.", "localhost:", "[::1]:", "unix:"}) {
    if (address.rfind(prefix, 0) == 0) return true;
  }
  return false;
}

}  // namespace

ExitCode ExitCodeFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return kUsage;
    case absl::StatusCode::kUnavailable:
      return kNotReady;
    default:
      return kError;
  }
}

void ScopeOptions::CopyTo(common::v1::Scope* scope) const {
  scope->set_user_id(user);
  scope->set_session_id(session);
  scope->set_agent_id(agent);
}

Context::Context(GlobalOptions options) : options_(std::move(options)), output_(options_.json) {}

absl::StatusOr<orchestrator::v1::DkiService::StubInterface*> Context::api() {
  if (stub_ != nullptr) return stub_.get();
  std::string address = FirstOf(options_.address, "DKI_ADDRESS");
  key_ = FirstOf(options_.api_key, "DKI_API_KEY");
  if (address.empty() || key_.empty()) {
    DKI_ASSIGN_OR_RETURN(const cluster::Layout layout, this->layout());
    const auto settings = cluster::ReadClientSettings(layout);
    if (absl::IsNotFound(settings.status())) {
      return Unavailable(
          "there is no cluster in %s: start one with `dki up`, or give --address and --key",
          layout.data);
    }
    DKI_RETURN_IF_ERROR(settings.status());
    if (address.empty()) address = settings->address;
    if (key_.empty() && address != settings->address && !IsLoopback(address)) {
      return InvalidArgument("%s is not the local cluster (%s): give its --key or DKI_API_KEY",
                             address, settings->address);
    }
    if (key_.empty()) key_ = settings->api_key;
  }
  address_ = address;
  stub_ = orchestrator::v1::DkiService::NewStub(rpc::CreateChannel(address));
  return stub_.get();
}

std::unique_ptr<grpc::ClientContext> Context::NewCall(std::chrono::seconds timeout) const {
  return rpc::BearerContext(key_, NewId("cli_"), timeout);
}

absl::Status Context::WithHint(const absl::Status& status) const {
  const std::string what = FoldNewlines(ToStd(status.message()));
  if (absl::IsUnavailable(status) && stub_ != nullptr) {
    return Unavailable(
        "the cluster at %s cannot be reached or is not ready (%s): see `dki status`, "
        "start it with `dki up`",
        address_, what);
  }
  if (absl::IsUnauthenticated(status) && stub_ != nullptr) {
    return Unauthenticated("%s: check --key, DKI_API_KEY or the data folder's client.json", what);
  }
  return absl::Status(status.code(), what);
}

}  // namespace dki::cli
