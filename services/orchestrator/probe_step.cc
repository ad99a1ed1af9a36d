// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/probe_step.h"

#include <vector>

#include "services/orchestrator/assemble_step.h"
#include "services/orchestrator/weigh_step.h"

namespace dki::orchestrator {

void ComposeForProbe(const injection::Calibration& calibration, generation::v1::Prompt* prompt) {
  if (!prompt->has_injection()) return;
  prompt->mutable_injection()->set_composition(injection::ToString(calibration.probe));
}

absl::Status ProbeCandidates(const Upstreams& upstreams, const rpc::Call& call,
                             const PipelineConfig& config, const ChatTask& task,
                             const std::string& model_system_prompt,
                             const injection::Calibration& calibration,
                             std::span<Candidate* const> in_pack_order) {
  const std::vector<Chosen> all = AllAlike(in_pack_order);
  generation::v1::ProbeRequest request;
  *request.mutable_prompt() =
      AssemblePrompt(config, task, model_system_prompt, common::v1::MODE_INJECTED, all);
  ComposeForProbe(calibration, request.mutable_prompt());
  for (const injection::AttentionHead& head : calibration.heads) {
    generation::v1::AttentionHead* added = request.add_heads();
    added->set_layer(head.layer);
    added->set_head(head.head);
  }
  generation::v1::ProbeResponse response;
  const auto context = upstreams.ContextFor(call, upstreams.generation_timeout);
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(upstreams.generation->Probe(context.get(), request, &response)));
  if (response.degraded_size() > 0) return Unavailable("%s is away", response.degraded(0));
  if (response.memories_size() != static_cast<int>(all.size())) {
    return Unavailable("generation probed %d of %d memories", response.memories_size(), all.size());
  }
  for (const auto& memory : response.memories()) {
    if (memory.head_shares_size() != static_cast<int>(calibration.heads.size())) {
      return Unavailable("generation probed other heads than asked for");
    }
  }
  for (size_t i = 0; i < all.size(); ++i) {
    const auto& shares = response.memories(static_cast<int>(i)).head_shares();
    Candidate& candidate = *in_pack_order[i];
    candidate.head_shares.assign(shares.begin(), shares.end());
    candidate.probe_share = injection::LookShare(calibration.relevance, candidate.head_shares);
  }
  return absl::OkStatus();
}

}  // namespace dki::orchestrator
