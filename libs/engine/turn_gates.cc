// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/turn_gates.h"

#include <algorithm>

namespace dki::engine {
namespace {

injection::MemoryClass ClassOfBlock(const Prompt& prompt, const PromptPlan& plan, size_t block) {
  const int memory = plan.kept[plan.pack->blocks[block].memory];
  return injection::ClassOf(prompt.memories[memory].attributes.source_class);
}

}  // namespace

bool AsksForGates(const Prompt& prompt, const PromptPlan& plan) {
  if (!plan.pack) return false;
  return std::ranges::any_of(plan.kept, [&](int memory) {
    return prompt.gates.asks(injection::ClassOf(prompt.memories[memory].attributes.source_class));
  });
}

void TurnGates::Start(const Prompt& prompt, const PromptPlan& plan,
                      const std::vector<LoadedBlock>& blocks, const NullPack& nulls,
                      const model::ModelConfig& config) {
  started_ = true;
  if (!prompt.gates.is_active() || !plan.pack) return;
  match_.pool = prompt.gates.pool;
  runs_.assign(blocks.size(), -1);
  for (size_t b = 0; b < blocks.size(); ++b) {
    const injection::PlannedBlock& planned = plan.pack->blocks[b];
    if (planned.memory < 0 || !prompt.gates.asks(ClassOfBlock(prompt, plan, b))) continue;
    runs_[b] = static_cast<int>(match_.runs.size());
    match_.runs.push_back(
        {.kv = &blocks[b].block.kv, .begin = planned.begin, .n_tokens = planned.n_used()});
  }
  pending_ = !match_.runs.empty();
  first_null_ = static_cast<int>(match_.runs.size());
  for (size_t b = 0; pending_ && b < nulls.blocks.size(); ++b) {
    const injection::PlannedBlock& planned = nulls.plan.blocks[b];
    if (planned.memory < 0) continue;
    match_.runs.push_back(
        {.kv = &nulls.blocks[b].block.kv, .begin = planned.begin, .n_tokens = planned.n_used()});
  }
  if (!pending_) Finish(prompt, plan, blocks, config);
}

void TurnGates::Finish(const Prompt& prompt, const PromptPlan& plan,
                       const std::vector<LoadedBlock>& blocks, const model::ModelConfig& config) {
  pending_ = false;
  std::vector<const model::KeyRun*> nulls;
  for (size_t r = first_null_; r < match_.runs.size(); ++r) nulls.push_back(&match_.runs[r]);
  gates_.resize(blocks.size());
  // Header and footer are attended to where any memory is.
  std::vector<uint8_t> any(prompt.gates.class_layers ? config.n_layers : 0, 0);
  for (size_t b = 0; b < blocks.size(); ++b) {
    if (plan.pack->blocks[b].memory < 0) continue;
    gates_[b] =
        injection::MakeGates(prompt.gates, ClassOfBlock(prompt, plan, b), config.n_layers,
                             config.n_heads, config.n_kv_heads, blocks[b].block.kv.size(), match_,
                             runs_[b] < 0 ? nullptr : &match_.runs[runs_[b]], nulls);
    for (size_t l = 0; l < any.size(); ++l) any[l] |= gates_[b].attended[l];
  }
  for (size_t b = 0; !any.empty() && b < blocks.size(); ++b) {
    if (plan.pack->blocks[b].memory >= 0) continue;
    gates_[b] = {.n_tokens = blocks[b].block.kv.size(), .attended = any};
  }
  match_ = {};
}

void TurnGates::Restart() {
  match_.rows = 0;
}

}  // namespace dki::engine
