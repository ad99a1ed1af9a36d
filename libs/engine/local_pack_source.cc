// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/local_pack_source.h"

#include <chrono>
#include <utility>

#include "libs/injection/compute_pack.h"

namespace dki::engine {

absl::StatusOr<std::vector<LoadedBlock>> LocalPackSource::Load(const PackRequest&,
                                                               const injection::PackPlan& plan) {
  const auto began = std::chrono::steady_clock::now();
  DKI_ASSIGN_OR_RETURN(std::vector<kvcache::Block> computed, injection::ComputePack(model_, plan));
  const auto took = std::chrono::steady_clock::now() - began;
  std::vector<LoadedBlock> blocks;
  for (kvcache::Block& block : computed) {
    blocks.push_back({std::move(block), Tier::kRecomputed,
                      std::chrono::duration_cast<std::chrono::microseconds>(took).count()});
  }
  return blocks;
}

}  // namespace dki::engine
