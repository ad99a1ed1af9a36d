// SPDX-License-Identifier: Apache-2.0
// Logits that the scripts in tools/fixtures wrote (golden_file.py describes them), and a model held
// to them.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "libs/base/file.h"
#include "libs/model/model_promises.h"

namespace dki::model {

struct GoldenPosition {
  int index = 0;
  int32_t best = 0;
  float largest = 0;  // |logit|
  std::vector<int32_t> ids;
  std::vector<float> logits;  // of `ids`
};
struct GoldenPrompt {
  std::vector<int32_t> tokens;
  std::vector<GoldenPosition> positions;
};

class GoldenReader {
 public:
  explicit GoldenReader(const std::string& bytes) : at_(bytes.data()) {}

  std::vector<GoldenPrompt> Read() {
    std::vector<GoldenPrompt> prompts(Take<uint32_t>());
    for (GoldenPrompt& prompt : prompts) {
      prompt.tokens = TakeArray<int32_t>(Take<uint32_t>());
      prompt.positions.resize(Take<uint32_t>());
      for (GoldenPosition& position : prompt.positions) {
        position.index = static_cast<int>(Take<uint32_t>());
        position.best = static_cast<int32_t>(Take<uint32_t>());
        position.largest = Take<float>();
        const auto n = Take<uint32_t>();
        position.ids = TakeArray<int32_t>(n);
        position.logits = TakeArray<float>(n);
      }
    }
    return prompts;
  }

 private:
  template <typename T>
  T Take() {
    return TakeArray<T>(1)[0];
  }
  template <typename T>
  std::vector<T> TakeArray(size_t n) {
    std::vector<T> values(n);
    std::memcpy(values.data(), at_, n * sizeof(T));
    at_ += n * sizeof(T);
    return values;
  }
  const char* at_;
};

// The prompt is given in pieces, so that windows and positions cross chunks, too.
inline void ExpectGolden(Model& model, const std::string& golden_path, double tolerance) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(golden_path));
  double worst = 0;
  for (const GoldenPrompt& prompt : GoldenReader(bytes).Read()) {
    SCOPED_TRACE(absl::StrFormat("prompt of %d tokens", prompt.tokens.size()));
    KvBuffer context(model.kv_shape(), 0);
    int begin = 0;
    for (const GoldenPosition& position : prompt.positions) {
      const auto piece = std::span(prompt.tokens).subspan(begin, position.index + 1 - begin);
      begin = position.index + 1;
      const Logits logits = RunOn(model, piece, &context, LogitsWanted::kLast);
      ASSERT_EQ(static_cast<int>(logits.size()), model.config().vocab_size);
      double difference = 0;
      for (size_t i = 0; i < position.ids.size(); ++i) {
        difference =
            std::max(difference, std::fabs(double{logits[position.ids[i]]} - position.logits[i]));
      }
      worst = std::max(worst, difference / position.largest);
      EXPECT_LE(difference / position.largest, tolerance) << "at token " << position.index;
      const double best = *std::max_element(logits.begin(), logits.end());
      EXPECT_GE(logits[position.best], best - 2 * tolerance * position.largest);
    }
  }
  std::printf("%s, %s: largest difference %.2g of the largest logit\n",
              model.config().architecture.c_str(), model.description().c_str(), worst);
}

}  // namespace dki::model
