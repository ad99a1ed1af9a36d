// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/generate_step.h"

namespace dki::orchestrator {
namespace {

constexpr char kRetryAfter[] = "retry-after-ms";

void PassOnRetryHint(const grpc::ClientContext& from, const rpc::Call& call) {
  const auto& metadata = from.GetServerTrailingMetadata();
  if (const auto hint = metadata.find(kRetryAfter); hint != metadata.end()) {
    call.context()->AddTrailingMetadata(kRetryAfter,
                                        std::string(hint->second.data(), hint->second.size()));
  }
}

absl::Status Explain(const absl::Status& status, const rpc::Call& call, bool finished,
                     bool listener_left) {
  if (listener_left) return Cancelled("the client went away");
  if (status.ok() && finished) return absl::OkStatus();
  DKI_RETURN_IF_ERROR(CheckClient(call));
  if (status.ok()) return Unavailable("generation: the stream ended before the answer");
  // The client did not cancel, so generation did: it is shutting down.
  if (absl::IsCancelled(status)) return Unavailable("generation: %s", ToStd(status.message()));
  return Annotate(status, "generation");
}

}  // namespace

GenerationStream::GenerationStream(const Upstreams& upstreams, const rpc::Call& call,
                                   const generation::v1::GenerateRequest& request)
    : call_(call),
      context_(upstreams.ContextFor(call, upstreams.generation_timeout)),
      reader_(upstreams.generation->Generate(context_.get(), request)) {}

GenerationStream::~GenerationStream() {
  if (ended_) return;
  context_->TryCancel();
  generation::v1::GenerateResponse unread;
  while (reader_->Read(&unread)) {
  }
  reader_->Finish();
}

Answered GenerationStream::Read(const TextSink& sink) {
  Answered answered;
  bool finished = false;
  bool listener_left = false;
  generation::v1::GenerateResponse event;
  while (reader_->Read(&event)) {
    if (event.has_started()) {
      answered.degraded.assign(event.started().degraded().begin(),
                               event.started().degraded().end());
      answered.modulated = event.started().modulated();
      answered.model_fingerprint = event.started().model_fingerprint();
    } else if (event.has_finished()) {
      answered.finished = std::move(*event.mutable_finished());
      finished = true;
    } else if (!listener_left) {
      answered.text += event.text();
      if (!sink(event.text())) {
        listener_left = true;
        context_->TryCancel();  // and read on until the stream has ended
      }
    }
  }
  const absl::Status status = rpc::FromGrpcStatus(reader_->Finish());
  ended_ = true;
  if (absl::IsResourceExhausted(status)) PassOnRetryHint(*context_, call_);
  answered.status = Explain(status, call_, finished, listener_left);
  answered.timings = answered.finished.timings();
  return answered;
}

}  // namespace dki::orchestrator
