// SPDX-License-Identifier: Apache-2.0
// Purpose: what every command has: where the cluster is, who we are there, and how to say things.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "dki/orchestrator/v1/dki_service.grpc.pb.h"
#include "libs/base/status.h"
#include "tools/dki/cluster/layout.h"
#include "tools/dki/output.h"

namespace dki::cli {

// Options that every command understands.
struct GlobalOptions {
  std::string data;     // the local cluster's folder
  std::string address;  // empty: the local cluster's
  std::string api_key;  // empty: $DKI_API_KEY, else the local cluster's
  bool json = false;
};

// Exit codes of the program.
enum ExitCode { kOk = 0, kError = 1, kUsage = 2, kNotReady = 3 };
// The code for a failed call: kUsage for what the user must change, kNotReady when the cluster is
// away.
ExitCode ExitCodeFor(const absl::Status& status);

// Who a memory or a question belongs to.
struct ScopeOptions {
  std::string user, session, agent;
  bool empty() const { return user.empty() && session.empty() && agent.empty(); }
  void CopyTo(common::v1::Scope* scope) const;
};

class Context {
 public:
  explicit Context(GlobalOptions options);

  const GlobalOptions& options() const { return options_; }
  const Output& output() const { return output_; }
  absl::StatusOr<cluster::Layout> layout() const { return cluster::MakeLayout(options_.data); }

  // The client API. UNAVAILABLE with a hint when no cluster is known. The local cluster's key does
  // not leave the machine: another address needs a key of its own (INVALID_ARGUMENT).
  absl::StatusOr<orchestrator::v1::DkiService::StubInterface*> api();
  // For one call; a zero timeout means none.
  std::unique_ptr<grpc::ClientContext> NewCall(
      std::chrono::seconds timeout = std::chrono::seconds(30)) const;

  // A failure with what to do about it, where that is not plain.
  absl::Status WithHint(const absl::Status& status) const;

 private:
  GlobalOptions options_;
  Output output_;
  std::string address_;
  std::string key_;
  std::unique_ptr<orchestrator::v1::DkiService::StubInterface> stub_;
};

}  // namespace dki::cli
