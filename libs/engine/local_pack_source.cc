// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/local_pack_source.h"

#include <chrono>
#include <utility>

namespace dki::engine {

absl::StatusOr<std::vector<LoadedBlock>> LocalPackSource::Load(const PackRequest&,
                                                               const injection::PackPlan& plan) {
  const auto began = std::chrono::steady_clock::now();
  DKI_ASSIGN_OR_RETURN(std::vector<injection::MadeBlock> made, maker_.MakePack(plan));
  const auto took = std::chrono::steady_clock::now() - began;
  std::vector<LoadedBlock> blocks;
  for (injection::MadeBlock& one : made) {
    one.block.kv = std::move(one.kept);
    one.block.as_computed = one.block.format == kernels::KvFormat::kF32;
    blocks.push_back({std::move(one.block), Tier::kRecomputed,
                      std::chrono::duration_cast<std::chrono::microseconds>(took).count()});
  }
  return blocks;
}

}  // namespace dki::engine
