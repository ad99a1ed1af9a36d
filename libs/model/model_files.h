// SPDX-License-Identifier: Apache-2.0
// Purpose: a model on disk: a GGUF file, or a folder as Hugging Face writes it (config.json,
//   model.safetensors or its shards, tokenizer.json). Files are untrusted.
// Thread-safety: const and thread-safe. Ownership: owns the mappings; tensors look into them.
#pragma once

#include <memory>
#include <string>

#include "libs/base/status.h"
#include "libs/model/architecture.h"
#include "libs/model/config.h"
#include "libs/model/tensor_source.h"

namespace dki::model {

// Whether `path` is taken for a folder of files.
bool IsModelFolder(const std::string& path);

class ModelFiles {
 public:
  // NOT_FOUND where there is nothing; INVALID_ARGUMENT for a malformed file or a family that is not
  // in the table.
  static absl::StatusOr<std::unique_ptr<ModelFiles>> Open(const std::string& path);
  virtual ~ModelFiles() = default;

  virtual const Architecture& architecture() const = 0;
  // The names and facts of this kind of file.
  virtual const FileForm& form() const = 0;
  virtual const TensorSource& tensors() const = 0;
  // Hyperparameters, each within sane limits and consistent with the others; everything of
  // ModelConfig but the fingerprint. INVALID_ARGUMENT names the key and its limit.
  virtual absl::StatusOr<ModelConfig> ReadConfig() const = 0;
  // Hexadecimal SHA-256 of all files (weights, tokenizer, hyperparameters) and of the version of
  // the runtime's arithmetic.
  virtual std::string Fingerprint() const = 0;
};

}  // namespace dki::model
