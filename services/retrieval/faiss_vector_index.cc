// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/faiss_vector_index.h"

#include <faiss/IndexFlat.h>
#include <faiss/impl/IDSelector.h>
#include <omp.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace dki::retrieval {
namespace {

using RowId = faiss::Index::idx_t;

// The rows that match a filter.
class FilterSelector : public faiss::IDSelector {
 public:
  FilterSelector(const std::vector<IndexedMemory>* rows, const SearchFilter* filter)
      : rows_(rows), filter_(filter) {}
  bool is_member(RowId row) const override {
    return Matches((*rows_)[static_cast<size_t>(row)], *filter_);
  }

 private:
  const std::vector<IndexedMemory>* rows_;
  const SearchFilter* filter_;
};

}  // namespace

FaissVectorIndex::FaissVectorIndex(int dimension)
    : dimension_(dimension), index_(std::make_unique<faiss::IndexFlatIP>(dimension)) {}
FaissVectorIndex::~FaissVectorIndex() = default;

float* FaissVectorIndex::RowData(size_t row) {
  return index_->get_xb() + row * static_cast<size_t>(dimension_);
}

absl::Status FaissVectorIndex::Upsert(IndexedMemory memory, std::span<const float> vector) {
  DKI_RETURN_IF_ERROR(CheckUnitVector(vector, dimension_));
  const auto found = row_of_.find(memory.id);
  if (found != row_of_.end()) {
    std::copy(vector.begin(), vector.end(), RowData(found->second));
    rows_[found->second] = std::move(memory);
    return absl::OkStatus();
  }
  try {
    index_->add(1, vector.data());
  } catch (const std::exception& e) {
    return Internal("FAISS cannot add a vector: %s", e.what());
  }
  row_of_[memory.id] = rows_.size();
  rows_.push_back(std::move(memory));
  return absl::OkStatus();
}

bool FaissVectorIndex::Remove(const std::string& memory_id) {
  const auto found = row_of_.find(memory_id);
  if (found == row_of_.end()) return false;
  const size_t row = found->second;
  const size_t last = rows_.size() - 1;
  row_of_.erase(found);
  if (row != last) {
    std::copy_n(RowData(last), dimension_, RowData(row));
    rows_[row] = std::move(rows_[last]);
    row_of_[rows_[row].id] = row;
  }
  std::fill_n(RowData(last), dimension_, 0.0f);
  index_->codes.resize(last * index_->code_size);
  index_->ntotal = static_cast<RowId>(last);
  rows_.pop_back();
  return true;
}

void FaissVectorIndex::Clear() {
  index_ = std::make_unique<faiss::IndexFlatIP>(dimension_);
  rows_.clear();
  row_of_.clear();
}

absl::StatusOr<std::vector<Hit>> FaissVectorIndex::Search(std::span<const float> query, int k,
                                                          std::optional<float> threshold,
                                                          const SearchFilter& filter) const {
  DKI_RETURN_IF_ERROR(CheckUnitVector(query, dimension_));
  if (rows_.empty()) return std::vector<Hit>();
  omp_set_num_threads(1);  // per calling thread; otherwise each gets a team of its own
  FilterSelector selector(&rows_, &filter);
  faiss::SearchParameters parameters;
  parameters.sel = &selector;

  // FAISS keeps any of the rows that tie for the last place. So it is asked for one more than k,
  // and for more still while a tie crosses the border: then the order of results decides.
  size_t n_wanted = static_cast<size_t>(k) + 1;
  std::vector<float> cosines;
  std::vector<RowId> labels;
  while (true) {
    n_wanted = std::min(n_wanted, rows_.size());
    cosines.resize(n_wanted);
    labels.resize(n_wanted);
    try {
      index_->search(1, query.data(), static_cast<RowId>(n_wanted), cosines.data(), labels.data(),
                     &parameters);
    } catch (const std::exception& e) {
      return Internal("FAISS cannot search: %s", e.what());
    }
    const bool has_more = n_wanted < rows_.size() && labels.back() >= 0;
    if (!has_more || cosines.back() != cosines[static_cast<size_t>(k) - 1]) break;
    n_wanted *= 2;
  }

  std::vector<Hit> hits;
  for (size_t i = 0; i < n_wanted && labels[i] >= 0; ++i) {
    const float cosine = std::clamp(cosines[i], -1.0f, 1.0f);
    if (threshold.has_value() && cosine < *threshold) break;
    const IndexedMemory& memory = rows_[static_cast<size_t>(labels[i])];
    hits.push_back({memory.id, memory.version, cosine, memory.pinned});
  }
  std::sort(hits.begin(), hits.end(), ComesBefore);
  if (hits.size() > static_cast<size_t>(k)) hits.resize(static_cast<size_t>(k));
  return hits;
}

}  // namespace dki::retrieval
