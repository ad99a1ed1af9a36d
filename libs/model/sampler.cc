// SPDX-License-Identifier: Apache-2.0
#include "libs/model/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

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

// The lowest id among the largest; a NaN is never chosen before a number.
int32_t Greedy(std::span<const float> logits) {
  size_t best = 0;
  float largest = kNever;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > largest)) continue;
    largest = logits[i];
    best = i;
  }
  return static_cast<int32_t>(best);
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
  if (options_.temperature == 0 && options_.repetition_penalty == 1.0f) return Greedy(logits);
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i)
    candidates_.emplace_back(std::isnan(logits[i]) ? kNever : logits[i], static_cast<int32_t>(i));
  if (options_.repetition_penalty != 1.0f) {
    const size_t window = std::min<size_t>(recent.size(), options_.repetition_window);
    for (int32_t token : recent.last(window)) {
      if (token < 0 || static_cast<size_t>(token) >= logits.size()) continue;
      // From the original logit: a token that occurs often is penalised once.
      const float logit = logits[token];
      if (!std::isnan(logit))
        candidates_[token].first =
            logit > 0 ? logit / options_.repetition_penalty : logit * options_.repetition_penalty;
    }
  }
  const auto best = std::min_element(candidates_.begin(), candidates_.end(), Better);
  if (options_.temperature == 0) return best->second;

  const float max = best->first;
  const int32_t best_id = best->second;
  const auto kept = [this](auto end) { candidates_.erase(end, candidates_.end()); };
  if (options_.top_k > 0 && static_cast<size_t>(options_.top_k) < candidates_.size()) {
    const auto end = candidates_.begin() + options_.top_k;
    std::nth_element(candidates_.begin(), end - 1, candidates_.end(), Better);
    kept(end);
  }
  // Logits become weights relative to the best: exp((logit - max) / temperature).
  double total = 0;
  for (auto& [value, id] : candidates_) {
    value = value == max ? 1.0f : std::exp((value - max) / options_.temperature);
    total += value;
  }
  if (options_.min_p > 0) {
    kept(std::remove_if(candidates_.begin(), candidates_.end(),
                        [this](const auto& c) { return c.first < options_.min_p; }));
    total = 0;
    for (const auto& candidate : candidates_) total += candidate.first;
  }
  if (options_.top_p == 1) {  // any order will do
    double left = NextUniform(&state_) * total;
    for (const auto& [weight, id] : candidates_) {
      left -= weight;
      if (left < 0) return id;
    }
    return best_id;  // rounding
  }
  // A heap gives the best ones in order without sorting a whole vocabulary.
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
