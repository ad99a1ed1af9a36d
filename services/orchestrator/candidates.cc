// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/candidates.h"

#include <algorithm>
#include <unordered_map>

#include "libs/clients/memory_attributes.h"
#include "libs/injection/alpha_policy.h"
#include "libs/injection/question_kind.h"
#include "libs/search/word_shares.h"
#include "services/orchestrator/search_text.h"

namespace dki::orchestrator {
namespace {

using MemoryById = std::unordered_map<std::string, const memory::v1::Memory*>;

MemoryById Index(const Memories& memories) {
  MemoryById index;
  for (const auto& memory : memories) index.emplace(memory.id(), &memory);
  return index;
}

void CopyState(const memory::v1::Memory& memory, Candidate* candidate) {
  candidate->version = memory.version();
  candidate->text = memory.text();
  candidate->source_class = memory.source_class();
  candidate->attributes = clients::AttributesOf(memory);
  candidate->create_position = memory.create_position();
}

// What others wrote takes nothing away from what the user said.
bool MaySupersede(const Candidate& later, const Candidate& earlier) {
  const auto is_capped = [](const Candidate& candidate) {
    return injection::IsCapped(clients::ToSourceClass(candidate.source_class));
  };
  return !is_capped(later) || is_capped(earlier);
}

}  // namespace

std::vector<Candidate> JoinHits(const Hits& hits, const Memories& current) {
  const MemoryById memories = Index(current);
  std::vector<Candidate> candidates;
  candidates.reserve(hits.size());
  for (const auto& hit : hits) {
    Candidate& candidate = candidates.emplace_back();
    candidate.id = hit.memory_id();
    candidate.version = hit.version();
    candidate.cosine = hit.cosine();
    const auto found = memories.find(hit.memory_id());
    if (found != memories.end() && found->second->version() == hit.version()) {
      CopyState(*found->second, &candidate);
    } else {
      candidate.reason = kNotCurrent;
    }
  }
  return candidates;
}

absl::StatusOr<std::vector<Candidate>> JoinNamed(std::span<const std::string> ids, const Hits& hits,
                                                 const Memories& current) {
  const MemoryById memories = Index(current);
  std::unordered_map<std::string, float> cosines;
  for (const auto& hit : hits) cosines.emplace(hit.memory_id(), hit.cosine());
  std::vector<Candidate> candidates;
  candidates.reserve(ids.size());
  for (const std::string& id : ids) {
    const auto found = memories.find(id);
    if (found == memories.end()) {
      return NotFound("memory.memory_ids: memory %s does not exist or is not visible", id);
    }
    Candidate& candidate = candidates.emplace_back();
    candidate.id = id;
    CopyState(*found->second, &candidate);
    if (const auto cosine = cosines.find(id); cosine != cosines.end()) {
      candidate.cosine = cosine->second;
    }
  }
  return candidates;
}

void CompareWords(const ChatTask& task, std::span<Candidate* const> candidates) {
  std::vector<std::string> texts;
  for (const Candidate* candidate : candidates) texts.push_back(candidate->text);
  const std::vector<search::WeightedText> asked =
      search::ExpandQuestion(SearchText(task.turn.content()), RecentTexts(task));
  const search::WordQuery query = search::MakeWordQuery(asked);
  const std::vector<double> shares = search::WordShares(query, texts);
  for (size_t i = 0; i < candidates.size(); ++i) candidates[i]->words = shares[i];
  if (!injection::AsksForOneState(task.turn.content())) return;
  // A request may name them in another order than that of their making.
  std::vector<Candidate*> oldest_first(candidates.begin(), candidates.end());
  std::ranges::stable_sort(oldest_first, {}, &Candidate::create_position);
  for (size_t i = 0; i < texts.size(); ++i) texts[i] = oldest_first[i]->text;
  const std::vector<std::vector<int>> later = search::CoveredByLater(query, texts);
  for (size_t i = 0; i < texts.size(); ++i) {
    for (const int j : later[i]) {
      if (MaySupersede(*oldest_first[j], *oldest_first[i])) {
        oldest_first[i]->later.push_back(oldest_first[j]->id);
      }
    }
  }
}

std::vector<injection::Evidence> EvidenceOf(std::span<Candidate* const> candidates) {
  std::unordered_map<std::string, int> index;
  for (const Candidate* candidate : candidates) {
    index.emplace(candidate->id, static_cast<int>(index.size()));
  }
  std::vector<injection::Evidence> evidence;
  for (const Candidate* candidate : candidates) {
    evidence.push_back({.cosine = candidate->cosine,
                        .words = candidate->words.value_or(0.0),
                        .later = {},
                        .head_shares = candidate->head_shares});
    for (const std::string& id : candidate->later) {
      if (const auto at = index.find(id); at != index.end()) {
        evidence.back().later.push_back(at->second);
      }
    }
  }
  return evidence;
}

}  // namespace dki::orchestrator
