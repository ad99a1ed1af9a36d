// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/health_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"

namespace dki::rpc {
namespace {

using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;

constexpr int kMaxWatchers = 64;
// How late a watcher who went away is noticed.
constexpr std::chrono::seconds kCancelCheck{1};

}  // namespace

void HealthService::SetServices(std::vector<std::string> names) {
  const MutexLock lock(&mutex_);
  names_ = std::move(names);
  changed_.NotifyAll();
}

void HealthService::SetServing(bool serving) {
  const MutexLock lock(&mutex_);
  serving_ = serving && !shut_down_;
  changed_.NotifyAll();
}

void HealthService::Shutdown() {
  const MutexLock lock(&mutex_);
  serving_ = false;
  shut_down_ = true;
  changed_.NotifyAll();
}

HealthService::ServingStatus HealthService::StatusOf(const std::string& service) const {
  if (!service.empty() && std::find(names_.begin(), names_.end(), service) == names_.end()) {
    return HealthCheckResponse::SERVICE_UNKNOWN;
  }
  return serving_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

grpc::Status HealthService::Check(grpc::ServerContext*, const HealthCheckRequest* request,
                                  HealthCheckResponse* response) {
  const MutexLock lock(&mutex_);
  const ServingStatus status = StatusOf(request->service());
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    return {grpc::StatusCode::NOT_FOUND, "service is not served here"};
  }
  response->set_status(status);
  return grpc::Status::OK;
}

grpc::Status HealthService::Watch(grpc::ServerContext* context, const HealthCheckRequest* request,
                                  grpc::ServerWriter<HealthCheckResponse>* writer) {
  {
    const MutexLock lock(&mutex_);
    if (watchers_ == kMaxWatchers) {
      return {grpc::StatusCode::RESOURCE_EXHAUSTED,
              absl::StrFormat("health is watched by %d callers, which is the limit", kMaxWatchers)};
    }
    ++watchers_;
  }
  const grpc::Status status = SendChanges(context, request->service(), writer);
  const MutexLock lock(&mutex_);
  --watchers_;
  return status;
}

grpc::Status HealthService::SendChanges(grpc::ServerContext* context, const std::string& service,
                                        grpc::ServerWriter<HealthCheckResponse>* writer) {
  HealthCheckResponse response;
  bool sent = false;
  while (true) {
    {
      const MutexLock lock(&mutex_);
      while (sent && response.status() == StatusOf(service)) {
        if (shut_down_) return {grpc::StatusCode::UNAVAILABLE, "the server is shutting down"};
        if (context->IsCancelled()) return grpc::Status::CANCELLED;
        changed_.WaitFor(&mutex_, kCancelCheck);
      }
      response.set_status(StatusOf(service));
    }
    if (!writer->Write(response)) return grpc::Status::CANCELLED;
    sent = true;
  }
}

}  // namespace dki::rpc
