// SPDX-License-Identifier: Apache-2.0
// With a calibration: the probe.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "libs/testing/temp_dir.h"
#include "services/orchestrator/orchestrator_fixture.h"

namespace dki::orchestrator {
namespace {

using ::testing::ElementsAre;

class CalibratedOrchestratorTest : public OrchestratorTest {
 protected:
  void SetUp() override {
    OrchestratorTest::SetUp();
    Calibrate(R"("bias": 2.302585, "cosine": 0, "relevance": 1, "threshold": 0.5)");
  }
  void Calibrate(const std::string& answer) {
    std::ofstream(folder_.File("calibration.json")) << R"json({
      "model_fingerprint": "model-1", "heads": [[1, 2]], "probe": "independent",
      "relevance": {"cosine": 0, "recency": 0, "heads": [1]},
      "answer": {)json" << answer << R"json(},
      "lookup": {"keep": 0.9, "beta": 1, "floor": 0, "read": 1, "answer": 2},
      "judgement": {}})json";
    config_.mutable_gate()->set_calibration_file(folder_.File("calibration.json"));
  }
  testing::TempDir folder_;
};

TEST_F(CalibratedOrchestratorTest, TheProbeDecidesAndWeighs) {
  generation_.probe_shares = {{ids_[0], 0.4}, {ids_[1], 0.2}, {ids_[2], 0.001}};
  StartOrchestrator();
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  EXPECT_EQ(answer.decision.gate(), "inject");
  EXPECT_NEAR(answer.decision.answer_probability(), 0.8, 1e-3);
  // What is most similar to the question is not what the model looked at.
  ASSERT_EQ(answer.decision.chosen_size(), 2);
  EXPECT_EQ(answer.decision.chosen(0).memory_id(), ids_[0]);
  EXPECT_DOUBLE_EQ(answer.decision.chosen(0).alpha_answer(), 2.0);
  EXPECT_NEAR(answer.decision.chosen(1).alpha_answer(), 1.0, 1e-3);
  EXPECT_EQ(answer.decision.retrieved(0).reason(), "improbable");
  EXPECT_DOUBLE_EQ(answer.decision.retrieved(1).probe_share(), 0.4);
}

TEST_F(CalibratedOrchestratorTest, MemoriesAreProbedAsTheCalibrationKnowsThem) {
  generation_.probe_shares = {{ids_[0], 0.4}};
  StartOrchestrator();
  v1::ChatRequest request = Question();
  request.mutable_memory()->set_composition("repair(4)");
  request.mutable_memory()->set_modulation("off");
  ASSERT_OK(Chat(request).status);
  ASSERT_EQ(generation_.probes().size(), 1u);
  EXPECT_EQ(generation_.probes()[0].prompt().injection().composition(), "independent");
  EXPECT_EQ(generation_.requests()[0].prompt().injection().composition(), "repair(4)");
  EXPECT_EQ(generation_.requests()[0].prompt().injection().modulation(), "off");
  const auto prefetched = kv_.WaitForRequests(2);
  ASSERT_EQ(prefetched.size(), 2u);
  for (const auto& asked : prefetched) {
    const bool is_probe = asked.pack().memories_size() == 3;
    EXPECT_EQ(asked.pack().composition(), is_probe ? "independent" : "repair(4)");
  }
}

TEST_F(CalibratedOrchestratorTest, WithoutAnAnswerInThemMemoriesStayOut) {
  StartOrchestrator();
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  EXPECT_EQ(answer.decision.gate(), "no_answer");
  EXPECT_EQ(answer.decision.chosen_size(), 0);
  EXPECT_EQ(generation_.requests()[0].prompt().memory_case(),
            generation::v1::Prompt::MEMORY_NOT_SET);
}

TEST_F(CalibratedOrchestratorTest, AGateThatNeedsNoProbeIsAskedFirst) {
  Calibrate(R"("bias": -100, "cosine": 0, "relevance": 0, "threshold": 0.5)");
  generation_.probe_shares = {{ids_[0], 0.4}};
  StartOrchestrator();
  const Answer closed = Chat(Question());
  ASSERT_OK(closed.status);
  EXPECT_EQ(closed.decision.gate(), "no_answer");
  EXPECT_EQ(closed.decision.retrieved(0).reason(), "no_answer");
  EXPECT_LT(closed.decision.answer_probability(), 0.01);
  EXPECT_TRUE(generation_.probes().empty()) << "nothing is computed that nobody needs";

  v1::ChatRequest open = Question();
  open.mutable_memory()->set_gate(false);
  const Answer weighed = Chat(open);
  ASSERT_OK(weighed.status);
  EXPECT_EQ(weighed.decision.gate(), "disabled");
  EXPECT_EQ(generation_.probes().size(), 1u) << "for the weights";
  EXPECT_EQ(kv_.WaitForRequests(1).front().prefetch_id(),
            weighed.decision.decision_id() + ":candidates");
}

TEST_F(CalibratedOrchestratorTest, WithoutAProbeTheCosineDecides) {
  generation_.cannot_probe = true;
  StartOrchestrator();
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  EXPECT_EQ(answer.decision.gate(), "inject");
  EXPECT_FALSE(answer.decision.has_answer_probability());
  EXPECT_THAT(answer.decision.degraded(), ElementsAre("probe"));
  EXPECT_EQ(answer.decision.chosen_size(), 2);
}

}  // namespace
}  // namespace dki::orchestrator
