// SPDX-License-Identifier: Apache-2.0
// Purpose: packs from the kv service. Every block is verified again here, against the identities
//   that this service planned itself: what kv sends is never trusted to be what was asked for (P5).
//   On kv's host blocks come over its side socket, in sealed memory that is mapped and decoded
//   from. Whatever is not right there, the pack is asked for again, and then comes through the
//   call.
// Thread-safety: thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "dki/kv/v1/kv_service.grpc.pb.h"
#include "libs/engine/pack_source.h"
#include "libs/model/kv_buffer.h"
#include "libs/rpc/identity.h"
#include "libs/telemetry/metrics.h"
#include "libs/transfer/handoff_taker.h"

namespace dki::generation {

class KvPackSource : public engine::PackSource {
 public:
  struct Options {
    model::PlaneCodec codec;  // the model's
    // Of one call. A request with a deadline gives at most half of what is left, so that an answer
    // without memory is still possible.
    std::chrono::milliseconds timeout{20'000};
    std::string handoff_socket = {};  // empty: none
  };
  KvPackSource(Options options, rpc::ClusterKey key,
               std::unique_ptr<kv::v1::KvService::StubInterface> stub, telemetry::Metrics* metrics);

  absl::StatusOr<std::vector<engine::LoadedBlock>> Load(const engine::PackRequest& request,
                                                        const injection::PackPlan& plan) override;

 private:
  // One call. `handoff` null: blocks come through it. `*handoff_failed`: the error is the side
  // socket's, or that of a block which came over it.
  absl::StatusOr<std::vector<engine::LoadedBlock>> LoadOnce(const engine::PackRequest& request,
                                                            const injection::PackPlan& plan,
                                                            transfer::HandoffTaker::Lease* handoff,
                                                            bool* handoff_failed);
  // Null: there is none.
  std::unique_ptr<transfer::HandoffTaker::Lease> TakeHandoff();

  const Options options_;
  const rpc::ClusterKey key_;
  const std::unique_ptr<kv::v1::KvService::StubInterface> stub_;
  transfer::HandoffTaker handoff_;
  telemetry::Counter* const handed_over_;
  telemetry::Counter* const streamed_;
  telemetry::Counter* const handoff_failures_;
};

}  // namespace dki::generation
