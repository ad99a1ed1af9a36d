// SPDX-License-Identifier: Apache-2.0
// Purpose: k-means through FAISS; the only file of the service that knows it.
#pragma once

#include <span>
#include <vector>

#include "libs/base/status.h"

namespace dki::retrieval {

// Unit vectors [n_centroids, dimension] around which the samples [n, dimension] lie; the same for
// the same samples. Seconds of work for 1e5 samples, on this thread. REQUIRES: n >= n_centroids.
absl::StatusOr<std::vector<float>> TrainCentroids(int dimension, std::span<const float> samples,
                                                  size_t n_centroids);

}  // namespace dki::retrieval
