// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/scan_vector_index.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <queue>
#include <utility>

#include "libs/telemetry/log.h"
#include "services/retrieval/train_centroids.h"

namespace dki::retrieval {
namespace {

using vectors::VectorTable;

constexpr size_t kTogether = 256;      // rows of a look
constexpr size_t kAssignAtOnce = 500;  // a few milliseconds
constexpr size_t kSamplesPerList = 40;
constexpr size_t kMinLists = 4;
constexpr size_t kMaxLists = 4096;

// Fewer lists make each search look at more rows beside the near ones, more lists cost more to
// train (their square) and to choose from.
size_t NumberOfLists(size_t n_rows) {
  return std::clamp(static_cast<size_t>(2 * std::sqrt(static_cast<double>(n_rows))), kMinLists,
                    kMaxLists);
}

}  // namespace

// The first k of the rows that it is shown. `bound_` is what a row must be able to reach: the
// threshold, or the k-th best of what the rows so far have for certain.
class ScanVectorIndex::Selection {
 public:
  Selection(const ScanVectorIndex& index, std::span<const float> query, int k,
            std::optional<float> threshold, const SearchFilter& filter)
      : index_(index),
        query_(index.table_.MakeQuery(query)),
        k_(static_cast<size_t>(k)),
        threshold_(threshold.value_or(-1.0f)),
        filter_(filter),
        bound_(threshold_ > -1.0f ? threshold_ : -std::numeric_limits<float>::infinity()) {}

  void Look(std::span<const Row> rows) {
    std::array<VectorTable::Estimate, kTogether> estimates;
    for (; !rows.empty(); rows = rows.subspan(std::min(rows.size(), kTogether))) {
      const auto some = rows.first(std::min(rows.size(), kTogether));
      index_.table_.EstimateRows(query_, some, estimates.data());
      for (size_t i = 0; i < some.size(); ++i) {
        const float upper = estimates[i].value + estimates[i].slack;
        if (upper < bound_ || !Matches(index_.rows_[some[i]], filter_)) continue;
        candidates_.push_back({some[i], upper});
        // Cosines are cut at 1, so beyond it all are equal and the order of results decides.
        Raise(std::min(estimates[i].value - estimates[i].slack, 1.0f), &certain_);
        if (certain_.size() == k_) bound_ = std::max(bound_, certain_.top());
      }
    }
  }

  std::vector<Hit> Best() {
    std::sort(candidates_.begin(), candidates_.end(),
              [](const auto& a, const auto& b) { return a.upper > b.upper; });
    std::vector<Hit> hits;
    Smallest cosines;
    for (const Candidate& candidate : candidates_) {
      if (cosines.size() == k_ && candidate.upper < cosines.top()) break;
      const float cosine = std::clamp(index_.table_.Dot(query_, candidate.row), -1.0f, 1.0f);
      if (cosine < threshold_) continue;
      const IndexedMemory& memory = index_.rows_[candidate.row];
      hits.push_back({memory.id, memory.version, cosine, memory.pinned});
      Raise(cosine, &cosines);
    }
    std::sort(hits.begin(), hits.end(), ComesBefore);
    if (hits.size() > k_) hits.resize(k_);
    return hits;
  }

 private:
  struct Candidate {
    Row row;
    float upper;
  };
  using Smallest = std::priority_queue<float, std::vector<float>, std::greater<float>>;

  // Keeps the k largest.
  void Raise(float value, Smallest* largest) const {
    largest->push(value);
    if (largest->size() > k_) largest->pop();
  }

  const ScanVectorIndex& index_;
  const VectorTable::Query query_;
  const size_t k_;
  const float threshold_;
  const SearchFilter& filter_;
  float bound_;
  Smallest certain_;
  std::vector<Candidate> candidates_;
};

ScanVectorIndex::ScanVectorIndex(int dimension, Options options)
    : options_(options), table_(dimension, options.isa) {}

absl::Status ScanVectorIndex::Upsert(IndexedMemory memory, std::span<const float> vector) {
  DKI_RETURN_IF_ERROR(CheckUnitVector(vector, dimension()));
  const auto [found, is_new] = row_of_.try_emplace(memory.id, static_cast<Row>(rows_.size()));
  const Row row = found->second;
  if (is_new) {
    table_.Append(vector);
    rows_.emplace_back();
  } else {
    table_.Set(row, vector);
  }
  PutInScope(row, memory.scope);
  rows_[row] = std::move(memory);
  if (partition_ != nullptr) partition_->Put(row, vector);
  if (next_partition_ != nullptr && row < next_row_) next_partition_->Put(row, vector);
  ++n_changes_;
  return absl::OkStatus();
}

bool ScanVectorIndex::Remove(const std::string& memory_id) {
  const auto found = row_of_.find(memory_id);
  if (found == row_of_.end()) return false;
  const Row row = found->second;
  const auto last = static_cast<Row>(rows_.size() - 1);
  row_of_.erase(found);
  RemoveFromScope(row);
  scopes_.Renumber(last, row);
  table_.RemoveAndFillWithLast(row);
  if (row != last) {
    rows_[row] = std::move(rows_[last]);
    row_of_[rows_[row].id] = row;
  }
  rows_.pop_back();
  if (partition_ != nullptr) {
    partition_->Remove(row);
    partition_->Renumber(last, row);
  }
  if (next_partition_ != nullptr) {
    next_partition_->Remove(row);
    next_partition_->Renumber(last, row);
    // The last row had not had its turn, and its new number's turn is over.
    if (row < next_row_ && row != last && !next_partition_->Has(row))
      next_partition_->Put(row, table_[row]);
  }
  ++n_changes_;
  return true;
}

void ScanVectorIndex::Clear() {
  table_.Clear();
  rows_.clear();
  row_of_.clear();
  scopes_.Clear();
  list_of_scope_.clear();
  free_lists_.clear();
  partition_ = nullptr;
  next_partition_ = nullptr;
  n_changes_ = 0;
  ++generation_;
}

const IndexedMemory* ScanVectorIndex::Find(const std::string& memory_id) const {
  const auto found = row_of_.find(memory_id);
  return found == row_of_.end() ? nullptr : &rows_[found->second];
}

void ScanVectorIndex::PutInScope(Row row, const Scope& scope) {
  RemoveFromScope(row);
  const auto [found, is_new] =
      list_of_scope_.try_emplace({scope.user_id, scope.session_id, scope.agent_id}, List{0});
  if (is_new && free_lists_.empty()) {
    found->second = static_cast<List>(list_of_scope_.size() - 1);
  } else if (is_new) {
    found->second = free_lists_.back();
    free_lists_.pop_back();
  }
  scopes_.Put(row, found->second);
}

void ScanVectorIndex::RemoveFromScope(Row row) {
  const List list = scopes_.ListOf(row);
  if (list == vectors::kNoList) return;
  scopes_.Remove(row);
  if (!scopes_.RowsOf(list).empty()) return;
  const Scope& scope = rows_[row].scope;
  list_of_scope_.erase({scope.user_id, scope.session_id, scope.agent_id});
  free_lists_.push_back(list);
}

std::vector<ScanVectorIndex::List> ScanVectorIndex::VisibleLists(const Scope& scope) const {
  std::vector<List> lists;
  for (int fields = 0; fields < 8; ++fields) {
    const std::array<std::string, 3> seen = {(fields & 1) != 0 ? scope.user_id : "",
                                             (fields & 2) != 0 ? scope.session_id : "",
                                             (fields & 4) != 0 ? scope.agent_id : ""};
    const auto found = list_of_scope_.find(seen);
    if (found == list_of_scope_.end()) continue;
    // A field that the request leaves empty gives the same scope again.
    if (std::find(lists.begin(), lists.end(), found->second) == lists.end())
      lists.push_back(found->second);
  }
  return lists;
}

absl::StatusOr<std::vector<Hit>> ScanVectorIndex::Search(std::span<const float> query, int k,
                                                         std::optional<float> threshold,
                                                         const SearchFilter& filter) const {
  DKI_RETURN_IF_ERROR(CheckUnitVector(query, dimension()));
  Selection selection(*this, query, k, threshold, filter);
  if (!filter.ids.empty()) {
    for (const std::string& id : filter.ids) {
      const auto found = row_of_.find(id);
      if (found != row_of_.end()) selection.Look({&found->second, 1});
    }
    return selection.Best();
  }
  const std::vector<List> visible = VisibleLists(filter.scope);
  size_t n_visible = 0;
  for (const List list : visible) n_visible += scopes_.RowsOf(list).size();
  const bool is_exact = partition_ == nullptr || !filter.tag.empty() ||
                        n_visible <= static_cast<size_t>(options_.exact_up_to);
  if (!is_exact) {
    Selection nearby(*this, query, k, threshold, filter);
    LookNearby(query, visible, n_visible, k, &nearby);
    std::vector<Hit> hits = nearby.Best();
    if (hits.size() >= static_cast<size_t>(k)) return hits;
  }
  LookAtAll(visible, n_visible, &selection);
  return selection.Best();
}

void ScanVectorIndex::LookAtAll(const std::vector<List>& visible, size_t n_visible,
                                Selection* selection) const {
  if (2 * n_visible <= rows_.size()) {
    for (const List list : visible) selection->Look(scopes_.RowsOf(list));
    return;
  }
  // In the order in which they lie in memory, the invisible ones too: Matches keeps those out.
  std::array<Row, kTogether> rows;
  for (size_t first = 0; first < rows_.size(); first += kTogether) {
    const size_t n = std::min(kTogether, rows_.size() - first);
    std::iota(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(n), static_cast<Row>(first));
    selection->Look({rows.data(), n});
  }
}

void ScanVectorIndex::LookNearby(std::span<const float> query, const std::vector<List>& visible,
                                 size_t n_visible, int k, Selection* selection) const {
  const size_t n_wanted = std::max(
      static_cast<size_t>(std::ceil(options_.probed_share * static_cast<double>(n_visible))),
      size_t{4} * static_cast<size_t>(k));
  const bool all_visible = n_visible == rows_.size();
  std::vector<Row> rows;
  size_t n_looked = 0;
  for (const List list : partition_->ByDistance(query)) {
    if (n_looked >= n_wanted) return;
    std::span<const Row> near = partition_->RowsOf(list);
    if (!all_visible) {
      rows.clear();
      std::copy_if(near.begin(), near.end(), std::back_inserter(rows), [&](Row row) {
        return std::find(visible.begin(), visible.end(), scopes_.ListOf(row)) != visible.end();
      });
      near = rows;
    }
    selection->Look(near);
    n_looked += near.size();
  }
}

bool ScanVectorIndex::WantsTraining() const {
  if (size() <= options_.exact_up_to) return false;
  return partition_ == nullptr || 2 * n_changes_ > size();
}

VectorIndex::Upkeep ScanVectorIndex::NextUpkeep() {
  if (next_partition_ != nullptr) {
    return [this] { return [this] { AssignSome(); }; };
  }
  if (partition_ != nullptr && 2 * size() < options_.exact_up_to) partition_ = nullptr;
  if (!WantsTraining()) return nullptr;
  const size_t n_lists = NumberOfLists(rows_.size());
  const size_t n_samples = std::min(rows_.size(), kSamplesPerList * n_lists);
  std::vector<float> samples;
  samples.reserve(n_samples * static_cast<size_t>(dimension()));
  for (size_t i = 0; i < n_samples; ++i) {
    const auto sample = table_[static_cast<Row>(i * rows_.size() / n_samples)];
    samples.insert(samples.end(), sample.begin(), sample.end());
  }
  n_changes_ = 0;
  return [this, samples = std::move(samples), n_lists, generation = generation_] {
    auto centroids = TrainCentroids(dimension(), samples, n_lists);
    return [this, centroids = std::move(centroids), generation] {
      if (generation != generation_) return;
      if (!centroids.ok()) {
        log::Warning("no partition: searches compare all memories",
                     {{"error", ToString(centroids.status())}});
        return;
      }
      next_partition_ = std::make_unique<vectors::Partition>(dimension(), *centroids, options_.isa);
      next_row_ = 0;
    };
  };
}

void ScanVectorIndex::AssignSome() {
  if (next_partition_ == nullptr) return;  // cleared meanwhile
  const auto end = static_cast<Row>(std::min(rows_.size(), size_t{next_row_} + kAssignAtOnce));
  for (; next_row_ < end; ++next_row_) next_partition_->Put(next_row_, table_[next_row_]);
  if (next_row_ >= rows_.size()) partition_ = std::move(next_partition_);
}

}  // namespace dki::retrieval
