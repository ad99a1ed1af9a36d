// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "libs/model/gguf.h"
#include "libs/model/model_files.h"

namespace dki::model {

// See ModelFiles::Open.
absl::StatusOr<std::unique_ptr<ModelFiles>> OpenGgufModel(const std::string& path);
absl::StatusOr<std::unique_ptr<ModelFiles>> MakeGgufModel(GgufFile file);

}  // namespace dki::model
