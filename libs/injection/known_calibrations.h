// SPDX-License-Identifier: Apache-2.0
// Purpose: the calibrations that come with the product (docs/calibration.md says how they were
//   made).
#pragma once

#include <string_view>

#include "libs/injection/calibration.h"

namespace dki::injection {

// The calibration of the model with this fingerprint, or null.
const Calibration* KnownCalibration(std::string_view model_fingerprint);

}  // namespace dki::injection
