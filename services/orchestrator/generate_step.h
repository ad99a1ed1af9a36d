// SPDX-License-Identifier: Apache-2.0
// Purpose: step 6 of the pipeline, I/O: has generation write the answer and passes it on as it
// comes.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "services/orchestrator/records.h"
#include "services/orchestrator/upstreams.h"

namespace dki::orchestrator {

// Receives pieces of text; false when nobody listens any more, which cancels the answer.
using TextSink = std::function<bool(std::string_view)>;

// Ends in every case: `status` of the result says how. UNAVAILABLE when generation is away or died
// in mid-stream, CANCELLED when the client went away; INVALID_ARGUMENT, OUT_OF_RANGE and
// RESOURCE_EXHAUSTED (with generation's retry hint passed on) as generation gives them.
Answered Generate(const Upstreams& upstreams, const rpc::Call& call,
                  const generation::v1::GenerateRequest& request, const TextSink& sink);

}  // namespace dki::orchestrator
