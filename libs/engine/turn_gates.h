// SPDX-License-Identifier: Apache-2.0
// Purpose: the gates of a request's memories (injection/token_gates.h). Where they depend on what
//   was asked, the user's message is read once in front of everything else, behind the history and
//   without memory; its queries give the gates, which then hold while the turn is read and
//   answered. So a memory's gates depend on the message, the history and itself, but on no other
//   memory, and not on chunks or neighbours (P11); an answer's tokens cost nothing more.
// Thread-safety: thread-compatible.
#pragma once

#include <vector>

#include "libs/engine/pack_source.h"
#include "libs/engine/prompt_plan.h"
#include "libs/engine/request.h"
#include "libs/injection/token_gates.h"
#include "libs/model/model.h"

namespace dki::engine {

// The null notes, computed as a request's own memories are.
struct NullPack {
  injection::PackPlan plan;
  std::vector<LoadedBlock> blocks;
};

// Whether gates of the plan's memories depend on what was asked.
bool AsksForGates(const Prompt& prompt, const PromptPlan& plan);

class TurnGates {
 public:
  // Makes the gates, or gets ready to read the message. All must outlive it, where they are.
  void Start(const Prompt& prompt, const PromptPlan& plan, const std::vector<LoadedBlock>& blocks,
             const NullPack& nulls, const model::ModelConfig& config);
  bool started() const { return started_; }
  // The message is still to be read.
  bool pending() const { return pending_; }
  // What reading the message adds to, while pending.
  model::KeyMatch* match() { return &match_; }
  // The message has been read.
  void Finish(const Prompt& prompt, const PromptPlan& plan, const std::vector<LoadedBlock>& blocks,
              const model::ModelConfig& config);
  // It will be read from its beginning once more.
  void Restart();

  // Of a block of the plan's pack; null: none.
  const model::LayerGates* of(size_t block) const {
    return block < gates_.size() && gates_[block].n_tokens > 0 ? &gates_[block] : nullptr;
  }

 private:
  bool started_ = false;
  bool pending_ = false;
  model::KeyMatch match_;
  std::vector<int> runs_;                 // of match_, by block; -1: none
  int first_null_ = 0;                    // of match_.runs
  std::vector<model::LayerGates> gates_;  // by block
};

}  // namespace dki::engine
