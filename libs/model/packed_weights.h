// SPDX-License-Identifier: Apache-2.0
// The quantised matrices of a model, packed for the integer kernels (kernels/packed_matrix.h).
// Ownership: owns the packed bytes, in huge pages where the system has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/thread_pool.h"
#include "libs/model/weights.h"

namespace dki::model {

class PackedWeights {
 public:
  // Packs every matrix of `weights` that can be packed and sets its `packed`, which stays valid as
  // long as the result.
  static PackedWeights Pack(kernels::ThreadPool* pool, Weights* weights);

  size_t size_bytes() const { return size_; }

 private:
  struct Unmap {
    size_t size;
    void operator()(uint8_t* data) const;
  };
  std::unique_ptr<uint8_t, Unmap> data_;
  size_t size_ = 0;
};

}  // namespace dki::model
