// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/calibration.h"

#include <gmock/gmock.h>

#include "libs/injection/known_calibrations.h"
#include "libs/testing/status_matchers.h"

namespace dki::injection {
namespace {

using dki::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Calibration Example() {
  Calibration c;
  c.model_fingerprint = "abc";
  c.heads = {{17, 4}, {18, 6}};
  c.probe = {CompositionKind::kRepair, 8};
  c.relevance = {
      .cosine = 8.0, .words = 2.0, .recency = 0.5, .superseded = 1.5, .heads = {1.0, 0.25}};
  c.answer = {.bias = -3.0,
              .cosine = 4.0,
              .personal = 2.5,
              .words = 1.5,
              .relevance = 0.5,
              .threshold = 0.4};
  c.lookup = {.keep = 0.9, .most = 6, .beta = 0.5, .floor = 0.1, .read = 1.0, .answer = 2.0};
  c.judgement = {.keep = 1.0, .beta = 0.0, .floor = 0.05, .read = 1.0, .answer = 1.5};
  return c;
}

TEST(CalibrationTest, IsReadAsItWasWritten) {
  ASSERT_OK_AND_ASSIGN(const Calibration c, ParseCalibration(ToJson(Example())));
  EXPECT_EQ(ToJson(c), ToJson(Example()));
  EXPECT_THAT(c.heads, ElementsAre(AttentionHead{17, 4}, AttentionHead{18, 6}));
  EXPECT_THAT(c.relevance.heads, ElementsAre(1.0, 0.25));
  EXPECT_EQ(c.lookup.most, 6);
  EXPECT_EQ(c.relevance.words, 2.0);
  EXPECT_EQ(c.relevance.superseded, 1.5);
  EXPECT_EQ(c.answer.words, 1.5);
  EXPECT_EQ(c.answer.personal, 2.5);
  EXPECT_EQ(c.answer.threshold, 0.4);
  EXPECT_EQ(c.probe, (Composition{CompositionKind::kRepair, 8}));
}

TEST(CalibrationTest, BadOnesAreRefusedByField) {
  const auto expect = [](Calibration c, const char* field) {
    EXPECT_THAT(ParseCalibration(ToJson(c)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field)));
  };
  Calibration c = Example();
  c.relevance.heads.pop_back();
  expect(c, "relevance.heads");
  c = Example();
  c.heads.clear();
  expect(c, "heads");
  c = Example();
  c.lookup.beta = -1;
  expect(c, "lookup");
  c = Example();
  c.linked.answer = 17;
  expect(c, "linked");
  c = Example();
  c.judgement.keep = 2;
  expect(c, "judgement.keep");
  c = Example();
  c.lookup.most = -1;
  expect(c, "lookup.most");
  c = Example();
  c.answer.threshold = 2;
  expect(c, "answer.threshold");
  c = Example();
  c.model_fingerprint = "";
  expect(c, "model_fingerprint");
  EXPECT_THAT(ParseCalibration("{\"heads\": [[1]]}"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("heads")));
  EXPECT_THAT(ParseCalibration("{\"probe\": \"apart\"}"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("probe")));
  EXPECT_THAT(ParseCalibration("{\"lookup\": {\"gamma\": 1}}"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("lookup.gamma")));
}

TEST(CalibrationTest, WhatComesWithTheProductIsWellFormed) {
  EXPECT_EQ(KnownCalibration("no such model"), nullptr);  // parses all of them
}

TEST(CalibrationTest, KeepsThePolicysCaps) {
  AlphaPolicy policy;
  policy.cap_tool = 0.25;
  const AlphaPolicy calibrated = WithStrength(policy, Example().lookup);
  EXPECT_EQ(calibrated.cap_tool, 0.25);
  EXPECT_EQ(calibrated.beta, 0.5);
  EXPECT_EQ(calibrated.answer, 2.0);
}

}  // namespace
}  // namespace dki::injection
