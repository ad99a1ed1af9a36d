// SPDX-License-Identifier: Apache-2.0
// A model with what reads and writes its tokens, from one GGUF file.
#pragma once

#include <memory>
#include <string>

#include "libs/base/status.h"
#include "libs/model/chat_format.h"
#include "libs/model/model.h"
#include "libs/model/tokenizer.h"

namespace dki::engine {

struct LoadedModel {
  std::unique_ptr<model::Model> model;
  std::unique_ptr<model::Tokenizer> tokenizer;
  std::unique_ptr<model::ChatFormat> format;  // refers to the tokenizer

  static absl::StatusOr<LoadedModel> Load(const std::string& gguf_path,
                                          const model::ModelOptions& options);
};

}  // namespace dki::engine
