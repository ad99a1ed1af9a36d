// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/known_calibrations.h"

#include <vector>

#include "libs/base/check.h"

namespace dki::injection {
namespace {

// As `dki calibrate` writes them.
constexpr std::string_view kKnown[] = {
    // SmolLM2-135M-Instruct, Q4_1
    R"json({"model_fingerprint": "2bacb05b3899f00f83861127609239488a128f9ec9929fa58c5192b3d8303db9",
 "heads": [[18, 7], [15, 6], [17, 4]],
 "probe": "independent",
 "relevance": {"cosine": 3.02541, "words": 2.21316, "recency": 0.207075, "superseded": 2.36112, "heads": [0.909456, 0.591951, 0.78053]},
 "answer": {"bias": -5.31002, "cosine": 6.51928, "personal": 4.95014, "words": 5.61564, "relevance": 0, "threshold": 0.202251},
 "lookup": {"keep": 0.85, "most": 6, "beta": 0.15, "floor": 0.05, "read": 1.5, "answer": 3},
 "linked": {"keep": 0.85, "most": 6, "beta": 0.15, "floor": 0.05, "read": 1.5, "answer": 2.5},
 "judgement": {"keep": 1, "most": 0, "beta": 0, "floor": 0.05, "read": 1, "answer": 1}})json",
    // Gemma 3 270M, Q4_K_M: a base model
    R"json({"model_fingerprint": "75f609b84418fb9ebf347422c7d81f7f55f4bab2c0257c638e48e7fc90c96e2b",
 "heads": [[5, 2], [11, 2]],
 "probe": "independent",
 "relevance": {"cosine": 2.30005, "words": 2.00097, "recency": -0.796672, "superseded": 1.96474, "heads": [2.589, 1.29721]},
 "answer": {"bias": 0.0941961, "cosine": 6.71705, "personal": 4.52269, "words": 2.35015, "relevance": 0.632425, "threshold": 0.23606},
 "lookup": {"keep": 0.85, "most": 6, "beta": 0, "floor": 0.05, "read": 1, "answer": 1.5},
 "linked": {"keep": 0.85, "most": 6, "beta": 0, "floor": 0.05, "read": 1, "answer": 1.5},
 "judgement": {"keep": 1, "most": 0, "beta": 0, "floor": 0.05, "read": 1, "answer": 1}})json",
};

std::vector<Calibration> ParseKnown() {
  std::vector<Calibration> parsed;
  for (const std::string_view json : kKnown) {
    absl::StatusOr<Calibration> calibration = ParseCalibration(json);
    DKI_CHECK(calibration.ok());
    parsed.push_back(*std::move(calibration));
  }
  return parsed;
}

}  // namespace

const Calibration* KnownCalibration(std::string_view model_fingerprint) {
  static const std::vector<Calibration> known = ParseKnown();
  for (const Calibration& calibration : known) {
    if (calibration.model_fingerprint == model_fingerprint) return &calibration;
  }
  return nullptr;
}

}  // namespace dki::injection
