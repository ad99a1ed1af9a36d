// SPDX-License-Identifier: Apache-2.0
#include "libs/model/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "libs/testing/status_matchers.h"

namespace dki::model {
namespace {

using ::dki::testing::StatusIs;
using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// How often each token comes up.
std::map<int32_t, int> Draw(SamplingOptions options, const std::vector<float>& logits,
                            int n = 4000) {
  Sampler sampler(options);
  std::map<int32_t, int> counts;
  for (int i = 0; i < n; ++i) ++counts[sampler.Sample(logits, {})];
  return counts;
}

TEST(SamplerTest, GreedyTakesTheLowestIdAmongEquals) {
  Sampler sampler({});
  EXPECT_EQ(sampler.Sample(std::vector<float>{1, 3, kNan, 3}, {}), 1);
  EXPECT_EQ(sampler.Sample(std::vector<float>{kNan, kNan}, {}), 0);
}

TEST(SamplerTest, RepetitionPenaltyCountsATokenOnceAndWithinItsWindow) {
  Sampler sampler({.repetition_penalty = 2.0f, .repetition_window = 3});
  const std::vector<float> logits = {4, 3, -1, -1.5f};
  EXPECT_EQ(sampler.Sample(logits, std::vector<int32_t>{0, 1, 1, 1}), 0);  // 0 is out of the window
  EXPECT_EQ(sampler.Sample(logits, std::vector<int32_t>{0, 0, 0}), 1);     // 4 -> 2, not 0.5
  EXPECT_EQ(sampler.Sample(std::vector<float>{-1, -1.5f}, std::vector<int32_t>{0}), 1);
  EXPECT_EQ(sampler.Sample(logits, std::vector<int32_t>{-5, 99}), 0);  // not of this vocabulary
}

TEST(SamplerTest, FrequenciesFollowTheSoftmaxAtTheTemperature) {
  const std::vector<float> logits = {std::log(6.0f), std::log(3.0f), 0.0f};
  auto counts = Draw({.temperature = 1.0f}, logits);
  EXPECT_NEAR(counts[0] / 4000.0, 0.6, 0.03);
  EXPECT_NEAR(counts[1] / 4000.0, 0.3, 0.03);
  counts = Draw({.temperature = 0.5f}, logits);  // squares: 36 : 9 : 1
  EXPECT_NEAR(counts[0] / 4000.0, 36.0 / 46, 0.03);
}

TEST(SamplerTest, FiltersKeepTheRightTokens) {
  const std::vector<float> logits = {0.0f, std::log(6.0f), std::log(3.0f), 0.0f};  // sum 11
  auto counts = Draw({.temperature = 1.0f, .top_k = 3}, logits);
  EXPECT_EQ(counts.count(3), 0u);  // the tie with 0 goes to the lower id
  EXPECT_GT(counts[0], 0);
  counts = Draw({.temperature = 1.0f, .top_p = 0.6f}, logits);  // 6/11 < 0.6 <= 9/11
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_NEAR(counts[1] / 4000.0, 6.0 / 9, 0.03);
  counts = Draw({.temperature = 1.0f, .min_p = 0.3f}, logits);  // at least 0.3 of the best
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_EQ(Draw({.temperature = 1.0f, .top_p = 1e-6f}, logits).size(), 1u);
}

// Of a vocabulary of many blocks, with ties and what is no number, exactly the tokens that sorting
// all of them would keep, as often as their weights say.
TEST(SamplerTest, FiltersOfALargeVocabularyKeepWhatSortingWould) {
  constexpr int kTokens = 2003;
  std::vector<float> logits(kTokens);
  uint32_t state = 1;
  for (float& logit : logits)
    logit = static_cast<float>((state = state * 1664525u + 1013904223u) >> 20) / 400.0f;
  for (int i = 0; i < kTokens; i += 97)
    logits[i] = i % 2 == 0 ? kNan : -std::numeric_limits<float>::infinity();
  std::vector<int32_t> sorted;
  for (int i = 0; i < kTokens; ++i) {
    if (std::isfinite(logits[i])) sorted.push_back(i);
  }
  std::ranges::stable_sort(sorted, [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  double all = 0;
  for (const int32_t id : sorted) all += std::exp(logits[id]);

  const auto expect = [&](const SamplingOptions& options, size_t n_kept) {
    double kept = 0;
    for (size_t i = 0; i < n_kept; ++i) kept += std::exp(logits[sorted[i]]);
    constexpr int kDraws = 4000;
    for (const auto& [id, count] : Draw(options, logits, kDraws)) {
      const size_t place = std::ranges::find(sorted, id) - sorted.begin();
      ASSERT_LT(place, n_kept) << id;
      const double expected = kDraws * std::exp(logits[id]) / kept;
      ASSERT_NEAR(count, expected, 6 * std::sqrt(expected) + 3) << id;
    }
  };
  expect({.temperature = 1.0f}, sorted.size());
  for (const int k : {1, 2, 17, 32, 33, 1500}) expect({.temperature = 1.0f, .top_k = k}, k);
  for (const float p : {0.1f, 0.5f, 0.9f}) {
    size_t n_kept = 0;
    for (double sum = 0; sum < p * all; ++n_kept) sum += std::exp(logits[sorted[n_kept]]);
    expect({.temperature = 1.0f, .top_p = p}, n_kept);
  }
  size_t n_kept = 0;
  while (std::exp(logits[sorted[n_kept]] - logits[sorted[0]]) >= 0.01) ++n_kept;
  expect({.temperature = 1.0f, .min_p = 0.01f}, n_kept);
}

TEST(SamplerTest, TheSeedDecides) {
  const std::vector<float> logits(50, 0.0f);
  const auto sequence = [&](uint64_t seed) {
    Sampler sampler({.temperature = 1.0f, .seed = seed});
    std::vector<int32_t> tokens;
    for (int i = 0; i < 20; ++i) tokens.push_back(sampler.Sample(logits, {}));
    return tokens;
  };
  EXPECT_EQ(sequence(7), sequence(7));
  EXPECT_NE(sequence(7), sequence(8));
}

TEST(SamplerTest, ValidateNamesTheField) {
  EXPECT_OK(Validate({}));
  const std::pair<SamplingOptions, const char*> bad[] = {
      {{.temperature = -0.1f}, "temperature"},
      {{.temperature = kNan}, "temperature"},
      {{.top_k = -1}, "top_k"},
      {{.top_p = 0.0f}, "top_p"},
      {{.top_p = kNan}, "top_p"},
      {{.min_p = 1.0f}, "min_p"},
      {{.repetition_penalty = 0.0f}, "repetition_penalty"},
      {{.repetition_penalty = kNan}, "repetition_penalty"},
      {{.repetition_window = -1}, "repetition_window"},
  };
  for (const auto& [options, field] : bad)
    EXPECT_THAT(Validate(options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field)));
}

TEST(LogProbabilityTest, IsTheLogOfTheSoftmax) {
  const std::vector<float> logits = {1000.0f, 1000.0f, 999.0f};
  EXPECT_NEAR(LogProbability(logits, 2), -1 - std::log(2 + std::exp(-1.0)), 1e-12);
}

}  // namespace
}  // namespace dki::model
