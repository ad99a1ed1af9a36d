// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki calibrate`: makes the calibration of a model from labelled suites
// (libs/eval/calibrate.h).
#pragma once

#include <string>

#include "tools/dki/context.h"

namespace dki::cli {

struct CalibrateOptions {
  std::string suite;   // a folder of item suites; some items must not need their memories
  std::string out;     // the calibration's file
  std::string models;  // folder of the default models; empty: the usual one
  std::string model;   // another model; empty: the default one
  int n = 100;         // first so many items of each suite (0: all)
  int n_replies = 40;  // of those, with free replies; 0: none, strengths stay as known
  int heads = 4;       // at most
  int n_test = 0;  // instead: what each input brings, told by so many items behind those of the fit
  std::string probe = "independent";  // composition of what is probed
};

absl::Status RunCalibrate(Context& context, const CalibrateOptions& options);

}  // namespace dki::cli
