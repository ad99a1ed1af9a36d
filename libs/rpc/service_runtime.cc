// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/service_runtime.h"

#include "libs/rpc/runtime_state.h"

namespace dki::rpc {

void ServiceRuntime::State::SetReadyListener(std::function<void(bool)> listener) {
  MutexLock lock(&mutex);
  ready_listener = std::move(listener);
  Publish();
}

void ServiceRuntime::State::BeginDrain() {
  MutexLock lock(&mutex);
  draining = true;
  Publish();
}

ServiceRuntime::ServiceRuntime(Options options, ClusterKey cluster_key)
    : state_(std::make_unique<State>(std::move(options), std::move(cluster_key))) {}
ServiceRuntime::~ServiceRuntime() = default;

std::unique_ptr<ServiceRuntime> ServiceRuntime::ForTesting(const std::string& service_name) {
  Options options;
  options.service_name = service_name;
  // The same key in all of a test's services, so that they accept each other.
  return std::make_unique<ServiceRuntime>(options, ClusterKey::FromBytes(std::string(32, 'k')));
}

const std::string& ServiceRuntime::service_name() const {
  return state_->options.service_name;
}
const std::string& ServiceRuntime::instance() const {
  const Options& options = state_->options;
  return options.instance.empty() ? options.service_name : options.instance;
}
const ClusterKey& ServiceRuntime::cluster_key() const {
  return state_->cluster_key;
}
const SigningKey& ServiceRuntime::signing_key() const {
  return state_->options.signing_key;
}
telemetry::Metrics& ServiceRuntime::metrics() {
  return state_->metrics;
}

void ServiceRuntime::SetKeyVerifier(KeyVerifier verifier) {
  MutexLock lock(&state_->mutex);
  state_->key_verifier = std::move(verifier);
}

void ServiceRuntime::SetReady(bool ready) {
  MutexLock lock(&state_->mutex);
  state_->wants_ready = ready;
  state_->Publish();
}

bool ServiceRuntime::ready() const {
  MutexLock lock(&state_->mutex);
  return state_->wants_ready && !state_->draining;
}

}  // namespace dki::rpc
