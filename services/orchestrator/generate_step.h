// SPDX-License-Identifier: Apache-2.0
// Purpose: step 6 of the pipeline, I/O: has generation write the answer and passes it on as it
//   comes. Begun and read apart, so that the decision is committed while the prompt is being read.
// Thread-safety: thread-compatible. Ownership: the call must outlive it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "services/orchestrator/records.h"
#include "services/orchestrator/upstreams.h"

namespace dki::orchestrator {

// Receives pieces of text; false when nobody listens any more, which cancels the answer.
using TextSink = std::function<bool(std::string_view)>;

class GenerationStream {
 public:
  GenerationStream(const Upstreams& upstreams, const rpc::Call& call,
                   const generation::v1::GenerateRequest& request);
  // Cancels what has not been read to its end.
  ~GenerationStream();
  GenerationStream(const GenerationStream&) = delete;

  // Ends in every case: `status` of the result says how. UNAVAILABLE when generation is away or
  // died in mid-stream, CANCELLED when the client went away; INVALID_ARGUMENT, OUT_OF_RANGE and
  // RESOURCE_EXHAUSTED (with generation's retry hint passed on) as generation gives them. Once.
  Answered Read(const TextSink& sink);

 private:
  const rpc::Call& call_;
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::unique_ptr<grpc::ClientReaderInterface<generation::v1::GenerateResponse>> reader_;
  bool ended_ = false;
};

}  // namespace dki::orchestrator
