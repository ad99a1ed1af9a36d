// SPDX-License-Identifier: Apache-2.0
// A model as a folder of files in the form that Hugging Face's transformers writes.
#pragma once

#include <memory>
#include <string>

#include "libs/model/model_files.h"

namespace dki::model {

// See ModelFiles::Open.
absl::StatusOr<std::unique_ptr<ModelFiles>> OpenHuggingFaceModel(const std::string& folder);

}  // namespace dki::model
