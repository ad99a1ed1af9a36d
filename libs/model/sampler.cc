// SPDX-License-Identifier: Apache-2.0
#include "libs/model/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "kernels/logits.h"
#include "kernels/scratch.h"
#include "libs/base/check.h"

namespace dki::model {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// splitmix64 (Steele, Lea & Flood 2014); 53 bits as a number in [0, 1).
double NextUniform(uint64_t* state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return static_cast<double>((z ^ z >> 31) >> 11) * 0x1p-53;
}

// A thread's memory for a row: every sampler of its own would hold as much.
thread_local kernels::Scratch penalised_row, maxima_row, weights_row;

// A row of logits with the largest of its blocks.
struct Row {
  explicit Row(std::span<const float> values)
      : logits(values), maxima(maxima_row.Get<float>(n_blocks()), n_blocks()) {
    kernels::BlockMaxima(kernels::BestIsa(), logits.data(), static_cast<int>(logits.size()),
                         maxima.data());
    largest = *std::ranges::max_element(maxima);
  }
  size_t n_blocks() const { return kernels::LogitBlocks(static_cast<int>(logits.size())); }
  std::span<const float> block(size_t i) const {
    const size_t begin = i * kernels::kLogitBlock;
    return logits.subspan(begin, std::min<size_t>(kernels::kLogitBlock, logits.size() - begin));
  }

  const std::span<const float> logits;
  const std::span<float> maxima;
  float largest;  // -infinity: there is no number
};

// The lowest id among the largest; a NaN is never chosen before a number.
int32_t Greedy(const Row& row) {
  if (row.largest == kNever) return 0;
  const size_t block = std::ranges::find(row.maxima, row.largest) - row.maxima.begin();
  const std::span<const float> logits = row.block(block);
  const auto at = std::ranges::find(logits, row.largest) - logits.begin();
  return static_cast<int32_t>(block * kernels::kLogitBlock + at);
}

// Relative to the best: exp((logit - largest) / temperature).
struct Weights {
  Weights(const Row& row, float temperature)
      : all(weights_row.Get<float>(row.logits.size() + row.maxima.size()), row.logits.size()),
        sums(all.data() + all.size(), row.maxima.size()) {
    kernels::ExpWeights(kernels::BestIsa(), row.logits.data(), static_cast<int>(all.size()),
                        row.largest, 1.0f / temperature, all.data(), sums.data());
    total = std::accumulate(sums.begin(), sums.end(), 0.0);
  }

  const std::span<float> all;
  const std::span<float> sums;  // of blocks
  double total;
};

// The token where the running sum of the weights passes `sum`; `otherwise` where rounding lets
// none.
int32_t TokenAt(const Weights& weights, double sum, int32_t otherwise) {
  for (size_t block = 0; block < weights.sums.size(); ++block) {
    if (sum >= weights.sums[block]) {
      sum -= weights.sums[block];
      continue;
    }
    const size_t begin = block * kernels::kLogitBlock;
    const size_t end = std::min(begin + kernels::kLogitBlock, weights.all.size());
    for (size_t i = begin; i < end; ++i) {
      sum -= weights.all[i];
      if (sum < 0) return static_cast<int32_t>(i);
    }
  }
  return otherwise;
}

// Best first, ties to the lowest id: a total order.
bool Better(const std::pair<float, int32_t>& a, const std::pair<float, int32_t>& b) {
  return a.first != b.first ? a.first > b.first : a.second < b.second;
}

// ln of the sum of exp(logits - max).
double LogSum(std::span<const float> logits, double max) {
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - max);
  return std::log(sum);
}

}  // namespace

absl::Status Validate(const SamplingOptions& options) {
  // Written so that NaN fails.
  if (!(options.temperature >= 0 && options.temperature <= 10))
    return InvalidArgument("temperature is %g, it must be between 0 and 10", options.temperature);
  if (options.top_k < 0) return InvalidArgument("top_k is %d, it must be 0 or more", options.top_k);
  if (!(options.top_p > 0 && options.top_p <= 1))
    return InvalidArgument("top_p is %g, it must be above 0 and at most 1", options.top_p);
  if (!(options.min_p >= 0 && options.min_p < 1))
    return InvalidArgument("min_p is %g, it must be at least 0 and below 1", options.min_p);
  if (!(options.repetition_penalty > 0 && options.repetition_penalty <= 10)) {
    return InvalidArgument("repetition_penalty is %g, it must be above 0 and at most 10",
                           options.repetition_penalty);
  }
  if (options.repetition_window < 0) {
    return InvalidArgument("repetition_window is %d, it must be 0 or more",
                           options.repetition_window);
  }
  return absl::OkStatus();
}

Sampler::Sampler(const SamplingOptions& options) : options_(options), state_(options.seed) {}

// Penalty, temperature, top-k, min-p, top-p, in this order.
int32_t Sampler::Sample(std::span<const float> logits, std::span<const int32_t> recent) {
  DKI_CHECK(!logits.empty());
  const Row row(options_.repetition_penalty == 1.0f ? logits : Penalise(logits, recent));
  const int32_t best = Greedy(row);
  if (options_.temperature == 0 || !std::isfinite(row.largest)) return best;
  candidates_.clear();
  double total = 0;
  if (options_.top_k > 0 && static_cast<size_t>(options_.top_k) < logits.size()) {
    KeepTopK(row.logits, row.maxima);
    for (auto& [value, id] : candidates_) {
      value = std::exp((value - row.largest) / options_.temperature);
      total += value;
    }
  } else {
    const Weights weights(row, options_.temperature);
    total = weights.total;
    if (options_.min_p == 0 && options_.top_p == 1)
      return TokenAt(weights, NextUniform(&state_) * total, best);
    // All tokens below this together weigh less than what top_p leaves out (half of it, to be safe
    // from rounding), so the heap need not hold them.
    const double least = 0.5 * (1.0 - options_.top_p) * total / static_cast<double>(logits.size());
    const float kept = options_.min_p > 0 ? options_.min_p : static_cast<float>(least);
    for (size_t i = 0; i < weights.all.size(); ++i) {
      if (weights.all[i] >= kept) candidates_.emplace_back(weights.all[i], static_cast<int32_t>(i));
    }
  }
  if (options_.min_p > 0) {
    std::erase_if(candidates_, [this](const auto& c) { return c.first < options_.min_p; });
    total = 0;
    for (const auto& candidate : candidates_) total += candidate.first;
  }
  return DrawCandidate(total);
}

std::span<const float> Sampler::Penalise(std::span<const float> logits,
                                         std::span<const int32_t> recent) const {
  const std::span<float> row(penalised_row.Get<float>(logits.size()), logits.size());
  std::ranges::copy(logits, row.begin());
  const size_t window = std::min<size_t>(recent.size(), options_.repetition_window);
  for (const int32_t token : recent.last(window)) {
    if (token < 0 || static_cast<size_t>(token) >= logits.size()) continue;
    // From the original logit: a token that occurs often is penalised once.
    const float logit = logits[token];
    row[token] =
        logit > 0 ? logit / options_.repetition_penalty : logit * options_.repetition_penalty;
  }
  return row;
}

// At least k values are not below the k-th largest maximum of blocks.
void Sampler::KeepTopK(std::span<const float> logits, std::span<float> maxima) {
  const size_t k = options_.top_k;
  float least = kNever;
  if (k <= maxima.size()) {
    std::vector<float> largest(maxima.begin(), maxima.end());
    std::ranges::nth_element(largest, largest.begin() + (k - 1), std::greater());
    least = largest[k - 1];
  }
  for (size_t block = 0; block < maxima.size(); ++block) {
    if (maxima[block] < least) continue;
    const size_t begin = block * kernels::kLogitBlock;
    const size_t end = std::min(begin + kernels::kLogitBlock, logits.size());
    for (size_t i = begin; i < end; ++i) {
      if (logits[i] >= least) candidates_.emplace_back(logits[i], static_cast<int32_t>(i));
    }
  }
  if (k >= candidates_.size()) return;
  std::nth_element(candidates_.begin(), candidates_.begin() + (k - 1), candidates_.end(), Better);
  candidates_.resize(k);
}

// Of the best candidates whose weights reach top_p of `total`.
int32_t Sampler::DrawCandidate(double total) {
  if (options_.top_p == 1) {  // any order will do
    double left = NextUniform(&state_) * total;
    for (const auto& [weight, id] : candidates_) {
      left -= weight;
      if (left < 0) return id;
    }
    return std::ranges::min_element(candidates_, Better)->second;  // rounding
  }
  // A heap gives the best ones in order without sorting all.
  const auto worse = [](const auto& a, const auto& b) { return Better(b, a); };
  std::make_heap(candidates_.begin(), candidates_.end(), worse);
  auto heap_end = candidates_.end();
  const double enough = options_.top_p * total;
  total = 0;
  do {
    std::pop_heap(candidates_.begin(), heap_end--, worse);
    total += heap_end->first;
  } while (total < enough && heap_end != candidates_.begin());
  // The best ones now stand at the end, best last.
  double left = NextUniform(&state_) * total;
  for (auto it = candidates_.end(); it != heap_end;) {
    left -= (--it)->first;
    if (left < 0) return it->second;
  }
  return heap_end->second;
}

double LogProbability(std::span<const float> logits, int32_t token) {
  DKI_CHECK(token >= 0 && static_cast<size_t>(token) < logits.size());
  const double max = *std::max_element(logits.begin(), logits.end());
  return logits[token] - max - LogSum(logits, max);
}

std::vector<float> LogProbabilities(std::span<const float> logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  const double log_sum = LogSum(logits, max);
  std::vector<float> result;
  result.reserve(logits.size());
  for (float logit : logits) result.push_back(static_cast<float>(logit - max - log_sum));
  return result;
}

}  // namespace dki::model
