// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/hybrid_index.h"

#include <algorithm>
#include <limits>
#include <set>
#include <unordered_map>
#include <utility>

namespace dki::retrieval {
namespace {

using search::WordIndex;

// How deep both lists are read at first, and how much deeper when that was not enough.
constexpr int kMinDepth = 64;
constexpr int kDeeper = 4;

// Fields hold no NUL.
std::string GroupOf(const Scope& scope) {
  return scope.user_id + '\0' + scope.session_id + '\0' + scope.agent_id;
}

// Each field set or not: what a request of this scope may see.
std::vector<std::string> VisibleGroups(const Scope& scope) {
  std::set<std::string> groups;
  for (int fields = 0; fields < 8; ++fields) {
    groups.insert(
        GroupOf({(fields & 1) != 0 ? scope.user_id : "", (fields & 2) != 0 ? scope.session_id : "",
                 (fields & 4) != 0 ? scope.agent_id : ""}));
  }
  return {groups.begin(), groups.end()};
}

bool RanksBefore(const RankedHit& a, const RankedHit& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.pinned != b.pinned) return a.pinned;
  return a.memory_id < b.memory_id;
}

}  // namespace

// What a look at the first of both lists gave.
struct HybridIndex::Candidates {
  std::vector<RankedHit> hits;  // in order, whatever their cosine
  // What memories that are not among `hits` have at most; minus infinity where there are none.
  double most_cosine = 0;
  double most_score = 0;
};

HybridIndex::HybridIndex(std::unique_ptr<VectorIndex> vectors,
                         search::WordIndex::Options word_options)
    : vectors_(std::move(vectors)), words_(word_options) {}

absl::Status HybridIndex::Upsert(IndexedMemory memory, std::span<const float> vector,
                                 std::string_view text) {
  const std::string id = memory.id;
  absl::Status status = words_.Upsert(id, GroupOf(memory.scope), text);
  if (status.ok()) status = vectors_->Upsert(std::move(memory), vector);
  if (!status.ok()) Remove(id);
  return status;
}

bool HybridIndex::Remove(const std::string& memory_id) {
  words_.Remove(memory_id);
  return vectors_->Remove(memory_id);
}

void HybridIndex::Clear() {
  words_.Clear();
  vectors_->Clear();
}

absl::StatusOr<HybridIndex::Candidates> HybridIndex::Look(const Query& query, int depth) const {
  const auto filter = [&](const std::string& id) {
    const IndexedMemory* memory = vectors_->Find(id);
    return memory != nullptr && Matches(*memory, query.filter);
  };
  WordIndex::Search by_words;
  if (query.ranking.word_weight > 0) by_words.query = query.words;
  by_words.groups = VisibleGroups(query.filter.scope);
  by_words.k = depth;
  by_words.ids = query.filter.ids;
  by_words.filter = filter;
  DKI_ASSIGN_OR_RETURN(auto matches, words_.Find(by_words));
  const bool all_words = matches.size() < static_cast<size_t>(depth);
  const double last_share = all_words ? 0 : matches.back().share;
  DKI_ASSIGN_OR_RETURN(auto nearest,
                       vectors_->Search(query.vector, depth, std::nullopt, query.filter));
  const bool all_seen = nearest.size() < static_cast<size_t>(depth);
  const double last_cosine = nearest.empty() ? 0 : static_cast<double>(nearest.back().cosine);

  // Cosines of what came by words alone.
  std::set<std::string> by_meaning;
  for (const Hit& hit : nearest) by_meaning.insert(hit.memory_id);
  SearchFilter only = query.filter;
  only.ids.clear();
  for (const auto& match : matches) {
    if (by_meaning.count(match.id) == 0) only.ids.insert(match.id);
  }
  if (!only.ids.empty()) {
    DKI_ASSIGN_OR_RETURN(
        const auto more,
        vectors_->Search(query.vector, static_cast<int>(only.ids.size()), std::nullopt, only));
    nearest.insert(nearest.end(), more.begin(), more.end());
  }
  // Shares of what came by meaning alone.
  std::unordered_map<std::string, double> share_of;
  for (const auto& match : matches) share_of[match.id] = match.share;
  if (!all_words) {
    by_words.ids.clear();
    for (const std::string& id : by_meaning) {
      if (share_of.count(id) == 0) by_words.ids.insert(id);
    }
    by_words.k = std::max(1, static_cast<int>(by_words.ids.size()));
    if (!by_words.ids.empty()) {
      DKI_ASSIGN_OR_RETURN(const auto more, words_.Find(by_words));
      for (const auto& match : more) share_of[match.id] = match.share;
    }
  }

  Candidates candidates;
  for (const Hit& hit : nearest) {
    const auto share = share_of.find(hit.memory_id);
    RankedHit ranked{.memory_id = hit.memory_id,
                     .version = hit.version,
                     .cosine = hit.cosine,
                     .word_share = share == share_of.end() ? 0 : share->second,
                     .score = 0,
                     .pinned = hit.pinned,
                     .duplicate_ids = {}};
    const absl::Duration age = query.filter.now - vectors_->Find(hit.memory_id)->update_time;
    ranked.score = search::Score(query.ranking, static_cast<double>(hit.cosine), ranked.word_share,
                                 search::Recency(age, query.ranking.recency_half_life));
    candidates.hits.push_back(std::move(ranked));
  }
  std::sort(candidates.hits.begin(), candidates.hits.end(), RanksBefore);
  constexpr double kNone = -std::numeric_limits<double>::infinity();
  candidates.most_cosine = all_seen ? kNone : last_cosine;
  candidates.most_score =
      all_seen ? kNone : search::Score(query.ranking, last_cosine, last_share, 1);
  return candidates;
}

absl::StatusOr<HybridIndex::Result> HybridIndex::Search(const Query& query) const {
  const auto k = static_cast<size_t>(query.k);
  for (int depth = std::max(kMinDepth, 2 * query.k);; depth *= kDeeper) {
    DKI_ASSIGN_OR_RETURN(Candidates candidates, Look(query, depth));
    Result result;
    std::unordered_map<uint64_t, size_t> first_with;  // position in result.hits
    for (RankedHit& hit : candidates.hits) {
      const bool is_full = result.hits.size() == k;
      if (is_full && !query.without_duplicates) break;
      if (query.threshold.has_value() && hit.cosine < *query.threshold) {
        const auto rank = result.hits.size() + static_cast<size_t>(result.n_below_threshold);
        if (rank < k) ++result.n_below_threshold;
        continue;
      }
      const uint64_t signature = vectors_->Find(hit.memory_id)->signature;
      const auto first = signature == 0 ? first_with.end() : first_with.find(signature);
      if (query.without_duplicates && first != first_with.end()) {
        result.hits[first->second].duplicate_ids.push_back(std::move(hit.memory_id));
        continue;
      }
      if (is_full) continue;
      first_with.emplace(signature, result.hits.size());
      result.hits.push_back(std::move(hit));
    }
    const bool is_full = result.hits.size() == k;
    const bool rest_is_below = query.threshold.has_value() &&
                               candidates.most_cosine < static_cast<double>(*query.threshold);
    if ((is_full && result.hits.back().score > candidates.most_score) || rest_is_below ||
        candidates.most_score == -std::numeric_limits<double>::infinity()) {
      return result;
    }
  }
}

VectorIndex::Upkeep HybridIndex::NextUpkeep() {
  VectorIndex::Upkeep upkeep = vectors_->NextUpkeep();
  if (upkeep) return upkeep;
  if (!words_.Upkeep()) return nullptr;
  // The step is done; there may be more to do at once.
  return [] { return [] {}; };
}

}  // namespace dki::retrieval
