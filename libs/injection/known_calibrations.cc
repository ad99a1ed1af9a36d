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
 "heads": [[17, 4], [18, 7]],
 "probe": "independent",
 "relevance": {"cosine": 1.79503, "words": 2.58646, "recency": 0.134927, "heads": [1.27372, 1.09275]},
 "answer": {"bias": -0.499474, "cosine": 3.53959, "words": 5.05459, "relevance": 0.469718, "threshold": 0.286689},
 "lookup": {"keep": 0.9, "beta": 0.15, "floor": 0.05, "read": 1.5, "answer": 3},
 "linked": {"keep": 0.9, "beta": 0.15, "floor": 0.05, "read": 1.5, "answer": 2.5},
 "judgement": {"keep": 1, "beta": 0, "floor": 0.05, "read": 1, "answer": 1}})json",
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
