// SPDX-License-Identifier: Apache-2.0
#include "libs/model/model_files.h"

#include <filesystem>

#include "libs/model/gguf_model.h"
#include "libs/model/hugging_face_model.h"

namespace dki::model {

bool IsModelFolder(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

absl::StatusOr<std::unique_ptr<ModelFiles>> ModelFiles::Open(const std::string& path) {
  return IsModelFolder(path) ? OpenHuggingFaceModel(path) : OpenGgufModel(path);
}

}  // namespace dki::model
