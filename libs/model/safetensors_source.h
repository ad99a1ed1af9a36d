// SPDX-License-Identifier: Apache-2.0
// Purpose: the tensors of a folder: model.safetensors, or the shards that
//   model.safetensors.index.json lists.
// Thread-safety: const and thread-safe. Ownership: owns the mappings.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libs/model/safetensors.h"
#include "libs/model/tensor_source.h"

namespace dki::model {

class SafetensorsSource : public TensorSource {
 public:
  static absl::StatusOr<std::unique_ptr<SafetensorsSource>> Open(const std::string& folder);

  bool Has(std::string_view name) const override { return Find(name) != nullptr; }
  absl::StatusOr<TensorView> Get(std::string_view name) const override;

  const std::vector<SafetensorsFile>& files() const { return files_; }

 private:
  const SafetensorsTensor* Find(std::string_view name) const;

  std::vector<SafetensorsFile> files_;
};

}  // namespace dki::model
