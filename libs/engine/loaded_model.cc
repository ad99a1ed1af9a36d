// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/loaded_model.h"

namespace dki::engine {

absl::StatusOr<LoadedModel> LoadedModel::Load(const std::string& gguf_path,
                                              const model::ModelOptions& options) {
  LoadedModel loaded;
  DKI_ASSIGN_OR_RETURN(loaded.model, model::Model::Load(gguf_path, options));
  DKI_ASSIGN_OR_RETURN(loaded.tokenizer, model::Tokenizer::Load(gguf_path));
  DKI_ASSIGN_OR_RETURN(loaded.format, model::ChatFormat::Create(gguf_path, loaded.tokenizer.get()));
  return loaded;
}

}  // namespace dki::engine
