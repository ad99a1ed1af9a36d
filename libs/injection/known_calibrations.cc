// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/known_calibrations.h"

#include <vector>

#include "libs/base/check.h"

namespace dki::injection {
namespace {

// As `dki calibrate` writes them.
constexpr std::string_view kKnown[] = {
    R"json({"model_fingerprint": "none", "heads": [[0, 0]],
 "relevance": {"cosine": 1, "recency": 0, "heads": [0]},
 "answer": {"bias": 0, "cosine": 0, "heads": [0], "threshold": 0},
 "lookup": {"beta": 1}, "judgement": {"beta": 0}})json",
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
