// SPDX-License-Identifier: Apache-2.0
// Purpose: packs from the kv service. Every block is verified again here, against the identities
//   that this service planned itself: what kv sends is never trusted to be what was asked for (P5).
// Thread-safety: thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "dki/kv/v1/kv_service.grpc.pb.h"
#include "libs/engine/pack_source.h"
#include "libs/model/kv_buffer.h"
#include "libs/rpc/identity.h"

namespace dki::generation {

class KvPackSource : public engine::PackSource {
 public:
  struct Options {
    model::PlaneCodec codec;  // the model's
    // Of one call. A request with a deadline gives at most half of what is left, so that an answer
    // without memory is still possible.
    std::chrono::milliseconds timeout{20'000};
  };
  KvPackSource(Options options, rpc::ClusterKey key,
               std::unique_ptr<kv::v1::KvService::StubInterface> stub);

  absl::StatusOr<std::vector<engine::LoadedBlock>> Load(const engine::PackRequest& request,
                                                        const injection::PackPlan& plan) override;

 private:
  const Options options_;
  const rpc::ClusterKey key_;
  const std::unique_ptr<kv::v1::KvService::StubInterface> stub_;
};

}  // namespace dki::generation
