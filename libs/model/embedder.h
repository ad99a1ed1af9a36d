// SPDX-License-Identifier: Apache-2.0
// Purpose: sentence embeddings with a BERT-family encoder (all-MiniLM-L6-v2: 384-d, mean pooling,
// L2-normalised) in our own
//   runtime. Texts are cut at 256 word pieces, as the model was trained.
// Thread-safety: Embed may be called from one thread at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libs/base/status.h"

namespace dki::model {

class Embedder {
 public:
  // `directory` holds model.safetensors, config.json and vocab.txt.
  static absl::StatusOr<std::unique_ptr<Embedder>> Load(const std::string& directory,
                                                        int n_threads);
  virtual ~Embedder() = default;

  virtual int dimension() const = 0;
  // Hexadecimal SHA-256 of weights, vocabulary and pooling: vectors of different models are never
  // compared.
  virtual const std::string& fingerprint() const = 0;
  // One unit vector per text. The result of a text does not depend on the others.
  virtual absl::StatusOr<std::vector<std::vector<float>>> Embed(
      const std::vector<std::string>& texts) = 0;
};

}  // namespace dki::model
