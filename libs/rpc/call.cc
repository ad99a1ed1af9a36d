// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/call.h"

#include <exception>

#include "absl/time/clock.h"
#include "libs/base/strings.h"
#include "libs/rpc/authenticate.h"
#include "libs/rpc/runtime_state.h"
#include "libs/telemetry/log.h"

namespace dki::rpc {
namespace {

// Messages travel in HTTP/2 headers, which are small.
constexpr size_t kMaxMessageBytes = 2048;
constexpr char kRetryAfterMs[] = "100";

// One place among the calls that may run at once.
class Slot {
 public:
  explicit Slot(ServiceRuntime::State* state)
      : state_(state),
        taken_(state->running_calls.fetch_add(1) < state->options.max_concurrent_calls) {}
  ~Slot() { state_->running_calls.fetch_sub(1); }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  bool taken() const { return taken_; }

 private:
  ServiceRuntime::State* state_;
  bool taken_;
};

KeyVerifier VerifierOf(ServiceRuntime::State& state) {
  MutexLock lock(&state.mutex);
  return state.key_verifier;
}

absl::Status CheckStillWanted(const grpc::ServerContext& context) {
  if (context.deadline() < std::chrono::system_clock::now()) {
    return DeadlineExceeded("the deadline had passed before the call could start");
  }
  if (context.IsCancelled()) return Cancelled("the client cancelled the call");
  return absl::OkStatus();
}

// Handlers of ours throw nothing, but what they call may (std::bad_alloc, a library's bug): one
// call then fails, not the process.
absl::Status RunGuarded(const std::function<absl::Status(const Call&)>& body, const Call& call) {
  try {
    return body(call);
  } catch (const std::exception& e) {
    log::Error("a handler threw", {{"request_id", call.request_id()}, {"what", e.what()}});
  } catch (...) {
    log::Error("a handler threw", {{"request_id", call.request_id()}, {"what", "unknown"}});
  }
  return Internal("internal error; the log has it under request id %s", call.request_id());
}

log::Level LevelFor(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return log::Level::kDebug;
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
      return log::Level::kWarning;
    default:
      return log::Level::kInfo;
  }
}

void Record(ServiceRuntime& runtime, const char* method, const std::string& request_id,
            const std::string& tenant_id, const absl::Status& status, double seconds) {
  const std::string code(ToStd(absl::StatusCodeToString(status.code())));
  const std::string& service = runtime.service_name();
  telemetry::Metrics& metrics = runtime.metrics();
  metrics
      .GetCounter("dki_rpc_calls_total", "Calls answered, by status code.",
                  {{"service", service}, {"method", method}, {"code", code}})
      ->Increment();
  metrics
      .GetHistogram("dki_rpc_seconds", "Time from a call's start to its end.",
                    {{"service", service}, {"method", method}})
      ->Observe(seconds);
  log::Write(LevelFor(status.code()), "call",
             {{"request_id", request_id},
              {"method", method},
              {"tenant", tenant_id},
              {"status", code},
              {"ms", absl::StrFormat("%.3f", seconds * 1e3)},
              {"error", Abbreviate(ToStd(status.message()), 512)}});
}

}  // namespace

absl::Status Requirement::Check(const Caller& caller) const {
  if (cluster_only_ && !caller.is_cluster) {
    return PermissionDenied("only the cluster's own services may make this call");
  }
  if (!permission_.has_value()) return absl::OkStatus();
  if (!caller.May(*permission_)) {
    return PermissionDenied("the key lacks the scope %s", ToString(*permission_));
  }
  if (caller.tenant_id.empty()) return PermissionDenied("this call needs a tenant");
  return absl::OkStatus();
}

grpc::Status Handle(ServiceRuntime& runtime, grpc::ServerContext* context, const char* method,
                    const Requirement& requirement,
                    const std::function<absl::Status(const Call&)>& body) {
  const auto start = std::chrono::steady_clock::now();
  ServiceRuntime::State& state = runtime.state();
  const std::string request_id = RequestIdOf(context->client_metadata());
  std::string tenant_id;

  const auto run = [&]() -> absl::Status {
    const Slot slot(&state);
    if (!slot.taken()) {
      context->AddTrailingMetadata("retry-after-ms", kRetryAfterMs);
      return ResourceExhausted("%d calls are running, the most that max_concurrent_calls allows",
                               state.options.max_concurrent_calls);
    }
    DKI_ASSIGN_OR_RETURN(const Caller caller,
                         Authenticate(context->client_metadata(), state.cluster_key,
                                      VerifierOf(state), absl::Now()));
    tenant_id = caller.tenant_id;
    DKI_RETURN_IF_ERROR(requirement.Check(caller));
    DKI_RETURN_IF_ERROR(CheckStillWanted(*context));
    return RunGuarded(body, Call(context, caller, request_id));
  };
  const absl::Status status = run();

  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  Record(runtime, method, request_id, tenant_id, status, elapsed.count());
  context->AddTrailingMetadata(kRequestIdKey, request_id);
  return ToGrpcStatus(status);
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      Abbreviate(ToStd(status.message()), kMaxMessageBytes));
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace dki::rpc
