// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/token_gates.h"

#include <gmock/gmock.h>

#include <cmath>

#include "libs/testing/status_matchers.h"

namespace dki::injection {
namespace {

using dki::testing::StatusIs;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

double Sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

// One layer, one K/V head of one query head; null scores of mean 1 and deviation 2.
struct Matched {
  model::KeyMatch match{.rows = 1};
  model::KeyRun run{.begin = 1, .n_tokens = 2, .scores = {5.0, -1.0}};
  model::KeyRun null_a{.n_tokens = 1, .scores = {3.0}};
  model::KeyRun null_b{.n_tokens = 1, .scores = {-1.0}};

  model::LayerGates Gates(const GateRule& rule, MemoryClass memory_class) const {
    return MakeGates(rule, memory_class, 1, 1, 1, 4, match, &run, {&null_a, &null_b});
  }
};

TEST(TokenGates, AreSigmoidsOfWhatStandsOutAmongNullNotes) {
  const Matched matched;
  const GateRule rule{.mode = GateMode::kContextAware, .temperature = 0.5, .bias = 0.25};
  const model::LayerGates gates = matched.Gates(rule, MemoryClass::kPreference);
  // z is 2 and -1; the tokens around the run are not gated.
  EXPECT_THAT(gates.log_gates, ElementsAre(0.0f, FloatNear(std::log(Sigmoid(4.25)), 1e-6),
                                           FloatNear(std::log(Sigmoid(-1.75)), 1e-6), 0.0f));
  EXPECT_THAT(gates.attended, IsEmpty());
}

TEST(TokenGates, ModesDiffer) {
  const Matched matched;
  GateRule rule{.mode = GateMode::kHybrid, .floor = 0.25};
  EXPECT_NEAR(matched.Gates(rule, MemoryClass::kHistory).log_gates[1],
              std::log(0.25 + 0.75 * Sigmoid(2)), 1e-6);
  rule.mode = GateMode::kUniform;
  EXPECT_THAT(matched.Gates(rule, MemoryClass::kHistory).log_gates,
              Each(FloatNear(std::log(0.5), 1e-6)));
  rule.mode = GateMode::kGatedPreference;
  EXPECT_NEAR(matched.Gates(rule, MemoryClass::kPreference).log_gates[1], std::log(Sigmoid(2)),
              1e-6);
  EXPECT_THAT(matched.Gates(rule, MemoryClass::kHistory).log_gates, IsEmpty());
  rule.mode = GateMode::kNone;
  EXPECT_THAT(matched.Gates(rule, MemoryClass::kPreference).log_gates, IsEmpty());
}

// Far below what is unrelated, a gate is small but no token is lost to -infinity.
TEST(TokenGates, StayFinite) {
  Matched matched;
  matched.run.scores = {1e6, -1e6};
  matched.null_b.scores = {3.0};  // no deviation at all
  const GateRule rule{.mode = GateMode::kContextAware, .temperature = 0.01};
  for (const float gate : matched.Gates(rule, MemoryClass::kHistory).log_gates) {
    EXPECT_TRUE(std::isfinite(gate) && gate <= 0) << gate;
  }
}

TEST(TokenGates, ClassesHaveLayersOfTheirOwn) {
  GateRule rule;
  ASSERT_OK(SetGateOption("gates", "gated_preference", &rule));
  EXPECT_TRUE(rule.class_layers);
  const auto layers = [&](MemoryClass memory_class, int n_layers) {
    const model::LayerGates gates = MakeGates({.class_layers = true,
                                               .preference_layers = rule.preference_layers,
                                               .history_layers = rule.history_layers},
                                              memory_class, n_layers, 1, 1, 1, {}, nullptr, {});
    std::vector<int> on;
    for (int i = 0; i < n_layers; ++i)
      if (gates.is_attended(i)) on.push_back(i);
    return on;
  };
  // As the original counts (S4.2).
  EXPECT_THAT(layers(MemoryClass::kPreference, 30), ElementsAre(0, 3, 6));
  EXPECT_THAT(layers(MemoryClass::kHistory, 30), ElementsAre(9, 15));
  EXPECT_THAT(layers(MemoryClass::kPreference, 6), ElementsAre(0, 1));
  ASSERT_OK(SetGateOption("history_layers", "0+0.5-1", &rule));
  EXPECT_THAT(layers(MemoryClass::kHistory, 6), ElementsAre(0, 3, 4, 5));
  EXPECT_EQ(ClassOf(SourceClass::kUser), MemoryClass::kPreference);
  EXPECT_EQ(ClassOf(SourceClass::kAssistant), MemoryClass::kHistory);
}

TEST(TokenGates, OptionsAreReadStrictly) {
  GateRule rule;
  ASSERT_OK(SetGateOption("gates", "context_aware", &rule));
  ASSERT_OK(SetGateOption("gate_pool", "max", &rule));
  ASSERT_OK(SetGateOption("gate_temperature", "0.25", &rule));
  ASSERT_OK(SetGateOption("gate_layers", "classes", &rule));
  EXPECT_EQ(rule, (GateRule{.mode = GateMode::kContextAware,
                            .pool = model::MatchPool::kMax,
                            .temperature = 0.25,
                            .class_layers = true}));
  EXPECT_THAT(SetGateOption("gate", "on", &rule), StatusIs(absl::StatusCode::kNotFound));
  const std::pair<const char*, const char*> wrong[] = {
      {"gates", "engram"},         {"gate_pool", "min"},       {"gate_temperature", "0"},
      {"gate_temperature", "x"},   {"gate_bias", "21"},        {"gate_floor", "1.5"},
      {"gate_layers", "some"},     {"preference_layers", ""},  {"preference_layers", "0.5-0.2"},
      {"history_layers", "0+1.2"}, {"history_layers", "0.1+"}, {"gate_floor", "nan"}};
  for (const auto& [name, value] : wrong) {
    GateRule fresh;
    EXPECT_THAT(SetGateOption(name, value, &fresh),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(name)))
        << name << "=" << value;
  }
}

}  // namespace
}  // namespace dki::injection
