// SPDX-License-Identifier: Apache-2.0
// Purpose: what a service gets from the process it runs in: identity, metrics, readiness, limits.
// Made by RunService
//   (run_service.h), or by tests through ForTesting.
// Thread-safety: thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "libs/base/ed25519.h"
#include "libs/base/status.h"
#include "libs/rpc/identity.h"
#include "libs/telemetry/metrics.h"

namespace dki::rpc {

// Turns a bearer secret into a caller. UNAUTHENTICATED for a bad key, UNAVAILABLE when it cannot be
// known.
using KeyVerifier = std::function<absl::StatusOr<Caller>(const std::string& secret)>;

class ServiceRuntime {
 public:
  struct Options {
    std::string service_name;  // "memory_store"
    int max_concurrent_calls = 256;
    // Among replicas; empty: the service's name.
    std::string instance = {};
    // Signs what this service says it erased.
    SigningKey signing_key = SigningKey::Generate();
  };
  ServiceRuntime(Options options, ClusterKey cluster_key);
  ~ServiceRuntime();

  static std::unique_ptr<ServiceRuntime> ForTesting(const std::string& service_name = "test");

  const std::string& service_name() const;
  const std::string& instance() const;
  const ClusterKey& cluster_key() const;
  const SigningKey& signing_key() const;
  telemetry::Metrics& metrics();

  // Where bearer keys are checked; without one, only the cluster identity is accepted.
  void SetKeyVerifier(KeyVerifier verifier);
  // Readiness shown by the standard health service. NOT_SERVING until the first SetReady(true) and
  // while draining.
  void SetReady(bool ready);
  bool ready() const;

  // Internal to libs/rpc.
  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

}  // namespace dki::rpc
